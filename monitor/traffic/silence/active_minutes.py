"""Which minutes of the past weeks had calls, by service: all that is needed to know of silence."""

from collections.abc import Iterable

import numpy as np

from ..windows.series import MINUTE_S, OVERFLOW
from .rhythm import HISTORY_S, Flags

SERVICES_MAX = 100
"""How many services are told apart; further ones count as traffic, and are not judged by themselves."""

SLACK_S = 86_400
"""So far the record reaches beyond what is needed, so that it is moved once a day only."""

ALL = ""
"""All services together, also those that do not tell their name."""

_MINUTES = (HISTORY_S + SLACK_S) // MINUTE_S


class ActiveMinutes:
    """The minutes with calls of each service and of all together, for as long as rhythms are learned from."""

    def __init__(self, now_minute: int) -> None:
        """Start with none, so that the past weeks have room."""
        self.origin = now_minute - HISTORY_S
        self.left_out: set[str] = set()
        self._flags: dict[str, Flags] = {ALL: np.zeros(_MINUTES, dtype=np.bool_)}

    @property
    def services(self) -> list[str]:
        """The services that were seen, by name."""
        return sorted(name for name in self._flags if name != ALL)

    def renew(self, first_minute: int, last_minute: int, found: Iterable[tuple[int, str]]) -> None:
        """Take ``found`` for all minutes with calls from one to another, both included.

        A call may turn out to have ended in another minute than it was first counted in.
        """
        first, end = (max(0, (at - self.origin) // MINUTE_S) for at in (first_minute, last_minute + MINUTE_S))
        for flags in self._flags.values():
            flags[first:end] = False
        self.mark(found)

    def mark(self, found: Iterable[tuple[int, str]]) -> None:
        """Take note of minutes with calls; those that are too old, or still to come, are passed over."""
        for minute, service in found:
            index = (minute - self.origin) // MINUTE_S
            if 0 <= index < _MINUTES:
                self._flags[ALL][index] = True
                if (flags := self._of(service)) is not None:
                    flags[index] = True

    def advance(self, now_minute: int) -> None:
        """Make room for the minute that runs now, and forget what is too old and who has not called since."""
        if 0 <= now_minute - self.origin < _MINUTES * MINUTE_S:
            return
        by = (now_minute - HISTORY_S - self.origin) // MINUTE_S
        self.origin += by * MINUTE_S
        for name, flags in list(self._flags.items()):
            moved = np.zeros(_MINUTES, dtype=np.bool_)
            if 0 < by < _MINUTES:
                moved[: _MINUTES - by] = flags[by:]
            self._flags[name] = moved
            if name != ALL and not moved.any():
                del self._flags[name]
        self.left_out.clear()

    def of(self, service: str) -> Flags:
        """The service's minutes, the first of which begins at ``origin``."""
        return self._flags[service]

    def last(self, service: str) -> int | None:
        """The last minute with a call, if there is one."""
        flags = self._flags.get(service)
        if flags is None or not flags.any():
            return None
        return self.origin + int(_MINUTES - 1 - flags[::-1].argmax()) * MINUTE_S

    def _of(self, service: str) -> Flags | None:
        if service in ("", OVERFLOW.service):
            return None
        if service not in self._flags:
            if len(self._flags) > SERVICES_MAX:
                self.left_out.add(service)
                return None
            self._flags[service] = np.zeros(_MINUTES, dtype=np.bool_)
        return self._flags[service]
