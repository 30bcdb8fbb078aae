"""The values of attributes as they are written in a request, and what they are worth.

What many spans share is read once: the memories here are bounded, and emptied when somebody makes them run full.
"""

from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ..dialects.values import count, text, word
from ..otlp import value_of

COUNTS_MAX = 65_536
"""How many ways of writing a count are remembered."""

SHORT = 32
"""A value is remembered when it is written in no more bytes than this."""

NOT_A_COUNT = -1
"""What stands for a value that is there and is no count."""


class Counts(dict[bytes | None, int | None]):
    """Counts by how they are written; ``None`` is not there, ``NOT_A_COUNT`` is no count."""

    def __init__(self, value: Callable[[bytes], object]) -> None:
        """``value`` reads what is not remembered."""
        super().__init__({None: None})
        self._value = value

    def __missing__(self, raw: bytes) -> int:
        found = count(self._value(raw))
        number = NOT_A_COUNT if found is None else found
        if len(raw) <= SHORT:
            if len(self) >= COUNTS_MAX:
                self.clear()
                self[None] = None
            self[raw] = number
        return number


class Words(dict[bytes | None, str | None]):
    """Values as the texts that they are counted by, by how they are written."""

    def __init__(self, value: Callable[[bytes], object]) -> None:
        """``value`` reads what is not remembered."""
        super().__init__({None: None})
        self._value = value

    def __missing__(self, raw: bytes) -> str | None:
        found = word(self._value(raw))
        if len(raw) <= SHORT:
            if len(self) >= COUNTS_MAX:
                self.clear()
                self[None] = None
            self[raw] = found
        return found


@dataclass(frozen=True, slots=True)
class Notation:
    """A way in which the values of attributes are written."""

    value: Callable[[bytes], object]
    """What a value is, as plain Python."""
    letters: Callable[[bytes], bytes | None]
    """What the reader of the dialects makes of it as a name or an id, in UTF-8."""
    is_text: Callable[[bytes], bool]
    """Whether it is a text, and nothing with values in it."""
    counts: Counts
    """The same as a count."""


def encoded(told: str | None) -> bytes | None:
    """The text in UTF-8, if there is one."""
    return None if told is None else told.encode()


def _value(raw: bytes) -> object:
    return value_of(AnyValue.FromString(raw))


def _letters(raw: bytes) -> bytes | None:
    # A short text that neither begins nor ends with anything that would be cut off is what it is.
    if (
        len(raw) > 3
        and raw[0] == 10
        and raw[1] == len(raw) - 2
        and raw[2] > 34
        and 32 < raw[-1] < 127
        and raw.isascii()  # so that its length is in one byte
    ):
        return raw[2:]
    return encoded(text(_value(raw)))


def _is_text(raw: bytes) -> bool:
    return raw[:1] == b"\x0a"


PROTOBUF = Notation(_value, _letters, _is_text, Counts(_value))
"""Each value is an ``AnyValue`` in bytes."""
