"""What a stranger may send to a port of the daemon."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from monitor import MonitorError
from monitor.serving import HEADERS_MAX_BYTES, Place, bind, server

PLACE = Place("a test", "--port", "http")

USUAL = b"GET / HTTP/1.1\r\nhost: a\r\n"


async def hello(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, int]]:
    listener = bind("127.0.0.1", 0, PLACE)
    serving = server(hello)
    task = asyncio.create_task(serving.serve(sockets=[listener]))
    yield listener.getsockname()
    serving.should_exit = True
    await task


async def answer_to(address: tuple[str, int], pieces: Iterable[bytes]) -> bytes:
    """What is answered until the connection is closed, or nothing more comes."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await reader.read()
    except ConnectionError:
        return b"closed"
    finally:
        writer.close()


FIELD = b"x-field: " + b"a" * 1_000 + b"\r\n"
MANY = HEADERS_MAX_BYTES // 1_000 + 2


@pytest.mark.parametrize(
    "pieces",
    [
        [USUAL + b"x: " + b"a" * (HEADERS_MAX_BYTES + 70_000) + b"\r\n\r\n"],
        [USUAL, b"x: ", *[b"a" * 4_000] * 500],
        [USUAL, *[FIELD] * (MANY + 300)],
        [USUAL + FIELD * MANY + b"\r\n"],
        [b"GET /" + b"a" * (HEADERS_MAX_BYTES + 1) + b" HTTP/1.1\r\nhost: a\r\n\r\n"],
        [b"GET /", *[b"a" * 4_000] * 500],
    ],
    ids=[
        "one field",
        "a field without end",
        "fields without end",
        "many fields",
        "an address",
        "an address without end",
    ],
)
async def test_the_head_of_a_request_has_a_bound(pieces: list[bytes]) -> None:
    async with listening() as address:
        answer = await answer_to(address, pieces)
        assert answer.startswith(b"HTTP/1.1 400 ") or answer == b"closed"
        assert b"200 OK" in await answer_to(address, [USUAL + b"connection: close\r\n\r\n"])


async def test_what_follows_a_body_has_a_bound_too() -> None:
    chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    async with listening() as address:
        answer = await answer_to(address, [chunked, *[FIELD] * MANY * 3, b"\r\n"])
        assert b"200 OK" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("size", [1, 700, 70_000], ids="in pieces of {}".format)
async def test_a_head_within_the_bound_is_read_however_it_comes(size: int) -> None:
    request = USUAL + FIELD * 3 + b"connection: close\r\n\r\n"
    async with listening() as address:
        pieces = [request[at : at + size] for at in range(0, len(request), size)]
        assert b"200 OK" in await answer_to(address, pieces)


async def test_requests_that_come_together_are_both_read() -> None:
    body = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n" + b"b" * 60_000
    async with listening() as address:
        answer = await answer_to(address, [body + USUAL, FIELD + b"connection: close\r\n\r\n"])
        assert answer.count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.7", "Is http: {host: ...} an address of this machine?"),
        ("no.such.host.invalid", "Is http: {host: ...} an address of this machine?"),
    ],
    ids=["somebody else's", "a name of nobody"],
)
def test_an_address_that_is_not_ours_is_told_with_its_key(host: str, said: str) -> None:
    with pytest.raises(MonitorError) as refused:
        bind(host, 0, PLACE)
    assert said in str(refused.value)
    assert "--port" not in str(refused.value)
