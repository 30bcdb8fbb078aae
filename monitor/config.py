"""The configuration of a deployment: the packages' own models put together, read whole or refused whole."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from alerts.config import AlertmanagerConfig, BudgetConfig, HeartbeatConfig, ReceiverConfig, RollbackConfig
from alerts.inhibition import InhibitRule
from alerts.routing import Routing
from alerts.routing_config import MuteTimeConfig, RouteConfig, routing_of
from canaries.abilities import unsupported
from canaries.config import TargetConfig
from canaries.dialects import DIALECTS
from canaries.document import DocumentError, Duration, Places, Problem, load_document_with_places
from canaries.gate.config import GateConfig
from canaries.suite import Suite, load_suite
from monitor.audit.config import AuditConfig, ModelNoteConfig
from monitor.traffic.checks import NAME_MAX as CHECK_NAME_MAX
from monitor.traffic.config import EvaluationConfig, ModelPriceConfig, OtlpConfig, TlsConfig, ValidatorConfig
from monitor.traffic.roll_ups import Keep
from monitor.traffic.silence.config import SilenceConfig
from monitor.traffic.silence.rhythm import HISTORY_S
from monitor.traffic.watches.config import WatchConfig
from monitor.watchman.config import WatchmanConfig

from . import MonitorError
from .inhibiting.config import InhibitConfig
from .inhibiting.dependencies import ServiceConfig
from .inhibiting.inhibitions import inhibitions_of
from .inhibiting.problems import dependency_problems, rule_problems
from .schedule import Cron, Every, cron_problem, slot_s
from .traffic_flow.trace_links import TRACE_ID

DEFAULT_FILE = "anchorwatch.yaml"
DATABASE_FILE = "anchorwatch.sqlite"
_WEB_ADDRESS = re.compile(r"https?://[^\s<>|\"]+")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

VALIDATORS_MAX = 100
"""The most validators of production answers: each answer that matches is checked by all of them. And the most lines
for the scores of evaluations."""

MODEL_NOTES_MAX = 500
"""The most notes on models: each model of an audit is held against all of them."""

MINUTES_MIN_S = HISTORY_S + 86_400
"""The least time for which minutes of calls are kept: that of rhythms and of the longest baseline, and a day."""

HOURS_MIN_S = 32 * 86_400
"""The least time for which hours of calls are kept: that of the longest month, and a day."""

REOPEN_WITHIN_S = 600.0
"""How soon after its end a finding must come back to be the same incident, unless said otherwise."""

EvaluationName = Annotated[str, Field(min_length=1, max_length=CHECK_NAME_MAX)]

SOME_TIME = datetime(2000, 1, 3, tzinfo=UTC)
"""From here on the starts of a crontab line are counted to see how far apart they are: a Monday."""


class ConfigError(MonitorError):
    """A configuration that cannot be used; ``problems`` holds all that is wrong, each with its place."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class HttpConfig(BaseModel):
    """Where the pages, the API and the metrics are served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8700, ge=0, le=65535, description="Port of pages, API and metrics; 0 takes a free one.")
    public_url: HttpUrl | None = Field(None, description="How people reach the pages; messages link there.")
    trace_url: str | None = Field(
        None,
        max_length=200,
        description="Where people open a trace: an address with {trace_id} in it; messages link there.",
    )
    token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Whoever shows it may change things over the API; else this machine alone.",
    )

    @field_validator("trace_url")
    @classmethod
    def _leads_to_a_trace(cls, value: str | None) -> str | None:
        if value is not None and not (_WEB_ADDRESS.fullmatch(value) and TRACE_ID in value):
            raise ValueError(
                'is an address with {trace_id} in it: "https://traces.example.com/trace/{trace_id}"'
            )
        return value


def _longer_than(finer: str, kept: float, info: ValidationInfo) -> float:
    """The time for which windows are kept, which must not be less than that of the finer ones they are made of."""
    if kept < info.data.get(finer, 0):
        raise ValueError(
            f"{info.field_name} must be as long as {finer} or longer: they are what is left when those are deleted"
        )
    return kept


class StorageConfig(BaseModel):
    """What is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: Literal["full", "hashes"] = Field(
        "full", description="hashes: keep no text of prompts or answers, only keyed hashes and counts."
    )
    keep: Annotated[Duration, Field(ge=7 * 86_400)] = Field(
        90 * 86_400.0,
        description="How long runs and sent messages are kept; runs of a baseline in use stay anyway.",
    )
    minutes: Duration = Field(
        Keep().minutes_s, description="How long calls are kept by the minute: 29d or longer."
    )
    hours: Duration = Field(
        Keep().hours_s,
        description="How long they are kept by the hour: 32d or longer.",
        validate_default=True,
    )
    days: Duration = Field(
        Keep().days_s, description="How long they are kept by the day, in UTC.", validate_default=True
    )

    as_seen: Duration = Field(
        Keep().as_seen_s,
        description="How long it is kept what looks saw of minutes that had more calls later, for exact backtests; "
        "0s: not at all.",
    )

    @field_validator("minutes")
    @classmethod
    def _hold_what_is_learned_from(cls, minutes: float) -> float:
        if minutes < MINUTES_MIN_S:
            raise ValueError(
                "must be 29d or longer: rhythms and baselines are learned from minutes of 28 days"
            )
        return minutes

    @field_validator("hours")
    @classmethod
    def _hold_a_month(cls, hours: float, info: ValidationInfo) -> float:
        if hours < HOURS_MIN_S:
            raise ValueError("must be 32d or longer: budgets and objectives look at a month of hours")
        return _longer_than("minutes", hours, info)

    @field_validator("days")
    @classmethod
    def _outlast_hours(cls, days: float, info: ValidationInfo) -> float:
        return _longer_than("hours", days, info)

    def keep_windows(self) -> Keep:
        """How long production calls are kept in which windows."""
        return Keep(self.minutes, self.hours, self.days, self.as_seen)


class Config(BaseModel):
    """One deployment, as written in ``anchorwatch.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: BudgetConfig = Field(default_factory=BudgetConfig, description="False alarms that you allow.")
    http: HttpConfig = Field(default_factory=HttpConfig, description="Pages, API and metrics.")
    otlp: OtlpConfig = Field(default_factory=OtlpConfig, description="The receiver of production traces.")
    storage: StorageConfig = Field(default_factory=StorageConfig, description="What is kept.")
    targets: dict[str, TargetConfig] = Field(default_factory=dict, description="Model endpoints under watch.")
    services: dict[str, ServiceConfig] = Field(
        default_factory=dict, description="Services of which something is known, by their service.name."
    )
    gate: GateConfig = Field(
        default_factory=GateConfig,
        description="What `anchorwatch gate` asks of a release; a suite's own wins.",
    )
    prices: list[ModelPriceConfig] = Field(
        default_factory=list, description="What models cost you, where it is not the list price."
    )
    validators: Annotated[list[ValidatorConfig], Field(max_length=VALIDATORS_MAX)] = Field(
        default_factory=list, description="What is expected of answers in production."
    )
    evaluations: Annotated[dict[EvaluationName, EvaluationConfig], Field(max_length=VALIDATORS_MAX)] = Field(
        default_factory=dict,
        description="When evaluations that applications write on the spans of calls have passed.",
    )
    watches: list[WatchConfig] = Field(default_factory=list, description="Rules over production traffic.")
    silence: SilenceConfig = Field(default_factory=SilenceConfig, description="Findings of silence.")
    watch_every: Annotated[Duration, Field(gt=0, description="How often watches are looked at.")] = 60.0
    audit: AuditConfig | None = Field(None, description="The nightly audit; without it there is none.")
    models: Annotated[list[ModelNoteConfig], Field(max_length=MODEL_NOTES_MAX)] = Field(
        default_factory=list, description="What models are best used for, for the audit's catalogue."
    )
    receivers: dict[str, ReceiverConfig] = Field(default_factory=dict, description="Who is told.")
    route: RouteConfig | None = Field(
        None, description="Who is told of what; without it each target and watch names them in `notify`."
    )
    mute_times: dict[str, MuteTimeConfig] = Field(
        default_factory=dict, description="Times that come back, in which routes that name them tell nobody."
    )
    inhibit: InhibitConfig = Field(
        default_factory=InhibitConfig, description="Which incidents explain which others away."
    )
    reopen_within: Annotated[Duration, Field(ge=0, le=86_400)] = Field(
        REOPEN_WITHIN_S,
        description="What is wrong again so soon after its end is the same incident once more.",
    )
    alertmanager: AlertmanagerConfig | None = Field(
        None, description="An Alertmanager that gets every incident that fires."
    )
    heartbeat: HeartbeatConfig | None = Field(
        None, description="A dead man's switch that hears of us while we can work."
    )
    watchman: WatchmanConfig = Field(
        default_factory=WatchmanConfig, description="Findings about the watch itself."
    )
    rollbacks: dict[str, RollbackConfig] = Field(
        default_factory=dict, description="How a release is rolled back."
    )

    def routing(self) -> Routing:
        """Who is told of what, as the alert arm knows it."""
        return routing_of(self.route, self.mute_times, self.reopen_within)

    def inhibitions(self) -> tuple[InhibitRule, ...]:
        """Which incidents explain which others away, as the alert arm knows it."""
        return inhibitions_of(
            {name: one.depends_on for name, one in self.targets.items()},
            {name: one.depends_on for name, one in self.services.items()},
            [one.rule() for one in self.inhibit.rules],
            self.inhibit.without,
        )

    def fallbacks(self) -> dict[str, tuple[str, ...]]:
        """Who hears what a receiver could not be told, by its name: all others, unless it says who."""
        return {
            name: tuple(other for other in self.receivers if other != name)
            if one.fallback is None
            else tuple(one.fallback)
            for name, one in self.receivers.items()
        }

    def told_of_silence(self) -> tuple[str, ...]:
        """The receivers who hear of silence: unless said otherwise all who would miss something by it."""
        if self.silence.notify is not None:
            return tuple(self.silence.notify)
        return self._told_of_anything()

    def told_of_the_watch(self) -> tuple[str, ...]:
        """The receivers who hear what is wrong with the watch itself: there is always somebody, if anybody at all."""
        if self.watchman.notify is not None:
            return tuple(self.watchman.notify)
        return self._told_of_anything() or tuple(self.receivers)

    def _told_of_anything(self) -> tuple[str, ...]:
        watches = [name for watch in self.watches for name in watch.notify]
        targets = [name for target in self.targets.values() for name in target.notify]
        return tuple(dict.fromkeys((*watches, *targets)))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A configuration that can be used: every name it mentions exists, every suite is read."""

    config: Config
    suites: Mapping[str, Suite]
    """The suite of each target, by the target's name."""
    source: Path | None = None

    @property
    def folder(self) -> Path:
        """Where paths in the configuration start."""
        return self.source.parent if self.source else Path()

    @property
    def fingerprint(self) -> str:
        """The same for the same configuration, whatever its secrets are. Suites do not go into it."""
        return blake2b(self.config.model_dump_json().encode(), digest_size=8).hexdigest()

    def share(self, target: str) -> float:
        """The target's share of the budgets, by importance; all targets and all shift watches together have 1."""
        return self.config.targets[target].importance / self._importance

    def watch_shares(self) -> dict[str, float]:
        """The shares of the budgets that the watches without a threshold have, by name."""
        return {
            one.name: one.bets.importance / self._importance
            for one in self.config.watches
            if one.bets is not None
        }

    @property
    def _importance(self) -> float:
        bets = (one.bets.importance for one in self.config.watches if one.bets is not None)
        return sum(one.importance for one in self.config.targets.values()) + sum(bets)


def load(path: Path | None, env: Mapping[str, str] | None = None) -> Deployment:
    """The deployment that a file describes, or the defaults when there is none.

    Raises ConfigError with every problem of the file and of the suites it names.
    """
    env = os.environ if env is None else env
    if path is None:
        return Deployment(Config(), {})
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MonitorError(
            f"{path}: cannot be read: {error.strerror}. `anchorwatch init` writes a first one."
        ) from error
    except UnicodeDecodeError as error:
        raise MonitorError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    suites: dict[str, Suite] = {}

    def check(tree: Any, places: Places) -> Iterator[Problem]:
        yield from _cross_references(tree, places)
        yield from _suite_problems(tree, places, path.parent, env, suites)
        yield from _tls_problems(tree, places, path.parent)

    try:
        config, places = load_document_with_places(text, str(path), Config, env, check)
    except DocumentError as error:
        raise ConfigError(tuple(error.problems)) from error
    if overlaps := tuple(_overlaps(config, places)):
        raise ConfigError(overlaps)
    return Deployment(config, suites, path)


def cadence_of(target: TargetConfig) -> Every | Cron:
    """When a target is replayed."""
    if target.cron is not None:
        return Cron(target.cron)
    return Every(target.every)


def _overlaps(config: Config, places: Places) -> Iterator[Problem]:
    """Targets whose runs would still go on when the next is due, as they are spread over too much time."""
    for name, target in config.targets.items():
        slot, spread = slot_s(cadence_of(target), SOME_TIME), target.jitter + target.spread
        if spread >= slot:
            yield places.problem(
                ("targets", name, "spread" if target.spread else "jitter"),
                f"jitter and spread let a run take {spread:g} s, and the next one is due after {slot:g} s",
            )


def _suite_problems(
    tree: Any, places: Places, folder: Path, env: Mapping[str, str], suites: dict[str, Suite]
) -> Iterator[Problem]:
    """Read the suite of every target into ``suites``; gives what is wrong with them, each file once."""
    faulty: set[Path] = set()
    for name, target in _section(tree, "targets").items():
        if not isinstance(target, dict) or not isinstance(target.get("suite"), str):
            continue
        path = folder / target["suite"]
        if not path.is_file():
            yield places.problem(("targets", name, "suite"), f"there is no file {path}")
            continue
        try:
            suites[name] = load_suite(path, env)
        except DocumentError as error:
            if path not in faulty:
                yield from error.problems
            faulty.add(path)
            continue
        provider = target.get("provider", "openai")
        if isinstance(provider, str) and provider in DIALECTS:
            for fault in unsupported(suites[name], provider):
                yield places.problem(("targets", name, "suite"), fault)


def _tls_problems(tree: Any, places: Places, folder: Path) -> Iterator[Problem]:
    """Files for TLS that cannot be used. What is wrong with the section itself is told as of every other."""
    section = _section(tree, "otlp").get("tls")
    if section is None:
        return
    from .traffic.receiving.tls import faults

    with contextlib.suppress(ValidationError):
        for setting, problem in faults(TlsConfig.model_validate(section), folder):
            yield places.problem(("otlp", "tls", setting), problem)


def _cross_references(tree: Any, places: Places) -> Iterator[Problem]:
    """What no single value shows: names that are defined nowhere, or twice. ``tree`` may be in any state."""
    for section in ("targets", "receivers", "rollbacks", "mute_times"):
        for name in _section(tree, section):
            if not NAME.fullmatch(str(name)):
                yield places.problem(
                    (section, name), "a name has letters, digits, '.', '_' and '-', and 64 of them at most"
                )
    for name, target in _section(tree, "targets").items():
        if not isinstance(target, dict):
            continue
        cron = target.get("cron")
        if isinstance(cron, str) and len(cron.split()) == 5 and (problem := cron_problem(cron)):
            yield places.problem(("targets", name, "cron"), f"is not a crontab line: {problem}")
        yield from _unknown_names(tree, places, ("targets", name), target)
    watches = tree.get("watches") if isinstance(tree, dict) else None
    for index, watch in enumerate(watches if isinstance(watches, list) else []):
        if isinstance(watch, dict):
            yield from _unknown_names(tree, places, ("watches", index), watch)
    yield from _route_problems(tree, places)
    receivers = _section(tree, "receivers")
    for name, receiver in receivers.items():
        if isinstance(receiver, dict):
            at = ("receivers", name, "fallback")
            yield from _unknown_of(places, at, receiver.get("fallback"), "receivers", receivers)
    for section in ("silence", "audit", "watchman"):
        yield from _unknown_names(tree, places, (section,), _section(tree, section))
    yield from _repeated_names(tree, places, "watches", "watch")
    yield from _repeated_names(tree, places, "validators", "validator")
    yield from _repeated_prices(tree, places)
    if isinstance(tree, dict):
        yield from dependency_problems(tree, places)
        yield from rule_problems(tree, places)


def _repeated_names(tree: Any, places: Places, section: str, word: str) -> Iterator[Problem]:
    entries = tree.get(section) if isinstance(tree, dict) else None
    seen: set[str] = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in seen:
            yield places.problem((section, index, "name"), f'a second {word} is called "{name}"')
        seen.add(str(name))


def _repeated_prices(tree: Any, places: Places) -> Iterator[Problem]:
    """Prices of the same models that begin on the same day: nobody could tell which of them counts."""
    prices = tree.get("prices") if isinstance(tree, dict) else None
    seen: dict[tuple[str, ...], int] = {}
    for index, price in enumerate(prices if isinstance(prices, list) else []):
        if not isinstance(price, dict):
            continue
        key = tuple(str(price.get(name)) for name in ("model", "provider", "from"))
        if (first := seen.setdefault(key, index)) != index:
            yield places.problem(
                ("prices", index, "model"),
                f"prices[{first}] is for the same model and days; dated prices each have their own `from`",
            )


def _route_problems(tree: Any, places: Places) -> Iterator[Problem]:
    """What is wrong with the tree of routes that none of them shows by itself."""
    route = tree.get("route") if isinstance(tree, dict) else None
    if not isinstance(route, dict):
        return
    if not route.get("receivers"):
        text = "the uppermost route needs receivers: they are told of what no route below it fits"
        yield places.problem(("route", "receivers") if "receivers" in route else ("route",), text)
    if route.get("match"):
        yield places.problem(
            ("route", "match"), "the uppermost route takes everything; match in routes below it"
        )
    yield from _unknown_in_route(tree, places, ("route",), route)
    for at, rule in _told_rules(tree):
        if rule.get("notify"):
            text = "who is told is for the route to say: match these labels in a route below it, and leave this out"
            yield places.problem((*at, "notify"), text)


def _told_rules(tree: Any) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Every part of the configuration that may name whom it tells, with its place."""
    for name, target in _section(tree, "targets").items():
        if isinstance(target, dict):
            yield ("targets", name), target
    watches = tree.get("watches")
    for index, watch in enumerate(watches if isinstance(watches, list) else []):
        if isinstance(watch, dict):
            yield ("watches", index), watch
    for section in ("silence", "watchman"):
        yield (section,), _section(tree, section)


def _unknown_in_route(
    tree: Any, places: Places, at: tuple[str | int, ...], route: Mapping[str, Any]
) -> Iterator[Problem]:
    receivers, times = _section(tree, "receivers"), _section(tree, "mute_times")
    yield from _unknown_of(places, (*at, "receivers"), route.get("receivers"), "receivers", receivers)
    yield from _unknown_of(places, (*at, "mute_times"), route.get("mute_times"), "mute_times", times)
    steps = route.get("escalate")
    for number, step in enumerate(steps if isinstance(steps, list) else []):
        named = step.get("notify") if isinstance(step, dict) else None
        names = [named] if isinstance(named, str) else named
        yield from _unknown_of(places, (*at, "escalate", number, "notify"), names, "receivers", receivers)
    below = route.get("routes")
    for number, child in enumerate(below if isinstance(below, list) else []):
        if isinstance(child, dict):
            yield from _unknown_in_route(tree, places, (*at, "routes", number), child)


def _unknown_of(
    places: Places, at: tuple[str | int, ...], names: Any, section: str, known: Mapping[Any, Any]
) -> Iterator[Problem]:
    word = {"receivers": "receiver", "mute_times": "mute time"}[section]
    for name in names if isinstance(names, list) else []:
        if isinstance(name, str) and name not in known:
            yield places.problem(at, f'no {word} is called "{name}"', _known(section, known))


def _unknown_names(
    tree: Any, places: Places, at: tuple[str | int, ...], rule: Mapping[str, Any]
) -> Iterator[Problem]:
    receivers, rollbacks = _section(tree, "receivers"), _section(tree, "rollbacks")
    notify, rollback = rule.get("notify"), rule.get("rollback")
    for index, name in enumerate(notify if isinstance(notify, list) else []):
        if isinstance(name, str) and name not in receivers:
            hint = _known("receivers", receivers)
            yield places.problem((*at, "notify", index), f'no receiver is called "{name}"', hint)
    if isinstance(rollback, str) and rollback not in rollbacks:
        hint = _known("rollbacks", rollbacks)
        yield places.problem((*at, "rollback"), f'no rollback is called "{rollback}"', hint)


def _section(tree: Any, name: str) -> Mapping[Any, Any]:
    section = tree.get(name) if isinstance(tree, dict) else None
    return section if isinstance(section, dict) else {}


def _known(section: str, names: Mapping[Any, Any]) -> str:
    return f"{section} has: {', '.join(map(str, names))}" if names else f"there is no {section} section yet"
