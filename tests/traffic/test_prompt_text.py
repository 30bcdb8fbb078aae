"""The prompt of a call, wherever an instrumentation puts it."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from canaries.harvest.messages import Conversation
from canaries.prompt import Image, Message, Text, Tool, ToolCall
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


SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}
TIMETABLE = Tool("timetable", "When trains go.", SCHEMA)
DEFINITION = {"name": "timetable", "description": "When trains go.", "parameters": SCHEMA}
CALLED = (
    Message("user", ASKED),
    Message("assistant", "", tool_calls=(ToolCall("timetable", {"to": "Bern"}, "call-1"),)),
    Message("tool", "18:00", tool_call_id="call-1"),
)

WITH_TOOLS: dict[str, dict[str, object]] = {
    "Traceloop's numbers": {
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": ASKED,
        "gen_ai.prompt.1.role": "assistant",
        "gen_ai.prompt.1.tool_calls.0.id": "c1",
        "gen_ai.prompt.1.tool_calls.0.name": "timetable",
        "gen_ai.prompt.1.tool_calls.0.arguments": written({"to": "Bern"}),
        "gen_ai.prompt.2.role": "tool",
        "gen_ai.prompt.2.tool_call_id": "c1",
        "gen_ai.prompt.2.content": "18:00",
        "llm.request.functions.0.name": "timetable",
        "llm.request.functions.0.description": "When trains go.",
        "llm.request.functions.0.parameters": written(SCHEMA),
    },
    "OpenInference's numbers": {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": ASKED,
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c1",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "timetable",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": written({"to": "Bern"}),
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.tool_call_id": "c1",
        "llm.input_messages.2.message.content": "18:00",
        "llm.tools.0.tool.json_schema": written({"type": "function", "function": DEFINITION}),
    },
    "parts and definitions": {
        "gen_ai.input.messages": written(
            [
                {"role": "user", "parts": [{"type": "text", "content": ASKED}]},
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "tool_call", "id": "c1", "name": "timetable", "arguments": {"to": "Bern"}}
                    ],
                },
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "18:00"}]},
            ]
        ),
        "gen_ai.tool.definitions": written([{"type": "function"} | DEFINITION]),
    },
}


@pytest.mark.parametrize("attributes", WITH_TOOLS.values(), ids=WITH_TOOLS)
def test_tools_and_their_calls_are_found_in_spans(attributes: dict[str, object]) -> None:
    assert conversation_in(span(attributes)) == Conversation(CALLED, None, (TIMETABLE,))


def test_a_picture_in_numbered_attributes_is_found() -> None:
    start = "llm.input_messages.0.message."
    found = conversation_in(
        span(
            {
                f"{start}role": "user",
                f"{start}contents.0.message_content.type": "text",
                f"{start}contents.0.message_content.text": ASKED,
                f"{start}contents.1.message_content.type": "image",
                f"{start}contents.1.message_content.image.image.url": "https://x.test/a.png",
            }
        )
    )
    assert found == Conversation((Message.of("user", [Text(ASKED), Image(url="https://x.test/a.png")]),))
