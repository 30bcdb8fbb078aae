"""What an operator can set about production traffic, beside watches: the receiver, validators, prices."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from canaries.suite import Expectations, ExpectDocument

from .labels import label_of, usual_verdict
from .watches.filters import Attribute
from .watches.match import MatchConfig, Pattern

ANSWER_CHARS_MAX = 100_000
"""The longest answer that a validator may allow: more of it is not read."""

LABELS_MAX = 50
"""How many labels may be named of one evaluation that have passed, and that have failed."""

Score = Annotated[float, Field(allow_inf_nan=False)]


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


def _labels(told: object) -> object:
    """Labels as they are compared, from one or a list of them."""
    labels = []
    for one in told if isinstance(told, list | tuple) else [told]:
        label = label_of(one)
        if label is None:
            raise ValueError(f"{one!r} is no label: write words; for scores draw a line with min and max")
        labels.append(label)
    return tuple(labels)


Labels = Annotated[tuple[str, ...], BeforeValidator(_labels), Field(max_length=LABELS_MAX)]


class EvaluationConfig(BaseModel):
    """When an evaluation that applications send has passed, and where it lies if no convention says that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: Attribute | None = Field(
        None,
        description="The attribute of the call's span that holds its score, its label, or true and false.",
    )
    min: Score | None = Field(None, description="Passed from this score on, which is among them.")
    max: Score | None = Field(None, description="Passed up to this score, which is among them.")
    passed: Labels = Field(
        (), description="Labels that have passed; without `failed` all others have failed."
    )
    failed: Labels = Field(
        (), description="Labels that have failed; without `passed` all others have passed."
    )

    @field_validator("attribute")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and any(map(str.isspace, value)):
            raise ValueError(
                "has a space in it: write the name of the attribute as your application sends it"
            )
        return value

    @model_validator(mode="after")
    def _leaves_room(self) -> "EvaluationConfig":
        if self.min is None and self.max is None and not (self.passed or self.failed or self.attribute):
            raise ValueError("draws no line: name min, max or both, or the labels that have passed or failed")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("no score passes: min is above max")
        if both := sorted(set(self.passed).intersection(self.failed)):
            raise ValueError(f"says of {', '.join(both)} both that it has passed and that it has failed")
        return self

    def passes(self, score: float) -> bool | None:
        """Whether an answer with this score has passed; ``None`` where no line is drawn."""
        if self.min is None and self.max is None:
            return None
        return (self.min is None or score >= self.min) and (self.max is None or score <= self.max)

    def verdict(self, label: str) -> bool | None:
        """Whether an answer with this label has passed; ``None`` where the label says neither."""
        if not self.passed and not self.failed:
            return usual_verdict(label)
        if label in self.passed or label in self.failed:
            return label in self.passed
        return None if self.passed and self.failed else not self.passed


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

    @model_validator(mode="after")
    def _has_room_for_one(self) -> "OtlpConfig":
        largest = max(self.max_body_bytes, self.max_decompressed_bytes)
        if self.max_in_flight_bytes < largest:
            raise ValueError(
                f"max_in_flight_bytes is {self.max_in_flight_bytes:,}, and one request may have {largest:,} "
                "(max_body_bytes, max_decompressed_bytes): it would be put off for ever"
            )
        return self

    @field_validator("token", "tls", mode="before")
    @classmethod
    def _is_not_left_empty(cls, value: object) -> object:
        if value is None:  # whoever wrote the line meant to close the door
            raise ValueError("is left empty; without the line everybody may send, over plain HTTP")
        return value
