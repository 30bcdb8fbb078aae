"""How requests come in over HTTP, whole or in any pieces; what is in them does not matter here."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from monitor.serving import CONNECTIONS_MAX, HEADERS_MAX_BYTES
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Accepted, Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.receiving.buffers import SMALLEST, Buffers
from monitor.traffic.receiving.http_connection import SCRATCH_BYTES, Connection, Shared
from monitor.traffic.receiving.http_receiver import TraceReceiver

from .conftest import CountingMetrics, Listening

POST = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n"
CLOSE = b"connection: close\r\n"


class Keeping(Intake):
    """An intake that keeps the bodies as they are when it is done with them."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def accept(self, body: bytes | memoryview, encoding: Encoding) -> Accepted:
        for _ in range(3):
            await asyncio.sleep(0)
        self.bodies.append(bytes(body))
        return Accepted(0, 0, {})


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


@pytest.fixture
async def place(keeping: Keeping, metrics: CountingMetrics) -> AsyncIterator[tuple[str, int]]:
    async with Listening(TraceReceiver(keeping, OtlpConfig(), metrics)) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


@asynccontextmanager
async def connected(
    place: tuple[str, int],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*place)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answers_to(place: tuple[str, int], pieces: Iterable[bytes]) -> bytes:
    """All that is answered until the connection is closed."""
    async with connected(place) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            return await reader.read()


def request(body: bytes, *more: bytes) -> bytes:
    return b"".join([POST, *more, b"content-length: %d\r\n\r\n" % len(body), body])


def chunked(body: bytes, size: int, *more: bytes) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    written = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
    return b"".join([POST, *more, b"transfer-encoding: chunked\r\n\r\n", written, b"0\r\n\r\n"])


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("seed", range(12))
async def test_requests_are_read_the_same_in_whatever_pieces_they_come(place, keeping, seed) -> None:
    drawn = random.Random(seed)
    sizes = [drawn.choice([0, 1, 300, 5_000, SCRATCH_BYTES, 200_000, 1_000_000]) for _ in range(6)]
    bodies = [drawn.randbytes(size) for size in sizes]
    sent = b""
    for number, body in enumerate(bodies):
        more = (CLOSE,) if number == len(bodies) - 1 else ()
        in_chunks = drawn.random() < 0.4
        sent += chunked(body, drawn.choice([7_000, 90_000]), *more) if in_chunks else request(body, *more)
    cuts = sorted(drawn.randrange(len(sent)) for _ in range(drawn.choice([0, 3, 200])))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert statuses(await answers_to(place, pieces)) == [200] * len(bodies)
    assert keeping.bodies == bodies


async def test_bodies_of_many_senders_are_kept_apart(place, keeping) -> None:
    async def send(number: int) -> None:
        body = bytes([number]) * (300_000 + number)
        pieces = [request(body) * 3, request(body, CLOSE)]
        assert statuses(await answers_to(place, pieces)) == [200] * 4

    await asyncio.gather(*(send(number) for number in range(24)))
    assert sorted(map(len, keeping.bodies)) == sorted([300_000 + n for n in range(24)] * 4)
    assert all(len(set(body)) == 1 for body in keeping.bodies)


async def test_who_speaks_http_1_0_gets_an_answer_and_is_let_go(place, keeping) -> None:
    sent = request(b"one").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(await answers_to(place, [sent])) == [200]
    assert keeping.bodies == [b"one"]


async def test_who_asks_for_another_protocol_in_passing_is_answered_in_this_one(place, keeping) -> None:
    # As the HTTP client of the JDK does.
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAEA\r\n"
    large = bytes(200_000)
    sent = [
        request(b"one", upgrade),
        request(large, upgrade),
        chunked(large, 9_000, upgrade),
        request(b"two", CLOSE),
    ]
    assert statuses(await answers_to(place, [b"".join(sent)])) == [200] * 4
    assert keeping.bodies == [b"one", large, large, b"two"]


async def test_who_waits_to_be_asked_for_the_body_is_asked(place, keeping) -> None:
    async with connected(place) as (reader, writer):
        writer.write(POST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"one")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert keeping.bodies == [b"one"]


async def test_who_is_refused_is_not_asked_for_the_body_and_who_sends_it_all_the_same_may_go_on(
    place, keeping
) -> None:
    large = 10**9
    async with connected(place) as (reader, writer):
        writer.write(POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % large)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        # It may leave out the body, and no one could tell what it sends next from it.
        assert b"\r\nconnection: close\r\n" in head
    body = bytes(300_000)
    wrong = request(body, b"content-encoding: br\r\n")
    sent = [wrong, chunked(body, 50_000, b"content-encoding: br\r\n"), request(b"one", CLOSE)]
    assert statuses(await answers_to(place, [b"".join(sent)])) == [415, 415, 200]
    assert keeping.bodies == [b"one"]


async def test_an_answer_without_a_body_has_none(place) -> None:
    answer = await answers_to(place, [b"HEAD /v1/traces HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nallow: POST" in head
    assert body == b""


FIELD = b"x-field: " + b"a" * 1_000 + b"\r\n"
MANY = HEADERS_MAX_BYTES // 1_000 + 2


@pytest.mark.parametrize(
    "pieces",
    [
        [POST + b"x: " + b"a" * (HEADERS_MAX_BYTES + 70_000) + b"\r\n\r\n"],
        [POST, b"x: ", *[b"a" * 4_000] * 500],
        [POST, *[FIELD] * (MANY + 300)],
        [POST + FIELD * MANY + b"content-length: 0\r\n\r\n"],
        [b"POST /" + b"a" * (HEADERS_MAX_BYTES + 1) + b" HTTP/1.1\r\nhost: a\r\n\r\n"],
        [b"POST /", *[b"a" * 4_000] * 500],
        [POST + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", *[FIELD] * MANY * 3, b"\r\n"],
        [POST + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: ", *[b"a" * 4_000] * 500],
        [b"\x16\x03\x01\x02\x00\x01\x00"],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        [POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc"],
        [POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc"],
        [POST + b"content-length: -3\r\n\r\n"],
        [b"POST http:// HTTP/1.1\r\nhost: a\r\n\r\n"],
        [b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n"],
    ],
    ids=[
        "one field",
        "a field without end",
        "fields without end",
        "many fields",
        "an address",
        "an address without end",
        "fields behind the body",
        "a field without end behind the body",
        "TLS",
        "HTTP/2",
        "two sizes",
        "a size and chunks",
        "a negative size",
        "no address",
        "as to a proxy",
    ],
)
async def test_what_is_no_request_is_refused_and_the_next_one_is_taken(place, keeping, pieces) -> None:
    try:
        answer = await answers_to(place, pieces)
    except ConnectionError:
        answer = b""
    assert answer.startswith(b"HTTP/1.1 400 ") or not answer
    assert statuses(await answers_to(place, [request(b"one", CLOSE)])) == [200]
    assert keeping.bodies == [b"one"]


class Transport(asyncio.Transport):
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = self.is_paused = False
        self.closing, self.aborted = asyncio.Event(), asyncio.Event()

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True
        self.closing.set()

    def abort(self) -> None:
        self.aborted.set()

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


@pytest.fixture
def shared(keeping: Keeping, metrics: CountingMetrics) -> Shared:
    receiver = TraceReceiver(keeping, OtlpConfig(), metrics)
    return Shared(receiver, lambda: "now", set(), memoryview(bytearray(SCRATCH_BYTES)))


@pytest.fixture
async def connection(shared: Shared) -> tuple[Connection, Transport]:
    made, transport = Connection(shared), Transport()
    made.connection_made(transport)
    return made, transport


def come(connection: Connection, data: bytes) -> None:
    while data:
        buffer = connection.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        connection.buffer_updated(size)
        data = data[size:]


async def test_a_sender_that_is_ahead_of_its_answers_waits(connection, keeping) -> None:
    made, transport = connection
    come(made, request(b"one"))
    assert not transport.is_paused
    come(made, request(b"two"))
    assert transport.is_paused
    await made.answering
    assert not transport.is_paused
    assert statuses(transport.written) == [200, 200]
    made.pause_writing()
    assert transport.is_paused
    made.resume_writing()
    assert not transport.is_paused


async def test_what_is_whole_is_answered_when_the_server_ends(connection, keeping) -> None:
    made, transport = connection
    come(made, request(b"one") + request(bytes(100_000))[:-1])
    made.end()
    assert not transport.is_closed
    await made.answering
    assert statuses(transport.written) == [200]
    assert b"\r\nconnection: close\r\n" in transport.written
    assert transport.is_closed


async def test_all_that_is_whole_is_answered_when_the_server_ends(connection, keeping) -> None:
    made, transport = connection
    come(made, request(b"one") + request(b"two"))
    made.end()
    await made.answering
    assert statuses(transport.written) == [200, 200]
    assert transport.written.count(b"\r\nconnection: close\r\n") == 1
    assert transport.is_closed


async def test_a_head_in_pieces_may_have_as_much_behind_it_as_there_is(connection, keeping) -> None:
    made, transport = connection
    body = bytes(3 * SCRATCH_BYTES)
    sent = request(body)
    come(made, sent[:60])
    come(made, sent[60:])
    await made.answering
    assert statuses(transport.written) == [200]
    assert keeping.bodies == [body]


async def test_what_is_no_request_hides_no_answer_to_one_before_it(connection, keeping) -> None:
    made, transport = connection
    come(made, request(b"one") + b"what is this\r\n\r\n")
    assert not transport.is_closed
    await made.answering
    assert statuses(transport.written) == [200, 400]
    assert keeping.bodies == [b"one"]
    assert transport.is_closed


async def test_who_is_refused_and_breaks_off_is_answered_once(connection) -> None:
    made, transport = connection
    come(made, POST + b"content-encoding: br\r\ntransfer-encoding: chunked\r\n\r\nwhat is this\r\n")
    await made.answering
    assert statuses(transport.written) == [415]
    assert transport.is_closed


async def test_a_body_that_comes_in_drops_is_not_waited_for_any_longer(keeping, metrics) -> None:
    receiver = TraceReceiver(keeping, OtlpConfig(), metrics, body_wait_s=0.01)
    shared = Shared(receiver, lambda: "now", set(), memoryview(bytearray(SCRATCH_BYTES)))
    made, transport = Connection(shared), Transport()
    made.connection_made(transport)
    come(made, POST + b"transfer-encoding: chunked\r\n\r\n")
    async with asyncio.timeout(20):
        while not transport.is_closed:
            come(made, b"1\r\nx\r\n")
            await asyncio.sleep(0)
    assert statuses(transport.written) == [503]
    assert keeping.bodies == []


async def test_who_hangs_up_while_waiting_is_counted_all_the_same(connection, keeping, metrics) -> None:
    made, transport = connection
    come(made, request(b"one"))
    transport.close()
    made.connection_lost(None)
    await made.answering
    assert (keeping.bodies, transport.written, metrics.requests) == ([b"one"], b"", {200: 1})


async def test_who_comes_when_there_are_too_many_is_told_to_come_back(shared, connection, keeping) -> None:
    made, transport = connection
    shared.connections |= {Connection(shared) for _ in range(CONNECTIONS_MAX)}
    come(made, request(b"one"))
    await made.answering
    assert statuses(transport.written) == [429]
    assert b"\r\nretry-after: 5\r\n" in transport.written
    assert transport.is_closed
    assert keeping.bodies == []


@pytest.mark.parametrize("sent", [b"", POST, request(b"one")], ids=["nothing", "half a head", "a request"])
async def test_a_connection_that_brings_nothing_is_closed(shared, keeping, sent) -> None:
    shared.idle_s = 0.01
    made, transport = Connection(shared), Transport()
    made.connection_made(transport)
    come(made, sent)
    async with asyncio.timeout(20):
        await transport.closing.wait()
    assert statuses(transport.written) == ([200] if keeping.bodies else [])


async def test_a_connection_of_whom_no_answer_is_read_does_not_stay_for_ever(shared) -> None:
    shared.idle_s = 0.01
    made, transport = Connection(shared), Transport()
    made.connection_made(transport)
    come(made, request(b"one"))
    made.pause_writing()
    async with asyncio.timeout(20):
        await transport.aborted.wait()
    assert transport.is_closed


def test_memory_is_used_again_and_little_of_it_is_kept() -> None:
    buffers = Buffers(kept_bytes=3 * SMALLEST)
    one, two, three = (buffers.lend(size) for size in (1, SMALLEST, SMALLEST + 1))
    assert [len(buffer) for buffer in (one, two, three)] == [SMALLEST, SMALLEST, 2 * SMALLEST]
    for buffer in (one, two, three):  # there is no room for the last
        buffers.take_back(buffer)
    assert {id(buffers.lend(5)), id(buffers.lend(6))} == {id(one), id(two)}
    assert buffers.lend(7) is not one
    assert buffers.lend(SMALLEST + 9) is not three
