"""Server-sent events: bytes to the data of each event."""

from collections.abc import Iterable, Iterator


class EventReader:
    """Cuts a stream of bytes into events and gives the data of each.

    It cuts lines at ``\\n``, ``\\r\\n`` and nowhere else, for a JSON text may hold U+2028 and the other characters
    that Python takes for line ends. What comes in is as large as the caller lets it be.
    """

    def __init__(self) -> None:
        self.bytes_read = 0
        self.count = 0
        self._rest = bytearray()
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The data of the events that ``chunk`` completes."""
        self.bytes_read += len(chunk)
        # Only the new bytes are searched: a line of megabytes would be searched again with each chunk otherwise.
        if b"\n" not in chunk:
            self._rest += chunk
            return
        *lines, rest = (bytes(self._rest) + chunk).split(b"\n")
        self._rest = bytearray(rest)
        yield from self._events(lines)

    def close(self) -> Iterator[str]:
        """The data of an event that the end of the stream completes."""
        yield from self._events([bytes(self._rest), b""])

    def _events(self, lines: Iterable[bytes]) -> Iterator[str]:
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                data = b"\n".join(self._data).decode("utf-8", "replace")
                self._data.clear()
                if data:
                    self.count += 1
                    yield data
