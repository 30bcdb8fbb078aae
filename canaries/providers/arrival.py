"""When the bytes of an answer came, as the kernel knows it: a busy event loop gets round to them later."""

import socket
import struct
import sys
from typing import Any, Final

import httpx

TICK_S = 0.01
"""So far the kernel's count may be off at most: it counts in ticks, of which the coarsest are 100 a second."""

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_LAST_DATA_RECEIVED = struct.Struct("=52xI")
"""Milliseconds since the last data came, of Linux's ``struct tcp_info``, which only ever grows at its end."""


def unread_s(response: httpx.Response) -> float:
    """For how long, at least, the last bytes of the answer have been here.

    Zero where nobody knows, as elsewhere than on Linux. To be asked before the connection is closed.
    """
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    # Elsewhere something by the same name has other numbers in the same places.
    if connection is None or _TCP_INFO is None or sys.platform != "linux":
        return 0.0
    return max(0.0, _since_data_s(connection) - TICK_S)


def _since_data_s(connection: Any) -> float:
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAST_DATA_RECEIVED.size)
        (milliseconds,) = _LAST_DATA_RECEIVED.unpack(info)
    except (OSError, struct.error):  # it is closed, or is no TCP
        return 0.0
    return float(milliseconds) / 1_000
