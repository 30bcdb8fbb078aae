"""What the configuration says about alerting: receivers, rollbacks, and the budget of false alarms."""

import base64
import binascii
from collections.abc import Mapping
from re import fullmatch
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    field_validator,
    model_validator,
)

from .duration import Duration
from .finding import Severity
from .rollback import (
    DEFAULT_ANSWER_WITHIN_S,
    DEFAULT_COOLDOWN_S,
    DEFAULT_PER_WEEK_MAX,
    DEFAULT_RECOVER_WITHIN_S,
    DEFAULT_REPLAY_AFTER_S,
    Mode,
    RollbackRule,
)
from .self_test_config import SelfTestConfig

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


def _mentioned(name: str) -> str:
    if not fullmatch("[UWS][A-Z0-9]{6,}|here|channel", name):
        raise ValueError(
            "name a user by id (U0123456789), a user group by id (S0123456789), here, or channel"
        )
    return name


LabelName = Annotated[str, Field(pattern="^[A-Za-z_][0-9A-Za-z_]*$")]
"""A label as Prometheus takes it."""

Mentioned = Annotated[str, AfterValidator(_mentioned)]
"""Somebody in Slack."""


class _Strict(BaseModel):
    # Pydantic would show the value it refused, and some of these are secrets.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class MentionsConfig(_Strict):
    """Who is called by name in Slack when something begins or gets worse, by how bad it is."""

    page: tuple[Mentioned, ...] = ()
    ticket: tuple[Mentioned, ...] = ()
    info: tuple[Mentioned, ...] = ()

    def of(self, severity: Severity) -> tuple[str, ...]:
        """Those who are called for this severity."""
        return {Severity.PAGE: self.page, Severity.TICKET: self.ticket, Severity.INFO: self.info}[severity]


class SlackConfig(_Strict):
    """A channel in Slack, written to by an app with the scopes ``chat:write`` and, for pictures, ``files:write``."""

    token: SecretStr = Field(description="bot token of the Slack app, xoxb-...")
    channel: str = Field(min_length=1, description="channel id (C0123456789) or name (#on-call)")
    mentions: MentionsConfig = Field(
        default=MentionsConfig(), description="users (U...), user groups (S...), here or channel, by severity"
    )
    app_token: SecretStr | None = Field(
        default=None, description="xapp-..., for buttons by Socket Mode: nobody need reach us from outside"
    )
    signing_secret: SecretStr | None = Field(
        default=None, description="for buttons by requests of Slack to /api/slack/actions"
    )
    picture: bool = Field(
        default=True,
        description="whether the first message is followed by a picture of what moved; needs the scope files:write",
    )
    base_url: str = Field(default="https://slack.com/api/", description="where the Slack API is")

    @property
    def has_buttons(self) -> bool:
        """Whether we hear of buttons that people press."""
        return self.app_token is not None or self.signing_secret is not None


class SlackWebhookConfig(_Strict):
    """An incoming webhook of Slack: the simple way, without threads."""

    url: SecretStr = Field(description="https://hooks.slack.com/services/...")
    mentions: MentionsConfig = Field(default=MentionsConfig(), description="as in slack")
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("an incoming webhook is an address, https://hooks.slack.com/services/...")
        return url


class PagerDutyConfig(_Strict):
    """A service of PagerDuty, by an integration of the kind Events API v2."""

    routing_key: SecretStr = Field(description="the integration key, 32 letters and digits")
    webhook_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="for what people do in PagerDuty, told by its webhook to /api/pagerduty/events",
    )
    url: str = Field(default="https://events.pagerduty.com/v2/enqueue", description="where events are posted")
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")

    @field_validator("routing_key")
    @classmethod
    def _is_key(cls, key: SecretStr) -> SecretStr:
        if not fullmatch("[0-9A-Za-z]{32}", key.get_secret_value()):
            raise ValueError("an integration key of the Events API v2 has 32 letters and digits")
        return key


class AppriseConfig(_Strict):
    """E-mail and some hundred other services, by their addresses in Apprise."""

    url: SecretStr = Field(description="such as mailtos://user:password@example.com?to=oncall@example.com")
    timeout: Duration = Field(default=30.0, gt=0, description="how long one attempt may take")

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: SecretStr) -> SecretStr:
        # Imported here: it takes a second, which only those who use it should spend.
        from .channels.apprise_address import service

        service(url.get_secret_value())
        return url


class WebhookConfig(_Strict):
    """An HTTP endpoint that takes signed messages (Standard Webhooks)."""

    url: HttpUrl = Field(description="where messages are posted")
    secret: SigningSecret = Field(description="the shared secret, whsec_...")
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")


CHANNEL_KINDS = ("slack", "slack_webhook", "pagerduty", "apprise", "webhook")
"""The kinds of channels that a receiver may be."""


class ReceiverConfig(_Strict):
    """Where messages for people go: exactly one kind of channel."""

    slack: SlackConfig | None = None
    slack_webhook: SlackWebhookConfig | None = None
    pagerduty: PagerDutyConfig | None = None
    apprise: AppriseConfig | None = None
    webhook: WebhookConfig | None = None
    fallback: list[str] | None = Field(
        default=None,
        description="Who hears what this one could not be told, the first who does not know; by default all others.",
    )
    max_per_minute: int = Field(
        default=MAX_PER_MINUTE, ge=1, le=10_000, description="With more than this, the rest is one digest."
    )
    self_test: SelfTestConfig | None = Field(
        default=None,
        description="When a marked test is sent there by itself: weekly, daily, or on, at, time_zone.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "ReceiverConfig":
        if sum(getattr(self, kind) is not None for kind in CHANNEL_KINDS) != 1:
            raise ValueError(f"a receiver is exactly one of: {', '.join(CHANNEL_KINDS)}")
        return self


class AlertmanagerConfig(_Strict):
    """An Alertmanager that gets every incident that fires, and tells people by its own routes."""

    urls: tuple[HttpUrl, ...] = Field(
        min_length=1, description="one, or all of a cluster: http://alertmanager:9093"
    )
    every: Duration = Field(
        default=60.0, ge=1, le=3600, description="how often alerts are sent again while they fire"
    )
    labels: Mapping[LabelName, str] = Field(default_factory=dict, description="labels that every alert gets")
    watchdog: bool = Field(
        default=True, description="whether AnchorwatchWatchdog always fires, for a dead man's switch"
    )
    bearer_token: SecretStr | None = Field(default=None, description="where the Alertmanager asks for one")
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")


class HeartbeatConfig(_Strict):
    """A dead man's switch: it raises the alarm when no sign of life comes any more."""

    url: SecretStr = Field(description="the ping address, such as https://hc-ping.com/UUID")
    every: Duration = Field(
        default=60.0, ge=5, le=86_400, description="how often; the switch waits a little longer"
    )
    tells_trouble: bool = Field(
        default=True, description="whether URL/fail is pinged when Anchorwatch runs and cannot do its work"
    )
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("a ping address begins with https://")
        return url


class RollbackConfig(_Strict):
    """A deploy system that takes the order to roll back as a signed webhook."""

    url: HttpUrl = Field(description="where the order is posted")
    secret: SigningSecret = Field(description="the shared secret, whsec_...")
    mode: Mode = Field(
        default=Mode.DRY_RUN,
        description="dry-run only says what would be sent; ask sends it when a person approves; live sends it",
    )
    cooldown: Duration = Field(
        default=DEFAULT_COOLDOWN_S, description="how long it stays quiet after it was used"
    )
    per_week: int = Field(
        default=DEFAULT_PER_WEEK_MAX, ge=1, le=100, description="how often it is used in seven days at most"
    )
    answer_within: Duration = Field(
        default=DEFAULT_ANSWER_WITHIN_S, ge=60, le=86_400, description="how long mode ask waits for a person"
    )
    replay_after: Duration = Field(
        default=DEFAULT_REPLAY_AFTER_S,
        ge=0,
        le=86_400,
        description="how soon after the order the canaries are replayed, to see whether it helped",
    )
    recover_within: Duration = Field(
        default=DEFAULT_RECOVER_WITHIN_S,
        ge=60,
        le=7 * 86_400,
        description="how long after the order the incident may go on, until it has not helped",
    )
    timeout: Duration = Field(default=10.0, gt=0, description="how long one attempt may take")

    def rule(self) -> RollbackRule:
        """What the guard needs to know."""
        return RollbackRule(
            self.mode,
            self.cooldown,
            self.answer_within,
            self.per_week,
            self.replay_after,
            self.recover_within,
        )


class BudgetConfig(_Strict):
    """How many false alarms the whole deployment may expect while nothing is wrong."""

    pages_per_quarter: float = Field(default=0.25, gt=0, description="expected false pages in 91 days")
    tickets_per_week: float = Field(default=1.0, gt=0, description="expected false tickets in 7 days")
    rollbacks_per_quarter: float = Field(
        default=0.02, gt=0, description="expected false rollbacks in 91 days"
    )
