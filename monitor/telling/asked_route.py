"""Who would be told of an incident that might be: the incident, and whom its rule names."""

from collections.abc import Mapping
from datetime import datetime

from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State

from ..config import Config


def incident_as_asked(
    labels: Mapping[str, str], severity: Severity, source: Source, key: str, now: datetime
) -> Incident:
    """An incident that fires now and is about these labels; there is none on record."""
    return Incident(
        id="this one",
        key=key,
        state=State.FIRING,
        severity=severity,
        finding=Finding(severity, source, "an incident", dict(labels)),
        opened_at=now,
        updated_at=now,
    )


def notified(config: Config, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Whom the target or the watch of these labels names, for a configuration without routes."""
    target = config.targets.get(labels.get("target", ""))
    if target is not None:
        return tuple(target.notify)
    watch = next((one for one in config.watches if one.name == labels.get("watch")), None)
    return tuple(watch.notify) if watch is not None else config.told_of_silence()
