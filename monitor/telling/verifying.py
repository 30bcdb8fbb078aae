"""After a rollback: the canaries are replayed sooner, and people hear whether it helped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from alerts.recovery import Outcome, Recovery, tell, untold
from alerts.rollback import RollbackRule
from canaries.clock import Clock

from ..database import Database

LOOK_EVERY_S = 30.0
"""How often it is looked what became of rollbacks."""

REPLAY_EVERY_S = 300.0
"""How long after an extra run the next one comes, while it is open whether the rollback helped."""

REPLAYS_MAX = 6
"""How many extra runs a rollback makes at most: they cost money, and the schedule goes on beside them."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Replays:
    """The extra runs that were made for one rollback."""

    count: int = 0
    last_at: datetime | None = None


@dataclass
class Verifying:
    """Follows up rollbacks. ``replay_now`` has a target asked once more, and says whether it will be."""

    database: Database
    clock: Clock
    rules: Mapping[str, RollbackRule]
    replay_now: Callable[[str], bool]
    wake: Callable[[], None]
    _replays: dict[tuple[str, str], _Replays] = field(default_factory=dict)
    """Lost with the process: after a restart a rollback may make its extra runs again."""

    async def look(self) -> None:
        """Tell what is known, and have canaries replayed of what is not."""
        now = self.clock.now()
        found = await self.database.aread(lambda session: untold(session, self.rules, now))
        waiting = [one for one in found if one.outcome is Outcome.OPEN]
        if len(waiting) < len(found):
            for one in await self.database.awrite(lambda session: tell(session, self.rules, now)):
                log.info("after a rollback", rollback=one.past.name, incident=one.incident.id, says=one.said)
            self.wake()
        self._replays = {key: self._replays.get(key, _Replays()) for key in map(_key, waiting)}
        for one in waiting:
            self._replay_if_due(one, now)

    def _replay_if_due(self, one: Recovery, now: datetime) -> None:
        target, made = one.incident.labels.get("target"), self._replays[_key(one)]
        if target is None or one.past.delivered_at is None or made.count >= REPLAYS_MAX:
            return
        rule = self.rules[one.past.name]
        due = one.past.delivered_at + timedelta(seconds=rule.replay_after_s)
        if made.last_at is not None:
            due = max(due, made.last_at + timedelta(seconds=REPLAY_EVERY_S))
        if now >= due and self.replay_now(target):
            made.count, made.last_at = made.count + 1, now


def _key(one: Recovery) -> tuple[str, str]:
    return one.past.name, one.past.incident_id
