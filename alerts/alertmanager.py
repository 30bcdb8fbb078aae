"""Incidents as alerts of an Alertmanager that is there already: sent again while they fire, as Prometheus does it.

It tells people by its own routes, silences and inhibitions, so it gets every incident that fires, whoever else is
told. Nothing is remembered between two rounds: what one of them missed the next one says.
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from . import DeliveryError
from .channels.posting import Poster
from .config import AlertmanagerConfig
from .incident import Incident
from .message import incident_page

RESENT_FOR_S = 900.0
"""How long it is said of an incident that it is over, as Prometheus does it: the Alertmanager may have been away."""

ROUNDS_VALID = 4
"""For how many rounds an alert holds without being sent again: the Alertmanager ends it if we are gone."""

MAX_BATCH = 500
"""How many alerts are sent in one request."""

WATCHDOG = "AnchorwatchWatchdog"
"""The alert that always fires: a route for it to a dead man's switch tells when it stops."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """Sends what fires to every Alertmanager of a cluster, which tell each other what they sent."""

    config: AlertmanagerConfig
    client: httpx.AsyncClient
    now: Callable[[], datetime]
    public_url: str | None = None

    async def send(self, incidents: Sequence[Incident]) -> int:
        """To how many of them all of it went. Raises DeliveryError, with what each of them said, when it was none."""
        now = self.now()
        alerts = alerts_of(
            incidents, now, self.config.every * ROUNDS_VALID, self.public_url, self.config.labels
        )
        if self.config.watchdog:
            alerts.append(_watchdog(now, self.config.every * ROUNDS_VALID, self.config.labels))
        results = await asyncio.gather(
            *(self._send(str(url), alerts) for url in self.config.urls), return_exceptions=True
        )
        refused = [one for one in results if isinstance(one, BaseException)]
        for one in refused:
            if not isinstance(one, DeliveryError):
                raise one
        if len(refused) == len(results):
            raise DeliveryError("; ".join(map(str, refused)))
        return len(results) - len(refused)

    async def _send(self, url: str, alerts: Sequence[Mapping[str, Any]]) -> None:
        address = f"{url.rstrip('/')}/api/v2/alerts"
        poster = Poster(f"the Alertmanager at {url}", address, self.config.timeout, self.client, self.now)
        token = self.config.bearer_token
        headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        for first in range(0, len(alerts), MAX_BATCH):
            answer = await poster.post(orjson.dumps(alerts[first : first + MAX_BATCH]), headers)
            if not answer.is_success:
                raise DeliveryError(f"{poster.name} answered {answer.status}: {answer.text[:200].strip()}")


def alerts_of(
    incidents: Iterable[Incident],
    now: datetime,
    valid_s: float,
    public_url: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The alerts of incidents that fire, and of those that are over since a short time."""
    return [
        _alert(incident, now, valid_s, public_url, labels or {})
        for incident in incidents
        if incident.is_firing or _is_lately_over(incident, now)
    ]


def _is_lately_over(incident: Incident, now: datetime) -> bool:
    ended_at = incident.resolved_at
    return (
        ended_at is not None
        and incident.firing_since is not None
        and (now - ended_at).total_seconds() <= RESENT_FOR_S
    )


def _alert(
    incident: Incident, now: datetime, valid_s: float, public_url: str | None, labels: Mapping[str, str]
) -> dict[str, Any]:
    finding = incident.finding
    ends_at = incident.resolved_at or now + timedelta(seconds=valid_s)
    # Labels are what an alert is known by: nothing may stand there that changes while it fires, but how bad it is.
    alert: dict[str, Any] = {
        "labels": {
            **{_label_name(name): value for name, value in finding.labels.items() if value},
            **labels,
            "alertname": _alert_name(incident.key),
            "incident_key": incident.key,
            "severity": incident.severity.name.lower(),
            "source": finding.source.value,
        },
        "annotations": {
            "summary": finding.summary,
            "description": "\n".join(f"{name}: {value}" for name, value in finding.evidence),
            "incident": incident.id,
        },
        "startsAt": _time(incident.firing_since or incident.opened_at),
        "endsAt": _time(ends_at),
    }
    if public_url:
        alert["generatorURL"] = f"{public_url.rstrip('/')}/{incident_page(incident.id)}"
    return alert


def _watchdog(now: datetime, valid_s: float, labels: Mapping[str, str]) -> dict[str, Any]:
    said = (
        "Anchorwatch runs and reaches this Alertmanager. Tell a dead man's switch of this alert, not people."
    )
    return {
        "labels": {**labels, "alertname": WATCHDOG, "severity": "none"},
        "annotations": {"summary": said},
        "startsAt": _time(now),
        "endsAt": _time(now + timedelta(seconds=valid_s)),
    }


def _alert_name(key: str) -> str:
    """``drift/support-bot`` gives ``AnchorwatchDrift``."""
    words = re.findall(r"[0-9A-Za-z]+", key.partition("/")[0])
    return "Anchorwatch" + "".join(word[:1].upper() + word[1:] for word in words)


def _label_name(name: str) -> str:
    # What every version of the Alertmanager takes: newer ones take more.
    clean = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return f"_{clean}" if clean[:1].isdigit() or not clean else clean


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
