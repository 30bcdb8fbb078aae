"""Which minutes of the past weeks had calls, by service: all that is needed to know of silence."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ..windows.series import MINUTE_S, OVERFLOW
from .rhythm import HISTORY_S, Flags

SERVICES_MAX = 100
"""How many services are told apart; further ones count as traffic, and are not judged by themselves."""

SLACK_S = 86_400
"""So far the record reaches beyond what is needed, so that it is moved once a day only."""

ALL = ""
"""All services together, also those that do not tell their name."""

_MINUTES = (HISTORY_S + SLACK_S) // MINUTE_S

Bits = npt.NDArray[np.uint8]
"""Eight minutes a byte, the first in its lowest bit: a hundred services take half a megabyte."""


class ActiveMinutes:
    """The minutes with calls of each service and of all together, for as long as rhythms are learned from."""

    def __init__(self, now_minute: int) -> None:
        """Start with none, so that the past weeks have room."""
        self.origin = now_minute - HISTORY_S
        self.left_out: set[str] = set()
        self._bits: dict[str, Bits] = {ALL: _packed(np.zeros(_MINUTES, np.bool_))}

    @property
    def services(self) -> list[str]:
        """The services that were seen, by name."""
        return sorted(name for name in self._bits if name != ALL)

    def renew(self, first_minute: int, last_minute: int, found: Iterable[tuple[int, str]]) -> None:
        """Take ``found`` for all minutes with calls from one to another, both included.

        A call may turn out to have ended in another minute than it was first counted in.
        """
        first, end = (max(0, (at - self.origin) // MINUTE_S) for at in (first_minute, last_minute + MINUTE_S))
        begin = first // 8
        for bits in self._bits.values():
            touched = bits[begin : end // 8 + 1]
            flags = _unpacked(touched)
            flags[first - 8 * begin : end - 8 * begin] = False
            touched[:] = _packed(flags)
        self.mark(found)

    def mark(self, found: Iterable[tuple[int, str]]) -> None:
        """Take note of minutes with calls; those that are too old, or still to come, are passed over."""
        for minute, service in found:
            index = (minute - self.origin) // MINUTE_S
            if 0 <= index < _MINUTES:
                place, bit = index // 8, 1 << index % 8
                self._bits[ALL][place] |= bit
                if (bits := self._of(service)) is not None:
                    bits[place] |= bit

    def advance(self, now_minute: int) -> None:
        """Make room for the minute that runs now, and forget what is too old and who has not called since."""
        if 0 <= now_minute - self.origin < _MINUTES * MINUTE_S:
            return
        by = (now_minute - HISTORY_S - self.origin) // MINUTE_S
        self.origin += by * MINUTE_S
        for name, bits in list(self._bits.items()):
            moved = np.zeros(_MINUTES, np.bool_)
            if 0 < by < _MINUTES:
                moved[: _MINUTES - by] = _unpacked(bits)[by:_MINUTES]
            self._bits[name] = _packed(moved)
            if name != ALL and not moved.any():
                del self._bits[name]
        self.left_out.clear()

    def of(self, service: str) -> Flags:
        """The service's minutes, the first of which begins at ``origin``."""
        return _unpacked(self._bits[service])[:_MINUTES]

    def last(self, service: str) -> int | None:
        """The last minute with a call, if there is one."""
        found = np.flatnonzero(self._bits.get(service, _NO_BITS))
        if not len(found):
            return None
        place = int(found[-1])
        return self.origin + (8 * place + int(self._bits[service][place]).bit_length() - 1) * MINUTE_S

    def _of(self, service: str) -> Bits | None:
        if service in ("", OVERFLOW.service):
            return None
        if service not in self._bits:
            if len(self._bits) > SERVICES_MAX:
                self.left_out.add(service)
                return None
            self._bits[service] = np.zeros_like(self._bits[ALL])
        return self._bits[service]


_NO_BITS: Bits = np.zeros(0, np.uint8)


def _packed(flags: Flags) -> Bits:
    return np.packbits(flags, bitorder="little")


def _unpacked(bits: Bits) -> Flags:
    return np.unpackbits(bits, bitorder="little").view(np.bool_)
