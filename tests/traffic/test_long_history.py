"""Hours that are over: read a bounded number of times, the newest first, and none of them lost or counted twice."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from alerts.finding import Label, Severity
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.long_looks import DAY_S, HOUR_S, Outcomes, Spent
from monitor.traffic.windows.series import MINUTE_S, Series
from monitor.traffic.windows.window import Window
from monitor.traffic_flow import long_history
from monitor.traffic_flow.long_history import LongHistory, running_from
from monitor.traffic_flow.watch_traffic import look

SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")
NOW = datetime(2026, 3, 20, 12, 34, tzinfo=UTC)
MONTH = WatchConfig.model_validate({"name": "month", "budget": {"usd": 1_000, "every": "month"}})
DAY = WatchConfig.model_validate({"name": "day", "budget": {"usd": 30, "every": "day"}})
HOUR = WatchConfig.model_validate({"name": "hour", "budget": {"usd": 1, "every": "hour"}})
SLO = WatchConfig.model_validate({"name": "slo", "slo": {"objective": "99%"}})


@dataclass
class Store:
    """Windows as the intake gives them: a dollar and ten calls each hour, at its half; remembers what was read.

    What is read of whole days is one window for each.
    """

    late_usd: float = 0.0
    failed_since: datetime | None = None
    asked: Counter[tuple[int, int]] = field(default_factory=Counter)

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        return self._between(first_minute, last_minute + MINUTE_S)

    async def long_windows(self, first: int, end: int) -> AsyncIterator[list[Window]]:
        self.asked[first, end] += 1
        found = self._between(first, end)
        if end - first == DAY_S:
            whole = Window(first, SHOP)
            for one in found:
                whole.merge(one)
            found = [whole]
        for one in found:
            yield [one]

    def _between(self, first: int, end: int) -> list[Window]:
        halves = (hour * HOUR_S + 1_800 for hour in range(first // HOUR_S, end // HOUR_S + 1))
        return [self._window(minute) for minute in halves if first <= minute < end]

    def _window(self, minute: int) -> Window:
        window = Window(minute, SHOP, 10)
        window.cost_usd.add(1.0 + self.late_usd)
        if self.failed_since and minute >= self.failed_since.timestamp():
            window.errors["server_error"] = 10
        return window


def spent(history: LongHistory, watch: WatchConfig, now: datetime) -> float:
    found = history.before_running(watch, now)
    assert isinstance(found, Spent)
    return sum(found.by_value.values())


async def test_a_month_is_known_at_the_first_look_after_a_start() -> None:
    history, store = LongHistory([MONTH]), Store()
    await history.read(store, NOW)
    assert history.missing(MONTH, NOW) == ""
    hours = 19 * 24 + 10  # until ten o'clock, from when on minutes are looked at
    assert spent(history, MONTH, NOW) == hours
    # Of 19 days three are young: an objective would look at their hours. What was first is the newest.
    assert len(store.asked) == 16 + 3 * 24 + 10
    assert max(store.asked) == (running_from(NOW.timestamp()) - HOUR_S, running_from(NOW.timestamp()))
    await history.read(store, NOW + timedelta(minutes=1))
    assert set(store.asked.values()) == {1}


async def test_a_look_reads_no_more_than_it_may_and_says_what_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(long_history, "READ_A_LOOK", 20)
    history, store = LongHistory([MONTH]), Store()
    await history.read(store, NOW)
    assert history.missing(MONTH, NOW) == f"; {19 * 24 + 10 - 20} hours of it are still to be read"
    for _ in range(4):
        await history.read(store, NOW)
    assert history.missing(MONTH, NOW) == ""
    assert spent(history, MONTH, NOW) == 19 * 24 + 10


async def test_an_hour_is_read_again_when_no_call_of_it_can_come_any_more() -> None:
    history, store = LongHistory([MONTH]), Store()
    await history.read(store, NOW)
    before = spent(history, MONTH, NOW)
    store.late_usd = 0.5  # late calls, everywhere
    later = NOW + timedelta(days=2)
    await history.read(store, later)
    # Two days are new; the 22 hours that were younger than a day are read again, and what was final stays.
    assert spent(history, MONTH, later) == before + 48 * 1.5 + 22 * 0.5
    assert max(store.asked.values()) == 2


async def test_a_day_in_which_a_rolling_period_begins_counts_by_its_hours() -> None:
    history, store = LongHistory([SLO]), Store()
    for hours in range(0, 72, 5):
        now = NOW + timedelta(hours=hours)
        await history.read(store, now)
        assert history.missing(SLO, now) == ""
        found = history.before_running(SLO, now)
        assert isinstance(found, Outcomes)
        assert found.since(history.first(SLO, now)) == (10 * (30 * 24 - 2), 0), hours
    assert max(store.asked.values()) <= 2  # young hours, and days whose hours are needed in the end


async def test_a_new_month_begins_with_nothing() -> None:
    history, store = LongHistory([MONTH]), Store()
    await history.read(store, NOW)
    april = datetime(2026, 4, 1, 3, 30, tzinfo=UTC)
    await history.read(store, april)
    assert spent(history, MONTH, april) == 1  # from midnight to one: then minutes are looked at
    assert history.missing(MONTH, april) == ""


async def test_what_is_added_up_and_what_is_running_are_judged_together_and_once() -> None:
    history, store = LongHistory([MONTH, DAY, HOUR]), Store()
    looks = await look(store, [MONTH, DAY, HOUR], NOW, history)
    found = {one.watch.name: one.judgement for one in looks}
    assert [found[name].value for name in ("month", "day", "hour")] == [19 * 24 + 13, 13, 1]


async def test_a_budget_that_is_nearly_used_is_a_ticket_and_asks_for_no_rollback() -> None:
    nearly = WatchConfig.model_validate(
        {"name": "day", "budget": {"usd": 14, "every": "day"}, "rollback": "deploy"}
    )
    over = WatchConfig.model_validate(
        {"name": "over", "budget": {"usd": 12, "every": "day"}, "rollback": "deploy"}
    )
    first, second = await look(Store(), [nearly, over], NOW, LongHistory([nearly, over]))
    finding = first.verdict().finding
    assert finding is not None
    assert (finding.severity, first.verdict().wants_rollback) == (Severity.TICKET, False)
    finding = second.verdict().finding
    assert finding is not None
    assert (finding.severity, second.verdict().wants_rollback) == (Severity.PAGE, True)


async def test_an_objective_is_judged_on_hours_and_minutes_together() -> None:
    history, store = LongHistory([SLO]), Store(failed_since=NOW - timedelta(hours=8))
    (said,) = await look(store, [SLO], NOW, history)
    finding = said.verdict().finding
    assert said.judgement.label is Label.BREACHED
    assert finding is not None
    assert "the error budget of 30 days is used up" in finding.summary


async def test_without_a_history_a_long_watch_says_nothing() -> None:
    assert await look(Store(), [MONTH], NOW) == []
