"""Every example in the document on watches is a configuration that can be used, and none of their kinds is left out."""

import re
from pathlib import Path

import pytest

from monitor.config import Deployment, load
from monitor.traffic.watches.config import Looks, WatchConfig
from monitor.traffic.watches.measures import MEASURES

DOCUMENT = (Path(__file__).parents[2] / "docs/watches.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
REST = """
receivers:
  oncall: {webhook: {url: "https://example.com/hook", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}
rollbacks:
  deploy: {url: "https://example.com/rollback", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
"""


def loaded(example: str, folder: Path) -> Deployment:
    path = folder / "anchorwatch.yaml"
    path.write_text(example + REST, encoding="utf-8")
    return load(path, {})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[:60])
def test_an_example_can_be_used(example: str, tmp_path: Path) -> None:
    config = loaded(example, tmp_path).config
    assert config.watches if example.startswith("watches:") else config.http.trace_url


def test_every_kind_and_option_has_an_example(tmp_path: Path) -> None:
    watches = [watch for example in EXAMPLES for watch in loaded(example, tmp_path).config.watches]
    assert {watch.looks for watch in watches} == set(Looks)
    said = {name for watch in watches for name in watch.model_fields_set}
    assert said == set(WatchConfig.model_fields)


def test_every_share_and_rate_is_named() -> None:
    missing = [name for name, one in MEASURES.items() if not one.histogram and f"`{name}`" not in DOCUMENT]
    assert missing == []
