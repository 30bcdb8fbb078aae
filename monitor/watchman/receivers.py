"""Whether the receivers of a deployment work, as far as anybody knows, and when each is tested by itself."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from alerts import receiver_store
from alerts.receiver import Standing, fingerprint, kind_of
from alerts.self_test import SelfTest
from dashboards.view import ReceiverState, ReceiverStatus

from .. import store
from ..config import Config, Deployment

NOT_KNOWN_YET = "no daemon has run with it as it is set up, and nobody has tested it"
"""What is said of a receiver of which nothing is on record."""


def fingerprints(config: Config, secret: bytes) -> dict[str, str]:
    """How each receiver is set up, by name."""
    return {name: fingerprint(one, secret) for name, one in config.receivers.items()}


def self_tests(config: Config) -> Mapping[str, SelfTest]:
    """When each receiver is tested, of those that are."""
    return {name: one.self_test.test() for name, one in config.receivers.items() if one.self_test}


def receivers(session: Session, deployment: Deployment, now: datetime) -> tuple[ReceiverStatus, ...]:
    """What is known of each receiver of a configuration that a daemon runs with."""
    return _receivers(deployment, receiver_store.standings(session), now)


def receivers_of_file(session: Session, deployment: Deployment, now: datetime) -> tuple[ReceiverStatus, ...]:
    """The same of a configuration that may have been changed since a daemon last ran with it."""
    secret = store.known_secret(session)
    known = receiver_store.standings(session, fingerprints(deployment.config, secret)) if secret else {}
    return _receivers(deployment, known, now)


def unknown_receivers(deployment: Deployment, now: datetime) -> tuple[ReceiverStatus, ...]:
    """The same where there is no database yet."""
    return _receivers(deployment, {}, now)


def _receivers(
    deployment: Deployment, known: Mapping[str, Standing], now: datetime
) -> tuple[ReceiverStatus, ...]:
    tests = self_tests(deployment.config)
    return tuple(
        _status(name, kind_of(one), known.get(name), tests[name].next_due(now) if name in tests else None)
        for name, one in deployment.config.receivers.items()
    )


def _status(name: str, kind: str, one: Standing | None, next_test_at: datetime | None) -> ReceiverStatus:
    if one is None:
        return ReceiverStatus(name, kind, ReceiverState.UNCONFIRMED, NOT_KNOWN_YET, next_test_at=next_test_at)
    state = ReceiverState(one.state.value)
    return ReceiverStatus(name, kind, state, one.said, one.confirmed_at, next_test_at)
