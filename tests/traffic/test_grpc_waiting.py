"""gRPC comes to its port with the first sender, who loses nothing by it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from monitor import MonitorError
from monitor.grpc_waiting import HANDED_ON_MS, GrpcPort, listener_at
from monitor.serving import Place, bind
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Accepted
from monitor.traffic.otlp import Encoding
from monitor.traffic.receiving.grpc_receiver import SERVICE, GrpcTraceReceiver

from .conftest import CountingMetrics

PLACE = Place("OTLP/gRPC", "--otlp-grpc-port", "otlp", "grpc_port")


class Taking:
    """Takes whatever comes, and counts it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
        self.taken.append(body)
        return Accepted(0, 0, {})


@contextlib.asynccontextmanager
async def serving(taking: Any, host: str = "127.0.0.1") -> AsyncIterator[GrpcPort]:
    config = OtlpConfig(host=host)
    port = GrpcPort(listener_at(host, 0, PLACE), config, Path())
    task = asyncio.create_task(port.serve(lambda: GrpcTraceReceiver(taking, config, CountingMetrics())))
    try:
        yield port
    finally:
        port.stop()
        await task


def number_of(port: GrpcPort) -> int:
    return int(port.address.rpartition(":")[2])


async def send(address: str, body: bytes) -> Any:
    # One connection each: by itself gRPC has all channels to one place share theirs.
    alone = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=alone) as channel:
        return await channel.unary_unary(f"/{SERVICE}/Export")(body, timeout=20)


async def test_all_who_come_before_grpc_is_there_are_answered() -> None:
    taking = Taking()
    async with serving(taking) as port:
        await asyncio.gather(*(send(f"127.0.0.1:{number_of(port)}", b"%d" % one) for one in range(20)))
        await send(f"127.0.0.1:{number_of(port)}", b"20")
    assert sorted(taking.taken, key=int) == [b"%d" % one for one in range(21)]


async def test_a_sender_who_goes_on_sending_never_fails_and_ends_at_the_port_itself() -> None:
    taking, sent, channel_options = Taking(), 0, [("grpc.use_local_subchannel_pool", 1)]
    async with (
        serving(taking) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{number_of(port)}", options=channel_options) as channel,
    ):
        export, began = channel.unary_unary(f"/{SERVICE}/Export"), time.monotonic()
        while time.monotonic() - began < 2 * HANDED_ON_MS / 1000:
            await export(b"x", timeout=20)
            sent += 1
        assert len(taking.taken) == sent
        assert port.handed_on == 0


async def test_who_stops_before_anybody_came_lets_go_of_the_port() -> None:
    async with serving(Taking()) as port:
        number = number_of(port)
    bind("127.0.0.1", number, PLACE).close()


async def test_who_hangs_up_at_once_leaves_the_port_to_others() -> None:
    taking = Taking()
    async with serving(taking) as port:
        socket.create_connection(("127.0.0.1", number_of(port))).close()
        await send(f"127.0.0.1:{number_of(port)}", b"x")
    assert taking.taken == [b"x"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
@pytest.mark.parametrize("sender", ["127.0.0.1", "[::1]"])
async def test_the_first_at_all_addresses_may_come_by_either_protocol(sender: str) -> None:
    taking = Taking()
    async with serving(taking, "0.0.0.0") as port:
        assert port.address == f"http://0.0.0.0:{number_of(port)}"
        await send(f"{sender}:{number_of(port)}", b"x")
    assert taking.taken == [b"x"]


async def test_nobody_else_gets_the_port_before_or_after_grpc_is_there() -> None:
    async with serving(Taking()) as port:
        for _ in range(2):
            with pytest.raises(MonitorError, match="Address already in use"):
                bind("127.0.0.1", number_of(port), PLACE)
            await send(f"127.0.0.1:{number_of(port)}", b"x")


async def test_a_name_is_listened_at_with_all_its_addresses() -> None:
    taking = Taking()
    async with serving(taking, "localhost") as port:
        await send(f"localhost:{number_of(port)}", b"x")
    assert taking.taken == [b"x"]
