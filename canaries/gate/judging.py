"""Whether a candidate may pass: everything that was asked of it, decided from its answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from .. import CompletionsError
from ..compare import Comparison, Settings, compare
from ..compare.results import DETECT, PERMUTATIONS
from ..completion import Run
from ..suite import Expectations, Suite
from .config import ALPHA, GateConfig, Reaction
from .limits import Price, limit_checks
from .results import Check, Gate
from .rules import canary_checks, requests_check
from .statistics import statistics_checks

CANARIES_WANTED = 50
"""How many canaries, each checked by a person, make a good gate: the field's advice."""

CANARIES_FEW = 25
"""With fewer it is said that they are few."""

PERMUTATIONS_A_LEVEL = 2
"""How many permutations may be farther out at the level: with one, p-values could hardly reach it."""


@dataclass(frozen=True, slots=True)
class Side:
    """Answers with a name, and how they are priced."""

    name: str
    runs: Sequence[Run]
    price: Price


def judge(
    suite: Suite,
    candidate: Side,
    base: Side | None,
    config: GateConfig,
    *,
    seed: int = 0,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Gate:
    """What the candidate's answers come to, beside those of ``base`` where there are any.

    Without a base only the rules and absolute limits are judged. Raises CompletionsError when nothing was answered.
    """
    completions = [one for run in candidate.runs for one in run.completions]
    answers = sum(one.is_answered for one in completions)
    if not answers:
        raise CompletionsError(_nothing_answered(candidate))
    base_runs = base.runs if base else ()
    known_failures = config.known_failures or Reaction.FAIL
    checks: list[Check] = [
        *canary_checks(suite, candidate.runs, base_runs, known_failures),
        requests_check(candidate.runs),
    ]
    comparison = None
    if base is not None:
        comparison = _compared(suite, candidate, base, config, seed, progress)
        changes = config.changes or Reaction.FAIL
        checks += statistics_checks(comparison, config.floor or 0.0, changes)
    base_price = base.price if base else candidate.price
    rng = np.random.default_rng(seed)
    limits = {name: one for name, one in config.limits().items() if base or not one.is_relative}
    checks += limit_checks(limits, candidate.runs, base_runs, candidate.price, base_price, rng)
    return Gate(
        suite=suite.name,
        target=candidate.name,
        against=base.name if base else None,
        checks=tuple(checks),
        notes=(*notes, *_notes(suite, base, config)),
        comparison=comparison,
        answers=answers,
    )


def _compared(
    suite: Suite,
    candidate: Side,
    base: Side,
    config: GateConfig,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Comparison:
    alpha = config.alpha or ALPHA
    permutations = max(PERMUTATIONS, ceil(PERMUTATIONS_A_LEVEL / alpha))
    settings = Settings(alpha, permutations, seed, config.detect or DETECT)
    return compare(
        _of_suite(base.runs, suite),
        candidate.runs,
        settings,
        suite=suite,
        price=candidate.price,
        base_price=base.price,
        progress=progress,
    )


def _of_suite(runs: Sequence[Run], suite: Suite) -> list[Run]:
    """The runs without answers to canaries that the candidate was not asked, so that runs of both sides are alike."""
    asked = {canary.id for canary in suite.canaries}
    kept = [
        replace(run, completions=tuple(one for one in run.completions if one.canary in asked)) for run in runs
    ]
    return [run for run in kept if run.completions] or list(runs)


def _notes(suite: Suite, base: Side | None, config: GateConfig) -> Iterator[str]:
    count = len(suite.canaries)
    silent = sum(canary.expectations == Expectations() for canary in suite.canaries)
    if count < CANARIES_FEW:
        yield (
            f"The suite has {count} canar{'y' if count == 1 else 'ies'}. About {CANARIES_WANTED} real requests, their "
            "expectations checked by a person, make a gate that can be relied on."
        )
    if silent:
        yield f"No rule can stop the answers to {silent} of {count} canaries: nothing is expected of them."
    if base is None:
        left_out = ", ".join(config.needs_baseline)
        yield (
            "Nothing to compare with: only rules and absolute limits were judged"
            f"{f', and not {left_out}' if left_out else ''}. --against names a baseline."
        )


def _nothing_answered(candidate: Side) -> str:
    failed = next((one for run in candidate.runs for one in run.completions), None)
    why = "" if failed is None else f": {failed.outcome.value}{f', {failed.error}' if failed.error else ''}"
    return f"{candidate.name} answered none of the requests{why}"
