"""One audit a night: whatever the daemon and the clock do, stored and sent together, and never a page."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from traffic_month import SHOP, UNTIL, Calls, always, write_month

import alerts.store as alert_store
from alerts.incident import NoticeKind
from alerts.outbox_store import notifications
from dashboards import StatusError
from dashboards.audit.words import summary
from monitor.audit import store
from monitor.audit.config import AuditConfig
from monitor.audit.nightly import NightlyAudit, StoredAudits
from monitor.audit.nights import Night, due, latest
from monitor.config import Config, Deployment
from monitor.database import Database

CONFIG = AuditConfig(at="06:30", notify=["managers"])


def nightly(
    database: Database, clock, config: AuditConfig = CONFIG, sent: list[int] | None = None
) -> NightlyAudit:
    told = [] if sent is None else sent
    return NightlyAudit(database, Deployment(Config(), {}), config, clock, dict, lambda: told.append(1))


def at(text_: str) -> datetime:
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


def set_to(clock, when: datetime) -> None:
    clock.advance((when - clock.now()).total_seconds())


def nights(database: Database) -> list[str]:
    return [one.night for one in database.read(lambda session: store.list_audits(session, 100))]


@pytest.mark.parametrize(
    ("last", "now", "is_due"),
    [
        ("2026-03-01", "2026-03-02T06:31:59", False),
        ("2026-03-01", "2026-03-02T06:32:00", True),
        ("2026-03-02", "2026-03-02T06:32:00", False),
        ("2026-03-03", "2026-03-02T06:32:00", False),
        ("2026-02-20", "2026-03-02T18:32:00", True),
        ("2026-02-20", "2026-03-02T18:33:00", False),
    ],
    ids=["calls still settle", "its time", "done", "the clock went back", "made up for", "too late"],
)
def test_a_night_is_due_once(last: str, now: str, is_due: bool) -> None:
    found = due(CONFIG, last, at(now))
    assert found == (Night("2026-03-02", at("2026-03-02T06:30")) if is_due else None)


@pytest.mark.parametrize(
    ("zone", "now", "night", "until"),
    [
        ("Europe/Zurich", "2026-03-02T05:30", "2026-03-02", "2026-03-02T05:30"),
        ("Europe/Zurich", "2026-07-02T04:29", "2026-07-01", "2026-07-01T04:30"),
        ("Europe/Zurich", "2026-03-29T04:30", "2026-03-29", "2026-03-29T04:30"),
        ("Pacific/Auckland", "2026-03-01T17:30", "2026-03-02", "2026-03-01T17:30"),
    ],
    ids=["winter", "summer, a minute before", "the night the clock is put forward", "where it is tomorrow"],
)
def test_the_time_is_that_of_the_place(zone: str, now: str, night: str, until: str) -> None:
    config = AuditConfig(at="06:30", timezone=zone)
    assert latest(config, at(now)) == Night(night, at(until))


def test_a_time_that_a_night_does_not_have_still_comes_once() -> None:
    config = AuditConfig(at="02:30", timezone="Europe/Zurich")
    names, last, now = [], "2026-03-27", at("2026-03-28T00:00")
    while now < at("2026-03-31T00:00"):
        if (night := due(config, last, now)) is not None:
            names.append(night.name)
            last = night.name
        now += timedelta(minutes=1)
    assert names == ["2026-03-28", "2026-03-29", "2026-03-30"]


async def test_the_first_audit_comes_in_the_night_after_it_was_asked_for(database: Database, clock) -> None:
    set_to(clock, at("2026-03-02T08:00"))
    job = nightly(database, clock)
    await job.look()
    assert nights(database) == []
    clock.advance(86_400)
    await job.look()
    assert nights(database) == ["2026-03-03"]


async def test_a_night_has_one_audit_and_one_message_whatever_happens(database: Database, clock) -> None:
    write_month(database, {SHOP: always(Calls())}, days=8)
    sent: list[int] = []
    set_to(clock, UNTIL - timedelta(hours=1))
    await nightly(database, clock, sent=sent).look()
    clock.advance(2 * 3_600)
    await nightly(database, clock, sent=sent).look()
    clock.advance(-3_600 * 1.5)  # the clock goes back, and comes again to the same time
    for _ in range(4):
        await nightly(database, clock, sent=sent).look()  # each a daemon that has just started
        clock.advance(3_600)
    assert nights(database) == ["2026-03-03"]
    rows = database.read(notifications)
    assert [(row.receiver, row.message.kind) for row in rows] == [("managers", NoticeKind.REPORT)]
    assert len(sent) == 1


async def test_a_clock_that_ran_far_ahead_does_not_silence_the_nights_to_come(
    database: Database, clock
) -> None:
    set_to(clock, at("2027-06-01T08:00"))
    await nightly(database, clock).look()
    set_to(clock, at("2026-03-02T08:00"))
    await nightly(database, clock).look()
    clock.advance(86_400)
    await nightly(database, clock).look()
    assert nights(database) == ["2026-03-03"]


async def test_an_audit_is_never_counted_as_a_page(database: Database, clock) -> None:
    set_to(clock, UNTIL - timedelta(hours=1))
    job = nightly(database, clock)
    await job.look()
    clock.advance(2 * 3_600)
    await job.look()
    assert nights(database)
    assert database.read(lambda session: alert_store.pages_since(session, UNTIL - timedelta(days=9))) == ()
    assert database.read(lambda session: alert_store.incidents(session)) == ()


async def test_an_audit_that_cannot_be_sent_is_not_stored_either(database: Database, clock) -> None:
    set_to(clock, UNTIL - timedelta(hours=1))
    job = nightly(database, clock)
    await job.look()
    clock.advance(2 * 3_600)
    database.write(lambda session: session.execute(text("ALTER TABLE notification RENAME TO away")))
    with pytest.raises(Exception, match="no such table"):
        await job.look()
    database.write(lambda session: session.execute(text("ALTER TABLE away RENAME TO notification")))
    assert nights(database) == []
    await job.look()
    assert nights(database) == ["2026-03-03"]
    assert len(database.read(notifications)) == 1


async def test_stored_audits_are_given_as_they_were_made_the_newest_first(database: Database, clock) -> None:
    write_month(database, {SHOP: always(Calls())}, days=8)
    set_to(clock, UNTIL - timedelta(hours=1))
    job = nightly(database, clock)
    for hours in (2, 24, 0):
        await job.look()
        clock.advance(3_600 * hours)
    audits = await StoredAudits(database).audits(10)
    assert [one.night for one in audits] == ["2026-03-04", "2026-03-03"]
    found = await StoredAudits(database).audit("2026-03-03")
    assert found is not None
    assert summary(found) == audits[1]
    assert found.subjects[0].name == "shop"
    assert await StoredAudits(database).audit("2026-01-01") is None
    assert database.write(lambda session: store.forget_audits(session, UNTIL + timedelta(hours=1))) == 1
    assert nights(database) == ["2026-03-04"]


async def test_a_database_that_cannot_be_read_is_told_as_such(database: Database) -> None:
    database.write(lambda session: session.execute(text("DROP TABLE audit")))
    with pytest.raises(StatusError, match="cannot be read"):
        await StoredAudits(database).audits(1)
