"""What `anchorwatch replay` shows."""

import json
from datetime import UTC, datetime

from canaries.completion import Completion, Run
from canaries.prompt import Message, ToolCall, calls_text
from canaries.suite import Canary, Expectations, ExpectedCall, Suite
from monitor.one_look.replay_once import show_json


def test_json_has_the_calls_of_tools_with_their_checks_and_all_counts_of_tokens() -> None:
    expectations = Expectations(tool_calls=(ExpectedCall("look", {"required": ["at"]}),))
    suite = Suite("s", (Canary("a", (Message("user", "x"),), {}, None, expectations),))
    call = ToolCall("look", {"to": "sea"}, "c1")
    done = Completion(
        "a", text=calls_text([call]), tool_calls=(call,), cached_input_tokens=8, reasoning_tokens=3
    )
    run = Run("r", "t", "s", datetime(2026, 3, 2, tzinfo=UTC), (done,))
    (shown,) = json.loads(show_json(suite, run))["completions"]
    assert shown["tool_calls"] == [{"name": "look", "arguments": {"to": "sea"}}]
    assert (shown["cached_input_tokens"], shown["reasoning_tokens"]) == (8, 3)
    assert [(check["name"], check["passed"]) for check in shown["checks"]] == [
        ("tool_calls", True),
        ("tool_arguments", False),
    ]
