"""Spans that arrive late revise what people were told, and never raise a second page; new trouble does."""

from datetime import UTC, datetime, timedelta

import pytest

import alerts.store as alert_store
from alerts.incident import Transition
from alerts.intake import receive
from monitor.traffic.calls import Call, ErrorClass
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic_flow.watch_traffic import last_ends, look

from .conftest import NOON, MakeCall
from .test_watch_traffic import Recorded

WATCH = WatchConfig.model_validate(
    {"name": "errors", "measure": "error_share", "above": "10%", "over": "30m", "keep_firing_for": "0s"}
)


class Watched:
    """One watch over calls as they arrive, looked at when a test says so."""

    def __init__(self, database, make_call: MakeCall, watch: WatchConfig = WATCH) -> None:
        self.database, self.make_call, self.watch = database, make_call, watch
        self.calls: list[Call] = []

    def arrive(self, minute: float, count: int, *, failed: bool) -> None:
        """Calls that ended in this minute after noon are here from now on."""
        error = ErrorClass.SERVER_ERROR if failed else None
        one = self.make_call(ended_at=NOON + minute * 60, error=failed, error_class=error)
        self.calls += [one] * count

    async def look(self, minute: float) -> Transition:
        now = datetime.fromtimestamp(NOON + minute * 60, UTC)
        ended = await last_ends(self.database, [self.watch], now)
        (said,) = await look(Recorded(self.calls), [self.watch], now, ended=ended)
        verdict, rule = said.verdict(), said.rule()
        (done,) = self.database.write(lambda session: receive(session, [(verdict, rule)], now))
        return done

    def pages(self) -> int:
        since = datetime.fromtimestamp(NOON, UTC) - timedelta(days=1)
        return len(self.database.read(lambda session: alert_store.pages_since(session, since)))


@pytest.fixture
async def after_an_incident(database, make_call: MakeCall) -> Watched:
    """Errors at noon have paged; ten minutes later so many good calls had come that it was over."""
    watched = Watched(database, make_call)
    watched.arrive(0.2, 50, failed=True)
    assert (await watched.look(0.5)).is_page
    watched.arrive(5, 2_000, failed=False)
    done = await watched.look(10)
    assert done.incident is not None
    assert not done.incident.is_open
    return watched


async def test_errors_that_come_after_the_end_and_are_from_before_it_are_no_second_page(
    after_an_incident: Watched,
) -> None:
    after_an_incident.arrive(1, 2_000, failed=True)
    after_an_incident.arrive(9.9, 50, failed=True)
    for minute in (10.5, 11.5, 12.5, 13.5):
        after_an_incident.arrive(minute - 0.1, 30, failed=False)
        assert not (await after_an_incident.look(minute)).notifications
    assert after_an_incident.pages() == 1


async def test_a_relapse_is_a_second_page(after_an_incident: Watched) -> None:
    after_an_incident.arrive(12, 50, failed=True)
    assert (await after_an_incident.look(12.5)).is_page
    assert after_an_incident.pages() == 2


async def test_errors_that_come_late_while_it_fires_revise_what_it_says(database, make_call) -> None:
    watched = Watched(database, make_call)
    watched.arrive(0.2, 50, failed=True)
    assert (await watched.look(1.5)).is_page
    watched.arrive(0.2, 50, failed=True)
    done = await watched.look(2.5)
    assert done.incident is not None
    assert ("calls", "100") in done.incident.finding.evidence
    assert not done.notifications


async def test_the_first_page_may_be_for_errors_that_came_late(database, make_call) -> None:
    watched = Watched(database, make_call)
    watched.arrive(0.2, 50, failed=True)
    assert (await watched.look(20)).is_page
