"""What a stranger may send to a port of the daemon."""

import asyncio
import socket

from monitor.serving import HEADERS_MAX_BYTES, bind, server


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def first_line(address: tuple[str, int], request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    line = await reader.readline()
    writer.close()
    return line


async def test_headers_have_a_bound():
    listener: socket.socket = bind("127.0.0.1", 0, "a test", "--port")
    serving = server(hello)
    task = asyncio.create_task(serving.serve(sockets=[listener]))
    usual = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
    address = listener.getsockname()
    assert b" 200 " in await first_line(address, usual + b"\r\n")
    assert b" 400 " in await first_line(
        address, usual + b"x: " + b"a" * (HEADERS_MAX_BYTES + 70_000) + b"\r\n\r\n"
    )
    serving.should_exit = True
    await task
