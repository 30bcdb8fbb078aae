"""What the pages and the API are told of production traffic."""

from datetime import timedelta

import pytest
from folded import in_pieces
from watched_bot import suite_of

from canaries.suite_history import versions
from monitor.config import Config, Deployment
from monitor.database import Database
from monitor.problems import Problems
from monitor.schedule import Schedule
from monitor.status import Status
from monitor.taking_over import take_over
from monitor.telemetry import Metrics
from monitor.traffic.roll_ups import Keep
from monitor.traffic.windows.series import OVERFLOW, Series, minute_of
from monitor.traffic.windows.window import Window
from monitor.traffic.windows_at_rest import Folding, WindowsAtRest

SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")


@pytest.fixture
def status(database: Database, clock) -> Status:
    now, deployment = clock.now(), Deployment(Config(), {})
    house = database.write(
        lambda session: take_over(session, deployment, str, lambda trouble, said: None, now)
    )
    schedule = Schedule(lambda job, why: None)
    return Status(deployment, database, clock, Metrics(clock), schedule, house, Problems(), now)


@pytest.mark.parametrize(
    ("series", "ago", "is_told"),
    [
        (SHOP, timedelta(), False),
        (OVERFLOW, timedelta(), True),
        (OVERFLOW, timedelta(minutes=60), True),
        (OVERFLOW, timedelta(minutes=61), False),
    ],
    ids=["in their own series", "in none now", "an hour ago", "longer ago"],
)
async def test_calls_of_the_last_hour_without_a_series_of_their_own_are_told(
    status: Status, database: Database, clock, series: Series, ago: timedelta, is_told: bool
) -> None:
    minute = minute_of((clock.now() - ago).timestamp())
    rest = WindowsAtRest(database, Keep())
    async with rest.lock:
        await rest.fold(in_pieces([Window(minute, series, 1_234)]), Folding(0, 0), minute)
    note = (await status.status()).ingest.note
    assert ('1,234 calls of the last hour are counted under "(other series)"' in note) is is_told
    assert ("more than 4,000 series" in note) is is_told
    assert ("Nobody has sent traces yet" in note) is not is_told


def test_a_start_notes_which_version_of_its_suite_each_target_is_asked(database: Database, clock) -> None:
    deployment = Deployment(Config(), {"bot": suite_of()})
    database.write(
        lambda session: take_over(session, deployment, str, lambda trouble, said: None, clock.now())
    )
    (version,) = database.read(lambda session: versions(session, "support"))
    assert [(use.target, use.since, use.until) for use in version.uses] == [("bot", clock.now(), None)]
