"""What the daemon itself keeps: the deployment's secret, and what the canary flow remembers between runs."""

import secrets
from datetime import datetime

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from .tables import CanaryWatchRow, SettingRow

_SECRET = "deployment_secret"  # noqa: S105 - the name of the setting, not its value
_ALIVE_AT = "alive_at"

# Built once, as every run needs it: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_MEMORY = select(CanaryWatchRow.state_json).where(
    col(CanaryWatchRow.target) == bindparam("of_target"),
    col(CanaryWatchRow.baseline_id) == bindparam("of_baseline"),
)


def deployment_secret(session: Session) -> bytes:
    """The secret that keys answer hashes and tie-breaks; made at first use, the same ever after."""
    secret = known_secret(session)
    if secret is None:
        secret = secrets.token_bytes(32)
        save_secret(session, secret)
    return secret


def known_secret(session: Session) -> bytes | None:
    """The deployment's secret, if it has one yet."""
    row = session.get(SettingRow, _SECRET)
    return None if row is None else bytes.fromhex(row.value)


def save_secret(session: Session, secret: bytes) -> None:
    """Have this as the deployment's secret."""
    session.merge(SettingRow(name=_SECRET, value=secret.hex()))
    session.flush()


def alive_at(session: Session) -> datetime | None:
    """When a daemon last wrote down that it runs, or ``None``."""
    row = session.get(SettingRow, _ALIVE_AT)
    return None if row is None else datetime.fromisoformat(row.value)


def save_alive(session: Session, now: datetime) -> None:
    """Write down that the daemon runs."""
    session.merge(SettingRow(name=_ALIVE_AT, value=now.isoformat()))


def load_memory(session: Session, target: str, baseline_id: str) -> str | None:
    """What was saved for the target under this baseline, as JSON, or ``None``."""
    here = {"of_target": target, "of_baseline": baseline_id}
    return session.exec(_MEMORY, params=here).one_or_none()


def save_memory(session: Session, target: str, baseline_id: str, state_json: str) -> None:
    """Keep ``state_json`` for the target under this baseline, in place of what was there."""
    session.merge(CanaryWatchRow(target=target, baseline_id=baseline_id, state_json=state_json))
