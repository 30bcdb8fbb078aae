"""What the configuration says about alerting: receivers, rollbacks, and the budget of false alarms."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, SecretStr, model_validator

from .duration import Duration
from .rollback import DEFAULT_COOLDOWN_S, Mode, RollbackRule

MAX_PER_MINUTE = 60
"""How many messages a receiver gets in a minute, unless said otherwise; the rest of a storm is told in a digest."""

SECRET_BYTES = (24, 64)
"""How long a webhook secret is, by the Standard Webhooks specification."""


def _signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().removeprefix("whsec_")
    try:
        length = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except binascii.Error:
        length = 0
    if not SECRET_BYTES[0] <= length <= SECRET_BYTES[1]:
        raise ValueError(
            "a webhook secret is whsec_ and then 24 to 64 bytes in base64 (`openssl rand -base64 32`)"
        )
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_signing_secret)]
"""A Standard Webhooks secret, checked here so that it cannot fail at the first page."""


class _Strict(BaseModel):
    # Pydantic would show the value it refused, and some of these are secrets.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SlackConfig(_Strict):
    """A channel in Slack, written to by an app with the scope ``chat:write``."""

    token: SecretStr = Field(description="bot token of the Slack app, xoxb-...")
    channel: str = Field(min_length=1, description="channel id (C0123456789) or name (#on-call)")
    base_url: str = Field(default="https://slack.com/api/", description="where the Slack API is")


class WebhookConfig(_Strict):
    """An HTTP endpoint that takes signed messages (Standard Webhooks)."""

    url: HttpUrl = Field(description="where messages are posted")
    secret: SigningSecret = Field(description="the shared secret, whsec_...")
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")


class ReceiverConfig(_Strict):
    """Where messages for people go: exactly one kind of channel."""

    slack: SlackConfig | None = None
    webhook: WebhookConfig | None = None
    fallback: list[str] | None = Field(
        default=None,
        description="Who hears what this one could not be told, the first who does not know; by default all others.",
    )
    max_per_minute: int = Field(
        default=MAX_PER_MINUTE, ge=1, le=10_000, description="With more than this, the rest is one digest."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "ReceiverConfig":
        if (self.slack is None) == (self.webhook is None):
            raise ValueError("a receiver is exactly one of: slack, webhook")
        return self


class RollbackConfig(_Strict):
    """A deploy system that takes the order to roll back as a signed webhook."""

    url: HttpUrl = Field(description="where the order is posted")
    secret: SigningSecret = Field(description="the shared secret, whsec_...")
    mode: Mode = Field(
        default=Mode.DRY_RUN, description="dry-run only says what would be sent; live sends it"
    )
    cooldown: Duration = Field(
        default=DEFAULT_COOLDOWN_S, description="how long it stays quiet after it was used"
    )
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")

    def rule(self) -> RollbackRule:
        """What the guard needs to know."""
        return RollbackRule(mode=self.mode, cooldown_s=self.cooldown)


class BudgetConfig(_Strict):
    """How many false alarms the whole deployment may expect while nothing is wrong."""

    pages_per_quarter: float = Field(default=0.25, gt=0, description="expected false pages in 91 days")
    tickets_per_week: float = Field(default=1.0, gt=0, description="expected false tickets in 7 days")
    rollbacks_per_quarter: float = Field(
        default=0.02, gt=0, description="expected false rollbacks in 91 days"
    )
