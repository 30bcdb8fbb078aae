"""The stored runs of a target, added up to what an audit looks at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlmodel import Session

from canaries.baseline import BaselineStatus
from canaries.baseline_store import BaselineSummary, load_baseline
from canaries.run_counts import ModelCounts, RunCounts, count_runs, runs_between

from ..canary_flow.baseline_life import baseline_of
from ..traffic.windows.distribution import distribution_of
from .facts import Span, moment
from .tally import Tally

RUNS_MAX = 200
"""How many runs of a period, or of a baseline, are read; of more, so many that lie evenly among them."""

_NANO = 1_000_000_000


@dataclass(slots=True)
class TargetSums:
    """A target's runs: tallies of each, the models that answered in the period, and canaries that nobody answered.

    ``runs`` is how many there were in the period, of which ``RUNS_MAX`` at most were read.
    """

    now: list[Tally] = field(default_factory=list)
    previous: list[Tally] = field(default_factory=list)
    baseline: list[Tally] = field(default_factory=list)
    models: dict[str, ModelCounts] = field(default_factory=dict)
    unanswered: tuple[str, ...] = ()
    runs: int = 0
    summary: BaselineSummary | None = None


def read_target(session: Session, target: str, suite: str, span: Span) -> TargetSums:
    """What the runs of a target came to: in the period, in the one before, and those of its baseline."""
    found = TargetSums(summary=baseline_of(session, target, suite))
    ids = runs_between(session, target, moment(span.first), moment(span.end))
    found.runs = len(ids)
    runs = count_runs(session, _some(ids))
    found.now = [tally_of(run) for run in runs]
    found.unanswered = _unanswered(runs)
    for run in runs:
        for name, counts in run.models.items():
            model = found.models.setdefault(name, ModelCounts())
            model.answers += counts.answers
            model.checked += counts.checked
            model.broken += counts.broken
    before = span.before()
    earlier = runs_between(session, target, moment(before.first), moment(before.end))
    found.previous = [tally_of(run) for run in count_runs(session, _some(earlier))]
    if found.summary is not None and found.summary.status is BaselineStatus.FROZEN:
        baseline = load_baseline(session, found.summary.id)
        frozen_on = _some((*baseline.train_ids, *baseline.calibration_ids))
        found.baseline = [tally_of(run) for run in count_runs(session, frozen_on)]
    return found


def tally_of(run: RunCounts) -> Tally:
    """The run as it is counted beside production calls."""
    tally = Tally(
        calls=run.requests,
        failed=run.requests - run.answered,
        asked=len(run.input_tokens),
        input_tokens=sum(run.input_tokens),
        answered=len(run.output_tokens),
        output_tokens=sum(run.output_tokens),
        checked=run.checked,
        broken=run.broken,
        finished=run.finished,
        truncated=run.truncated,
        failed_checks=dict(run.failed_checks),
    )
    if run.cost_usd is not None and run.answered:
        tally.priced, tally.cost_nano = run.answered, round(run.cost_usd * _NANO)
    tally.latency_s = distribution_of(np.maximum(0.0, run.latencies_s))
    tally.ttft_s = distribution_of(np.maximum(0.0, run.ttfts_s))
    return tally


def _some(ids: Sequence[str]) -> tuple[str, ...]:
    if len(ids) <= RUNS_MAX:
        return tuple(ids)
    return tuple(ids[place] for place in np.linspace(0, len(ids) - 1, RUNS_MAX).round().astype(int).tolist())


def _unanswered(runs: Sequence[RunCounts]) -> tuple[str, ...]:
    answers: dict[str, int] = {}
    for run in runs:
        for canary, count in run.by_canary.items():
            answers[canary] = answers.get(canary, 0) + count
    return tuple(sorted(canary for canary, count in answers.items() if not count))
