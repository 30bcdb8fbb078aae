"""What a configuration says about a target: the endpoint, how often it is asked, what follows."""

import re
from math import ceil
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from .dialects import DIALECTS, ProviderName
from .document import Duration, Path, parse_duration, placed

MIN_EVERY_S = 0.1
"""The shortest time between two runs: below it is a typo, and a bill."""

MAX_SAMPLES = 100
"""The most answers to one canary in one run."""

RESERVED_PARAMETERS = {
    "model": "it is a key of the target",
    "messages": "they come from the suite",
    "input": "it comes from the suite",
    "contents": "they come from the suite",
    "stream": "it is a key of the target",
    "stream_options": "Anchorwatch asks for the usage itself",
    "n": "use `samples`",
}
"""Request parameters that nobody may set by hand, and what to do instead."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_OWN_HEADERS = ("content-length", "transfer-encoding", "host", "connection")


def _free_parameters(parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
    faults = [
        ((key,), f"cannot be set here: {RESERVED_PARAMETERS[key]}")
        for key in parameters.keys() & RESERVED_PARAMETERS
    ]
    if faults:
        raise placed(faults)
    return parameters


Parameters = Annotated[dict[str, JsonValue], AfterValidator(_free_parameters)]
"""Request parameters, passed on as they are written; what ``dialects.spelled`` knows, in the API's own words."""

Samples = Annotated[int, Field(ge=1, le=MAX_SAMPLES)]


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('must be an address such as "https://api.example.com/v1"')
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password; use `api_key` or `headers`")
    for path in sorted({dialect.path for dialect in DIALECTS.values()}):
        if parts.path.rstrip("/").endswith(path):
            raise ValueError(f'must end before "{path}", which is added to it')
    return url


def _header_value(value: SecretStr) -> SecretStr:
    if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
        raise ValueError(
            "must be one line of plain ASCII without outer spaces, and not empty: it goes into a header"
        )
    return value


HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]


def _header_names(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    faults = [((name,), "is not a name for a header") for name in headers if not _HEADER_NAME.fullmatch(name)]
    faults += [((name,), "is set by Anchorwatch itself") for name in headers if name.lower() in _OWN_HEADERS]
    if faults:
        raise placed(faults)
    return headers


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


BASELINE_RUNS_MIN, BASELINE_RUNS_MAX = 168, 10_000
DAY_S = 86_400.0
WEEK_S = 7 * 86_400


def _refresh_age(value: object) -> float | None:
    if value == "off":
        return None
    seconds = parse_duration(value)
    if seconds < DAY_S:
        raise ValueError(
            "must be a day at least, or `off`: a baseline that follows too fast calls drift usual"
        )
    return seconds


RefreshAge = Annotated[
    float | None,
    BeforeValidator(_refresh_age),
    WithJsonSchema({"type": ["string", "number"], "examples": ["30d", "off"]}),
]


class BaselineConfig(_Config):
    """When a target's baseline is enough, and who freezes it."""

    runs: int | None = Field(
        None,
        ge=12,
        le=BASELINE_RUNS_MAX,
        description="runs that make the baseline; half train, half calibrate [a week of runs, 168 at least]",
    )
    freeze: Literal["auto", "command"] = Field(
        "auto", description="`auto` freezes when the runs are there, `command` waits for `baseline freeze`"
    )
    min_answered_share: float = Field(
        0.8, gt=0, le=1, description="a run with a smaller share of answered requests does not count"
    )
    refresh: RefreshAge = Field(
        30 * DAY_S,
        description="how old a baseline gets before newer runs without an incident take its place, or `off` [30d]",
    )

    @property
    def refresh_after_s(self) -> float | None:
        """The age at which the baseline is refreshed, in seconds; ``None`` where that waits for a command."""
        return None if self.freeze == "command" else self.refresh

    def runs_needed(self, slot_s: float) -> int:
        """How many runs make the baseline, where they are ``slot_s`` apart: a week, unless somebody said otherwise.

        A week sees every hour and the weekend; with less than a week they look like drift.
        """
        return self.runs or min(max(BASELINE_RUNS_MIN, ceil(WEEK_S / slot_s)), BASELINE_RUNS_MAX)


class PriceConfig(_Config):
    """What the tokens of a target cost, where the price list does not know, or another price was agreed."""

    input_usd_per_mtok: float = Field(ge=0, le=1_000_000, description="dollars for a million prompt tokens")
    output_usd_per_mtok: float = Field(ge=0, le=1_000_000, description="dollars for a million answer tokens")


class BurstConfig(_Config):
    """When the next run comes sooner than its schedule says: while the evidence of drift is rising."""

    above: float = Field(0.05, gt=0, lt=1, description="the page evidence from which on it does; 1 pages")
    after: Duration = Field(
        600.0, ge=MIN_EVERY_S, le=86_400, description="how soon, and up to half as much later by chance"
    )
    runs_max: int = Field(12, ge=1, le=100, description="how many such runs may follow each other")


ProofName = Literal["served_model", "fingerprint", "endpoint_down", "validator"]
SeverityName = Literal["page", "ticket", "info", "off"]


def _usual_address(validated: dict[str, Any]) -> str:
    dialect = DIALECTS.get(validated.get("provider", ""))
    return dialect.base_url if dialect else ""


class TargetConfig(_Config):
    """A model endpoint under watch."""

    provider: ProviderName = Field("openai", description="the kind of endpoint, which tells its dialect")
    base_url: Annotated[str, AfterValidator(_http_url)] = Field(
        default_factory=_usual_address,
        description='the address up to, and without, what the API adds, such as "/chat/completions"; '
        "[the provider's own]",
    )
    api_key: HeaderValue | None = Field(
        None, description="sent in the header that the provider wants; write ${NAME}, not the key"
    )
    model: str = Field(min_length=1, description="the model, as the endpoint names it")
    headers: Annotated[dict[str, HeaderValue], AfterValidator(_header_names)] = Field(
        default_factory=dict, description="further headers of each request"
    )
    parameters: Parameters = Field(
        default_factory=dict, description="request parameters; those of the suite and of a canary win"
    )
    suite: str = Field(min_length=1, description="the file with the canaries, relative to the configuration")
    every: Duration = Field(
        15 * 60.0, ge=MIN_EVERY_S, description="time between the starts of two runs; or give `cron`"
    )
    cron: str | None = Field(
        None, description='start of the runs as a cron line of 5 fields, such as "*/15 * * * *"'
    )
    samples: Samples | None = Field(
        None, description="answers to each canary in a run, where the suite does not say"
    )
    spend_cap_usd_per_day: float | None = Field(
        None, gt=0, description="what the canaries may cost in 24 hours: samples shrink to stay within it"
    )
    price: PriceConfig | None = Field(
        None, description="what the tokens cost, where it is not the list price of `model`"
    )
    burst: BurstConfig | Literal["off"] = Field(
        default_factory=BurstConfig, description="when a run comes sooner than planned; `off`: never"
    )
    concurrency: int = Field(4, ge=1, le=64, description="requests at a time")
    timeout: Duration = Field(60.0, gt=0, le=3600, description="for a whole answer")
    jitter: Duration = Field(0.0, le=3600, description="each run starts up to so much later, by chance")
    spread: Duration = Field(0.0, le=86_400, description="the requests of a run are spread over so much time")
    stream: bool = Field(True, description="ask for a stream, which gives the time to the first token")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=20,
        description="ask for log-probabilities, with so many likeliest tokens at each position",
    )
    seed: int | None = Field(None, ge=0, description="sent with each request, where the endpoint honours it")
    max_attempts: int = Field(
        4, ge=1, le=10, description="tries of one request; only transport faults are retried"
    )
    max_answer_bytes: int = Field(
        1_000_000, ge=1_000, le=50_000_000, description="a longer answer is cut and fails"
    )
    fresh_connections: bool = Field(
        True, description="a new connection for each request, so that none sticks to a backend"
    )
    baseline: BaselineConfig = Field(default_factory=BaselineConfig)
    down_after: int = Field(
        3, ge=1, le=1000, description="runs without any answer until the endpoint counts as down"
    )
    importance: float = Field(
        1.0, gt=0, le=1000, description="this target's share of the page budget, beside the others'"
    )
    proofs: dict[ProofName, SeverityName] = Field(
        default_factory=dict, description="how loud each proof is, where it should not be as usual"
    )
    depends_on: list[str] = Field(
        default_factory=list,
        max_length=50,
        description="targets and services without which this one cannot answer, by name",
    )
    notify: list[str] = Field(default_factory=list, description="receivers of this target's pages")
    rollback: str | None = Field(None, description="the rollback that a page about this target may fire")

    @model_validator(mode="after")
    def _within_the_api(self) -> Self:
        dialect = DIALECTS[self.provider]
        faults: list[tuple[Path, str]] = []
        if not self.base_url:
            faults.append((("base_url",), f"is required: {dialect.title} has no address of its own"))
        if self.logprobs is not None and not dialect.has_logprobs:
            faults.append((("logprobs",), f"cannot be had: {dialect.title} has no log-probabilities"))
        if self.seed is not None and not dialect.has_seed:
            faults.append((("seed",), f"cannot be sent: {dialect.title} takes none"))
        if faults:
            raise placed(faults)
        return self

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.cron is not None and "every" in self.model_fields_set:
            raise placed([(("every",), "stands beside `cron`; keep one of them")])
        if self.cron is not None and len(self.cron.split()) != 5:
            raise placed([(("cron",), "must have 5 fields: minute, hour, day, month, weekday")])
        return self
