"""How a period of a shift watch is ranked against its history: which scores bet, with what shares, and how loudly.

Pure. Where periods can be ranked one by one, one score bets. Where neighbouring periods are alike, such ranks would
page far too often: single periods then open tickets only, and blocks of periods, which are like fresh draws, page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from alerts.evidence.ledger import Observation
from alerts.evidence.ranks import Ranks, rank

from ..traffic.tails.baseline import Seen, TailBaseline
from ..traffic.tails.counting import shift_of
from ..traffic.watches.config import WatchConfig

BLOCKS = "_in_blocks"
"""What the score of blocks is called, behind the name of the measure."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the ledger is given with every period of a watch."""

    watch: WatchConfig
    baseline: TailBaseline
    ranks: Ranks
    weights: Mapping[str, float]
    tickets_only: frozenset[str]

    def observation(self, seen: Seen, run_id: str, tie: float) -> Observation:
        """The period as the ledger takes it."""
        every_s = shift_of(self.watch).every
        value = self.baseline.score(self.watch.measure, seen.start_s, seen.mine)
        return Observation(
            run_id,
            datetime.fromtimestamp(seen.start_s + every_s, UTC),
            every_s,
            tie,
            dict.fromkeys(self.weights, value),
            self.baseline.hours.label(seen.start_s),
        )


def ranking_of(
    watch: WatchConfig, baseline: TailBaseline, ties: Mapping[int, float], share: float
) -> Ranking:
    """How periods are ranked under a baseline. ``ties`` has the tie break of each calibration period by its start;
    ``share`` is the watch's part of the deployment's budgets."""
    name, block = watch.measure.value, baseline.stickiness.block
    calibration = baseline.ranked(watch.measure, ties)
    if block == 1:
        ranks, weights = rank({name: calibration}), {name: share}
    else:
        in_blocks = f"{name}{BLOCKS}"
        ranks = rank({name: calibration, in_blocks: calibration}, {in_blocks: block})
        weights = {name: share / 2, in_blocks: share / 2}
    quiet = weights if watch.severity == "ticket" else (name,) if block > 1 else ()
    return Ranking(watch, baseline, ranks, weights, frozenset(quiet))
