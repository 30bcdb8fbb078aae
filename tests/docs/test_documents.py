"""What the documents say is there, is there."""

import re
from pathlib import Path

import pytest

from canaries.clock import SystemClock
from monitor.config import load
from monitor.telemetry import Metrics

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_metric_is_explained_and_no_other() -> None:
    families = Metrics(SystemClock()).registry.collect()
    names = {one.name + ("_total" if one.type == "counter" else "") for one in families}
    explained = set(
        re.findall(r"^\| `(anchorwatch_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )
    assert explained == names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_the_examples_of_what_is_kept_can_be_used_as_they_are(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/storage.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for number, example in enumerate(examples):
        written = tmp_path / f"{number}.yaml"
        written.write_text(example)
        load(written, {})


def test_the_example_of_a_nightly_audit_can_be_used_as_it_is(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/audit.md").read_text(), re.DOTALL)
    written = tmp_path / "audit.yaml"
    written.write_text(example)
    config = load(written, {"AUDIT_SECRET": "A" * 44}).config
    assert config.audit is not None
    assert config.audit.notify == ["managers"]
