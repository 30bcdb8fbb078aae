"""The configuration as a whole: all problems at once with their places, names that must exist, and what we ship."""

import json
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from real_parts import ROOT

from canaries.proofs import ProofKind
from canaries.store import Content
from monitor import MonitorError
from monitor.config import Config, ConfigError, Deployment, cadence_of, load
from monitor.deployment import budgets_of, house_of, watched_of
from monitor.schedule import Cron, Every
from monitor.traffic.roll_ups import Keep

SUITE = 'canaries:\n  - {id: capital, prompt: "What is the capital of Australia?"}\n'
WHSEC = "whsec_" + "QUJD" * 8

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts a configuration beside a good suite."""
    (tmp_path / "suite.yaml").write_text(SUITE)

    def write(text: str) -> Path:
        path = tmp_path / "anchorwatch.yaml"
        path.write_text(text)
        return path

    return write


def problems(path: Path, **env: str) -> list[str]:
    """The problems of a configuration, without the folder."""
    with pytest.raises(ConfigError) as raised:
        load(path, env)
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))
    return [str(problem).replace(f"{path.parent}/", "") for problem in raised.value.problems]


# --- all problems at once

BROKEN = """\
budget: {pages_per_quarter: 0}
targets:
  "bad name":
    model: m
    suite: nowhere.yaml
  bot:
    modle: m
    suite: broken.yaml
    cron: "0 0 31 2 *"
    notify: [oncal]
    rollback: deploy
  bot2:
    model: ${MODEL}
    suite: broken.yaml
watches:
  - {name: slow, measure: latency_p95, above: 8s, notify: [nobody]}
  - {name: slow, measure: error_share, above: 300%}
receivers:
  oncall: {slack: {token: "${TOKEN}", channel: C1}}
http: {port: 99999}
tragets: {}
"""


def test_every_problem_is_told_with_its_place_and_what_would_be_right(write: Write) -> None:
    path = write(BROKEN)
    (path.parent / "broken.yaml").write_text("canaries:\n  - {id: a, promt: hello}\n  - {id: a, prompt: x}\n")
    found = problems(path, TOKEN="xoxb-1")
    expected = [
        "anchorwatch.yaml:1:10  budget.pages_per_quarter: must be more than 0, not 0",
        "anchorwatch.yaml:3:3  targets.bad name: a name has letters, digits",
        "anchorwatch.yaml:5:5  targets.bad name.suite: there is no file nowhere.yaml",
        'anchorwatch.yaml:7:5  targets.bot.modle: unknown key; did you mean "model"?',
        "anchorwatch.yaml:9:5  targets.bot.cron: is not a crontab line: there is no such day in any year",
        'anchorwatch.yaml:10:14  targets.bot.notify[0]: no receiver is called "oncal"; receivers has: oncall',
        'anchorwatch.yaml:11:5  targets.bot.rollback: no rollback is called "deploy"; there is no rollbacks',
        "anchorwatch.yaml:13:5  targets.bot2.model: the environment variable MODEL is not set",
        'anchorwatch.yaml:16:60  watches[0].notify[0]: no receiver is called "nobody"; receivers has: oncall',
        'anchorwatch.yaml:17:6  watches[1].name: a second watch is called "slow"',
        "anchorwatch.yaml:17:40  watches[1].above: error_share is measured in share",
        "anchorwatch.yaml:20:8  http.port: must be at most 65535, not 99999",
        'anchorwatch.yaml:21:1  tragets: unknown key; did you mean "targets"?',
        'broken.yaml:2:13  canaries[0].promt: unknown key; did you mean "prompt"?',
        'broken.yaml:3:6  canaries[1].id: "a" is already the id of canaries[0]',
    ]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_problems_of_validators_are_told_with_their_places(write: Write) -> None:
    path = write(
        "validators:\n"
        "  - {name: a, expect: {json: true}}\n"
        "  - {name: a, expect: {matches: '('}}\n"
        "  - {name: b, expect: {}}\n"
        "  - {name: c, match: {sevice: x}, expect: {no_refusal: true}}\n"
    )
    expected = [
        'anchorwatch.yaml:3:6  validators[1].name: a second validator is called "a"',
        "anchorwatch.yaml:3:24  validators[1].expect.matches: is not a regular expression",
        "anchorwatch.yaml:4:15  validators[2].expect: expects nothing: name json",
        'anchorwatch.yaml:5:23  validators[3].match.sevice: unknown key; did you mean "service"?',
    ]
    assert [line[: len(start)] for line, start in zip(problems(path), expected, strict=True)] == expected


def test_problems_of_evaluations_are_told_with_their_places(write: Write) -> None:
    path = write(
        "evaluations:\n"
        "  fine: {attribute: app.grounded}\n"
        "  empty: {}\n"
        "  crossed: {attribute: app.score, min: 1, max: 0}\n"
        "  counted: {passed: [1]}\n"
        "  unsure: {passed: [good, Yes], failed: [bad, true]}\n"
        "  spaced: {attribute: app score}\n"
        "  mistyped: {atribute: app.score}\n"
    )
    expected = [
        "anchorwatch.yaml:3:3  evaluations.empty: draws no line: name min, max or both, or the labels",
        "anchorwatch.yaml:4:3  evaluations.crossed: no score passes: min is above max",
        "anchorwatch.yaml:5:13  evaluations.counted.passed: 1 is no label: write words; for scores draw a line",
        "anchorwatch.yaml:6:3  evaluations.unsure: says of true both that it has passed and that it has failed",
        "anchorwatch.yaml:7:12  evaluations.spaced.attribute: has a space in it",
        'anchorwatch.yaml:8:14  evaluations.mistyped.atribute: unknown key; did you mean "attribute"?',
    ]
    assert [line[: len(start)] for line, start in zip(problems(path), expected, strict=True)] == expected


TARGET = "targets: {bot: {model: m, suite: suite.yaml, %s}}"
ONE_PROBLEM = {
    "half a crontab line": (TARGET % "cron: '0 0'", "targets.bot.cron: must have 5 fields"),
    "two schedules": (TARGET % "cron: '0 0 * * *', every: 1h", "targets.bot.every: stands beside `cron`"),
    "a crontab line of nonsense": (TARGET % "cron: 'x 0 * * *'", "targets.bot.cron: is not a crontab line"),
    "longer than its interval": (
        TARGET % "every: 15m, jitter: 10m, spread: 5m",
        "targets.bot.spread: jitter and spread let a run take 900 s, and the next one is due after 900 s",
    ),
    "longer than the minutes between": (
        TARGET % "cron: '*/5 * * * *', jitter: 10m",
        "targets.bot.jitter: jitter and spread let a run take 600 s, and the next one is due after 300 s",
    ),
    "two kinds of receiver": (
        "receivers: {a: {slack: {token: x, channel: c}, webhook: {url: 'https://a.example', secret: "
        + WHSEC
        + "}}}",
        "receivers.a: a receiver is exactly one of: slack, slack_webhook",
    ),
    "not a mapping": ("- 1", "must be a mapping"),
    "no YAML": ("a: [", "not valid YAML"),
    "a list of targets": ("targets: [bot]", "targets: must be a mapping"),
    "a price of nothing named": (
        "prices: [{input_usd_per_mtok: 1, output_usd_per_mtok: 2}]",
        "prices[0].model: this key is required",
    ),
    "a price without a price": (
        "prices: [{model: m, input_usd_per_mtok: 1}]",
        "prices[0].output_usd_per_mtok: this key is required",
    ),
    "a price below nothing": (
        "prices: [{model: m, input_usd_per_mtok: -1, output_usd_per_mtok: 2}]",
        "prices[0].input_usd_per_mtok: must be at least 0, not -1",
    ),
    "a price in words": (
        "prices: [{model: m, input_usd_per_mtok: cheap, output_usd_per_mtok: 2}]",
        "prices[0].input_usd_per_mtok: must be a number",
    ),
    "a price from some day": (
        "prices: [{model: m, from: soon, input_usd_per_mtok: 1, output_usd_per_mtok: 2}]",
        "prices[0].from: ",
    ),
    "a price of an empty name": (
        "prices: [{model: [], input_usd_per_mtok: 1, output_usd_per_mtok: 2}]",
        "prices[0].model: write a name, a pattern",
    ),
    "a price with a typo": (
        "prices: [{model: m, input_usd_per_mtok: 1, output_usd_per_mtok: 2, cached_usd_per_mtok: 1}]",
        "prices[0].cached_usd_per_mtok: unknown key",
    ),
    "two prices at a time": (
        "prices: [{model: m, input_usd_per_mtok: 1, output_usd_per_mtok: 2},"
        " {model: m, input_usd_per_mtok: 2, output_usd_per_mtok: 3}]",
        "prices[1].model: prices[0] is for the same model and days",
    ),
    "minutes for less than baselines need": (
        "storage: {minutes: 28d}",
        "storage.minutes: must be 29d or longer: rhythms and baselines are learned from minutes of 28 days",
    ),
    "hours for less than a month": (
        "storage: {minutes: 29d, hours: 31d}",
        "storage.hours: must be 32d or longer",
    ),
    "minutes for longer than hours": (
        "storage: {minutes: 401d}",
        "storage: hours must be as long as minutes or longer",
    ),
    "hours for longer than days": (
        "storage: {hours: 100d, days: 99d}",
        "storage.days: days must be as long as hours or longer",
    ),
    "a mapping of prices": ("prices: {m: {}}", "prices: must be a list"),
    "a mapping of watches": ("watches: {slow: {}}", "watches: must be a list"),
}


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM.values(), ids=ONE_PROBLEM)
def test_a_single_mistake_is_one_problem(write: Write, text: str, problem: str) -> None:
    (found,) = problems(write(text))
    assert problem in found


def test_no_secret_is_in_a_problem(write: Write) -> None:
    text = "receivers: {a: {webhook: {url: 'https://a.example', secret: '${KEY}'}}}"
    (found,) = problems(write(text), KEY="hunter2-hunter2")
    assert "whsec_" in found
    assert "hunter2" not in found


UNREADABLE = {
    "missing": (lambda path: None, "No such file"),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "not text": (lambda path: path.write_bytes(b"a: \xff"), r"is not UTF-8 text \(byte 3\)"),
}


@pytest.mark.parametrize(("make", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "anchorwatch.yaml"
    make(path)
    with pytest.raises(MonitorError, match=rf"anchorwatch\.yaml: .*{message}"):
        load(path, {})


# --- what is read


def test_without_a_file_the_defaults_hold() -> None:
    deployment = load(None, {})
    assert deployment == Deployment(Config(), {})
    assert (deployment.config.http.host, deployment.config.http.port) == ("127.0.0.1", 8700)
    assert deployment.config.otlp.host == "127.0.0.1"
    assert deployment.config.budget.pages_per_quarter == 0.25


def test_calls_are_kept_by_the_minute_the_hour_and_the_day_as_long_as_the_file_says(write: Write) -> None:
    storage = load(write("storage: {minutes: 29d, hours: 60d}"), {}).config.storage
    assert storage.keep_windows() == Keep(29 * 86_400, 60 * 86_400, 5 * 365 * 86_400)
    assert Config().storage.keep_windows() == Keep(35 * 86_400, 400 * 86_400, 5 * 365 * 86_400)


def test_dated_prices_are_read(write: Write) -> None:
    text = """\
prices:
  - {model: [gpt-4o*, our-*], input_usd_per_mtok: 1.5, output_usd_per_mtok: 6}
  - model: [gpt-4o*, our-*]
    provider: azure.ai.openai
    from: 2026-03-01
    input_usd_per_mtok: 1
    cached_input_usd_per_mtok: 0.5
    cache_write_usd_per_mtok: 1.25
    output_usd_per_mtok: 5
"""
    first, second = load(write(text), {}).config.prices
    assert (first.model, first.provider, first.since) == (["gpt-4o*", "our-*"], None, date.min)
    assert (first.cached_input_usd_per_mtok, first.cache_write_usd_per_mtok) == (None, None)
    assert (second.provider, second.since) == ("azure.ai.openai", date(2026, 3, 1))
    assert (second.cached_input_usd_per_mtok, second.cache_write_usd_per_mtok) == (0.5, 1.25)


def test_an_empty_file_is_the_defaults(write: Write) -> None:
    assert load(write(""), {}).config == Config()


WHOLE = f"""\
budget: {{pages_per_quarter: 1, tickets_per_week: 2}}
storage: {{content: hashes}}
targets:
  bot:
    model: ${{MODEL}}
    suite: suite.yaml
    importance: 3
    down_after: 5
    baseline: {{runs: 40, freeze: command, min_answered_share: 0.9}}
    proofs: {{fingerprint: "off", served_model: ticket}}
    notify: [oncall]
    rollback: deploy
  other: {{model: m, suite: suite.yaml, cron: "0 * * * *"}}
receivers:
  oncall: {{webhook: {{url: "https://a.example", secret: {WHSEC}}}}}
rollbacks:
  deploy: {{url: "https://deploy.example", secret: {WHSEC}, mode: live, cooldown: 1h}}
"""


def test_the_canary_flow_gets_what_the_file_says(write: Write) -> None:
    deployment = load(write(WHOLE), {"MODEL": "gpt-x"})
    watched = watched_of(deployment, "bot", 900.0)
    assert watched.suite_name == "suite"
    assert [canary.id for canary in deployment.suites["bot"].canaries] == ["capital"]
    assert watched.contract.shared["target.model"] == "gpt-x"
    assert (watched.slot_s, watched.share, watched.down_after) == (900.0, 0.75, 5)
    assert (watched.baseline_runs, watched.freezes_itself, watched.min_answered_share) == (40, False, 0.9)
    assert watched.content is Content.HASHES
    assert (watched.rule.notify, watched.rule.rollback) == (("oncall",), "deploy")
    assert {kind.value: loud and loud.name for kind, loud in watched.proofs.items()} == {
        "fingerprint": None,
        "served_model": "TICKET",
    }


def test_the_shares_of_the_targets_sum_to_one_budget(write: Write) -> None:
    deployment = load(write(WHOLE), {"MODEL": "m"})
    assert {name: deployment.share(name) for name in deployment.config.targets} == {
        "bot": 0.75,
        "other": 0.25,
    }


def test_budgets_are_all_told_by_the_quarter(write: Write) -> None:
    config = load(write(WHOLE), {"MODEL": "m"}).config
    budgets = budgets_of(config.budget)
    assert budgets.pages_per_quarter == 1
    assert budgets.tickets_per_quarter == pytest.approx(2 * 13.04, abs=0.01)
    assert budgets.rollbacks_per_quarter == 0.02
    rule = house_of(load(write(WHOLE), {"MODEL": "m"}), b"key").rollbacks["deploy"]
    assert (rule.mode.value, rule.cooldown_s) == ("live", 3600.0)


def test_a_target_runs_by_its_interval_or_its_crontab_line(write: Write) -> None:
    targets = load(write(WHOLE), {"MODEL": "m"}).config.targets
    assert cadence_of(targets["bot"]) == Every(900.0)
    assert cadence_of(targets["other"]) == Cron("0 * * * *")


def test_every_proof_can_be_named_in_the_configuration(write: Write) -> None:
    named = ", ".join(f"{kind.value}: info" for kind in ProofKind)
    deployment = load(write(TARGET % f"proofs: {{{named}}}"), {})
    assert set(watched_of(deployment, "bot", 1.0).proofs) == set(ProofKind)


def test_suites_are_looked_for_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ops"
    (folder / "suites").mkdir(parents=True)
    (folder / "suites" / "first.yaml").write_text(SUITE.replace("What", "${ASK}"))
    (folder / "anchorwatch.yaml").write_text("targets: {bot: {model: m, suite: suites/first.yaml}}")
    monkeypatch.chdir(tmp_path)
    (canary,) = load(Path("ops/anchorwatch.yaml"), {"ASK": "Who"}).suites["bot"].canaries
    assert canary.messages[0].content == "Who is the capital of Australia?"


# --- what we ship


def test_the_first_configuration_and_suite_can_be_used_as_they_are(tmp_path: Path) -> None:
    templates = files("monitor") / "templates"
    (tmp_path / "suites").mkdir()
    (tmp_path / "anchorwatch.yaml").write_text((templates / "anchorwatch.yaml").read_text())
    (tmp_path / "suites" / "first.yaml").write_text((templates / "first.yaml").read_text())
    env = {"OPENAI_API_KEY": "sk-1", "SLACK_BOT_TOKEN": "xoxb-1"}
    deployment = load(tmp_path / "anchorwatch.yaml", env)
    assert len(deployment.suites["support-bot"].canaries) == 4
    assert deployment.config.watches[0].notify == ["oncall"]
    assert deployment.config.budget == Config().budget  # what is written out is the default, too


def test_what_is_commented_out_in_the_first_configuration_can_be_used_too(tmp_path: Path) -> None:
    templates = files("monitor") / "templates"
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "first.yaml").write_text((templates / "first.yaml").read_text())
    lines = (templates / "anchorwatch.yaml").read_text().splitlines()
    used = [line.replace("# ", "", 1) if _is_an_option(line) else line for line in lines]
    (tmp_path / "anchorwatch.yaml").write_text("\n".join(used))
    env = {"OPENAI_API_KEY": "sk-1", "SLACK_BOT_TOKEN": "xoxb-1", "ROLLBACK_SECRET": WHSEC, "OTLP_TOKEN": "t"}
    config = load(tmp_path / "anchorwatch.yaml", env).config
    assert config.otlp.token is not None
    assert config.targets["support-bot"].rollback == "deploy"
    assert config.targets["support-bot"].baseline.runs == 672
    assert config.rollbacks["deploy"].mode.value == "dry-run"
    assert config.storage.content == "hashes"
    dated, own = config.prices
    assert (dated.provider, dated.since, dated.cache_write_usd_per_mtok) == (
        "azure.ai.openai",
        date(2026, 1, 1),
        2,
    )
    assert (own.model, own.input_usd_per_mtok) == ("our-own-llm", 0.05)


def _is_an_option(line: str) -> bool:
    """Whether the line is a setting that is commented out: a key follows the sign, not a sentence."""
    key, colon, _ = line.strip().removeprefix("# ").strip().removeprefix("- ").lstrip("{").partition(":")
    return line.strip().startswith("# ") and bool(colon) and key.islower() and key.replace("_", "").isalpha()


def test_the_examples_in_the_values_of_the_chart_can_be_used(tmp_path: Path) -> None:
    text = (ROOT / "helm" / "anchorwatch" / "values.yaml").read_text()
    ours = text[text.index("config:") : text.index("# The name of a Secret")]
    used = [line.replace("# ", "", 1) for line in ours.splitlines() if not line.startswith("# The suite")]
    kept = [line for line in used if line.strip() not in ("targets: {}", "receivers: {}", "suites: {}")]
    values = yaml.safe_load("\n".join(kept))
    (tmp_path / "suites").mkdir()
    for name, suite in values["suites"].items():
        (tmp_path / "suites" / name).write_text(json.dumps(suite))
    (tmp_path / "anchorwatch.yaml").write_text(json.dumps(values["config"]))
    deployment = load(tmp_path / "anchorwatch.yaml", {"OPENAI_API_KEY": "sk-1", "SLACK_BOT_TOKEN": "xoxb-1"})
    assert list(deployment.suites) == ["support-bot"]
    assert deployment.config.http.host == "0.0.0.0"


# --- silence


def test_silence_is_looked_for_without_a_word(write: Write) -> None:
    config = load(write("{}"), {}).config
    assert (config.silence.severity, config.silence.services, config.silence.ignore) == ("ticket", [], [])
    assert config.told_of_silence() == ()


def test_who_would_miss_something_by_silence_hears_of_it(write: Write) -> None:
    receiver = "{webhook: {url: 'https://x.example', secret: " + WHSEC + "}}"
    text = (
        "watches: [{name: w, measure: latency_p95, above: 8s, notify: [oncall]}]\n"
        f"receivers: {{oncall: {receiver}, other: {receiver}}}\n"
    )
    assert load(write(text), {}).config.told_of_silence() == ("oncall",)
    assert load(write(text + "silence: {notify: [other]}\n"), {}).config.told_of_silence() == ("other",)
    assert load(write(text + "silence: {notify: []}\n"), {}).config.told_of_silence() == ()


def test_what_is_known_of_silence(write: Write) -> None:
    path = write(
        "silence:\n  severity: page\n  notify: [oncall]\n"
        "  services: [{service: checkout, within: 10m}]\n  ignore: ['batch-*']\n"
        "receivers: {oncall: {webhook: {url: 'https://x.example', secret: " + WHSEC + "}}}\n"
    )
    silence = load(path, {}).config.silence
    assert (silence.services[0].service, silence.services[0].within) == ("checkout", 600.0)
    assert silence.ignores("batch-nightly")
    assert not silence.ignores("checkout")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{notify: [oncal]}", 'silence.notify[0]: no receiver is called "oncal"'),
        ("{services: [{service: 'a*', within: 10m}]}", "is one service by its whole name"),
        ("{services: [{service: a, within: 1m}]}", "services[0].within"),
        ("{services: [{service: a, within: 5m}, {service: a, within: 6m}]}", "named twice: a"),
        ("{services: [{service: a, within: 5m}], ignore: ['*']}", "both expected and ignored: a"),
    ],
    ids=["an unknown receiver", "a pattern", "too soon", "twice", "contradiction"],
)
def test_what_is_wrong_with_silence_is_told(write: Write, section: str, told: str) -> None:
    (problem,) = problems(write(f"silence: {section}\n"))
    assert told in problem
