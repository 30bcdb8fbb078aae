"""What explains what away in a deployment: a model that was replaced, a parent that is down, and rules of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from watched_bot import DOWN, START, Answers, Bot, house_of, watched_of

from alerts import rollback_store
from alerts.explain import explain
from alerts.finding import Finding, Severity, Source
from alerts.incident import AlertRule, Incident, State
from alerts.inhibition import Inhibitors, InhibitRule, suspect
from alerts.rollback import Action
from canaries.proofs import ProofKind
from monitor.cli.commands import app
from monitor.config import ConfigError, load
from monitor.inhibiting.dependencies import circle, dependants
from monitor.inhibiting.inhibitions import RULES, SAID, BuiltIn, inhibitions_of, shown
from monitor.telling.messenger import tell_groups

# --- an identity that is proven


SWAPPED = Answers(served_model="m-2026-07", drifted=True, off_label=True)


def messages(bot: Bot) -> list[tuple[str, str]]:
    """What people were told, without the orders to the deploy system: the kind, and of which incident."""
    return [(kind, key) for kind, key, receiver in bot.told() if receiver == "oncall"]


def why(bot: Bot, key: str) -> list[str]:
    explained = bot.database.read(lambda session: explain(session, key))
    assert explained is not None
    return [line.why for line in explained.lines]


def test_a_swapped_model_is_one_page_and_what_follows_is_on_file(frozen_bot: Bot) -> None:
    frozen_bot.until(lambda _: {"drift/bot", "proof/bot/validator"} <= frozen_bot.open().keys(), SWAPPED)
    assert messages(frozen_bot) == [("firing", "proof/bot/served_model")]
    identity = frozen_bot.open()["proof/bot/served_model"]
    for key in ("drift/bot", "proof/bot/validator"):
        inhibited = f"inhibited by proof/bot/served_model (incident {identity.id}), by the rule identity"
        assert f"{inhibited}, while it fires" in why(frozen_bot, key)


def test_without_the_rule_each_of_them_is_told(frozen_bot: Bot) -> None:
    frozen_bot.house = house_of(inhibitions=inhibitions_of({}, {}, without=["identity"]))
    frozen_bot.until(lambda _: {"drift/bot", "proof/bot/validator"} <= frozen_bot.open().keys(), SWAPPED)
    told = {key for _, key in messages(frozen_bot)}
    assert told == {"proof/bot/served_model", "drift/bot", "proof/bot/validator"}


def test_what_still_fires_when_the_known_model_is_back_is_told_then(frozen_bot: Bot) -> None:
    frozen_bot.until(lambda _: "proof/bot/validator" in frozen_bot.open(), SWAPPED)
    frozen_bot.until(lambda _: "proof/bot/served_model" not in frozen_bot.open(), Answers(off_label=True))
    run = frozen_bot.next_run()
    frozen_bot.database.write(lambda session: tell_groups(session, frozen_bot.house, run.at))
    assert ("firing", "proof/bot/validator") in messages(frozen_bot)


def test_a_rollback_of_what_a_swapped_model_explains_goes_its_way(frozen_bot: Bot) -> None:
    frozen_bot.until(
        lambda _: ("rollback", "proof/bot/validator") in {one[:2] for one in frozen_bot.told()}, SWAPPED
    )
    [past] = frozen_bot.database.read(rollback_store.history)
    assert past.incident_id == frozen_bot.open()["proof/bot/validator"].id
    assert ("firing", "proof/bot/validator") not in messages(frozen_bot)


def test_a_swapped_model_does_not_hide_that_the_endpoint_is_down(frozen_bot: Bot) -> None:
    frozen_bot.runs(1, SWAPPED)
    frozen_bot.runs(frozen_bot.watched.down_after, DOWN)
    assert ("firing", "proof/bot/endpoint_down") in messages(frozen_bot)


def test_another_target_is_another_model(frozen_bot: Bot) -> None:
    identity = incident("proof/bot/served_model", target="bot", proof="served_model")
    known = Inhibitors(RULES, [identity])
    held = [incident(f"drift/{name}", Source.LEDGER, target=name) for name in ("bot", "lark")]
    assert [known.explained(suspect(one)) is not None for one in held] == [True, False]


# --- what the built-in rules hold, and what they do not


def incident(
    key: str, source: Source = Source.PROOF, severity: Severity = Severity.PAGE, **labels: str
) -> Incident:
    finding = Finding(severity, source, f"{key} is wrong", labels)
    return Incident(key, key, State.FIRING, severity, finding, START, START, START)


def proof(target: str, kind: ProofKind, severity: Severity = Severity.PAGE) -> Incident:
    return incident(f"proof/{target}/{kind.value}", Source.PROOF, severity, target=target, proof=kind.value)


def silent(service: str, severity: Severity = Severity.PAGE) -> Incident:
    key = f"silence/service/{service}"
    return incident(key, Source.SELF_CHECK, severity, silence="service", service=service)


def findings_of(target: str, severity: Severity = Severity.PAGE) -> list[Incident]:
    """Everything that may be found of a target."""
    own = [
        incident(f"{kind}/{target}", Source.SELF_CHECK, severity, target=target)
        for kind in ("coverage", "baseline", "spend")
    ]
    drift = incident(f"drift/{target}", Source.LEDGER, severity, target=target)
    return [drift, *(proof(target, kind, severity) for kind in ProofKind), *own]


def held_by(cause: Incident, rules: tuple[InhibitRule, ...], severity: Severity = Severity.PAGE) -> set[str]:
    """The keys of what the cause holds, of all that may be found of the target bot."""
    known = Inhibitors(rules, [cause])
    return {one.key for one in findings_of("bot", severity) if known.explained(suspect(one))}


@pytest.mark.parametrize(
    ("cause", "severity", "held"),
    [
        (
            proof("bot", ProofKind.SERVED_MODEL),
            Severity.PAGE,
            {"drift/bot", "proof/bot/validator", "proof/bot/fingerprint"},
        ),
        (proof("bot", ProofKind.FINGERPRINT), Severity.PAGE, {"drift/bot", "proof/bot/validator"}),
        (proof("bot", ProofKind.FINGERPRINT, Severity.TICKET), Severity.TICKET, set()),
        (proof("bot", ProofKind.SERVED_MODEL, Severity.TICKET), Severity.TICKET, set()),
        (proof("bot", ProofKind.ENDPOINT_DOWN), Severity.PAGE, {"drift/bot", "proof/bot/validator"}),
        (proof("bot", ProofKind.ENDPOINT_DOWN, Severity.TICKET), Severity.PAGE, set()),
        (proof("bot", ProofKind.VALIDATOR), Severity.PAGE, set()),
        (proof("lark", ProofKind.SERVED_MODEL), Severity.PAGE, set()),
    ],
    ids=[
        "another model",
        "another fingerprint",
        "a fingerprint beside the known ones",
        "a model beside the known ones",
        "an endpoint that is down",
        "one that is down, quietly",
        "a failing check",
        "another target",
    ],
)
def test_what_a_proof_holds_of_its_target(cause: Incident, severity: Severity, held: set[str]) -> None:
    assert held_by(cause, RULES, severity) == held


def test_every_built_in_rule_says_why_and_can_be_done_without() -> None:
    assert {rule.name for rule in RULES} == {one.value for one in BuiltIn} == {one.value for one in SAID}
    for one in BuiltIn:
        left = inhibitions_of({}, {}, without=[one.value])
        assert one.value not in {rule.name for rule in left}
        assert [words.name for words in shown(left) if not words.is_on] == [one.value]


# --- who depends on whom

CHAIN = {"bot": ["gateway"], "gateway": [], "lark": []}
SERVICES = {"shop": ["bot"], "gateway": ["cloud"], "cloud": []}


def test_what_depends_on_a_parent_does_so_over_others_too() -> None:
    found = dependants(CHAIN, SERVICES)
    assert {name: (one.targets, one.services) for name, one in found.items()} == {
        "gateway": (("bot",), ("shop",)),
        # The target and the service gateway are one thing.
        "cloud": (("bot", "gateway"), ("shop", "gateway")),
        "bot": ((), ("shop",)),
    }


@pytest.mark.parametrize(
    ("cause", "severity", "held"),
    [
        (
            proof("gateway", ProofKind.ENDPOINT_DOWN),
            Severity.PAGE,
            {"drift/bot", "coverage/bot", "proof/bot/endpoint_down", "proof/bot/validator"},
        ),
        (
            silent("gateway"),
            Severity.PAGE,
            {"drift/bot", "coverage/bot", "proof/bot/endpoint_down", "proof/bot/validator"},
        ),
        (
            silent("cloud"),
            Severity.PAGE,
            {"drift/bot", "coverage/bot", "proof/bot/endpoint_down", "proof/bot/validator"},
        ),
        (silent("cloud", Severity.TICKET), Severity.PAGE, set()),
        (silent("shop"), Severity.PAGE, set()),
        (proof("gateway", ProofKind.SERVED_MODEL), Severity.PAGE, set()),
        (proof("gateway", ProofKind.VALIDATOR), Severity.PAGE, set()),
        (incident("drift/gateway", Source.LEDGER, target="gateway"), Severity.PAGE, set()),
        (proof("lark", ProofKind.ENDPOINT_DOWN), Severity.PAGE, set()),
    ],
    ids=[
        "a target that is down",
        "a service that is silent",
        "a parent's parent",
        "a ticket",
        "what depends on it",
        "a parent with another model",
        "a parent whose checks fail",
        "a parent that drifts",
        "no parent",
    ],
)
def test_what_a_parent_holds_of_a_target(cause: Incident, severity: Severity, held: set[str]) -> None:
    assert held_by(cause, inhibitions_of(CHAIN, SERVICES), severity) == held


def test_what_a_parent_holds_of_a_service() -> None:
    known = Inhibitors(inhibitions_of(CHAIN, SERVICES), [proof("bot", ProofKind.ENDPOINT_DOWN)])
    slow = incident("watch/slow", Source.WATCH, watch="slow", service="shop")
    others = incident("watch/slow", Source.WATCH, watch="slow", service="mail")
    lost = incident("silence/spans/shop", Source.SELF_CHECK, silence="spans", service="shop")
    held = [known.explained(suspect(one)) is not None for one in (slow, silent("shop"), others, lost)]
    assert held == [True, True, False, False]


def test_nothing_is_rolled_back_for_what_stands_behind_a_parent_that_is_down(frozen_bot: Bot) -> None:
    frozen_bot.house = house_of(inhibitions=inhibitions_of({"bot": ["gateway"], "gateway": []}, {}))
    gateway = Bot(
        frozen_bot.database, watched_of(name="gateway", rule=AlertRule(notify=("oncall",))), frozen_bot.house
    )
    gateway.hour = frozen_bot.hour
    gateway.runs(gateway.watched.down_after, DOWN)
    frozen_bot.runs(8, Answers(off_label=True))
    assert messages(frozen_bot) == [("firing", "proof/gateway/endpoint_down")]
    assert frozen_bot.database.read(rollback_store.history) == []
    assert any(
        "inhibited by proof/gateway/endpoint_down" in line for line in why(frozen_bot, "proof/bot/validator")
    )
    gateway.hour = frozen_bot.hour
    gateway.runs(2)
    frozen_bot.runs(1, Answers(off_label=True))
    assert ("firing", "proof/bot/validator") in messages(frozen_bot)
    assert Action.SEND in {one.action for one in frozen_bot.database.read(rollback_store.history)}


def test_who_stood_behind_a_parent_that_is_back_does_not_page_for_what_is_over(frozen_bot: Bot) -> None:
    frozen_bot.house = house_of(inhibitions=inhibitions_of({"bot": ["gateway"], "gateway": []}, {}))
    gateway = Bot(frozen_bot.database, watched_of(name="gateway"), frozen_bot.house, frozen_bot.hour)
    down_after = gateway.watched.down_after
    gateway.runs(down_after, DOWN)
    frozen_bot.runs(down_after, DOWN)
    gateway.runs(2)
    frozen_bot.runs(1)  # one answered run is not yet enough to be up
    assert frozen_bot.open() == {}
    assert messages(frozen_bot) == [
        ("firing", "proof/gateway/endpoint_down"),
        ("resolved", "proof/gateway/endpoint_down"),
    ]
    frozen_bot.runs(down_after, DOWN)
    assert messages(frozen_bot)[2:] == [("firing", "proof/bot/endpoint_down")]


@pytest.mark.parametrize(
    ("needs", "name", "way"),
    [
        ({"a": ["a"]}, "a", ("a", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "a", ("a", "b", "c", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "a", ()),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"]}, "a", ()),
    ],
    ids=["itself", "over others", "others do", "a diamond"],
)
def test_the_way_of_a_circle(needs: dict[str, list[str]], name: str, way: tuple[str, ...]) -> None:
    assert circle(needs, name) == way


# --- the configuration

SUITE = 'canaries:\n  - {id: capital, prompt: "What is the capital of Australia?"}\n'
Problems = Callable[[str], list[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path / "anchorwatch.yaml"


@pytest.fixture
def problems(path: Path) -> Problems:
    """What is wrong with a configuration, without the name of its file."""

    def problems(text: str) -> list[str]:
        path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load(path, {})
        return [str(one).replace(f"{path}:", "") for one in raised.value.problems]

    return problems


DEPENDING = """\
targets:
  bot: {model: m, suite: suite.yaml, depends_on: [gatway, lark]}
  gateway: {model: m, suite: suite.yaml, depends_on: [cloud]}
  lark: {model: m, suite: suite.yaml, depends_on: [lark]}
services:
  cloud: {depends_on: [shop]}
  shop:
    depends_on:
      - gateway
  "s*": {}
  "": {}
"""


def test_names_that_nothing_has_and_circles_are_told_with_their_places(problems: Problems) -> None:
    assert problems(DEPENDING) == [
        '2:51  targets.bot.depends_on[0]: no target and no service is called "gatway"; targets and services have: '
        "bot, gateway, lark, cloud, shop, s*, ; a service is named below `services`",
        "3:55  targets.gateway.depends_on[0]: depends on itself: gateway > cloud > shop > gateway; while one of them "
        "is down, who would be told?",
        "4:52  targets.lark.depends_on[0]: depends on itself: lark > lark; while one of them is down, who would be "
        "told?",
        "10:3  services.s*: is one service by its whole name, without * and ?",
        "11:3  services.: is one service by its whole name, without * and ?",
    ]


RULE = "inhibit: {rules: [{name: mine, source_matchers: [%s], target_matchers: [%s]%s}]}"
NOT_SAFE = {
    "no equal": ("severity=page", "severity=ticket", "", "without equal one incident could hold everything"),
    "a kind is no subject": ("proof=served_model", "proof=validator", "", "without equal one incident could"),
    "any of a label": ("target=~.*", "target=bot", "", "without equal one incident could hold everything"),
    "all but one": (
        "target=gateway",
        "service!=shop",
        "",
        "without equal one incident could hold everything",
    ),
    "a target that is any": ("target=gateway", "service=~.+", "", "without equal one incident could hold"),
    "a subject that is nothing": ("target=", "target=bot", "", "without equal one incident could hold"),
    "equal kinds": (
        "severity=page",
        "severity=ticket",
        ", equal: [proof]",
        "only tells the kind of a finding",
    ),
    "equal severities": (
        "target=a",
        "target=b",
        ", equal: [severity]",
        "severity is no label of what is found",
    ),
    "no label": ("target=a", "target=b", ", equal: ['a b']", "'a b' is no label"),
    "too quiet": ("severity=ticket", "severity=page", ", equal: [target]", "a ticket never holds a page"),
    "no matcher": ("target", "target=b", ", equal: [target]", "'target' is no matcher"),
    "nothing": ("", "target=b", ", equal: [target]", "source_matchers: "),
}


@pytest.mark.parametrize(("source", "target", "equal", "said"), NOT_SAFE.values(), ids=NOT_SAFE)
def test_a_rule_that_could_hold_everything_is_refused(
    problems: Problems, source: str, target: str, equal: str, said: str
) -> None:
    [problem] = problems(RULE % (_quoted(source), _quoted(target), equal))
    assert "inhibit.rules[0]" in problem
    assert said in problem


def _quoted(matcher: str) -> str:
    return f'"{matcher}"' if matcher else ""


def test_names_of_rules_are_their_own(problems: Problems) -> None:
    rule = "{name: %s, source_matchers: [target=a], target_matchers: [target=b]}"
    found = problems(f"inhibit: {{rules: [{rule % 'a'}, {rule % 'a'}]}}")
    assert len(found) == 1
    assert 'inhibit.rules[1].name: a second rule is called "a"' in found[0]
    [taken] = problems(f"inhibit: {{rules: [{rule % 'identity'}]}}")
    assert "identity is the name of a built-in rule" in taken
    [unknown] = problems("inhibit: {without: [idenity]}")
    assert "inhibit.without[0]" in unknown


GOOD = """\
targets:
  bot: {model: m, suite: suite.yaml, depends_on: [cloud]}
services: {cloud: {}}
inhibit:
  without: [identity]
  rules:
    - name: loudest
      source_matchers: [severity=page]
      target_matchers: ['severity=~"ticket|info"']
      equal: [service]
    - name: kitchen
      source_matchers: [target=bot]
      target_matchers: ['service=~"shop|search-2"']
"""


def test_rules_of_ones_own_hold_people_and_nothing_else(path: Path) -> None:
    path.write_text(GOOD)
    own = [rule for rule in load(path, {}).config.inhibitions() if rule.name in ("loudest", "kitchen")]
    assert [(rule.equal, rule.doubts) for rule in own] == [(("service",), False), ((), False)]
    page = incident("watch/a", Source.WATCH, watch="a", service="shop")
    ticket = incident("watch/b", Source.WATCH, Severity.TICKET, watch="b", service="shop")
    assert Inhibitors(own, [page]).explained(suspect(ticket)) is not None
    drift = incident("drift/bot", Source.LEDGER, target="bot")
    assert Inhibitors(own, [drift]).explained(suspect(page)) is not None


def checked(path: Path, *options: str) -> Any:
    path.write_text(GOOD)
    return CliRunner().invoke(app, ["check-config", "-c", str(path), "--data", str(path.parent), *options])


def test_check_config_says_what_explains_what_away(path: Path) -> None:
    said = checked(path).output
    assert "inhibits endpoint_down: While an endpoint does not answer" in said
    assert (
        "inhibits depends_on: While nothing comes through cloud, what is found of bot says nothing." in said
    )
    assert 'inhibits loudest: severity="page" holds severity=~"ticket|info", of the same service' in said
    assert "inhibits identity: switched off. While another model" in said
