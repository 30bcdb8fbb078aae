"""The text of an answer, wherever an instrumentation puts it."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from monitor.traffic.dialects.answer_text import ANSWER_MAX, answer_text
from monitor.traffic.otlp import Event, Span

SAID = "The ferry leaves at six."


def span(attributes: Mapping[str, object], *events: Event) -> Span:
    return Span("1" * 32, "2" * 16, "", "chat", "tests", 1, 2, False, "", attributes, events)


def written(document: Any) -> str:
    return orjson.dumps(document).decode()


COMPLETION = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": SAID}}],
}
MESSAGE = {"role": "assistant", "content": SAID}
TEXT_PART = {"type": "text", "content": SAID}
PARTS = [{"role": "assistant", "parts": [TEXT_PART], "finish_reason": "stop"}]
HALVES = [{"type": "text", "text": SAID[:9]}, {"type": "text", "text": SAID[9:]}]
RESPONSE_ITEMS = [
    {"type": "reasoning", "summary": []},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": SAID}]},
]
ANTHROPIC = {
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": "Hm."}, *HALVES],
    "stop_reason": "x",
}
GEMINI = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": SAID}]},
            "index": 0,
        }
    ]
}
LANGCHAIN = {
    "generations": [
        [{"text": SAID, "message": {"lc": 1, "kwargs": {"content": SAID}}, "generation_info": {}}]
    ]
}

WRITTEN: dict[str, dict[str, object]] = {
    "messages of OpenTelemetry": {"gen_ai.output.messages": written(PARTS)},
    "messages with reasoning": {
        "gen_ai.output.messages": written(
            [{"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, TEXT_PART]}]
        )
    },
    "numbered completions": {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": SAID},
    "a completion after its thinking": {
        "gen_ai.completion.0.role": "thinking",
        "gen_ai.completion.0.content": "Hm.",
        "gen_ai.completion.1.content": SAID,
    },
    "parts in a numbered completion": {"gen_ai.completion.0.content": written(HALVES)},
    "numbered messages": {"llm.output_messages.0.message.content": SAID, "output.value": written(COMPLETION)},
    "numbered parts of messages": {
        "llm.output_messages.0.message.contents.0.message_content.type": "reasoning",
        "llm.output_messages.0.message.contents.0.message_content.text": "Hm.",
        "llm.output_messages.0.message.contents.1.message_content.type": "text",
        "llm.output_messages.0.message.contents.1.message_content.text": SAID,
    },
    "a text of Vercel's": {"ai.response.text": SAID},
    "a value as it is": {"output.value": SAID},
    "a completion in a value": {"output.value": written(COMPLETION), "output.mime_type": "application/json"},
    "items of a response": {"langfuse.observation.output": written(RESPONSE_ITEMS)},
    "a response": {"mlflow.spanOutputs": written({"id": "resp_1", "output": RESPONSE_ITEMS})},
    "a message": {"langfuse.observation.output": written(MESSAGE)},
    "a text in JSON": {"langfuse.observation.output": written(SAID)},
    "a text in JSON of MLflow's": {"mlflow.spanOutputs": written(SAID)},
    "a message of Anthropic's": {"mlflow.spanOutputs": written(ANTHROPIC)},
    "Gemini's candidates": {"gcp.vertex.agent.llm_response": written(GEMINI)},
    "LangChain's generations": {"gen_ai.completion": written(LANGCHAIN)},
    "Logfire's message": {"response_data": written({"message": MESSAGE})},
    "Logfire's stream": {"response_data": written({"combined_chunk_content": SAID, "chunk_count": 4})},
    "Bedrock's answer": {
        "output.value": written(
            {"output": {"message": {"role": "assistant", "content": HALVES}}, "stopReason": "end_turn"}
        )
    },
    "a refusal": {
        "output.value": written({"choices": [{"message": {"role": "assistant", "refusal": SAID}}]})
    },
}


@pytest.mark.parametrize("attributes", WRITTEN.values(), ids=WRITTEN)
def test_the_text_is_found_wherever_it_is_written(attributes: dict[str, object]) -> None:
    assert answer_text(span(attributes)) == SAID


EVENTS = {
    "a choice": Event(
        "gen_ai.choice", 1, {"message": written([{"text": SAID}]), "finish_reason": "end_turn"}
    ),
    "a choice with a tool beside": Event(
        "gen_ai.choice", 1, {"message": written([{"text": SAID}, {"toolUse": {"name": "look"}}])}
    ),
    "an old completion": Event("gen_ai.content.completion", 1, {"gen_ai.completion": written([MESSAGE])}),
    "details": Event(
        "gen_ai.client.inference.operation.details", 1, {"gen_ai.output.messages": written(PARTS)}
    ),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_text_is_found_in_events(event: Event) -> None:
    assert answer_text(span({}, event)) == SAID


NESTED = "[" * 900 + "]" * 900
ANSWERS_IN_JSON = [
    NESTED,
    '{"city": "Lisbon"}',
    "[1, 2]",
    '{"city": "Lis',
    '[{"type": "a"}]',
    '{"a": {"role": 1}}',
]


@pytest.mark.parametrize("answer", ANSWERS_IN_JSON)
@pytest.mark.parametrize("key", ["output.value", "ai.response.text", "gen_ai.completion.0.content"])
def test_an_answer_that_is_json_itself_is_the_answer(key: str, answer: str) -> None:
    assert answer_text(span({key: answer})) == answer


TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
NOTHING_SAID: dict[str, dict[str, object]] = {
    "no text at all": {"gen_ai.usage.output_tokens": 5},
    "a tool is asked for": {"output.value": written({"choices": [{"message": {"tool_calls": [TOOL_CALL]}}]})},
    "an empty text beside a tool": {
        "langfuse.observation.output": written(
            {"role": "assistant", "content": "", "tool_calls": [TOOL_CALL]}
        )
    },
    "an empty text beside a numbered tool": {
        "gen_ai.completion.0.content": "",
        "gen_ai.completion.0.tool_calls.0.name": "look",
    },
    "a tool is asked for in parts": {
        "gen_ai.output.messages": written(
            [{"role": "assistant", "parts": [{"type": "tool_call", "name": "look"}]}]
        )
    },
    "a document that was cut off": {"output.value": written(COMPLETION)[:60]},
    "messages that were cut off": {"gen_ai.output.messages": written(PARTS)[:30]},
    "the question alone": {"output.value": written([{"role": "user", "content": SAID}])},
    "nested without end": {"mlflow.spanOutputs": "[" * 900 + "]" * 900},
    "messages nested without end": {"mlflow.spanOutputs": '{"message":' * 50 + '"x"' + "}" * 50},
    "not even a text": {"output.value": 5, "ai.response.text": ["x"]},
}


@pytest.mark.parametrize("attributes", NOTHING_SAID.values(), ids=NOTHING_SAID)
def test_without_an_answer_there_is_no_text(attributes: dict[str, object]) -> None:
    assert answer_text(span(attributes)) is None


def test_an_empty_answer_is_an_answer() -> None:
    empty = {"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}
    assert answer_text(span({"output.value": written(empty)})) == ""


def test_a_long_answer_is_cut() -> None:
    assert len(answer_text(span({"ai.response.text": "x" * 300_000})) or "") == ANSWER_MAX
