"""A chart as a PNG, drawn by a process of its own that is ended when it takes too long.

What draws holds a browser's engine: some 80 MB and half a second of a processor, which the daemon is not to spend.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from .. import MonitorError

DRAWING_TIMEOUT_S = 60.0
"""How long a picture may take. It takes a second, but the process stands back for all others on a busy machine."""

PNG_MAX = 2_000_000
"""How many bytes a picture may have; the usual one has 100,000."""

PNG_BEGINS = b"\x89PNG\r\n\x1a\n"

NICENESS = 10
"""How far the process stands back for those that watch."""

ARTIST = (sys.executable, "-P", "-m", "monitor.telling.drawing")
"""What draws: it reads a chart and writes a PNG."""


class DrawingError(MonitorError):
    """There is no picture; the text says why."""


async def drawn(
    chart: Mapping[str, Any], artist: Sequence[str] = ARTIST, timeout_s: float = DRAWING_TIMEOUT_S
) -> bytes:
    """The PNG of a Vega-Lite chart. Raises DrawingError when it could not be drawn in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            *artist,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise DrawingError(f"it could not be drawn: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout_s):
            png, _ = await process.communicate(orjson.dumps(chart))
    except TimeoutError as error:
        raise DrawingError(f"it was not drawn within {timeout_s:g} s") from error
    finally:
        # Whatever ended the wait, be it the end of the daemon: nothing is left behind that draws on.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0 or not png.startswith(PNG_BEGINS):
        raise DrawingError(f"it could not be drawn (exit code {process.returncode})")
    if len(png) > PNG_MAX:
        raise DrawingError(f"it has {len(png):,} bytes, and {PNG_MAX:,} are sent")
    return png


def _draw() -> None:
    # Imported here: the daemon, which has this module too, does without it.
    import vl_convert

    os.nice(NICENESS)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        # Where memory runs out, the kernel ends the picture and not the watch.
        score.write("1000")
    # No addresses: whatever a chart says, nothing is loaded from anywhere.
    png = vl_convert.vegalite_to_png(orjson.loads(sys.stdin.buffer.read()), allowed_base_urls=[])
    sys.stdout.buffer.write(png)


if __name__ == "__main__":
    _draw()
