"""How far our clock is from those of the servers that we talk to."""

from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from monitor.watchman.clocks import KEPT_S, ServerClocks, apart

APART = {
    # sent, stamped, received, in seconds; the stamp is cut to the second
    "in between": (0.0, 3.0, 9.0, 0.0),
    "cut to the second": (0.9, 0.0, 1.2, 0.0),
    "after the answer": (0.0, 40.0, 2.0, 38.0),
    "before the question": (10.0, 0.0, 11.0, -9.0),
}


@pytest.mark.parametrize(("sent", "stamped", "received", "is_apart"), APART.values(), ids=APART)
def test_a_stamp_outside_question_and_answer_is_a_clock_that_is_wrong(
    clock, sent: float, stamped: float, received: float, is_apart: float
) -> None:
    moments = (clock.now() + timedelta(seconds=one) for one in (sent, stamped, received))
    assert apart(*moments) == pytest.approx(is_apart)


class World:
    """Servers, each with a clock that is so far ahead of ours."""

    def __init__(self, clock) -> None:
        self.clock, self.ahead_s, self.headers = clock, {}, {}
        self.clocks = ServerClocks(clock)
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.clocks.watch(self.client)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.clock.advance(2)
        at = self.clock.now() + timedelta(seconds=self.ahead_s[request.url.host])
        date = {"date": format_datetime(at, usegmt=True)}
        return httpx.Response(200, headers=date | self.headers)

    async def ask(self, **ahead_s: float) -> None:
        for host, seconds in ahead_s.items():
            self.ahead_s[host] = seconds
            await self.client.get(f"https://{host}/")

    def apart_s(self) -> float | None:
        facts = self.clocks.facts()
        return None if facts is None else facts.apart_s


@pytest.fixture
def world(clock) -> World:
    return World(clock)


SEEN = {
    "one that agrees": ({"a": 0}, 0),
    "one that is ahead": ({"a": 60}, 60),
    "one of three is wrong": ({"a": 60, "b": 0, "c": 0}, 0),
    "two of three are ahead": ({"a": 60, "b": 70, "c": 0}, 60),
    "two that do not agree": ({"a": 60, "b": -60}, 0),
    "two that are ahead": ({"a": 60, "b": 90}, 60),
}


@pytest.mark.parametrize(("ahead_s", "apart_s"), SEEN.values(), ids=SEEN)
async def test_a_few_servers_that_are_wrong_accuse_nobody(world: World, ahead_s, apart_s: float) -> None:
    await world.ask(**ahead_s)
    assert world.apart_s() == pytest.approx(apart_s, abs=1)


async def test_what_a_server_said_long_ago_says_nothing(world: World) -> None:
    await world.ask(a=60)
    world.clock.advance(KEPT_S + 1)
    assert world.apart_s() is None


async def test_an_answer_out_of_a_cache_says_nothing(world: World) -> None:
    world.headers = {"age": "60"}
    await world.ask(a=-60)
    assert world.apart_s() is None


async def test_this_machine_says_nothing_of_its_own_clock(world: World) -> None:
    world.ahead_s["127.0.0.1"] = 60
    await world.client.get("http://127.0.0.1/")
    assert world.apart_s() is None


@pytest.mark.parametrize("date", ["soon", "", "Sun, 22 Nov 99999999999999999999 02:11:18 GMT"])
async def test_a_date_that_is_none_says_nothing(world: World, date: str) -> None:
    world.headers = {"date": date}
    await world.ask(a=60)
    assert world.apart_s() is None
