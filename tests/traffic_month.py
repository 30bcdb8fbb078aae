"""A month of production calls, written through the real store: minutes for the last day, hours and days before."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from monitor.database import Database
from monitor.traffic import store
from monitor.traffic.roll_ups import Resolution
from monitor.traffic.windows.histogram import Histogram, buckets_of, nano
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window

UNTIL = datetime(2026, 3, 3, 6, 30, tzinfo=UTC)
HOUR_S, DAY_S = 3_600, 86_400
END = int(UNTIL.timestamp())

SHOP = Series("shop", "production", "1.0", "chat", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18")
SEARCH = Series("search", "production", "7", "chat", "anthropic", "claude-haiku-4-5", "claude-haiku-4-5")


@dataclass(frozen=True, slots=True)
class Calls:
    """What the calls of a series are like."""

    an_hour: int = 120
    latency_s: float = 1.0
    cost_usd: float | None = 0.002
    failed_share: float = 0.0
    checked_share: float = 1.0
    broken_share: float = 0.02
    tokens: int = 300


Kind = Callable[[int], Calls]
"""What calls are like that end at a time, in unix seconds."""


def always(calls: Calls) -> Kind:
    """The same at all times."""
    return lambda at: calls


def since_last_day(before: Calls, **changes: object) -> Kind:
    """As ``before`` until a day before the end, and then changed."""
    after = replace(before, **changes)  # type: ignore[arg-type]
    return lambda at: after if at >= END - DAY_S else before


def write_month(
    database: Database, kinds: dict[Series, Kind], days: int = 28, by_hour: int = 2, seed: int = 0
) -> None:
    """Write so many days before the last two, and these: as a daemon has left them that ran all the time.

    Of ``by_hour`` days it has left the hours and minutes as well.
    """
    rng = np.random.default_rng(seed)
    hours_rolled = (END - DAY_S - 600) // HOUR_S * HOUR_S
    days_rolled = hours_rolled // DAY_S * DAY_S

    def work(session) -> None:
        for resolution, first, end, step in (
            (Resolution.DAY, days_rolled - days * DAY_S, days_rolled, DAY_S),
            (Resolution.HOUR, days_rolled - by_hour * DAY_S, hours_rolled, HOUR_S),
            (Resolution.MINUTE, days_rolled - by_hour * DAY_S, END, 600),
        ):
            windows = [
                window
                for start in range(first, end, step)
                for series, kind in kinds.items()
                if (window := window_of(start, series, kind(start), step / HOUR_S, rng)).calls
            ]
            store.write(session, store.Changes(resolution, [store.New.of(one) for one in windows], ()))
        store.note_rolled(session, Resolution.HOUR, hours_rolled)
        store.note_rolled(session, Resolution.DAY, days_rolled)

    database.write(work)


def window_of(start: int, series: Series, calls: Calls, hours: float, rng: np.random.Generator) -> Window:
    """So many hours of calls; a bad hour is a little bad for all of its calls."""
    window = Window(start, series, ambiguous_nano=0)
    window.calls = round(calls.an_hour * hours * rng.uniform(0.95, 1.05))
    failed = int(rng.binomial(window.calls, calls.failed_share))
    answered = window.calls - failed
    load = np.resize(rng.lognormal(0, 0.05, max(1, round(hours))), answered)
    _add(window.latency_s, calls.latency_s * load * rng.lognormal(0, 0.4, answered))
    _add(window.output_tokens, calls.tokens * rng.uniform(0.5, 1.5, answered))
    _add(window.input_tokens, np.full(answered, 3.0 * calls.tokens))
    if calls.cost_usd is not None:
        _add(window.cost_usd, calls.cost_usd * rng.uniform(0.7, 1.3, answered))
    window.errors = {"rate_limit": failed} if failed else {}
    window.cost_bases = {"unpriced" if calls.cost_usd is None else "exact": answered}
    window.finish_reasons = {"stop": answered}
    window.checked = round(answered * calls.checked_share)
    window.unsound = int(rng.binomial(window.checked, calls.broken_share))
    window.failed_checks = {"json": window.unsound} if window.unsound else {}
    return window


def _add(histogram: Histogram, values: NDArray[np.float64]) -> None:
    buckets, counts = np.unique(buckets_of(values), return_counts=True)
    histogram.add_counts(dict(zip(buckets.tolist(), counts.tolist(), strict=True)), int(nano(values).sum()))
