"""The examples of the docs can be used as they stand."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from canaries.abilities import unsupported
from canaries.config import TargetConfig
from canaries.document import load_document
from canaries.prompt import Image
from canaries.providers import PROVIDERS
from canaries.suite import load_suite

DOCS = Path(__file__).parents[2] / "docs"


def block(page: str) -> str:
    found = re.search(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


TARGETS = yaml.safe_load(block("targets.md"))["targets"]


@pytest.mark.parametrize("name", TARGETS)
def test_a_documented_target_can_be_used(name: str) -> None:
    load_document(yaml.safe_dump(TARGETS[name]), "targets.md", TargetConfig, _secrets())


def _secrets() -> dict[str, str]:
    return dict.fromkeys(re.findall(r"\$\{(\w+)\}", block("targets.md")), "a-secret")


def test_each_provider_has_an_example_and_a_line_in_the_table() -> None:
    assert {target["provider"] for target in TARGETS.values()} == PROVIDERS.keys()
    page = (DOCS / "targets.md").read_text(encoding="utf-8")
    assert all(f"\n| `{provider}` |" in page for provider in PROVIDERS)


def test_the_documented_suite_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "pictures/invoice.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "texts/terms.txt").write_text("Terms and conditions. ", encoding="utf-8")
    (tmp_path / "s.yaml").write_text(block("suites.md"), encoding="utf-8")
    suite = load_suite(tmp_path / "s.yaml", {})
    asked = {canary.id: canary.messages[-1] for canary in suite.canaries}
    assert len(asked["finds-the-needle"].content) > 300_000
    assert isinstance(asked["reads-an-invoice"].parts[1], Image)
    assert unsupported(suite, "openai") == ()


def test_what_is_commented_out_in_the_first_suite_can_be_used_too(tmp_path: Path) -> None:
    text = (files("monitor") / "templates/first.yaml").read_text(encoding="utf-8")
    (tmp_path / "s.yaml").write_text(re.sub(r"^  # ", "  ", text, flags=re.MULTILINE), encoding="utf-8")
    (lookup,) = (canary for canary in load_suite(tmp_path / "s.yaml", {}).canaries if canary.tools)
    assert lookup.expectations.tool_calls
