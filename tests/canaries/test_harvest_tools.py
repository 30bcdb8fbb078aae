"""Requests with pictures and tools, as each API has them, become canaries that ask the same."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from canaries.harvest.definitions import FOREIGN_TOOLS
from canaries.harvest.exchange import PICTURE_ALONE, Exchange
from canaries.harvest.gathering import PICTURE_BYTES_MAX, TOO_MANY_PICTURES, Gathering
from canaries.harvest.messages import (
    NO_DEFINITIONS,
    NO_QUESTION,
    TOO_LONG,
    UNMATCHED,
    Conversation,
    conversation_of,
)
from canaries.harvest.pieces import BAD_CALL, IMAGE_BYTES_MAX, LARGE_PICTURE, NO_PICTURE, OTHER
from canaries.harvest.proposal import ProposalDocument, proposal_text, read_proposal, suite_text
from canaries.harvest.proposing import REDACTED_ADDRESS, propose
from canaries.prompt import Image, Message, Text, Tool, ToolCall
from canaries.suite import Canary, load_suite

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
WRITTEN = base64.b64encode(PNG).decode()
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
TOOL = Tool("find_order", "Finds an order.", SCHEMA)
ARGUMENTS = {"number": 4711}
ASKED = Message.of("user", [Text("Where is this order?"), Image("image/png", PNG)])
WHOLE = (
    ASKED,
    Message("assistant", "", tool_calls=(ToolCall("find_order", ARGUMENTS, "call-1"),)),
    Message("tool", "sent on Monday", tool_call_id="call-1"),
)

FUNCTION = {"name": TOOL.name, "description": TOOL.description, "parameters": SCHEMA}
OPENAI_TOOL = {"type": "function", "function": FUNCTION}
OPENAI_CALL = {
    "id": "call_x9",
    "type": "function",
    "function": {"name": "find_order", "arguments": '{"number": 4711}'},
}

FORMS: dict[str, dict[str, Any]] = {
    "OpenAI's chat": {
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Where is this order?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{WRITTEN}", "detail": "low"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
            {"role": "tool", "tool_call_id": "call_x9", "content": "sent on Monday"},
        ],
        "tools": [OPENAI_TOOL], "tool_choice": "required",
    },
    "OpenAI's responses": {
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Where is this order?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{WRITTEN}"},
            ]},
            {"type": "function_call", "call_id": "c9", "name": "find_order", "arguments": '{"number": 4711}'},
            {"type": "function_call_output", "call_id": "c9", "output": "sent on Monday"},
        ],
        "tools": [{"type": "function", "name": TOOL.name, "description": TOOL.description, "parameters": SCHEMA}],
        "tool_choice": "required",
    },
    "Anthropic's messages": {
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Where is this order?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": WRITTEN}},
            ]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "toolu_1", "name": "find_order", "input": ARGUMENTS}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1",
                 "content": [{"type": "text", "text": "sent on Monday"}]}]},
        ],
        "tools": [{"name": TOOL.name, "description": TOOL.description, "input_schema": SCHEMA}],
        "tool_choice": {"type": "any"},
    },
    "Gemini's contents": {
        "contents": [
            {"role": "user", "parts": [
                {"text": "Where is this order?"}, {"inlineData": {"mimeType": "image/png", "data": WRITTEN}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "find_order", "args": ARGUMENTS}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "find_order", "response": "sent on Monday"}}]},
        ],
        "tools": [{"functionDeclarations": [{
            "name": TOOL.name, "description": TOOL.description,
            "parameters": {"type": "OBJECT", "properties": {"number": {"type": "INTEGER"}}, "required": ["number"]},
        }]}],
        "tool_choice": "any",
    },
    "parts of OpenTelemetry": {
        "messages": [
            {"role": "user", "parts": [
                {"type": "text", "content": "Where is this order?"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": WRITTEN}]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "c1", "name": "find_order", "arguments": ARGUMENTS}]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "c1", "response": "sent on Monday"}]},
        ],
        "tools": [OPENAI_TOOL], "tool_choice": "required",
    },
    "Bedrock's converse": {
        "messages": [
            {"role": "user", "content": [
                {"text": "Where is this order?"}, {"image": {"format": "png", "source": {"bytes": WRITTEN}}}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "t1", "name": "find_order", "input": ARGUMENTS}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "sent on Monday"}]}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {
            "name": TOOL.name, "description": TOOL.description, "inputSchema": {"json": SCHEMA}}}],
            "toolChoice": {"any": {}}},
    },
    "Vercel's messages": {
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Where is this order?"}, {"type": "image", "image": WRITTEN}]},
            {"role": "assistant", "content": [
                {"type": "tool-call", "toolCallId": "v1", "toolName": "find_order", "args": ARGUMENTS}]},
            {"role": "tool", "content": [
                {"type": "tool-result", "toolCallId": "v1", "toolName": "find_order", "result": "sent on Monday"}]},
        ],
        "tools": [OPENAI_TOOL], "tool_choice": "required",
    },
}  # fmt: skip


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_pictures_calls_results_and_tools_are_found_in_every_form(body: dict[str, Any]) -> None:
    assert conversation_of(body) == Conversation(WHOLE, None, (TOOL,), "required")


def user(*content: object) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


CALLING = {"role": "assistant", "tool_calls": [OPENAI_CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_x9", "content": "sent"}
LARGE = base64.b64encode(PNG + bytes(IMAGE_BYTES_MAX)).decode()
FOREIGN_CALL = {"name": "find_order", "arguments": {"a": {1, 2}}}
DEEP: dict[str, Any] = {"type": "object"}
for _ in range(2_000):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
OFFERED = {"tools": [OPENAI_TOOL]}
LACKING: dict[str, tuple[dict[str, Any], str]] = {
    "sound": ({"messages": [user({"type": "input_audio", "input_audio": {"data": "x"}})]}, OTHER),
    "a document": ({"messages": [user({"type": "blob", "mime_type": "application/pdf", "content": WRITTEN})]}, OTHER),
    "a picture of nothing": ({"messages": [user({"type": "image_url", "image_url": {}})]}, NO_PICTURE),
    "a picture that is none": ({"messages": [user({"type": "image", "image": "aGVsbG8="})]}, NO_PICTURE),
    "a large picture": ({"messages": [user({"type": "image", "image": LARGE})]}, LARGE_PICTURE),
    "a call without definition": ({"messages": [user("Why?"), CALLING, RESULT]}, NO_DEFINITIONS),
    "half a call": (
        {"messages": [user("Why?"), CALLING | {"tool_calls": [{"name": "find_order", "arguments": '{"nu'}]}, RESULT]}
        | OFFERED, BAD_CALL),
    "a call that no API takes": (
        {"messages": [user("Why?"), CALLING | {"tool_calls": [FOREIGN_CALL]}, RESULT]} | OFFERED, BAD_CALL),
    "too many calls": (
        {"messages": [user("Why?"), CALLING | {"tool_calls": [OPENAI_CALL] * 129}, *[RESULT] * 129]} | OFFERED,
        TOO_LONG),
    "a result that is no JSON": (
        {"messages": [user("Why?"), CALLING, {"role": "tool", "parts": [{"type": "tool_result", "result": {1, 2}}]}]}
        | OFFERED, OTHER),
    "tools nested too deeply": (
        {"messages": [user("Why?")], "tools": [{"name": "a", "parameters": DEEP}]}, FOREIGN_TOOLS),
    "a call without result": ({"messages": [user("Why?"), CALLING, user("And?")]} | OFFERED, UNMATCHED),
    "a result of nothing": ({"messages": [user("Why?"), RESULT]} | OFFERED, UNMATCHED),
    "a tool of the provider's": ({"messages": [user("Why?")], "tools": [{"type": "web_search"}]}, FOREIGN_TOOLS),
    "a tool twice": ({"messages": [user("Why?")], "tools": [OPENAI_TOOL, OPENAI_TOOL]}, FOREIGN_TOOLS),
    "an answer at the end": ({"messages": [user("Why?"), {"role": "assistant", "content": "So."}]}, NO_QUESTION),
}  # fmt: skip


@pytest.mark.parametrize(("body", "why"), LACKING.values(), ids=LACKING)
def test_what_a_suite_cannot_hold_is_told_by_its_reason(body: dict[str, Any], why: str) -> None:
    found = conversation_of(body)
    assert found is not None
    assert (found.lacks, found.is_whole) == (why, False)


def test_two_calls_of_a_turn_that_are_written_apart_are_one_message() -> None:
    calls = [{"type": "function_call", "call_id": id, "name": "find_order", "arguments": "{}"} for id in "ab"]
    results = [{"type": "function_call_output", "call_id": id, "output": f"of {id}"} for id in "ba"]
    found = conversation_of({"input": [user("Both?"), *calls, *results], "tools": [OPENAI_TOOL]})
    assert found is not None
    assert found.lacks is None
    assert [call.id for call in found.messages[1].tool_calls] == ["call-1", "call-2"]
    assert [(one.tool_call_id, one.content) for one in found.messages[2:]] == [
        ("call-2", "of b"),
        ("call-1", "of a"),
    ]


def test_a_picture_by_its_address_stays_one() -> None:
    found = conversation_of({"messages": [user({"type": "image_url", "image_url": "https://x.test/a.png"})]})
    assert found is not None
    assert found.messages == (Message.of("user", [Image(url="https://x.test/a.png")]),)
    assert Exchange(found.messages).question == PICTURE_ALONE


def exchange(**body: Any) -> Exchange:
    found = conversation_of(body)
    assert found is not None
    assert found.lacks is None
    return Exchange(found.messages, tools=found.tools, tool_choice=found.tool_choice)


def proposed(*exchanges: Exchange) -> tuple[ProposalDocument | None, dict[str, int]]:
    gathering = Gathering()
    gathering.take(exchanges)
    found = propose(gathering.gathered(), 10)
    return (None, {}) if found is None else (found.proposal, dict(found.account.left_out))


def canary_of(proposal: ProposalDocument, folder: Path) -> Canary:
    """The canary as a suite has it, after both files were written and read."""
    read = read_proposal(proposal_text(proposal), "proposal.yaml")
    assert read == proposal
    path = folder / "suite.yaml"
    path.write_text(suite_text(read.all_accepted(), []))
    return load_suite(path, {}).canaries[0]


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_the_canary_in_the_suite_asks_the_same(body: dict[str, Any], tmp_path: Path) -> None:
    proposal, _ = proposed(exchange(**body))
    assert proposal is not None
    canary = canary_of(proposal, tmp_path)
    assert (canary.messages, canary.tools, canary.tool_choice) == (WHOLE, (TOOL,), "required")


def test_a_prompt_with_a_picture_and_a_system_prompt_goes_through(tmp_path: Path) -> None:
    asked = user({"type": "text", "text": "What is it?"}, {"type": "image", "image": WRITTEN})
    proposal, _ = proposed(exchange(system="Be brief.", messages=[asked]))
    assert proposal is not None
    assert proposal.system == "Be brief."
    assert canary_of(proposal, tmp_path).messages == (
        Message("system", "Be brief."),
        Message.of("user", [Text("What is it?"), Image("image/png", PNG)]),
    )


def test_calls_results_and_tools_are_redacted_like_texts(tmp_path: Path) -> None:
    secret = "ann@example.com"
    call = {"id": "c", "name": "find_order", "arguments": {"by": [secret], "number": 1}}
    tool = {"name": "find_order", "description": f"Ask {secret}.", "parameters": SCHEMA | {"title": secret}}
    proposal, _ = proposed(
        exchange(
            messages=[
                user(f"I am {secret}."),
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": json.dumps({"owner": secret})},
            ],
            tools=[tool],
        )
    )
    assert proposal is not None
    assert secret not in proposal_text(proposal)
    canary = canary_of(proposal, tmp_path)
    assert canary.messages[1].tool_calls[0].arguments == {"by": ["<email-1>"], "number": 1}
    assert canary.messages[2].content == '{"owner": "<email-1>"}'
    assert canary.tools[0].description == "Ask <email-1>."


def test_a_picture_whose_address_holds_a_secret_is_left_out_and_told() -> None:
    def of(address: str, text: str) -> Exchange:
        return exchange(messages=[user(text, {"type": "image_url", "image_url": address})])

    proposal, left_out = proposed(
        of("https://x.test/a.png?sig=abcdef0123456789", "Which animal is on this photo?"),
        of("https://x.test/b.png", "Read the number on this invoice, please."),
    )
    assert proposal is not None
    assert [one.id for one in proposal.proposed] == ["read-number-invoice"]
    assert left_out == {REDACTED_ADDRESS: 1}


def test_pictures_are_kept_within_a_bound() -> None:
    picture = Image("image/png", PNG + bytes(PICTURE_BYTES_MAX // 3))
    gathering = Gathering()
    gathering.take(
        Exchange((Message.of("user", [Text(f"{word}?"), picture]),)) for word in ("who", "why", "how")
    )
    assert (len(gathering.gathered().prompts), gathering.left_out) == (2, {TOO_MANY_PICTURES: 1})
