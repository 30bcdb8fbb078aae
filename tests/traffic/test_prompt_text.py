"""The prompt of a call, wherever an instrumentation puts it."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from canaries.harvest.messages import Conversation
from canaries.suite import Message
from monitor.traffic.dialects.prompt_text import conversation_in
from monitor.traffic.otlp import Event, Span

SYSTEM, ASKED = "You help sailors.", "When does the ferry leave?"
PROMPT = Conversation((Message("system", SYSTEM), Message("user", ASKED)))


def span(attributes: Mapping[str, object], *events: Event) -> Span:
    return Span("1" * 32, "2" * 16, "", "chat", "tests", 1, 2, False, "", attributes, events)


def written(document: Any) -> str:
    return orjson.dumps(document).decode()


MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}]
PARTS = [
    {"role": "system", "parts": [{"type": "text", "content": SYSTEM}]},
    {"role": "user", "parts": [{"type": "text", "content": ASKED}]},
]
BODY = {"model": "m", "messages": MESSAGES, "temperature": 0.2}

WRITTEN: dict[str, dict[str, object]] = {
    "messages of OpenTelemetry": {"gen_ai.input.messages": written(PARTS)},
    "instructions beside them": {
        "gen_ai.input.messages": written(PARTS[1:]),
        "gen_ai.system_instructions": written([{"type": "text", "content": SYSTEM}]),
    },
    "numbered messages of OpenInference": {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": SYSTEM,
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.contents.0.message_content.type": "text",
        "llm.input_messages.1.message.contents.0.message_content.text": ASKED,
        "input.value": "not this",
    },
    "numbered prompts": {
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": SYSTEM,
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": written([{"type": "text", "text": ASKED}]),
    },
    "Vercel's": {"ai.prompt.messages": written(MESSAGES)},
    "Vercel's outer span": {"ai.prompt": written({"system": SYSTEM, "prompt": ASKED})},
    "Langfuse's": {"langfuse.observation.input": written(MESSAGES)},
    "Langfuse's of a response": {
        "langfuse.observation.input": ASKED,
        "langfuse.observation.metadata.instructions": written(SYSTEM),
    },
    "Logfire's": {"request_data": written(BODY)},
    "MLflow's": {"mlflow.spanInputs": written(BODY)},
    "Anthropic's body": {
        "input.value": written({"system": SYSTEM, "messages": [{"role": "user", "content": ASKED}]})
    },
    "LangSmith's": {
        "gen_ai.prompt": written(
            {
                "messages": [
                    [
                        {"lc": 1, "id": ["a", "SystemMessage"], "kwargs": {"content": SYSTEM}},
                        {"lc": 1, "id": ["a", "HumanMessage"], "kwargs": {"content": ASKED}},
                    ]
                ]
            }
        )
    },
    "Gemini's of the ADK": {
        "gcp.vertex.agent.llm_request": written(
            {
                "config": {"system_instruction": SYSTEM},
                "contents": [{"role": "user", "parts": [{"text": ASKED}]}],
            }
        )
    },
}


@pytest.mark.parametrize("attributes", WRITTEN.values(), ids=WRITTEN)
def test_the_messages_are_found_wherever_they_are_written(attributes: dict[str, object]) -> None:
    assert conversation_in(span(attributes)) == PROMPT


def test_the_messages_are_found_in_events() -> None:
    said = [
        Event("gen_ai.system.message", 1, {"content": written([{"text": SYSTEM}])}),
        Event("gen_ai.user.message", 2, {"content": ASKED}),
        Event("gen_ai.choice", 3, {"message": "At six."}),
    ]
    assert conversation_in(span({}, *said)) == PROMPT


NO_PROMPT: dict[str, dict[str, object]] = {
    "nothing": {},
    "content is off": {"gen_ai.usage.input_tokens": 5, "input.value": ""},
    "an answer only": {"gen_ai.input.messages": written([{"role": "assistant", "content": "At six."}])},
    "a document of something else": {"input.value": written({"query_vector": [1, 2]})},
    "nested too deeply": {
        "input.value": written({"request": {"body": {"request": {"body": {"request": {}}}}}})
    },
}


@pytest.mark.parametrize("attributes", NO_PROMPT.values(), ids=NO_PROMPT)
def test_a_span_without_a_prompt_has_none(attributes: dict[str, object]) -> None:
    assert conversation_in(span(attributes)) is None


IN_PART: dict[str, dict[str, object]] = {
    "an image": {
        "gen_ai.input.messages": written(
            [{"role": "user", "parts": [{"type": "text", "content": ASKED}, {"type": "blob", "data": "x"}]}]
        )
    },
    "a tool was asked for": {
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": ASKED,
        "gen_ai.prompt.1.role": "assistant",
        "gen_ai.prompt.1.tool_calls.0.name": "timetable",
        "gen_ai.prompt.2.role": "tool",
        "gen_ai.prompt.2.content": "18:00",
    },
}


@pytest.mark.parametrize("attributes", IN_PART.values(), ids=IN_PART)
def test_a_prompt_that_is_not_only_text_is_told_as_such(attributes: dict[str, object]) -> None:
    found = conversation_in(span(attributes))
    assert found is not None
    assert not found.is_whole
