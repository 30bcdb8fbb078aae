"""What is known of earlier runs when a new one is judged without statistics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from .features import AnswerFeatures, RunFeatures

STABLE_RUNS_MIN = 3
"""So many runs without a new fingerprint make the next new one a page; else it is a ticket."""

PASSING_RUNS_MIN = 8
"""A check that passed in all samples of so many runs, and never failed, counts as one that never fails."""

KNOWN_VALUES_MAX = 200
"""The most served models and fingerprints that are remembered, each; endpoints with more tell nothing by them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What runs are compared with: the facts of earlier runs that had an answer."""

    runs: int = 0
    models: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    runs_with_new_fingerprint: int = 0
    runs_since_new_fingerprint: int = 0
    passing_runs: Mapping[str, int] = field(default_factory=dict)
    failed_checks: tuple[str, ...] = ()

    def never_fails(self, check: str) -> bool:
        """Whether ``check`` passed in every sample of all runs, and of enough runs."""
        return check not in self.failed_checks and self.passing_runs.get(check, 0) >= PASSING_RUNS_MIN

    @property
    def never_failed(self) -> tuple[str, ...]:
        """The checks of which ``never_fails`` is true, as ``canary/check``."""
        return tuple(check for check in self.passing_runs if self.never_fails(check))

    @property
    def has_too_many_models(self) -> bool:
        """Whether the endpoint names so many models that one more tells nothing."""
        return len(self.models) >= KNOWN_VALUES_MAX

    @property
    def has_stable_fingerprints(self) -> bool:
        """Whether the last runs brought no new fingerprint."""
        return self.runs_since_new_fingerprint >= STABLE_RUNS_MIN

    @property
    def has_random_fingerprints(self) -> bool:
        """Whether most runs brought a new fingerprint, so that one more tells nothing."""
        return self.runs_with_new_fingerprint * 2 > self.runs or len(self.fingerprints) >= KNOWN_VALUES_MAX

    def learn(self, run: RunFeatures, except_checks: frozenset[str] = frozenset()) -> "Reference":
        """The reference with the facts of ``run`` in it, but for ``except_checks``."""
        if not any(answer.is_answered for answer in run.answers):
            return self
        fingerprints = seen_fingerprints(run)
        is_new = bool(self.fingerprints) and not fingerprints <= set(self.fingerprints)
        checks = {check: samples for check, samples in checks_of(run).items() if check not in except_checks}
        passed = {check for check, samples in checks.items() if all(samples.values())}
        return Reference(
            runs=self.runs + 1,
            models=_extended(self.models, seen_models(run)),
            fingerprints=_extended(self.fingerprints, fingerprints),
            runs_with_new_fingerprint=self.runs_with_new_fingerprint + is_new,
            runs_since_new_fingerprint=0 if is_new else self.runs_since_new_fingerprint + 1,
            passing_runs={
                **self.passing_runs,
                **{c: self.passing_runs.get(c, 0) + 1 for c in sorted(passed)},
            },
            failed_checks=tuple(sorted({*self.failed_checks, *(checks.keys() - passed)})),
        )

    def to_plain(self) -> dict[str, Any]:
        """The reference as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Reference":
        """The reference that ``to_plain`` gave."""
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in plain.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ProofHistory:
    """All that judging a run needs of the runs before it; carried from run to run, of bounded size.

    ``reference`` grows while a baseline collects. ``failing`` counts, for each check that never failed in the
    reference and now does, the answers in a row that broke it.
    """

    reference: Reference = field(default_factory=Reference)
    down_runs: int = 0
    failing: Mapping[str, int] = field(default_factory=dict)

    def restarted(self) -> "ProofHistory":
        """The history for a collection that begins anew: known models and fingerprints stay known."""
        known = self.reference
        return replace(
            self, reference=Reference(models=known.models, fingerprints=known.fingerprints), failing={}
        )

    def to_json(self) -> str:
        """The history as JSON that ``from_json`` reads back."""
        return orjson.dumps(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "ProofHistory":
        """The history that ``to_json`` wrote."""
        plain = orjson.loads(text)
        return cls(Reference.from_plain(plain["reference"]), plain["down_runs"], plain["failing"])


def checks_of(run: RunFeatures) -> dict[str, dict[tuple[str, int], bool]]:
    """For each ``canary/check`` of the run: whether each answer, by canary and sample, passed it."""
    checks: dict[str, dict[tuple[str, int], bool]] = {}
    for answer in _answered(run):
        for name, has_passed in answer.checks.items():
            checks.setdefault(f"{answer.canary}/{name}", {})[answer.canary, answer.sample] = has_passed
    return checks


def _answered(run: RunFeatures) -> list[AnswerFeatures]:
    return [answer for answer in run.answers if answer.is_answered]


def seen_models(run: RunFeatures) -> set[str]:
    """The models that the run's answers say they come from."""
    return {answer.served_model for answer in _answered(run) if answer.served_model}


def seen_fingerprints(run: RunFeatures) -> set[str]:
    """The system fingerprints of the run's answers."""
    return {answer.system_fingerprint for answer in _answered(run) if answer.system_fingerprint}


def _extended(known: tuple[str, ...], seen: set[str]) -> tuple[str, ...]:
    return (*known, *sorted(seen - set(known)))[:KNOWN_VALUES_MAX]
