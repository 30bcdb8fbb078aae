"""From minutes with calls and counts to incidents of silence, look by look."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

import alerts.store as alert_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, State
from alerts.intake import receive
from dashboards.view import Hearing
from monitor.database import Database
from monitor.inhibiting.inhibitions import RULES
from monitor.traffic.silence.config import SilenceConfig
from monitor.traffic.silence.ingest_counts import Arrived, IngestCounts, Loss
from monitor.traffic.silence.judging import Extent
from monitor.traffic.silence.rhythm import HISTORY_S
from monitor.traffic.windows.series import MINUTE_S
from monitor.traffic_flow.watch_silence import SilenceLook, SilenceWatch

NOON = 1_772_452_800
Sends = Callable[[int], bool]


class Traffic:
    """Services that have a call in each minute of the past weeks, until a test makes one of them stop."""

    def __init__(self, *services: str) -> None:
        self.sends: dict[str, Sends] = dict.fromkeys(services, lambda minute: True)
        self.delay_s = 0.0
        self.now_s = 0.0

    def stop(self, service: str, at: int, until: float = float("inf")) -> None:
        self.sends[service] = lambda minute: not at <= minute < until

    async def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        here = min(last_minute, int(self.now_s - self.delay_s))
        every = range(first_minute, here + 1, MINUTE_S)
        return {(minute, name) for name, sends in self.sends.items() for minute in every if sends(minute)}


class World:
    """A deployment, looked at each minute."""

    def __init__(self, database: Database, traffic: Traffic, **config: object) -> None:
        self.database, self.traffic = database, traffic
        self.config = SilenceConfig.model_validate(config)
        self.counts = IngestCounts()
        self.minute = 0
        self.others: list[tuple[Verdict, AlertRule]] = []
        self.restart()

    def restart(self) -> None:
        self.watch = SilenceWatch(self.config, self.traffic, self.counts)

    async def look(self, each: Callable[[IngestCounts], None] = lambda counts: None) -> SilenceLook:
        each(self.counts)
        self.traffic.now_s = NOON + self.minute * 60
        now = datetime.fromtimestamp(self.traffic.now_s, UTC)
        said = await self.watch.look(now)
        self.database.write(
            lambda session: receive(
                session,
                [*said.verdicts(session, self.config, ("oncall",)), *self.others],
                now,
                None,
                RULES,
            )
        )
        self.minute += 1
        return said

    async def run(
        self, minutes: int, each: Callable[[IngestCounts], None] = lambda counts: None
    ) -> SilenceLook:
        for _ in range(minutes):
            said = await self.look(each)
        return said

    @property
    def open(self) -> list[str]:
        return [one.key for one in self.database.read(alert_store.open_incidents)]

    @property
    def all(self) -> list[str]:
        return sorted(one.key for one in self.database.read(alert_store.incidents))


@pytest.fixture
def traffic() -> Traffic:
    return Traffic("shop", "chat")


async def test_while_all_call_nothing_is_wrong(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic)
    said = await world.run(30)
    assert [(one.service, one.hearing) for one in said.services] == [
        ("chat", Hearing.HEARD),
        ("shop", Hearing.HEARD),
    ]
    assert world.all == []


async def test_one_silent_service_is_one_incident_that_ends_when_it_calls_again(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic, severity="page")
    traffic.stop("shop", NOON + 600, NOON + 3_600)
    await world.run(20)
    assert world.open == []
    await world.run(5)
    assert world.open == ["silence/service/shop"]
    (incident,) = database.read(alert_store.open_incidents)
    assert (incident.severity, incident.labels) == (
        Severity.PAGE,
        {"silence": "service", "service": "shop"},
    )
    await world.run(60)
    assert world.open == []
    assert world.all == ["silence/service/shop"]


async def test_spans_without_calls_tell_that_the_exporter_lives(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic)
    traffic.stop("shop", NOON)
    traffic.stop("chat", NOON)
    said = await world.run(20, lambda counts: counts.add(Arrived({"shop": 30})))
    chat, shop = said.services
    assert dict(shop.evidence)["spans without a call that counts"].endswith("its exporter lives")
    assert "spans without a call that counts" not in dict(chat.evidence)


async def test_when_all_stop_there_is_one_incident_and_not_one_for_each(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic)
    for service in ("shop", "chat"):
        traffic.stop(service, NOON + 600)
    await world.run(60)
    assert world.all == ["silence/traffic"]


async def test_a_restart_holds_what_is_open_and_makes_nothing_up(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic)
    traffic.stop("shop", NOON + 600)
    await world.run(30)
    world.restart()
    await world.run(2)
    assert world.open == ["silence/service/shop"]
    await world.run(30)
    assert world.all == ["silence/service/shop"]


async def test_time_in_which_nobody_listened_is_no_silence(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic)
    await world.run(5)
    for service in ("shop", "chat"):
        traffic.stop(service, NOON + 300, NOON + 4_000)
    world.minute = 66
    world.restart()
    await world.run(3)
    assert world.all == []


async def test_a_service_that_stays_away_ends_as_gone_for_good(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic)
    traffic.stop("shop", NOON)
    await world.run(20)
    world.minute = 3 * 1_440
    said = await world.run(15)
    assert [one.hearing for one in said.services] == [Hearing.HEARD, Hearing.RETIRED]
    assert world.open == []


async def test_calls_that_come_late_each_time_are_waited_for(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic)
    traffic.delay_s = 280.0
    await world.run(10)
    traffic.delay_s = 500.0
    await world.run(10)
    traffic.delay_s = 900.0
    await world.run(60)
    assert world.all == []


async def test_what_is_expected_is_told_and_what_is_ignored_is_not(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic, services=[{"service": "cron", "within": "10m"}], ignore=["sh*"])
    traffic.stop("shop", NOON)
    said = await world.run(15)
    assert {one.service: one.hearing for one in said.services} == {
        "chat": Hearing.HEARD,
        "cron": Hearing.SILENT,
        "shop": Hearing.IGNORED,
    }
    assert world.open == ["silence/service/cron"]


async def test_an_incident_of_what_is_not_looked_at_any_more_ends(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic, services=[{"service": "cron", "within": "10m"}])
    await world.run(15)
    world.config = SilenceConfig()
    world.restart()
    await world.run(25)
    assert world.open == []


def refused(counts: IngestCounts) -> None:
    counts.requests[401] += 3


def taken(counts: IngestCounts) -> None:
    counts.requests[200] += 3


async def test_broken_ingest_holds_silence_and_watches_until_it_is_whole(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic, severity="page")
    await world.run(5, taken)
    for service in ("shop", "chat"):
        traffic.stop(service, NOON + 300, NOON + 40 * 60)
    said = await world.run(5, refused)
    assert said.intake.extent is Extent.BROKEN
    slow = Finding(Severity.PAGE, Source.WATCH, "slow", {"watch": "p95"})
    world.others = [(Verdict("watch/p95", Label.BREACHED, slow), AlertRule())]
    await world.run(30, refused)
    assert world.all == ["silence/ingest"]
    await world.run(20, taken)
    assert world.open == ["watch/p95"]


async def test_a_sender_that_tries_seldom_and_is_always_refused_is_found_too(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic)

    def seldom(counts: IngestCounts) -> None:
        counts.requests[401] += world.minute % 4 == 0

    await world.run(12, seldom)
    assert world.open == []
    await world.run(12, seldom)
    assert world.open == ["silence/ingest"]
    await world.run(1, taken)
    await world.run(8)
    assert world.open == ["silence/ingest"]
    await world.run(8, taken)
    assert world.open == []


async def test_when_senders_give_up_the_incident_ends_after_an_hour(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic)
    await world.run(10, refused)
    assert world.open == ["silence/ingest"]
    await world.run(30)
    assert world.open == ["silence/ingest"]
    await world.run(50)
    assert world.open == []


def losing(counts: IngestCounts) -> None:
    counts.add(Arrived({"shop": 100}, {("shop", Loss.ATTRIBUTES): 10}))


def whole(counts: IngestCounts) -> None:
    counts.add(Arrived({"shop": 100}))


async def test_lost_spans_are_a_ticket_of_their_service(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic, severity="page")
    await world.run(3, losing)
    (incident,) = database.read(alert_store.open_incidents)
    assert (incident.key, incident.severity, incident.state) == (
        "silence/spans/shop",
        Severity.TICKET,
        State.FIRING,
    )
    await world.run(25, whole)
    assert world.open == []


async def test_a_service_may_be_told_louder_than_others(database: Database, traffic: Traffic) -> None:
    world = World(database, traffic, services=[{"service": "shop", "severity": "page"}])
    traffic.stop("shop", NOON + 600)
    await world.run(40)
    (incident,) = world.database.read(alert_store.open_incidents)
    assert (incident.key, incident.severity) == ("silence/service/shop", Severity.PAGE)


async def test_a_service_of_which_only_the_loudness_is_known_is_not_expected(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic, services=[{"service": "unheard-of", "severity": "page"}])
    said = await world.run(40)
    assert [one.service for one in said.services] == ["chat", "shop"]
    assert world.all == []


async def test_on_a_holiday_a_service_that_has_quiet_days_is_not_silent(
    database: Database, traffic: Traffic
) -> None:
    today = datetime.fromtimestamp(NOON, UTC)
    for holidays, incidents in (([today.date()], []), ([], ["silence/service/shop"])):
        # It works on all days but Sundays, and today it does not.
        traffic.sends["shop"] = lambda minute: (
            datetime.fromtimestamp(minute, UTC).weekday() != 6 and minute < NOON - NOON % 86_400
        )
        world = World(database, traffic, holidays=holidays)
        await world.run(30)
        assert world.open == incidents


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"services": [{"service": "shop"}]}, "name within, severity or both"),
        ({"holidays": ["Christmas"]}, "holidays"),
    ],
    ids=["nothing is said", "no date"],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        SilenceConfig.model_validate(fields)


async def test_a_second_look_within_a_minute_says_what_the_first_said(
    database: Database, traffic: Traffic
) -> None:
    world = World(database, traffic)
    now = datetime.fromtimestamp(NOON, UTC)
    assert await world.watch.look(now) is await world.watch.look(now)


async def test_the_history_is_read_once_and_as_far_as_it_is_learned_from(database: Database) -> None:
    asked: list[int] = []

    class Recorded(Traffic):
        async def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
            asked.append(first_minute)
            return set()

    world = World(database, Recorded())
    await world.look()
    assert min(asked) == NOON - HISTORY_S
    asked.clear()
    await world.look()
    assert asked == [NOON + 60 - 2 * 3_600]
