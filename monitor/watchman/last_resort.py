"""What is told when the database takes nothing: then there is no outbox, and people hear of it directly."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from alerts import DeliveryError
from alerts.channels import Channel
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, NoticeKind, step
from alerts.message import Message, Thread, Why, about_group, addressed
from alerts.outbox import DELIVERY_TIMEOUT_S
from alerts.routing import Routing
from canaries.clock import Clock
from dashboards.words import span

from ..self_watch import Refusal, SelfWatch
from .events import Trouble
from .judging import KEY, LABEL

DIRECTLY_AFTER_S = 60.0
"""How long the database may refuse before people hear of it without it."""

END_TRIES_MAX = 20
"""How often it is tried to say that it is over."""

RECORDED_FROM_S = 10.0
"""A refusal that was shorter is not put on record: another process may hold the database for a moment."""

log = structlog.get_logger()


@dataclass
class LastResort:
    """Tells receivers directly that nothing can be stored, once each, and that it is over."""

    self_watch: SelfWatch
    clock: Clock
    routing: Routing
    notify: tuple[str, ...]
    channels: Mapping[str, Channel]
    _refusal: Refusal | None = None
    _incident: Incident | None = None
    _told: dict[str, Thread | None] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _over: Message | None = None
    _end_tries: int = 0

    async def look(self) -> None:
        """Tell who has to hear something now."""
        refusal, now = self.self_watch.refusal, self.clock.now()
        if refusal is None:
            if self._refusal is not None:
                self._note_end(self._refusal, now)
            await self._tell_end()
            return
        self._refusal, self._over = refusal, None
        if self.clock.monotonic() - refusal.since_s >= DIRECTLY_AFTER_S:
            await self._tell_beginning(refusal, now)

    async def _tell_beginning(self, refusal: Refusal, now: datetime) -> None:
        if self._incident is None:
            self._incident = step(None, _verdict(refusal), AlertRule(), now).incident
        incident = self._incident
        if incident is None:
            return
        message = about_group(incident.id, NoticeKind.FIRING, Why.FIRST, [incident], now)
        missing = [name for name in self._receivers(incident) if name not in self._told]
        await asyncio.gather(*(self._tell(name, message) for name in missing))

    def _note_end(self, refusal: Refusal, now: datetime) -> None:
        lasted_s = self.clock.monotonic() - refusal.since_s
        if lasted_s >= RECORDED_FROM_S:
            heard = f" Told directly: {', '.join(self._told)}." if self._told else ""
            self.self_watch.happened(
                Trouble.DATABASE,
                f"The database refused for {span(lasted_s)}: {refusal.why}. Nothing could be stored.{heard}",
            )
        if self._incident is not None:
            steady = Verdict(self._incident.key, Label.STEADY, note="The database takes everything again")
            over = step(self._incident, steady, AlertRule(), now).incident or self._incident
            self._over = about_group(over.id, NoticeKind.RESOLVED, Why.ALL_RESOLVED, [over], now)
        self._refusal, self._end_tries = None, 0

    async def _tell_end(self) -> None:
        """Tell those who know of it that it is over, until they have heard."""
        if self._over is None:
            return
        self._end_tries += 1
        for name in tuple(self._told):
            if await self._tell(name, self._over):
                del self._told[name]
        if not self._told or self._end_tries >= END_TRIES_MAX:
            self._over = self._incident = None
            self._told.clear()
            self._tried.clear()

    def _receivers(self, incident: Incident) -> tuple[str, ...]:
        told = self.routing.told(incident, self.notify)
        return tuple(dict.fromkeys(name for one in told for name in one.policy.receivers))

    async def _tell(self, receiver: str, message: Message) -> bool:
        """Whether the message has arrived; where it lies is kept."""
        channel = self.channels.get(receiver)
        if channel is None:
            return False
        mine = addressed(message, receiver, sequence=0).message
        is_repeat = mine.id in self._tried
        self._tried.add(mine.id)
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                thread = await channel.deliver(mine, self._told.get(receiver), is_repeat=is_repeat)
        except (DeliveryError, TimeoutError) as error:
            self.self_watch.problem(f"{receiver} could not be told directly: {error or 'no answer in time'}.")
            return False
        except Exception:
            self.self_watch.defect(f"telling {receiver} directly")
            return False
        self._told[receiver] = thread
        log.warning("told directly, as the database refuses", receiver=receiver, kind=message.kind.value)
        return True


def _verdict(refusal: Refusal) -> Verdict:
    finding = Finding(
        Severity.PAGE,
        Source.SELF_CHECK,
        f"The database refuses since {refusal.at:%Y-%m-%d %H:%M:%S} UTC: {refusal.why}. Nothing can be stored: traces "
        "are refused, runs wait, and of nothing else that is wrong will anybody hear.",
        {LABEL: Trouble.DATABASE.value},
        (("look at", "free disk space, the file's rights, whoever else holds the database"),),
    )
    return Verdict(f"{KEY}{Trouble.DATABASE}", Label.BREACHED, finding)
