"""Shift watches from minute windows to incidents: each period once, whatever interrupts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import alerts.store as alert_store
from alerts import outbox_store
from alerts.evidence.ledger import Budgets
from alerts.finding import Severity
from alerts.incident import Incident, State
from monitor.database import Database
from monitor.traffic.tails.counting import WATERMARK_S
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window
from monitor.traffic_flow.tail_store import Comparison, load_comparison
from monitor.traffic_flow.watch_tails import PERIODS_A_LOOK, TailLook, look_at_tails
from monitor.watched import House

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD = Series("shop", "production", "1.4", "chat", "openai", "m", "m")
NEW = Series("shop", "production", "1.5", "chat", "openai", "m", "m")
BASELINE = 48

Calls = Callable[[int], tuple[float, float]]
"""Of an hour: the median latency in seconds, and the share of calls that take three times as long."""


def watch(**fields: object) -> WatchConfig:
    told = {"name": "tail", "measure": "latency_p95", "shift": {"baseline": "2d"}, "notify": ["oncall"]}
    return WatchConfig.model_validate(told | fields)


@dataclass
class Shop:
    """Production with one window an hour, and a daemon that looks at it."""

    database: Database
    house: House = field(default_factory=lambda: House(b"secret", Budgets(pages_per_quarter=1.0)))
    hours: dict[int, list[Window]] = field(default_factory=dict)
    reads: list[int] = field(default_factory=list)

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        assert last_minute - first_minute == 3_540
        self.reads.append(first_minute)
        return self.hours.get(first_minute, [])

    def serve(
        self,
        first: int,
        last: int,
        slow: float = 0.0,
        series: Series = OLD,
        calls: int = 200,
        failed: float = 0.0,
    ) -> None:
        """Calls of the hours from ``first`` to before ``last``, counted from the start."""
        for hour in range(first, last):
            rng = np.random.default_rng([hour, len(series.version), int(series.version[-1])])
            window = Window(int((START + hour * HOUR).timestamp()), series, calls)
            latency_s = np.exp(0.5 * rng.normal(size=calls)) * np.where(rng.random(calls) < slow, 3.0, 1.0)
            for value in latency_s:
                window.latency_s.add(float(value))
            if errors := int(rng.binomial(calls, failed)):
                window.errors["server"] = errors
            self.hours.setdefault(window.minute, []).append(window)

    async def look(self, hour: float, *watches: WatchConfig) -> list[TailLook]:
        watches = watches or (watch(),)
        shares = {one.name: 1.0 / len(watches) for one in watches}
        now = START + hour * HOUR
        return await look_at_tails(self.database, self, watches, shares, self.house, now)

    async def look_hourly(self, first: int, last: int, *watches: WatchConfig) -> list[TailLook]:
        """What the looks after each of these hours did."""
        return [one for hour in range(first, last) for one in await self.look(hour + 1.05, *watches)]

    def incidents(self) -> tuple[Incident, ...]:
        return self.database.read(alert_store.incidents)

    def comparison(self, name: str = "tail") -> Comparison:
        found = self.database.read(lambda session: load_comparison(session, name))
        assert found is not None
        return found


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


@pytest.fixture
async def baselined(shop: Shop) -> Shop:
    """A shop whose two days of history are frozen; the next period is hour 48."""
    shop.serve(0, BASELINE)
    await shop.look(BASELINE + 0.01)
    await shop.look(BASELINE + 0.05)
    assert shop.comparison().baseline.is_ready
    return shop


async def test_history_that_is_stored_already_is_the_baseline(baselined: Shop) -> None:
    baseline = baselined.comparison().baseline
    assert len(baseline.train_means) == 24
    assert len(baseline.calibration) == 24
    assert baseline.limit == pytest.approx(np.exp(0.5 * 1.645), rel=0.05)
    assert baseline.usual_share == pytest.approx(0.05, abs=0.01)
    assert baseline.train == ()
    assert baseline.next_s == (START + BASELINE * HOUR).timestamp()


async def test_without_history_it_collects_as_time_goes_by(shop: Shop) -> None:
    collecting = watch(shift={"baseline": "2d", "since": START})
    shop.serve(0, 60)
    (said,) = await shop.look(1.05, collecting)
    assert said.said == "It collects its baseline: 1 of 48 periods"
    await shop.look_hourly(1, BASELINE, collecting)
    assert shop.comparison().baseline.is_ready
    assert shop.incidents() == ()


async def test_a_slower_tail_pages_and_says_what_is_usual(baselined: Shop) -> None:
    baselined.serve(48, 60)
    baselined.serve(60, 84, slow=0.15)
    await baselined.look_hourly(48, 60)
    assert baselined.incidents() == ()
    await baselined.look_hourly(60, 72)
    (incident,) = baselined.incidents()
    assert (incident.key, incident.severity, incident.state) == ("watch/tail", Severity.PAGE, State.FIRING)
    summary = incident.finding.summary
    assert summary.startswith("tail has shifted, after 2026-03-0")
    assert "% of 200 calls from " in summary
    assert "took longer than 2.3" in summary
    assert "(the baseline's p95), usually 4." in summary
    lines = dict(incident.finding.evidence)
    assert lines["latency_p95"].startswith("high, against 24 calibration periods")
    assert lines["calls"] == "200"
    messages = baselined.database.read(lambda s: outbox_store.notifications(s, incident.id))
    assert [row.receiver for row in messages][:1] == ["oncall"]


async def test_the_incident_ends_when_the_tail_is_as_before(baselined: Shop) -> None:
    baselined.serve(48, 60, slow=0.3)
    baselined.serve(60, 96)
    await baselined.look_hourly(48, 60)
    (incident,) = baselined.incidents()
    assert incident.is_open
    await baselined.look_hourly(60, 96)
    (incident,) = baselined.incidents()
    assert not incident.is_open


async def test_a_period_is_judged_once_after_late_calls_had_their_time(baselined: Shop) -> None:
    baselined.serve(48, 50)
    end_s = HOUR.total_seconds()
    assert await baselined.look(48 + (end_s + WATERMARK_S - 1) / end_s) == []
    assert len(await baselined.look(48 + (end_s + WATERMARK_S) / end_s)) == 1
    assert await baselined.look(49.5) == []
    baselined.serve(48, 49, slow=1.0, calls=10_000)  # far too late: the hour is over and done with
    assert await baselined.look(49.6) == []


async def test_a_restart_in_between_changes_nothing(baselined: Shop, database: Database) -> None:
    baselined.serve(48, 72, slow=0.02)
    await baselined.look_hourly(48, 60)
    again = Shop(database, baselined.house, baselined.hours)
    await again.look_hourly(60, 72)
    state = database.read(lambda s: alert_store.load_ledger(s, "watch/tail", again.comparison().baseline.id))
    assert state is not None
    assert state.last_run_id == f"tail@{int((START + 71 * HOUR).timestamp())}"
    assert again.reads == [int((START + hour * HOUR).timestamp()) for hour in range(60, 72)]


async def test_what_passed_while_nothing_ran_is_made_up_for_a_bounded_number_at_a_time(
    baselined: Shop,
) -> None:
    baselined.serve(48, 200)
    assert len(await baselined.look(200.05)) == PERIODS_A_LOOK
    for _ in range(3):
        await baselined.look(200.05)
    assert baselined.comparison().baseline.next_s == (START + 200 * HOUR).timestamp()


async def test_a_write_that_fails_leaves_the_period_to_be_judged(baselined: Shop) -> None:
    baselined.serve(48, 49, slow=0.5)
    house = baselined.house
    baselined.house = House(b"secret", None)  # type: ignore[arg-type]  # betting with it fails, whatever else is done
    with pytest.raises(AttributeError):
        await baselined.look(49.05)
    assert baselined.comparison().baseline.next_s == (START + 48 * HOUR).timestamp()
    baselined.house = house
    assert len(await baselined.look(49.05)) == 1


async def test_a_period_with_few_calls_is_passed_over_and_holds_the_incident(baselined: Shop) -> None:
    baselined.serve(48, 56, slow=0.3)
    await baselined.look_hourly(48, 56)
    before = baselined.incidents()
    baselined.serve(56, 61, calls=19)
    looks = await baselined.look_hourly(56, 61)
    assert all(one.said.startswith("19 calls to judge from ") for one in looks)
    (incident,) = baselined.incidents()
    assert incident.is_open
    assert incident.finding == before[0].finding


async def test_an_incident_ends_when_there_are_no_calls_any_more(baselined: Shop) -> None:
    baselined.serve(48, 56, slow=0.3)
    await baselined.look_hourly(48, 60)
    assert baselined.incidents()[0].is_open
    looks = await baselined.look_hourly(60, 62)
    assert looks[-1].said.endswith("whether it is still so is not known")
    assert not baselined.incidents()[0].is_open
    assert baselined.comparison().memory.drifting == {}


async def test_asking_for_another_comparison_begins_anew_and_ends_the_old_incident(baselined: Shop) -> None:
    baselined.serve(48, 60, slow=0.3)
    await baselined.look_hourly(48, 60)
    old = baselined.comparison().baseline.id
    meant = watch(shift={"baseline": "2d", "since": START + 50 * HOUR})
    baselined.serve(60, 61, slow=0.3)
    await baselined.look(61.05, meant)
    (incident,) = baselined.incidents()
    assert not incident.is_open
    assert baselined.comparison().baseline.id != old
    assert baselined.comparison().baseline.collected == 11


async def test_importance_and_receivers_may_change_without_a_new_baseline(baselined: Shop) -> None:
    old = baselined.comparison().baseline.id
    baselined.serve(48, 49)
    await baselined.look(49.05, watch(shift={"baseline": "2d", "importance": 3}, notify=[]))
    assert baselined.comparison().baseline.id == old


async def test_a_ticket_watch_never_pages(baselined: Shop) -> None:
    baselined.serve(48, 90, slow=0.5)
    await baselined.look_hourly(48, 90, watch(severity="ticket"))
    (incident,) = baselined.incidents()
    assert incident.severity is Severity.TICKET


async def test_errors_beside_a_control_page_at_once_without_any_baseline(shop: Shop) -> None:
    beside = watch(measure="error_share", match={"version": "1.5"}, shift={"control": {"version": "1.4"}})
    shop.serve(0, 12, series=OLD, failed=0.02)
    shop.serve(0, 12, series=NEW, failed=0.15)
    await shop.look(0, beside)
    await shop.look_hourly(0, 12, beside)
    (incident,) = shop.incidents()
    assert incident.severity is Severity.PAGE
    assert "calls of its control" in incident.finding.summary
    assert "failed" in incident.finding.summary


async def test_a_load_that_both_share_is_no_shift(shop: Shop) -> None:
    beside = watch(match={"version": "1.5"}, shift={"control": {"version": "1.4"}})
    for series in (OLD, NEW):
        shop.serve(0, 24, series=series)
        shop.serve(24, 48, slow=0.3, series=series)
    await shop.look(24.01, beside)
    await shop.look_hourly(24, 48, beside)
    baseline = shop.comparison().baseline
    assert len(baseline.train_means) == 24
    assert shop.incidents() == ()


async def test_a_slower_version_pages_beside_its_control(shop: Shop) -> None:
    beside = watch(match={"version": "1.5"}, shift={"control": {"version": "1.4"}})
    shop.serve(0, 48, series=OLD)
    shop.serve(24, 48, slow=0.15, series=NEW)
    await shop.look(24.01, beside)
    await shop.look_hourly(24, 48, beside)
    (incident,) = shop.incidents()
    assert incident.severity is Severity.PAGE
    assert dict(incident.finding.evidence)["latency_p95"].startswith("high, against its control")


async def test_a_control_without_calls_says_nothing(shop: Shop) -> None:
    beside = watch(measure="error_share", match={"version": "1.5"}, shift={"control": {"version": "1.4"}})
    shop.serve(0, 12, series=NEW, failed=0.5)
    await shop.look(0, beside)
    looks = await shop.look_hourly(0, 5, beside)
    assert {one.said.partition("; ")[2] for one in looks} == {"its control has 0"}
    assert shop.incidents() == ()


async def test_watches_with_a_threshold_are_not_looked_at(shop: Shop) -> None:
    fixed = WatchConfig.model_validate({"name": "fixed", "measure": "latency_p95", "above": "8s"})
    assert await shop.look(5, fixed) == []
