"""What is read once and met again, within bounds."""

from collections.abc import Callable
from typing import Generic, TypeVar

ENTRIES_MAX = 4_096
"""How much is remembered of one kind; beyond it all of it is read anew."""

BYTES_MAX = 8_192
"""What is written in more bytes than this is not remembered."""

Value = TypeVar("Value")


class Memory(dict[bytes, Value], Generic[Value]):
    """What is written in some bytes, by these."""

    def __init__(self, read: Callable[[bytes], Value]) -> None:
        """``read`` gives what is not remembered."""
        super().__init__()
        self._read = read

    def __missing__(self, encoded: bytes) -> Value:
        value = self._read(encoded)
        if len(encoded) <= BYTES_MAX:
            if len(self) >= ENTRIES_MAX:
                self.clear()
            self[encoded] = value
        return value
