"""What a candidate is compared with: the runs of a stored baseline, or a file of completions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlmodel import Session

from canaries.baseline import BaselineStatus
from canaries.baseline_store import BaselineSummary, collected_ids, load_baseline
from canaries.completion import Run
from canaries.completions_file import read_runs
from canaries.config import TargetConfig
from canaries.contract import Contract, contract_of, describe_change
from canaries.store import load_runs
from canaries.suite import Suite

from ... import MonitorError

RUNS_MAX = 300
"""The most runs of a baseline that are compared, evenly spread over it: more would hardly tell more."""

CHANGES_TOLD = 8
"""How many differences of suite and target are told."""

FILE_ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
"""What the name of a completions file ends with."""


@dataclass(frozen=True, slots=True)
class Base:
    """The runs, what they are called, whose they are, and what was asked of whom, where that is known."""

    name: str
    runs: Sequence[Run]
    target: str | None = None
    contract: Contract | None = None

    def changes(self, suite: Suite, target: TargetConfig) -> tuple[str, ...]:
        """What is asked otherwise of the candidate than it was of the baseline, a sentence each."""
        if self.contract is None:
            return ()
        found = describe_change(self.contract, contract_of(suite, target))
        rest = len(found) - CHANGES_TOLD
        more = (f"And {rest} more differences to the baseline.",) if rest > 0 else ()
        return (*(f"Not as in the baseline: {one}." for one in found[:CHANGES_TOLD]), *more)


def is_file(against: str) -> bool:
    """Whether the name means a file of completions."""
    return against.endswith(FILE_ENDINGS)


def base_of_file(path: Path) -> Base:
    """The completions of a file. Raises CompletionsError when it cannot be used."""
    runs = read_runs(path)
    targets = {run.target for run in runs if run.target}
    return Base(path.name, runs, targets.pop() if len(targets) == 1 else None)


def base_of_store(session: Session, summary: BaselineSummary) -> Base:
    """The runs of a stored baseline. Raises MonitorError when they hold no texts, or are no more there."""
    baseline = load_baseline(session, summary.id)
    ids = (*baseline.train_ids, *baseline.calibration_ids)
    if baseline.status is BaselineStatus.COLLECTING:
        ids = collected_ids(session, summary.id)
    stored = load_runs(session, _spread(ids))
    if not stored:
        raise MonitorError(f"{summary.id} has no runs: let it collect some, or name another baseline")
    runs = [run for run in map(_with_texts, stored) if run.completions]
    if not runs:
        raise MonitorError(
            f"{summary.id} holds no texts to compare with, as `storage.content` was `hashes`: "
            "record a file with --save, and name that"
        )
    return Base(summary.id, runs, summary.target, baseline.contract)


def _with_texts(run: Run) -> Run:
    """The run without answers whose text was not stored."""
    kept = tuple(one for one in run.completions if not one.is_answered or one.text is not None)
    return replace(run, completions=kept)


def _spread(ids: Sequence[str]) -> Sequence[str]:
    if len(ids) <= RUNS_MAX:
        return ids
    return [ids[i * len(ids) // RUNS_MAX] for i in range(RUNS_MAX)]
