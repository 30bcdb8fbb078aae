"""Windows as a fold is handed them."""

from collections.abc import AsyncIterator, Iterable

from monitor.traffic.windows.window import Window


async def in_pieces(windows: Iterable[Window]) -> AsyncIterator[list[Window]]:
    """The windows one at a time."""
    for window in windows:
        yield [window]
