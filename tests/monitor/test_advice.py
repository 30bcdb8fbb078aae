"""What a configuration will cost, and what it could do better, as `check-config` says it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import Authority

from canaries.config import BurstConfig
from monitor.advice import advice, spending
from monitor.config import ConfigError, Deployment, load

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SUITE = 'parameters: {max_tokens: 100}\ncanaries:\n  - {id: capital, prompt: "What is the capital?"}\n'
DOLLAR_A_TOKEN = "price: {input_usd_per_mtok: 0, output_usd_per_mtok: 1000000}"

Deploy = Callable[[str], Deployment]


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """The deployment of one target with these settings; answers have a hundred tokens at most."""
    (tmp_path / "suite.yaml").write_text(SUITE)

    def deploy(settings: str) -> Deployment:
        path = tmp_path / "anchorwatch.yaml"
        path.write_text(f"targets: {{bot: {{model: our-own, suite: suite.yaml, {settings}}}}}")
        return load(path, {})

    return deploy


COSTS = {
    "no price": ("every: 1h", "cost not known, as the price of the model is not"),
    "a price": (f"every: 1h, {DOLLAR_A_TOKEN}", "about $2,400.00 a day at 24 runs"),
    "a cap": (
        f"every: 1h, {DOLLAR_A_TOKEN}, spend_cap_usd_per_day: 3000",
        "about $2,400.00 a day at 24 runs; cap $3,000.00",
    ),
    "samples and a cap that bites": (
        f"cron: '0 * * * *', samples: 4, {DOLLAR_A_TOKEN}, spend_cap_usd_per_day: 5000",
        "about $9,600.00 a day at 24 runs; cap $5,000.00, which leaves 2 of 4 samples a run",
    ),
    "a cap for a model without a price": (
        "every: 1h, spend_cap_usd_per_day: 1",
        "cost not known, as the price of the model is not; cap $1.00, which cannot be kept: say the `price`",
    ),
}


@pytest.mark.parametrize(("settings", "said"), COSTS.values(), ids=COSTS)
def test_what_a_target_costs_a_day_is_known_before_it_runs(deploy: Deploy, settings: str, said: str) -> None:
    assert spending(deploy(settings), NOW) == {"bot": said}


WEEK = "baseline: {runs: 672}"
ADVICE = {
    "thin and often": (f"every: 15m, {WEEK}", ()),
    "thick and often": (f"every: 15m, samples: 4, {WEEK}", ()),
    "thin and rare": (f"every: 1h, {WEEK}", ()),
    "thick and rare": (
        f"every: 1h, samples: 4, {WEEK}",
        (
            "target bot: 4 samples each 1 h see a 20 % change of 25 canaries after about 250 answers, "
            "one sample each 15 min after about 125: `every: 15m` with `samples: 1` is better",
        ),
    ),
    "thicker and rarer": (
        f"every: 1d, samples: 10, {WEEK}",
        (
            "target bot: 10 samples each 1 day see a 20 % change of 25 canaries after about 400 answers, "
            "one sample each 2 h after about 125: `every: 144m` with `samples: 1` is better",
        ),
    ),
    "a short baseline": (
        "every: 15m, baseline: {runs: 100}",
        (
            "target bot: its baseline is made in 1 day, which is less than a week: "
            "hours and days that it has not seen may look like drift",
        ),
    ),
}


@pytest.mark.parametrize(("settings", "sentences"), ADVICE.values(), ids=ADVICE)
def test_what_would_see_changes_sooner_is_said(
    deploy: Deploy, settings: str, sentences: tuple[str, ...]
) -> None:
    assert advice(deploy(settings), NOW) == sentences


BURSTS = {
    "nothing said": ("every: 1h", BurstConfig()),
    "a time": ("burst: {after: 5m, above: 0.1}", BurstConfig(after=300.0, above=0.1)),
    "off": ("burst: off", "off"),
}


@pytest.mark.parametrize(("settings", "burst"), BURSTS.values(), ids=BURSTS)
def test_bursts_can_be_set_and_switched_off(deploy: Deploy, settings: str, burst: BurstConfig | str) -> None:
    assert deploy(settings).config.targets["bot"].burst == burst


FAULTS = {
    "a word": ("burst: sometimes", "targets.bot.burst: must be a mapping (key: value) or 'off'"),
    "a certainty": ("burst: {above: 1}", "targets.bot.burst.above: must be less than 1"),
    "half a price": ("price: {input_usd_per_mtok: 1}", "targets.bot.price.output_usd_per_mtok"),
    "nothing to spend": ("spend_cap_usd_per_day: 0", "must be more than 0"),
}


@pytest.mark.parametrize(("settings", "problem"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_is_refused(deploy: Deploy, settings: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=r"targets\.bot") as raised:
        deploy(settings)
    assert problem in str(raised.value)


def test_check_config_says_both(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from monitor.cli import main

    source = deploy(f"every: 1h, samples: 4, {DOLLAR_A_TOKEN}").source
    said = []
    for more in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["anchorwatch", "check-config", "-c", str(source), *more])
        with pytest.raises(SystemExit) as exited:
            main()
        assert not exited.value.code
        said.append(capsys.readouterr().out)
    people, machines = said
    assert "\n    about $9,600.00 a day at 24 runs\n" in people
    assert "\n  consider: target bot: 4 samples each 1 h" in people
    assert json.loads(machines)["spending"] == {"bot": "about $9,600.00 a day at 24 runs"}
    assert len(json.loads(machines)["advice"]) == 1


TLS = "tls: {certificate: ca.crt, key: ca.key}"
OPEN = "otlp: whoever reaches 0.0.0.0 may send traces: `token` or `tls: client_ca` says who may"


@pytest.mark.parametrize(
    ("otlp", "said"),
    [
        ("host: 127.0.0.1", ()),
        ("host: localhost", ()),
        ("host: '::1'", ()),
        ("host: 0.0.0.0", (OPEN,)),
        ("host: traces.example.com", (OPEN.replace("0.0.0.0", "traces.example.com"),)),
        (f"host: 0.0.0.0, {TLS}", (OPEN,)),
        (
            "host: 0.0.0.0, token: t",
            ("otlp: senders show the token to 0.0.0.0 in the clear: `tls` hides it",),
        ),
        (f"host: 0.0.0.0, token: t, {TLS}", ()),
        (f"host: 0.0.0.0, {TLS[:-1]}, client_ca: ca.crt}}", ()),
    ],
)
def test_an_open_port_for_traces_is_told(otlp: str, said: tuple[str, ...], tmp_path: Path) -> None:
    Authority(tmp_path, "ca")
    path = tmp_path / "anchorwatch.yaml"
    path.write_text(f"otlp: {{{otlp}}}")
    assert advice(load(path, {}), NOW) == said
