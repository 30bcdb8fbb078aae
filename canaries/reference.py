"""What is known of earlier runs when a new one is judged without statistics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from .features import AnswerFeatures, RunFeatures

RANDOM_SHARE = 0.03
"""Where more than this share of the runs brought a new fingerprint, one more tells nothing: a pool takes turns."""

PASSING_RUNS_MIN = 8
"""A check that passed in all samples of so many runs, and never failed, counts as one that never fails."""

CHECK_PREFIX = "validator/"
"""How the keys of proofs about checks begin."""

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
    def has_random_fingerprints(self) -> bool:
        """Whether so many runs brought a new fingerprint that one more tells nothing."""
        has_many = len(self.fingerprints) >= KNOWN_VALUES_MAX
        return has_many or self.runs_with_new_fingerprint > RANDOM_SHARE * self.runs

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
            models=extended(self.models, seen_models(run)),
            fingerprints=extended(self.fingerprints, fingerprints),
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
        return cls(**_with_tuples(plain))


@dataclass(frozen=True, slots=True)
class Held:
    """A proof that was breached, and is until it was clean for long enough: what was said of it last."""

    is_page: bool
    summary: str
    evidence: tuple[tuple[str, str], ...] = ()
    clean_runs: int = 0


@dataclass(frozen=True, slots=True)
class FingerprintNews:
    """What is known of fingerprints beyond the reference.

    ``noted`` were seen, so that they are no news any more. ``streak_runs`` runs in a row had only fingerprints that
    were new when they began, the ``streak``. ``quiet_runs`` runs before brought no new one (``None``: as many as
    the reference says).
    """

    noted: tuple[str, ...] = ()
    streak: tuple[str, ...] = ()
    streak_runs: int = 0
    quiet_runs: int | None = None


@dataclass(frozen=True, slots=True)
class ProofHistory:
    """All that judging a run needs of the runs before it; carried from run to run, of bounded size.

    ``reference`` grows while a baseline collects. For each check that never failed in the reference and now does,
    ``failing`` counts the answers in a row that broke it, and ``confirming`` the runs since these were enough for a
    page. ``held`` are the breached proofs by key. ``told_models`` are unknown models that people were told of, and
    whether by a page; ``replaced_runs`` runs in a row had no answer of a known model.
    """

    reference: Reference = field(default_factory=Reference)
    down_runs: int = 0
    failing: Mapping[str, int] = field(default_factory=dict)
    confirming: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    told_models: Mapping[str, bool] = field(default_factory=dict)
    replaced_runs: int = 0
    fingerprints: FingerprintNews = field(default_factory=FingerprintNews)

    def restarted(self) -> "ProofHistory":
        """The history for a collection that begins anew: known models and fingerprints stay known.

        What checks did is forgotten: the new model is not held to what the old one never failed.
        """
        known = self.reference
        return replace(
            self,
            reference=Reference(models=known.models, fingerprints=known.fingerprints),
            failing={},
            confirming={},
            held={key: held for key, held in self.held.items() if not key.startswith(CHECK_PREFIX)},
        )

    def to_json(self) -> str:
        """The history as JSON that ``from_json`` reads back."""
        return orjson.dumps(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "ProofHistory":
        """The history that ``to_json`` wrote, also in a version that knew fewer things."""
        plain: dict[str, Any] = orjson.loads(text)
        plain["reference"] = Reference.from_plain(plain["reference"])
        plain["held"] = {key: _held(held) for key, held in plain.get("held", {}).items()}
        plain["fingerprints"] = FingerprintNews(**_with_tuples(plain.get("fingerprints", {})))
        return cls(**plain)


def _held(plain: Mapping[str, Any]) -> Held:
    return Held(**{**plain, "evidence": tuple((name, value) for name, value in plain["evidence"])})


def _with_tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}


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


def extended(known: tuple[str, ...], seen: set[str]) -> tuple[str, ...]:
    """The known values and the new ones after them, as many as are remembered."""
    return (*known, *sorted(seen - set(known)))[:KNOWN_VALUES_MAX]
