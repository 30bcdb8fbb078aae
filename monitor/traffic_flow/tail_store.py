"""What shift watches compare with, in the database: rows become domain values here."""

from dataclasses import dataclass, field

import orjson
from sqlmodel import Session

from ..drift import DriftMemory
from ..tables import TailRow
from ..traffic.tails.baseline import TailBaseline, from_plain, to_plain


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a shift watch keeps between periods, beside its ledger: its baseline, and what raised an alarm.

    ``silent`` counts the latest periods with too few calls to judge.
    """

    baseline: TailBaseline
    memory: DriftMemory = field(default_factory=DriftMemory)
    silent: int = 0


def load_comparison(session: Session, watch: str) -> Comparison | None:
    """What was last kept of the watch, if anything was."""
    row = session.get(TailRow, watch)
    if row is None:
        return None
    document = orjson.loads(row.document)
    if "baseline" not in document:  # the watch compared versions before
        return None
    return Comparison(
        from_plain(document["baseline"]), DriftMemory.from_json(document["memory"]), document["silent"]
    )


def save_comparison(session: Session, watch: str, comparison: Comparison) -> None:
    """Keep this of the watch, in place of what was there."""
    document = {
        "baseline": to_plain(comparison.baseline),
        "memory": comparison.memory.to_json(),
        "silent": comparison.silent,
    }
    session.merge(
        TailRow(watch=watch, baseline_id=comparison.baseline.id, document=orjson.dumps(document).decode())
    )
