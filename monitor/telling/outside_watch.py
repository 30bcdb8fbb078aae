"""What other systems hear of us while the daemon runs: what fires, and that the daemon itself is alive."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from alerts import DeliveryError, outbox_store, store
from alerts.alertmanager import RESENT_FOR_S, Exporter
from alerts.heartbeat import Heartbeat
from alerts.incident import Incident
from canaries.clock import Clock

from ..config import Config
from ..database import Database
from ..self_watch import SelfWatch, why
from ..telemetry import Metrics

OUTBOX_STUCK_S = 1800.0
"""How long a message may wait before the switch is told: until then the outbox tries again by itself."""


@dataclass
class OutsideWatch:
    """Sends what fires to the Alertmanagers, and signs of life to the dead man's switch, if there are any."""

    database: Database
    clock: Clock
    metrics: Metrics
    self_watch: SelfWatch
    exporter: Exporter | None = None
    export_every_s: float = 60.0
    heartbeat: Heartbeat | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Something about an incident has changed: the Alertmanagers hear of it now rather than in the next round."""
        self._news.set()

    async def export(self) -> None:
        """Send what fires for as long as the daemon lives."""
        while self.exporter is not None:
            self._news.clear()
            await self._export(self.exporter)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.export_every_s):
                    await self._news.wait()

    async def beat(self) -> None:
        """Send a sign of life, or what is wrong."""
        if self.heartbeat is None:
            return
        try:
            await self.heartbeat.beat(await self._trouble())
            self.metrics.outside.labels("heartbeat", "sent").inc()
        except DeliveryError as error:
            self.metrics.outside.labels("heartbeat", "failed").inc()
            self.self_watch.problem(f"The sign of life was not sent: {error}.")

    async def _export(self, exporter: Exporter) -> None:
        try:
            await exporter.send(await self.database.aread(lambda session: self._incidents(session)))
            self.metrics.outside.labels("alertmanager", "sent").inc()
        except SQLAlchemyError as error:
            self.self_watch.problem(f"The Alertmanager was not told what fires: {why(error)}.")
        except DeliveryError as error:
            self.metrics.outside.labels("alertmanager", "failed").inc()
            self.self_watch.problem(f"The Alertmanager was not told what fires: {error}.")
        except Exception:
            self.self_watch.defect("the export to the Alertmanager")

    def _incidents(self, session: Session) -> Sequence[Incident]:
        since = self.clock.now() - timedelta(seconds=RESENT_FOR_S)
        return (*store.open_incidents(session), *store.ended_since(session, since))

    async def _trouble(self) -> str:
        """What keeps the daemon from its work, in a line each; nothing where all is well."""
        reasons = list(self.self_watch.readiness().reasons)
        if reasons:
            return "\n".join(reasons)
        now = self.clock.now()
        oldest = (await self.database.aread(lambda session: outbox_store.backlog(session, now))).oldest_at
        waits_s = (now - oldest).total_seconds() if oldest else 0.0
        return f"a message has waited for {waits_s / 60:.0f} min" if waits_s > OUTBOX_STUCK_S else ""


def open_outside_watch(
    config: Config,
    database: Database,
    clock: Clock,
    metrics: Metrics,
    self_watch: SelfWatch,
    client: httpx.AsyncClient,
) -> OutsideWatch:
    """What the configuration asks for."""
    public_url = str(config.http.public_url) if config.http.public_url else None
    alertmanager, switch = config.alertmanager, config.heartbeat
    return OutsideWatch(
        database,
        clock,
        metrics,
        self_watch,
        exporter=Exporter(alertmanager, client, clock.now, public_url) if alertmanager else None,
        export_every_s=alertmanager.every if alertmanager else 60.0,
        heartbeat=Heartbeat(switch, client, clock.now) if switch else None,
    )
