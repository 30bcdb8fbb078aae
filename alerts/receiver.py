"""What is known of a receiver: whether anything ever arrived there as it is set up now. Pure."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr

from .config import CHANNEL_KINDS, ReceiverConfig

NOT_THE_WAY = ("picture",)
"""Settings of a receiver that say nothing of how it is reached: with another value it is as well known as before."""


class ReceiverState(StrEnum):
    """Whether a receiver works, as far as anybody knows."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    """Nothing has arrived there since it was set up as it is."""
    FAILING = "failing"
    """The last message there was given up."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one receiver, since it was set up as it is now at ``configured_at``.

    ``confirmed_at`` is when it last took a message, ``failed_at`` when a message there was last given up, ``tested_at``
    when its last scheduled test was sent.
    """

    receiver: str
    configured_at: datetime
    confirmed_at: datetime | None = None
    failed_at: datetime | None = None
    error: str = ""
    tested_at: datetime | None = None

    @property
    def state(self) -> ReceiverState:
        """Whether it works, as far as is known."""
        if self.failed_at is not None and (self.confirmed_at is None or self.failed_at > self.confirmed_at):
            return ReceiverState.FAILING
        return ReceiverState.UNCONFIRMED if self.confirmed_at is None else ReceiverState.CONFIRMED

    @property
    def said(self) -> str:
        """What is known, in a sentence."""
        if self.state is ReceiverState.FAILING:
            return f"a message was given up at {self.failed_at:%Y-%m-%d %H:%M} UTC: {self.error}"
        if self.state is ReceiverState.UNCONFIRMED:
            return f"nothing has arrived since it was set up as it is, at {self.configured_at:%Y-%m-%d %H:%M} UTC"
        return f"last took a message at {self.confirmed_at:%Y-%m-%d %H:%M} UTC"


def kind_of(config: ReceiverConfig) -> str:
    """What kind of channel the receiver is."""
    return next(kind for kind in CHANNEL_KINDS if getattr(config, kind) is not None)


def fingerprint(config: ReceiverConfig, secret: bytes) -> str:
    """A name for the way to a receiver as it is set up: another token, address or channel has another one.

    It is keyed, for it holds what only the deployment may know.
    """
    kind = kind_of(config)
    facts = {"kind": kind, "channel": _plain(getattr(config, kind))}
    text = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return hmac.new(secret, text, sha256).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        names = (name for name in type(value).model_fields if name not in NOT_THE_WAY)
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
