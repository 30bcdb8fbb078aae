"""What happened to the watch and was over when it was noticed: a gap, a clock that was set, a database that refused."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

KEPT = timedelta(minutes=15)
"""How long an event is told as something that is wrong: so long its incident fires."""


class Trouble(StrEnum):
    """What can be wrong with the watch itself: the label of its findings, and the second part of their keys."""

    RUN = "run"
    """Something did not run when it was due."""
    OUTBOX = "outbox"
    DISK = "disk"
    CLOCK = "clock"
    RECEIVER = "receiver"
    ABSENCE = "absence"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, in a sentence, and when it was noticed."""

    trouble: Trouble
    sentence: str
    at: datetime


class Events:
    """The latest event of each kind. They are lost with the process, and their incidents end then."""

    def __init__(self) -> None:
        """Start with none."""
        self._latest: dict[Trouble, Event] = {}

    def note(self, trouble: Trouble, sentence: str, now: datetime) -> None:
        """Keep an event, in place of the last one of its kind."""
        self._latest[trouble] = Event(trouble, sentence, now)

    def lately(self, now: datetime) -> dict[Trouble, Event]:
        """The events of late. One that lies ahead of now counts: the clock went back, which may be the event."""
        return {kind: one for kind, one in self._latest.items() if now - one.at <= KEPT}
