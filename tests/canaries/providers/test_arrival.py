"""What a busy event loop leaves lying does not count as the endpoint's time."""

import json
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from canaries.clock import SystemClock
from canaries.config import TargetConfig
from canaries.providers import ChatRequest, build_provider
from canaries.providers.arrival import unread_s
from canaries.suite import Message

needs_tcp_info = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the kernel does not tell")
ASK = ChatRequest("m", (Message("user", "How long?"),))


class Stream:
    """The connection of a response, as httpx shows it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        return self._connection if info == "socket" else None


class Told:
    """A socket whose data came so many milliseconds ago."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return struct.pack("=52xI", self._milliseconds)[:size]


def response_over(connection: object) -> httpx.Response:
    return httpx.Response(200, extensions={"network_stream": Stream(connection)})


@pytest.fixture
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ours:
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        with theirs:
            yield ours, theirs


@needs_tcp_info
def test_bytes_that_wait_to_be_read_are_known_to_have_come_before(
    connected: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = connected
    before = time.monotonic()
    theirs.sendall(b"Lo")
    told_s = 0.0
    while told_s == 0 and time.monotonic() < before + 30:
        told_s = unread_s(response_over(ours))
    assert 0 < told_s <= time.monotonic() - before


@needs_tcp_info
@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0), (8, 0), (10, 0), (14, 0.004), (500, 0.49)])
def test_what_may_be_the_rounding_of_the_kernel_is_not_counted(milliseconds: int, seconds: float) -> None:
    assert unread_s(response_over(Told(milliseconds))) == pytest.approx(seconds)


def test_where_nobody_knows_bytes_came_when_they_are_read() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert unread_s(response_over(one)) == 0  # no TCP
    assert unread_s(response_over(one)) == 0  # closed
    assert unread_s(response_over(None)) == 0
    assert unread_s(httpx.Response(200)) == 0


@needs_tcp_info
def test_another_kernel_is_not_read_as_if_it_were_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert unread_s(response_over(Told(500_000))) == 0


class Clock(SystemClock):
    """The request is sent at 100, and each part of the answer is read a second later."""

    def __init__(self) -> None:
        self._s = 99.0

    def monotonic(self) -> float:
        self._s += 1
        return self._s


class Parts(httpx.AsyncByteStream):
    """The body of an answer, part by part."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


def event(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"


WHOLE = json.dumps(
    {"model": "m", "choices": [{"index": 0, "message": {"content": "Long."}, "finish_reason": "stop"}]}
).encode()


@needs_tcp_info
@pytest.mark.parametrize(
    ("parts", "kind", "unread_ms", "ttft_s", "latency_s"),
    [
        ((event("Lo"), event("ng.", "stop")), "text/event-stream", 510, 0.5, 1.5),
        ((event("Lo"), event("ng.", "stop")), "text/event-stream", 0, 1.0, 2.0),
        # Never before the question was sent.
        ((event("Lo"), event("ng.", "stop")), "text/event-stream", 9_000, 0.0, 0.0),
        ((WHOLE,), "application/json", 510, None, 0.5),
    ],
    ids=["a stream", "a stream that was read at once", "longer than since the question", "a whole answer"],
)
async def test_an_answer_is_timed_by_when_its_bytes_came(
    parts: tuple[bytes, ...], kind: str, unread_ms: int, ttft_s: float | None, latency_s: float
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        told = {"network_stream": Stream(Told(unread_ms))}
        return httpx.Response(200, headers={"content-type": kind}, stream=Parts(*parts), extensions=told)

    target = TargetConfig(base_url="http://endpoint.test/v1", model="m", suite="s.yaml")
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        found = await build_provider(target, Clock()).complete(ASK, client)
    assert found.text == "Long."
    assert found.ttft_s == (None if ttft_s is None else pytest.approx(ttft_s))
    assert found.latency_s == pytest.approx(latency_s)
