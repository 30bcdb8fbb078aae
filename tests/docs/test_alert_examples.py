"""Every example in the document on incidents can be used as it is, and no option of a route is left out."""

import re
from pathlib import Path

import pytest

from alerts.message import Why
from alerts.routing_config import EscalateConfig, MuteTimeConfig, RouteConfig
from monitor.config import load

DOCUMENT = (Path(__file__).parents[2] / "docs/alerts.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
SECRET = {"HOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


@pytest.mark.parametrize("example", EXAMPLES, ids=["routes", "receivers"])
def test_an_example_can_be_used(example: str, tmp_path: Path) -> None:
    path = tmp_path / "anchorwatch.yaml"
    path.write_text(example, encoding="utf-8")
    assert load(path, SECRET).config.receivers


def test_every_option_has_an_example() -> None:
    for model in (RouteConfig, EscalateConfig, MuteTimeConfig):
        for name, field in model.model_fields.items():
            assert re.search(rf"\b{field.alias or name}:", DOCUMENT), name


def test_every_reason_for_a_message_is_told() -> None:
    table = DOCUMENT[DOCUMENT.index("| `type` | `why` |") :]
    held = {Why.SILENCED, Why.MUTED, Why.INHIBITED, Why.ROUTED, Why.NOT_ROUTED, Why.TOO_SHORT, Why.NOT_NOW}
    assert [why for why in Why if why not in held and why.value not in table] == []
