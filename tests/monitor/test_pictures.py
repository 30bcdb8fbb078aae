"""The picture in the thread of a page, with Slack's real client, the real outbox and the real renderer."""

import asyncio
import random
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import DeliveryError, outbox_store
from alerts.channels import picture_channels
from alerts.channels.slack import SlackChannel
from alerts.config import ReceiverConfig, SlackConfig
from alerts.incident import NoticeKind
from alerts.message import Message, Picture, Thread, addressed
from alerts.outbox import Delivery, Outbox, Outcome
from dashboards.charts import Chart, vega_lite
from monitor.database import Database
from monitor.demo.fake_slack import FakeSlack, slack_app
from monitor.demo.serving import LocalServer
from monitor.self_watch import SelfWatch
from monitor.telemetry import Metrics
from monitor.telling.drawing import DrawingError, drawn
from monitor.telling.pictures import WAITING_MAX, Artist, Pictures

CHANNEL = "C0ONCALL"
PNG = b"\x89PNG\r\n\x1a\n and so on"


async def sketch(message: Message) -> Picture:
    """A picture that costs nothing."""
    return Picture(PNG, f"what moved in {message.key}")


class Office:
    """Slack, an outbox that writes to it, and the pictures that follow."""

    def __init__(self, database: Database, clock: Any, url: str) -> None:
        self.database, self.clock = database, clock
        config = SlackConfig(token="xoxb-practice", channel=CHANNEL, base_url=f"{url}/api/")
        self.self_watch = SelfWatch(database, clock, Metrics(clock), lambda now: None)
        receivers = {"oncall": ReceiverConfig(slack=config)}
        self.pictures = Pictures(picture_channels(receivers), sketch, clock, self.self_watch)
        channels = {"oncall": SlackChannel(config)}
        self.outbox = Outbox(database, channels, clock.now, random.Random(1), self.pictures.offer)

    async def page(self, number: int, kind: NoticeKind = NoticeKind.FIRING, group: str = "") -> None:
        """Have the outbox send a message about an incident of its own."""
        row = delivered(number).notification
        message = replace(
            row.message, kind=kind, created_at=self.clock.now(), group_id=group or f"group-{number}"
        )
        row = replace(row, message=message)
        await self.database.awrite(lambda session: outbox_store.enqueue(session, [row]))
        await self.outbox.drain()

    def problems(self) -> str:
        return " ".join(self.self_watch.problems.shown(self.clock.now()))


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack(token="xoxb-practice", channels=(CHANNEL,))


@pytest.fixture
def url(slack: FakeSlack) -> Iterator[str]:
    with LocalServer(slack_app(slack)) as server:
        yield server.url


@pytest.fixture
def office(database: Database, clock: Any, url: str) -> Office:
    return Office(database, clock, url)


def titles(slack: FakeSlack) -> list[str]:
    return [one.title for message in slack.messages() for one in message.files]


def delivered(number: int) -> Delivery:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    message = Message("", NoticeKind.FIRING, "It moved.", now, key=f"watch/{number}")
    row = addressed(message, "oncall", number)
    return Delivery(row, Outcome.SENT, now, opened=Thread(CHANNEL, f"{number}.0"))


def failing(error: Exception) -> Artist:
    async def draw(message: Message) -> Picture:
        raise error

    return draw


async def test_a_page_gets_a_picture_in_its_thread_which_is_a_png_of_a_sane_size(
    office: Office, slack: FakeSlack
) -> None:
    async def draw(message: Message) -> Picture:
        now = message.created_at
        points = [(now + timedelta(minutes=minute), minute % 7 / 100) for minute in range(60)]
        chart = Chart("p95", "of checkout", "seconds", points, now, "page at 12:00", 0.05, "above 5 %")
        return Picture(await drawn(vega_lite(chart)), "p95 moved")

    office.pictures.artist = draw
    await office.page(1)
    await office.pictures.serve_next()
    page, reply = slack.messages()
    assert (reply.thread_ts, reply.is_broadcast) == (page.ts, False)
    [file] = reply.files
    assert (file.name, file.title, file.alt_txt) == ("what-moved.png", "p95 moved", "p95 moved")
    assert file.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", file.content[16:24]) == (900, 360)
    assert 5_000 < len(file.content) < 500_000
    assert office.problems() == ""


async def test_only_the_alarm_that_begins_a_thread_has_a_picture(office: Office, slack: FakeSlack) -> None:
    await office.page(1, group="g")
    await office.page(2, NoticeKind.UPDATED, group="g")
    await office.page(3, NoticeKind.RESOLVED, group="g")
    await office.page(4, NoticeKind.RESOLVED, group="of nobody who was told")
    await office.page(5)
    await office.pictures.serve_next()
    await office.pictures.serve_next()
    assert titles(slack) == ["what moved in watch/1", "what moved in watch/5"]


async def test_without_the_scope_the_page_is_there_and_it_is_said_once_a_day(
    office: Office, slack: FakeSlack, clock: Any
) -> None:
    slack.scopes = ("chat:write", "channels:history")
    for number in (1, 2):
        await office.page(number)
    for _ in range(2):
        await office.pictures.serve_next()
    said = "give the app the scope files:write and install it again, or set picture: false for the receiver."
    assert said in office.problems()
    assert "times" not in office.problems()
    slack.scopes = (*slack.scopes, "files:write")
    await office.page(3)
    clock.advance(86_400)
    await office.page(4)
    await office.pictures.serve_next()
    assert titles(slack) == ["what moved in watch/4"]
    assert [bool(one.blocks) for one in slack.messages()] == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DrawingError("it was not drawn within 60 s"), "oncall was left out: it was not drawn within 60 s."),
        (KeyError("axis"), "the pictures failed by a defect"),
    ],
    ids=["could not be drawn", "a defect of ours"],
)
async def test_a_picture_that_cannot_be_drawn_leaves_the_page_and_the_next_picture_alone(
    office: Office, slack: FakeSlack, error: Exception, said: str
) -> None:
    office.pictures.artist = failing(error)
    await office.page(1)
    await office.pictures.serve_next()
    assert said in office.problems()
    office.pictures.artist = sketch
    await office.page(2)
    await office.pictures.serve_next()
    assert [bool(one.blocks) for one in slack.messages()] == [True, True, False]


class Slow:
    """A way of pictures that takes as long as it is held."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.added: list[str] = []

    async def add(self, picture: Picture, thread: Thread) -> None:
        self.begun.set()
        await self.may_end.wait()
        self.added.append(picture.title)


async def test_a_slow_upload_does_not_hold_the_next_page(office: Office, slack: FakeSlack) -> None:
    slow = Slow()
    office.pictures.channels = {"oncall": slow}
    await office.page(1)
    upload = asyncio.create_task(office.pictures.serve_next())
    async with asyncio.timeout(60):
        await slow.begun.wait()
    await office.page(2)
    assert (len(slack.messages()), slow.added) == (2, [])
    slow.may_end.set()
    await upload
    await office.pictures.serve_next()
    assert slow.added == ["what moved in watch/1", "what moved in watch/2"]


async def test_of_a_storm_some_pictures_are_left_out_and_that_is_said(office: Office) -> None:
    for number in range(WAITING_MAX):
        office.pictures.offer(delivered(number))
    assert office.problems() == ""
    office.pictures.offer(delivered(WAITING_MAX))
    assert "Pictures were left out: 20 others waited" in office.problems()


class Refusing:
    """A way of pictures that fails as it is told to."""

    def __init__(self, *errors: DeliveryError) -> None:
        self.errors = list(errors)
        self.attempts = 0

    async def add(self, picture: Picture, thread: Thread) -> None:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)


PAUSE, LONG_PAUSE = DeliveryError("a pause", retry_after_s=0.0), DeliveryError("a pause", retry_after_s=61.0)


@pytest.mark.parametrize(
    ("errors", "attempts", "is_left_out"),
    [
        ([PAUSE], 2, False),
        ([PAUSE, PAUSE], 2, True),
        ([LONG_PAUSE], 1, True),
        ([DeliveryError("Slack could not be reached")], 1, True),
    ],
    ids=["a pause", "two pauses", "a long pause", "no answer"],
)
async def test_only_a_pause_that_was_asked_for_is_followed_by_one_more_attempt(
    office: Office, errors: list[DeliveryError], attempts: int, is_left_out: bool
) -> None:
    refusing = Refusing(*errors)
    office.pictures.channels = {"oncall": refusing}
    await office.page(1)
    await office.pictures.serve_next()
    assert (refusing.attempts, "was left out" in office.problems()) == (attempts, is_left_out)


async def test_slacks_pause_is_kept_to_and_the_picture_is_there_once(
    office: Office, slack: FakeSlack
) -> None:
    async def draw(message: Message) -> Picture:
        slack.rate_limited_calls, slack.retry_after_s = 1, 0
        return await sketch(message)

    office.pictures.artist = draw
    await office.page(1)
    await office.pictures.serve_next()
    assert len(slack.messages()) == 2
    assert titles(slack) == ["what moved in watch/1"]
    assert office.problems() == ""


def test_a_receiver_that_wants_none_and_one_that_takes_none_get_none() -> None:
    slack = SlackConfig(token="xoxb-practice", channel=CHANNEL)
    webhook = {"slack_webhook": {"url": "https://hooks.slack.com/services/x"}}
    receivers = {
        "with": ReceiverConfig(slack=slack),
        "without": ReceiverConfig(slack=slack.model_copy(update={"picture": False})),
        "simple": ReceiverConfig.model_validate(webhook),
    }
    assert list(picture_channels(receivers)) == ["with"]


CHART = {"mark": "point", "data": {"values": []}}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.stdin.read(); sys.exit(3)", r"exit code 3"),
        ("import sys; sys.stdin.read(); print('no picture')", r"exit code 0"),
        ("import sys; sys.exit(3)", r"exit code 3"),
    ],
    ids=["fails", "writes something else", "does not even listen"],
)
async def test_an_artist_that_fails_is_said(code: str, says: str) -> None:
    with pytest.raises(DrawingError, match=says):
        await drawn(CHART, (sys.executable, "-c", code))


async def test_an_artist_that_takes_too_long_is_ended() -> None:
    with pytest.raises(DrawingError, match=r"not drawn within 0\.05 s"):
        await drawn(CHART, (sys.executable, "-c", "import time; time.sleep(3600)"), timeout_s=0.05)


async def test_no_artist_at_all_is_said() -> None:
    with pytest.raises(DrawingError, match="could not be drawn: No such file"):
        await drawn(CHART, ("/no/such/program",))


async def test_a_chart_that_would_load_something_from_elsewhere_is_not_drawn() -> None:
    with LocalServer(slack_app(FakeSlack("xoxb-practice", ()))) as server:
        chart = {"mark": "point", "data": {"url": f"{server.url}/api/auth.test", "format": {"type": "json"}}}
        with pytest.raises(DrawingError, match="could not be drawn"):
            await drawn(chart)
