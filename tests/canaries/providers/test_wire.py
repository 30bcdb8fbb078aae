"""What a bench sends its requests with, where it has more to do than httpx: kept connections, names, proxies."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from canaries.providers import wire
from canaries.providers.wire import Wire
from tests.certificates import Authority

PLAIN = ssl.create_default_context()
EVENT = b"data: [DONE]\n\n"


class Server:
    """Answers in chunks, the end of the body apart from the rest; keeps what it was sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.more = b""
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(2)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nset-cookie: backend=1\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for part in (EVENT, self.more) if self.more else (EVENT,):
                    writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                    await writer.drain()
                await self.may_end.wait()
                writer.write(b"0\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def open(self, encryption: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0, ssl=encryption)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    wire._proxy.cache_clear()
    yield
    wire._proxy.cache_clear()


async def ask(client: Wire, url: str, **headers: str) -> bytes:
    """The first event of the answer, as a provider that stops reading there."""
    request = httpx.Request("POST", url, content=json.dumps({}).encode(), headers=headers)
    answer = await client.send(request, stream=True, follow_redirects=False)
    async for piece in answer.aiter_bytes():
        await answer.aclose()
        return piece
    raise AssertionError("no body")


async def test_a_connection_is_used_again_although_the_end_of_the_body_came_after_the_last_event() -> None:
    server = Server()
    async with server.open() as address, Wire(PLAIN) as client:
        for _ in range(3):
            assert await ask(client, f"http://{address}/") == EVENT
    assert (len(server.heads), server.connections) == (3, 1)


@pytest.mark.parametrize(
    ("more", "ends"),
    [pytest.param(b"", False, id="no end"), pytest.param(b"x" * 5_000_000, True, id="much more")],
)
async def test_a_connection_whose_body_goes_on_is_closed(more: bytes, ends: bool) -> None:
    server = Server()
    server.more = more
    if not ends:
        server.may_end.clear()
    async with server.open() as address, Wire(PLAIN) as client:
        for _ in range(2):
            await ask(client, f"http://{address}/")
        server.may_end.set()
    assert server.connections == 2


async def test_nothing_is_sent_that_was_not_asked_for() -> None:
    server = Server()
    async with server.open() as address, Wire(PLAIN) as client:
        await ask(client, f"http://{address}/a%2Fb?version=1%202", accept="text/event-stream")
        await ask(client, f"http://{address}/")
    lines = server.heads[0].decode().lower().split("\r\n")
    assert lines[0] == "post /a%2fb?version=1%202 http/1.1"
    assert sorted(line.split(":")[0] for line in lines[1:] if line) == ["accept", "content-length", "host"]
    assert b"cookie" not in server.heads[1].lower()


async def test_the_name_and_password_of_an_address_become_a_header() -> None:
    server = Server()
    async with server.open() as address, Wire(PLAIN) as client:
        await ask(client, f"http://me:s%40cret@{address}/", authorization="Bearer key")
    expected = b"authorization: Basic " + b64encode(b"me:s@cret")
    assert [line for line in server.heads[0].split(b"\r\n") if line.startswith(b"authorization")] == [
        expected
    ]


async def test_a_certificate_of_nobody_trusted_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue("endpoint")
    own, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    own.load_cert_chain(identity.certificate, identity.key)
    trusting.load_verify_locations(authority.certificate)
    async with Server().open(own) as address:
        async with Wire(trusting) as client:
            assert await ask(client, f"https://{address}/") == EVENT
        async with Wire(PLAIN) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(client, f"https://{address}/")


async def test_the_proxy_of_the_environment_is_used_but_where_it_says_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    async with server.open() as address, Wire(PLAIN) as client:
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await ask(client, "http://endpoint.test/v1")
        await ask(client, f"http://{address}/v1")
    assert [head.split()[1] for head in server.heads] == [b"http://endpoint.test/v1", b"/v1"]
