"""Every example in the document on inhibition can be used as it is, and no rule and no option is left out."""

import re
from pathlib import Path

import pytest

from monitor.config import load
from monitor.inhibiting.config import InhibitConfig, InhibitRuleConfig
from monitor.inhibiting.inhibitions import DEPENDS_ON, RULES

DOCUMENT = (Path(__file__).parents[2] / "docs/inhibition.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
SUITE = 'canaries:\n  - {id: capital, prompt: "What is the capital of Australia?"}\n'


@pytest.mark.parametrize("example", EXAMPLES, ids=["without", "dependencies", "rules"])
def test_an_example_can_be_used(example: str, tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    for name in ("ping", "support"):
        (tmp_path / f"suites/{name}.yaml").write_text(SUITE)
    path = tmp_path / "anchorwatch.yaml"
    path.write_text(example, encoding="utf-8")
    assert load(path, {}).config.inhibitions() != RULES


def test_every_option_has_an_example() -> None:
    for model in (InhibitConfig, InhibitRuleConfig):
        for name in model.model_fields:
            assert any(re.search(rf"\b{name}:", example) for example in EXAMPLES), name


def test_every_built_in_rule_stands_in_the_table() -> None:
    told = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)
    assert sorted(told) == sorted({rule.name for rule in RULES} | {DEPENDS_ON})
