"""Whether a receiver works, as far as anybody knows, and when it is tested by itself."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from alerts import DeliveryError, outbox_store, receiver_store
from alerts.config import ReceiverConfig
from alerts.message import addressed, receiver_test
from alerts.outbox import Outbox
from alerts.receiver import ReceiverState, fingerprint
from alerts.self_test import LATE_S, SelfTest

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK = {"webhook": {"url": "https://example.com/hook", "secret": SECRET}}


class Receiver:
    """Takes every message, or refuses it for good."""

    def __init__(self, is_refusing: bool = False) -> None:
        self.is_refusing = is_refusing

    async def deliver(self, message, thread, *, is_repeat):
        if self.is_refusing:
            raise DeliveryError("the token is not valid", permanent=True)
        return thread


async def send(database, clock, channel, fingerprints) -> None:
    """A message to ``oncall``, by an outbox that knows these ways."""
    row = addressed(receiver_test("oncall", clock.now()), "oncall", 0)
    await database.awrite(lambda session: outbox_store.enqueue(session, [row]))
    rng = random.Random(1)
    await Outbox(database, {"oncall": channel}, clock.now, rng, fingerprints=fingerprints).drain()


def standing(database):
    return database.read(receiver_store.standings)["oncall"]


@pytest.fixture
def set_up(database, clock) -> dict[str, str]:
    database.write(lambda session: receiver_store.set_up(session, {"oncall": "way-1"}, clock.now()))
    return {"oncall": "way-1"}


def test_a_receiver_that_was_never_told_anything_is_unconfirmed(database, set_up) -> None:
    found = standing(database)
    assert found.state is ReceiverState.UNCONFIRMED
    assert "nothing has arrived since it was set up" in found.said


async def test_whatever_arrives_confirms_a_receiver(database, clock, set_up) -> None:
    await send(database, clock, Receiver(), set_up)
    assert standing(database).state is ReceiverState.CONFIRMED
    assert standing(database).confirmed_at == clock.now()


async def test_a_message_that_is_given_up_says_so_until_one_arrives(database, clock, set_up) -> None:
    await send(database, clock, Receiver(is_refusing=True), set_up)
    assert standing(database).state is ReceiverState.FAILING
    assert "the token is not valid" in standing(database).said
    clock.advance(60)
    await send(database, clock, Receiver(), set_up)
    assert standing(database).state is ReceiverState.CONFIRMED


async def test_a_receiver_that_is_set_up_anew_has_to_be_confirmed_anew(database, clock, set_up) -> None:
    await send(database, clock, Receiver(), set_up)
    clock.advance(60)
    database.write(lambda session: receiver_store.set_up(session, {"oncall": "way-1"}, clock.now()))
    assert standing(database).state is ReceiverState.CONFIRMED
    database.write(lambda session: receiver_store.set_up(session, {"oncall": "way-2"}, clock.now()))
    assert standing(database).state is ReceiverState.UNCONFIRMED


async def test_what_arrives_by_a_former_way_does_not_confirm_the_new_one(database, clock, set_up) -> None:
    database.write(lambda session: receiver_store.set_up(session, {"oncall": "way-2"}, clock.now()))
    await send(database, clock, Receiver(), set_up)
    assert standing(database).state is ReceiverState.UNCONFIRMED


def test_a_receiver_that_is_gone_is_forgotten(database, clock, set_up) -> None:
    database.write(lambda session: receiver_store.forget_others(session, {"other": "way"}))
    assert database.read(receiver_store.standings) == {}


SLACK = {"token": "xoxb-1", "channel": "C0ONCALL"}
CHANGES = {
    "nothing": ({}, True),
    "fewer messages": ({"max_per_minute": 5}, True),
    "a test": ({"self_test": "weekly"}, True),
    "no pictures any more": ({"slack": SLACK | {"picture": False}}, True),
    "another token": ({"slack": SLACK | {"token": "xoxb-2"}}, False),
    "another address": ({"webhook": {"url": "https://example.com/other", "secret": SECRET}}, False),
    "another secret": ({"webhook": WEBHOOK["webhook"] | {"secret": SECRET[:-4] + "AAAA"}}, False),
}


@pytest.mark.parametrize(("change", "is_same"), CHANGES.values(), ids=CHANGES)
def test_what_names_the_way_to_a_receiver(change, is_same: bool) -> None:
    known = {"slack": SLACK} if "slack" in change else WEBHOOK
    before, after = (ReceiverConfig.model_validate(one) for one in (known, known | change))
    assert (fingerprint(before, b"key") == fingerprint(after, b"key")) is is_same
    assert fingerprint(before, b"key") != fingerprint(before, b"another key")


# --- when a test is due

MONDAY_NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
DUE = {
    "at its time": (MONDAY_NINE, MONDAY_NINE - timedelta(days=7), True),
    "just before": (MONDAY_NINE - timedelta(seconds=1), MONDAY_NINE - timedelta(days=7), False),
    "sent already": (MONDAY_NINE + timedelta(minutes=1), MONDAY_NINE, False),
    "set up after it": (MONDAY_NINE + timedelta(hours=2), MONDAY_NINE + timedelta(hours=1), False),
    "a daemon that was away": (
        MONDAY_NINE + timedelta(seconds=LATE_S),
        MONDAY_NINE - timedelta(days=7),
        True,
    ),
    "away for too long": (
        MONDAY_NINE + timedelta(seconds=LATE_S + 1),
        MONDAY_NINE - timedelta(days=7),
        False,
    ),
}


@pytest.mark.parametrize(("now", "since", "is_due"), DUE.values(), ids=DUE)
def test_when_the_weekly_test_is_due(now: datetime, since: datetime, is_due: bool) -> None:
    weekly = ReceiverConfig.model_validate(WEBHOOK | {"self_test": "weekly"}).self_test
    assert weekly is not None
    assert weekly.test().is_due(since, now) is is_due


def test_a_test_follows_the_clock_of_its_zone() -> None:
    config = {"on": "sunday", "at": "09:00", "time_zone": "Europe/Berlin"}
    one = ReceiverConfig.model_validate(WEBHOOK | {"self_test": config}).self_test
    assert one is not None
    # Summer time begins on 2026-03-29.
    assert one.test().next_due(datetime(2026, 3, 27, tzinfo=UTC)) == datetime(2026, 3, 29, 7, tzinfo=UTC)
    assert one.test().last_due(datetime(2026, 3, 27, tzinfo=UTC)) == datetime(2026, 3, 22, 8, tzinfo=UTC)


def test_a_daily_test_is_due_each_day() -> None:
    daily = ReceiverConfig.model_validate(WEBHOOK | {"self_test": "daily"}).self_test
    assert daily is not None
    assert isinstance(daily.test(), SelfTest)
    assert daily.test().next_due(MONDAY_NINE) == MONDAY_NINE + timedelta(days=1)


@pytest.mark.parametrize(
    "odd", ["hourly", {"on": "friday-sunday"}, {"at": "9"}, {"time_zone": "Mars/Olympus"}]
)
def test_a_time_that_is_none_is_refused(odd) -> None:
    with pytest.raises(ValidationError, match=r"weekly|one day|pattern|time zone"):
        ReceiverConfig.model_validate(WEBHOOK | {"self_test": odd})
