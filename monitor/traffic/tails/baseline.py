"""What a shift watch compares with: collected period by period, frozen in two steps, never slid.

The first half of the periods (train) fixes the limit beyond which a call is a hit and the hours that are alike; the
second half (calibration) is what later periods are ranked against. Beside a control nothing is ranked: all periods
are train periods, of the calls of both, and only the limit is fixed; a share of failures needs not even that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import orjson

from alerts.evidence.ranks import Calibrated

from ..watches.config import WatchConfig
from ..watches.measures import Measure
from ..windows.histogram import Histogram
from .counting import Counted, Tally, limit_of, score, shift_of, together
from .hour_classes import HourClasses, learn, without_rhythm
from .stickiness import Stickiness, stickiness

FORMAT = 2
"""Version of the stored document."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A period to be judged: the calls of the watch, and of its control when it has one."""

    start_s: int
    mine: Tally
    control: Tally | None = None


@dataclass(frozen=True, slots=True)
class TailBaseline:
    """All that is known of what is usual, and how far the collection is.

    ``next_s`` is the start of the first period that was not looked at yet, in unix seconds. ``train`` is emptied when
    the limit is fixed, and ``train_means`` keeps its means. ``fingerprint`` is of what the operator
    asked for.
    """

    id: str
    fingerprint: str
    next_s: int
    train: tuple[tuple[int, Counted], ...] = ()
    train_means: tuple[tuple[int, float], ...] = ()
    limit: float | None = None
    hours: HourClasses = field(default_factory=HourClasses)
    calibration: tuple[tuple[int, Tally], ...] = ()
    stickiness: Stickiness = field(default_factory=Stickiness)
    is_ready: bool = False

    @property
    def collected(self) -> int:
        """How many periods went into it so far."""
        return len(self.train_means) + len(self.train) + len(self.calibration)

    @property
    def usual_share(self) -> float:
        """The share of hits among all calls of the calibration."""
        calls = sum(tally.calls for _, tally in self.calibration)
        return sum(tally.hits for _, tally in self.calibration) / calls if calls else 0.0

    @property
    def usual_mean(self) -> float:
        """The mean of all calls of the calibration."""
        calls = sum(tally.calls for _, tally in self.calibration)
        return sum(tally.calls * tally.mean for _, tally in self.calibration) / calls if calls else 0.0

    def ranked(self, measure: Measure, ties: Mapping[int, float]) -> list[Calibrated]:
        """The calibration periods as the ledger takes them; ``ties`` has the tie break of each by its start."""
        return [
            (self.score(measure, start, tally), ties[start], self.hours.label(start))
            for start, tally in self.calibration
        ]

    def score(self, measure: Measure, start_s: int, tally: Tally) -> float:
        """What ranks a period that began at ``start_s``: how far it is from what is usual at such hours."""
        return score(measure, tally) - self.hours.usual_at(start_s)


def fingerprint(watch: WatchConfig) -> str:
    """What a baseline is of: another one means that the old baseline says nothing any more."""
    shift = shift_of(watch)
    asked = {
        "measure": watch.measure.value,
        "match": watch.match.model_dump(),
        "shift": shift.model_dump(mode="json", exclude={"importance", "baseline"}),
        "baseline_s": shift.baseline_s,
    }
    if watch.share is not None:
        asked["share"] = watch.share.name
    return blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def open_baseline(watch: WatchConfig, now_s: float) -> TailBaseline:
    """An empty baseline that begins in the past: what is stored of production already may fill it at once."""
    shift, asked = shift_of(watch), fingerprint(watch)
    every = int(shift.every)
    is_ready = periods_needed(watch) == 0
    start = (int(now_s // every) - (0 if is_ready else shift.periods)) * every
    if shift.since is not None:
        start = max(start, -int(-shift.since.timestamp() // every) * every)
    return TailBaseline(f"{watch.name}-{start}-{asked}", asked, start, is_ready=is_ready)


def collect(watch: WatchConfig, baseline: TailBaseline, mine: Counted, control: Counted) -> TailBaseline:
    """The baseline after its next period; a period with fewer than ``min_calls`` calls is passed over."""
    shift = shift_of(watch)
    start, counted = baseline.next_s, mine if shift.control is None else together(mine, control)
    baseline = replace(baseline, next_s=start + int(shift.every))
    if counted.tally(watch.measure, None).calls < watch.min_calls:
        return baseline
    train, calibration = _periods_needed(watch)
    if not baseline.train_means:
        baseline = replace(baseline, train=(*baseline.train, (start, counted)))
        if len(baseline.train) >= train:
            baseline = _trained(watch, baseline, calibration)
    else:
        tally = counted.tally(watch.measure, baseline.limit)
        baseline = replace(baseline, calibration=(*baseline.calibration, (start, tally)))
    if not baseline.train_means or len(baseline.calibration) < calibration:
        return baseline
    return replace(baseline, stickiness=_stickiness(watch, baseline), is_ready=True)


def passed(watch: WatchConfig, baseline: TailBaseline) -> TailBaseline:
    """The baseline after a period that was judged."""
    return replace(baseline, next_s=baseline.next_s + int(shift_of(watch).every))


def periods_needed(watch: WatchConfig) -> int:
    """How many periods with enough calls make the baseline."""
    return sum(_periods_needed(watch))


def to_plain(baseline: TailBaseline) -> dict[str, Any]:
    """The baseline as plain data."""
    return {
        "format": FORMAT,
        "id": baseline.id,
        "fingerprint": baseline.fingerprint,
        "next_s": baseline.next_s,
        "train": [[start, one.calls, one.failed, one.values.to_json()] for start, one in baseline.train],
        "train_means": baseline.train_means,
        "limit": baseline.limit,
        "hours": [baseline.hours.of_slot, baseline.hours.usual],
        "calibration": [[start, one.calls, one.hits, one.mean] for start, one in baseline.calibration],
        "stickiness": [baseline.stickiness.lag1, baseline.stickiness.block],
        "is_ready": baseline.is_ready,
    }


def from_plain(data: Mapping[str, Any]) -> TailBaseline:
    """The baseline that ``to_plain`` gave."""
    if data["format"] != FORMAT:
        raise ValueError(f"this baseline is stored in format {data['format']}; this version reads {FORMAT}")
    return TailBaseline(
        id=data["id"],
        fingerprint=data["fingerprint"],
        next_s=data["next_s"],
        train=tuple(
            (start, Counted(calls, failed, Histogram.from_json(values)))
            for start, calls, failed, values in data["train"]
        ),
        train_means=tuple((start, mean) for start, mean in data["train_means"]),
        limit=data["limit"],
        hours=HourClasses(*map(tuple, data["hours"])),
        calibration=tuple(
            (start, Tally(calls, hits, mean)) for start, calls, hits, mean in data["calibration"]
        ),
        stickiness=Stickiness(*data["stickiness"]),
        is_ready=data["is_ready"],
    )


def _trained(watch: WatchConfig, baseline: TailBaseline, calibration: int) -> TailBaseline:
    starts: Sequence[int] = [start for start, _ in baseline.train]
    limit = limit_of(watch.measure, (one for _, one in baseline.train))
    scores = [score(watch.measure, one.tally(watch.measure, limit)) for _, one in baseline.train]
    hours = learn(starts, scores, shift_of(watch).every, calibration)
    means = tuple((start, one.tally(watch.measure, None).mean) for start, one in baseline.train)
    return replace(baseline, train=(), train_means=means, limit=limit, hours=hours)


def _stickiness(watch: WatchConfig, baseline: TailBaseline) -> Stickiness:
    if not baseline.calibration:
        return Stickiness()
    scores = [(start, score(watch.measure, tally)) for start, tally in baseline.calibration]
    # Means need no limit, so that those of the train periods can be looked at, too: it takes many to see a slow load.
    means = [*baseline.train_means, *((start, tally.mean) for start, tally in baseline.calibration)]
    every = shift_of(watch).every
    # Without the time of the day, of which classes leave something: neighbours are of the same hours.
    return stickiness(
        [
            without_rhythm([start for start, _ in series], [value for _, value in series], every)
            for series in (scores, means)
        ]
    )


def _periods_needed(watch: WatchConfig) -> tuple[int, int]:
    """How many train and calibration periods."""
    shift = shift_of(watch)
    if shift.control is not None:
        return (0, 0) if watch.measure.is_share else (shift.periods, 0)
    return shift.periods // 2, shift.periods - shift.periods // 2
