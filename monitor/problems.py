"""What is wrong with the watch itself, for its page: each thing once, however often it happens."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

KEPT = timedelta(hours=1)
"""How long a problem stays on the page after it last happened."""

LOGGED_AGAIN = timedelta(minutes=10)
"""How often the log hears of a problem that goes on."""

PROBLEMS_MAX = 20
"""How many different problems are kept; the one that has not happened for longest makes room."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence, when it was first and last true, and how often it was reported."""

    sentence: str
    first_at: datetime
    last_at: datetime
    logged_at: datetime
    times: int = 1

    def __str__(self) -> str:
        """The line that the page shows."""
        often = (
            f" ({self.times:,} times since {self.first_at:%Y-%m-%d %H:%M:%S} UTC)" if self.times > 1 else ""
        )
        return f"{self.last_at:%Y-%m-%d %H:%M:%S} UTC: {self.sentence}{often}"


class Problems:
    """The latest problems.

    A sentence that is reported again is the same problem: so it must hold no changing number.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[str, Problem] = {}

    def report(self, sentence: str, now: datetime) -> bool:
        """Whether this is news, for the log: the first report, or one of a problem that has gone on for long."""
        self._forget(now)
        known = self._known.pop(sentence, None)
        if known is None:
            known = Problem(sentence, now, now, now)
            is_news = True
        else:
            # A time that lies ahead of now means that the clock went back.
            is_news = not timedelta() <= now - known.logged_at < LOGGED_AGAIN
            logged_at = now if is_news else known.logged_at
            known = replace(known, last_at=now, logged_at=logged_at, times=known.times + 1)
        self._known[sentence] = known
        while len(self._known) > PROBLEMS_MAX:
            del self._known[next(iter(self._known))]
        return is_news

    def shown(self, now: datetime) -> tuple[str, ...]:
        """A line for each problem of late, the newest first. May be asked from any thread."""
        known = tuple(self._known.values())  # in one go: the event loop may report meanwhile
        return tuple(str(problem) for problem in reversed(known) if now - problem.last_at <= KEPT)

    def _forget(self, now: datetime) -> None:
        self._known = {
            sentence: problem for sentence, problem in self._known.items() if now - problem.last_at <= KEPT
        }
