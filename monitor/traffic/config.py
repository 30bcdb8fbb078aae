"""What an operator can set about production traffic: the receiver, and watches."""

import re
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from canaries.duration import Duration
from canaries.suite import Expectations, ExpectDocument

Pattern = str | list[str]
"""One value, or a list of them; ``*`` and ``?`` stand for any characters and any one character."""


def fits(pattern: Pattern | None, value: str) -> bool:
    """Whether the value is one that the pattern stands for; no pattern stands for all."""
    if pattern is None:
        return True
    return any(fnmatchcase(value, one) for one in ([pattern] if isinstance(pattern, str) else pattern))


KEEP_FIRING_S = 900.0
"""How long a watch must be steady before its incident ends, unless it looks back further or is told otherwise."""

LOOK_BACK_MAX_S = 86_400.0
"""How far back a watch may look: what it reads each time stays bounded."""

BASELINE_S = 7 * 86_400.0
"""How much history a shift is measured against, unless it is told otherwise: every hour of the week."""

CONTROL_BASELINE_S = 86_400.0
"""How much history says where the slowest calls begin, when they are then counted beside a control."""

BASELINE_MAX_S = 28 * 86_400.0
"""The longest baseline: windows are kept a little longer."""


class Unit(StrEnum):
    """What a threshold is counted in."""

    SECONDS = "seconds"
    SHARE = "share"
    DOLLARS = "dollars"


class Measure(StrEnum):
    """What a watch looks at.

    Latency is of answered calls and timeouts, cost of calls with a known price, validator failures of answers that
    were checked.
    """

    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    TTFT_P50 = "ttft_p50"
    TTFT_P95 = "ttft_p95"
    TTFT_P99 = "ttft_p99"
    ERROR_SHARE = "error_share"
    COST_PER_CALL = "cost_per_call"
    COST_P95 = "cost_p95"
    VALIDATOR_FAILURES = "validator_failures"

    @property
    def unit(self) -> Unit:
        """What the measure's values and thresholds are counted in."""
        if self in (Measure.ERROR_SHARE, Measure.VALIDATOR_FAILURES):
            return Unit.SHARE
        return Unit.DOLLARS if self.startswith("cost") else Unit.SECONDS

    @property
    def is_share(self) -> bool:
        """Whether the measure is the share of calls that failed in some way, which needs no limit."""
        return self.unit is Unit.SHARE

    @property
    def quantile(self) -> float | None:
        """The quantile that the measure is; ``None`` when it is a mean or a share."""
        tail = re.search(r"_p(\d+)$", self)
        return int(tail.group(1)) / 100 if tail else None


class MatchConfig(BaseModel):
    """Which calls a watch or a validator looks at; what is left out matches all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Pattern | None = Field(None, description="service.name of the application.")
    environment: Pattern | None = Field(None, description="deployment.environment.name of the application.")
    version: Pattern | None = Field(None, description="service.version of the application.")
    operation: Pattern | None = Field(None, description="chat or embeddings.")
    provider: Pattern | None = Field(
        None, description="As in OpenTelemetry: openai, anthropic, aws.bedrock, ..."
    )
    model: Pattern | None = Field(None, description="The model asked for, or the one that answered.")


class ShiftConfig(BaseModel):
    """What a watch without a threshold compares with: its own history, or other calls of the same time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Annotated[Duration, Field(ge=300, le=LOOK_BACK_MAX_S)] = Field(
        3_600.0,
        description="The period that is judged as one: whole minutes, of which a day has a whole number.",
    )
    baseline: Annotated[Duration, Field(ge=3_600, le=BASELINE_MAX_S)] | None = Field(
        None,
        description="How much history is frozen as what is usual; by default 1w, and 1d beside a control. What is "
        "stored already counts.",
    )
    since: AwareDatetime | None = Field(
        None, description="No history from before this moment: set it after a change that was meant."
    )
    control: MatchConfig | None = Field(
        None,
        description="Compare with these calls of the same time (the version before, another region or model) instead "
        "of with history: what both share, such as load, is no shift.",
    )
    importance: float = Field(
        1.0, gt=0, description="Share of the page budget, beside other shift watches and targets."
    )

    @property
    def baseline_s(self) -> float:
        """How much history is frozen."""
        if self.baseline is not None:
            return self.baseline
        return BASELINE_S if self.control is None else CONTROL_BASELINE_S

    @property
    def periods(self) -> int:
        """How many periods with enough calls make the baseline."""
        return max(2, round(self.baseline_s / self.every))

    @field_validator("every")
    @classmethod
    def _divides_the_day(cls, value: float) -> float:
        if value % 60 or 86_400 % value:
            raise ValueError(
                "a day has to be a whole number of periods, and each whole minutes: 15m, 1h, 4h, ..."
            )
        return value

    @model_validator(mode="after")
    def _enough_to_freeze(self) -> "ShiftConfig":
        if self.control is None and self.baseline_s < 8 * self.every:
            raise ValueError(
                "a baseline needs 8 periods at least, half of them to rank against; a week is usual"
            )
        return self


class WatchConfig(BaseModel):
    """A rule over production traffic: a measure of the last minutes against a fixed threshold, or its shift.

    With a threshold it is breached when the measure is surely beyond it, given how many calls were seen. With
    ``shift`` it is breached when the ledger has enough evidence, within the page budget.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(min_length=1, max_length=64, description="What the watch is called in messages.")
    match: MatchConfig = Field(default_factory=MatchConfig, description="Which calls it looks at.")
    measure: Measure = Field(description="What it looks at.")
    above: float | None = Field(
        None, description='Breached when surely above this: "8s", "2%" or "$0.02", as the measure is.'
    )
    below: float | None = Field(None, description="Breached when surely below this; instead of above.")
    shift: ShiftConfig | None = Field(
        None,
        description="Breached when it has shifted from its own history or from a control; instead of a threshold.",
    )
    over: Annotated[Duration, Field(ge=60, le=LOOK_BACK_MAX_S)] = Field(
        300.0, description="How far back it looks."
    )
    for_: Annotated[Duration, Field(ge=0)] = Field(
        0.0, alias="for", description="How long it must stay breached before anybody is told."
    )
    keep_firing_for: Annotated[Duration, Field(ge=0)] | None = Field(
        None,
        description="How long it must be steady before its incident ends; by default as long as `over`, "
        "and 15m at least.",
    )
    min_calls: int = Field(
        20, ge=1, description="With fewer calls than this in the look-back it says nothing."
    )
    severity: Literal["page", "ticket"] = Field("page", description="How loudly it tells.")
    notify: list[str] = Field(default_factory=list, description="Receivers who are told, by name.")
    rollback: str | None = Field(None, description="The rollback that a breach asks for, by name.")

    @property
    def keep_firing_s(self) -> float:
        """How long it must be steady before its incident ends."""
        return max(self.over, KEEP_FIRING_S) if self.keep_firing_for is None else self.keep_firing_for

    @field_validator("above", "below", mode="before")
    @classmethod
    def _threshold(cls, value: object, info: ValidationInfo) -> object:
        measure = info.data.get("measure")
        if value is None or measure is None:  # without a measure the problem is told there
            return None
        return parse_threshold(value, measure)

    @model_validator(mode="after")
    def _one_threshold(self) -> "WatchConfig":
        if sum(one is not None for one in (self.above, self.below, self.shift)) != 1:
            raise ValueError("a watch has either above or below, or else shift, and one of them")
        return self

    @model_validator(mode="after")
    def _what_a_shift_can_look_at(self) -> "WatchConfig":
        if self.shift is None:
            return self
        if said := {"over", "for_", "keep_firing_for"} & self.model_fields_set:
            names = ", ".join(sorted(name.rstrip("_") for name in said))
            raise ValueError(
                f"{names}: belongs to a threshold; a shift is judged period by period (shift: every)"
            )
        if self.shift.control is not None:
            if self.measure is Measure.COST_PER_CALL:
                raise ValueError(
                    "cost_per_call is a mean, and a control compares shares of calls: use cost_p95"
                )
            if self.shift.control == self.match:
                raise ValueError("the control is what the watch itself looks at: name other calls")
        return self


ANSWER_CHARS_MAX = 100_000
"""The longest answer that a validator may allow: more of it is not read."""


class ValidatorConfig(BaseModel):
    """What is expected of answers in production, where spans carry them; only passed and failed is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, description="What the validator is called in messages.")
    match: MatchConfig = Field(default_factory=MatchConfig, description="The calls whose answers it checks.")
    expect: ExpectDocument = Field(description="What is expected of them, as of the answers to a canary.")

    @field_validator("expect")
    @classmethod
    def _can_fail(cls, value: ExpectDocument) -> ExpectDocument:
        if value.expectations() == Expectations():
            raise ValueError("expects nothing: name json, matches, labels, max_length, no_refusal, ...")
        if value.max_length is not None and value.max_length > ANSWER_CHARS_MAX:
            raise ValueError(f"max_length is {ANSWER_CHARS_MAX:,} at most: more of an answer is not read")
        return value


Dollars = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ModelPriceConfig(BaseModel):
    """What a model's tokens cost you, instead of by the price list: a price agreed on, or of a model of your own.

    Prices are dollars for a million tokens. It holds for calls that started on the day ``from`` or later.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    model: Pattern = Field(description="The model that answered, or the one asked for.")
    provider: Pattern | None = Field(
        None, description="As in OpenTelemetry: openai, azure.ai.openai, ...; without it whoever answered."
    )
    from_: date | None = Field(
        None, alias="from", description="The first day it holds, in UTC; without it all days."
    )
    input_usd_per_mtok: Dollars = Field(
        description="Input that is neither read from a cache nor written to one."
    )
    cached_input_usd_per_mtok: Dollars | None = Field(
        None, description="Input read from a cache; without it, as other input."
    )
    cache_write_usd_per_mtok: Dollars | None = Field(
        None, description="Input written to a cache; without it, as other input."
    )
    output_usd_per_mtok: Dollars = Field(description="Output, reasoning included; 0 for embeddings.")

    @property
    def since(self) -> date:
        """The first day it holds."""
        return self.from_ or date.min

    @field_validator("model", "provider")
    @classmethod
    def _names_something(cls, value: Pattern | None) -> Pattern | None:
        if value is not None and (not value or not all([value] if isinstance(value, str) else value)):
            raise ValueError('write a name, a pattern ("gpt-4o*") or a list of them')
        return value


class TlsConfig(BaseModel):
    """The files, in PEM form, with which the receiver of traces proves who it is, and has senders prove it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path = Field(description="The certificate, and those between it and its authority.")
    key: Path = Field(description="The certificate's private key, without a passphrase.")
    client_ca: Path | None = Field(
        None, description="The authorities of senders: who has no certificate of theirs is not let in."
    )


def _token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise ValueError("must be plain ASCII without spaces, and not empty: senders put it into a header")
    return token


class OtlpConfig(BaseModel):
    """The receiver of production traces (OTLP over HTTP and gRPC), who may send, and what it takes at most."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    http_port: int = Field(4318, ge=0, le=65535, description="Port of OTLP/HTTP; 0 takes a free one.")
    grpc_port: Annotated[int, Field(ge=0, le=65535)] | Literal["off"] = Field(
        4317, description="Port of OTLP/gRPC; 0 takes a free one, `off`: none."
    )
    token: Annotated[SecretStr, AfterValidator(_token)] | None = Field(
        None, description="What senders must show as a bearer token; write ${NAME}, not the token."
    )
    tls: TlsConfig | None = Field(None, description="Take traces over TLS; without it in the clear.")
    max_body_bytes: int = Field(8 * 2**20, ge=1024, description="Largest request body, as sent.")
    max_decompressed_bytes: int = Field(16 * 2**20, ge=1024, description="Largest request body, unpacked.")
    max_in_flight_bytes: int = Field(
        64 * 2**20,
        ge=1024,
        description="Largest sum of unpacked bodies at work; beyond it senders are asked to wait.",
    )

    @field_validator("token", "tls", mode="before")
    @classmethod
    def _is_not_left_empty(cls, value: object) -> object:
        if value is None:  # whoever wrote the line meant to close the door
            raise ValueError("is left empty; without the line everybody may send, over plain HTTP")
        return value


_UNITS_OF_TIME_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_EXAMPLES = {Unit.SECONDS: '"8s" or "500ms"', Unit.SHARE: '"2%" or 0.02', Unit.DOLLARS: '"$0.02" or 0.02'}


def parse_threshold(value: object, measure: Measure) -> float:
    """The threshold in the measure's own unit. Raises ValueError, saying what would be right."""
    number = _number(value, measure.unit)
    if number is None or number < 0 or (measure.unit is Unit.SHARE and number > 1):
        raise ValueError(
            f"{measure.value} is measured in {measure.unit.value}: write {_EXAMPLES[measure.unit]}"
        )
    return number


def _number(value: object, unit: Unit) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    written = re.fullmatch(r"(\$?)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%|ms|s|m|h)?", value.strip())
    if written is None:
        return None
    dollar, digits, suffix = written.groups()
    if bool(dollar) > (unit is Unit.DOLLARS):
        return None
    if suffix == "%":
        return float(digits) / 100 if unit is Unit.SHARE else None
    if suffix:
        return float(digits) * _UNITS_OF_TIME_S[suffix] if unit is Unit.SECONDS and not dollar else None
    return float(digits)
