"""The sections ``audit`` and ``models`` of the configuration: what they say, and what is wrong with them."""

from pathlib import Path

import pytest

from dashboards.audit.report import Against
from monitor.config import Config, ConfigError, load

RECEIVER = "receivers: {managers: {webhook: {url: 'https://x.example', secret: whsec_" + "A" * 44 + "}}}\n"


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "anchorwatch.yaml"
    path.write_text(text + RECEIVER)
    return load(path, {}).config


def test_a_nightly_audit_has_its_time_its_place_and_its_own_receivers(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "audit: {at: '06:30', timezone: Europe/Zurich, notify: [managers], period: 7d, against: baseline}\n"
        "models:\n  - {model: 'gpt-4o-mini*', use: Short answers.}\n",
    )
    assert config.audit is not None
    assert (config.audit.time_of_day.hour, config.audit.time_of_day.minute) == (6, 30)
    assert (config.audit.notify, config.audit.period) == (["managers"], 7 * 86_400.0)
    assert config.audit.reference is Against.BASELINE
    assert config.models[0].use == "Short answers."


def test_without_the_section_there_is_no_nightly_audit(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").audit is None


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("audit: {notify: [manager]}", 'audit.notify[0]: no receiver is called "manager"'),
        ("audit: {at: '6:30'}", 'audit.at: must be a time of day, such as "06:30"'),
        ("audit: {at: '24:00'}", "audit.at: must be a time of day"),
        ("audit: {timezone: Mars/Olympus}", "audit.timezone: is no time zone"),
        ("audit: {timezone: ../etc}", "audit.timezone: is no time zone"),
        ("audit: {period: 10m}", "audit.period"),
        ("audit: {against: yesterday}", "audit.against"),
        ("models: [{model: m}]", "models[0].use"),
    ],
    ids=["a stranger", "a digit short", "no time", "no place", "a path", "too short", "no reference", "no use"],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, section: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, section + "\n")
    assert told in str(refused.value)
