"""Requests in files of all kinds."""

import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from canaries import CompletionsError
from canaries.exchanges_file import read_exchanges
from canaries.harvest.exchange import Exchange
from canaries.suite import Message

ASKED = Exchange((Message("user", "Why?"),), "Because.")
WITH_SYSTEM = (Message("system", "Be kind."), Message("user", "Why?"))


def read(path: Path, text: str, **fields: str) -> tuple[list[Exchange], Counter[str]]:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    left_out: Counter[str] = Counter()
    return list(read_exchanges(path, lambda why: left_out.update([why]), **fields)), left_out


MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "Why?"}]}],
    "system_instruction": {"parts": [{"text": "Be kind."}]},
}
LANGCHAIN = [
    [
        {"lc": 1, "id": ["x", "SystemMessage"], "kwargs": {"content": "Be kind."}},
        {"lc": 1, "id": ["x", "HumanMessage"], "kwargs": {"content": "Why?", "type": "human"}},
    ]
]
ROWS: dict[str, dict[str, Any]] = {
    "a list of messages": {"messages": MESSAGES},
    "a body": {"request": {"model": "m", "messages": MESSAGES}},
    "a batch line": {"custom_id": "1", "body": {"messages": MESSAGES}},
    "Anthropic's": {
        "system": "Be kind.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}],
    },
    "OpenAI's responses": {"instructions": "Be kind.", "input": "Why?"},
    "Gemini's": {"request": GEMINI},
    "LangChain's": {"messages": LANGCHAIN},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_messages_are_found_in_every_form(tmp_path: Path, row: dict[str, Any]) -> None:
    (found,), left_out = read(tmp_path / "log.jsonl", json.dumps(row))
    assert (found.messages, left_out) == (WITH_SYSTEM, {})


ANSWERED: dict[str, dict[str, Any]] = {
    "a field": {"prompt": "Why?", "answer": "Because."},
    "a completions file": {"canary": "why", "prompt": "Why?", "text": "Because."},
    "a text alone": {"text": "Why?", "response": "Because."},
    "a response of OpenAI's": {
        "prompt": "Why?",
        "response": {"choices": [{"message": {"content": "Because."}, "finish_reason": None}]},
    },
    "a response of Anthropic's": {
        "prompt": "Why?",
        "response": {"content": [{"type": "text", "text": "Because."}]},
    },
}


@pytest.mark.parametrize("row", ANSWERED.values(), ids=ANSWERED)
def test_the_answer_is_found_beside_the_prompt(tmp_path: Path, row: dict[str, Any]) -> None:
    assert read(tmp_path / "log.jsonl", json.dumps(row))[0] == [ASKED]


def test_csv_and_tsv_have_columns(tmp_path: Path) -> None:
    for ending, comma in ((".csv", ","), (".tsv", "\t")):
        written = io.StringIO()
        rows = csv.writer(written, delimiter=comma)
        rows.writerows([["id", "question", "reply"], ["1", "Why?\nHow, then?", "Because."]])
        found, _ = read(tmp_path / f"log{ending}", written.getvalue(), answer="reply")
        assert found == [Exchange((Message("user", "Why?\nHow, then?"),), "Because.")]


def test_lines_of_text_are_prompts_also_when_packed(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "log.txt.gz", "\ufeffWhy?\r\n\n  \nHow?\n")
    assert [one.question for one in found] == ["Why?", "How?"]


def test_how_a_request_ended_is_read(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "finish_reason": "length"},
        {"prompt": "b", "error": "429"},
        {
            "prompt": "c",
            "response": {"choices": [{"finish_reason": "tool_calls", "message": {"content": None}}]},
        },
    ]
    found, _ = read(tmp_path / "log.jsonl", "\n".join(map(json.dumps, rows)))
    assert [(one.finish_reason, one.has_failed) for one in found] == [
        ("length", False),
        (None, True),
        ("tool_calls", False),
    ]


NOT_ONLY_TEXT = {
    "an image": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {}}],
        }
    ],
    "a tool's result": [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [{}]},
        {"role": "tool", "content": "21"},
    ],
    "no question at its end": [*MESSAGES, {"role": "assistant", "content": "Because."}],
    "too many messages": [{"role": "user", "content": "x"}] * 101,
}


@pytest.mark.parametrize("messages", NOT_ONLY_TEXT.values(), ids=NOT_ONLY_TEXT)
def test_what_a_canary_cannot_carry_is_left_out_and_told(tmp_path: Path, messages: Any) -> None:
    found, left_out = read(tmp_path / "log.jsonl", json.dumps({"messages": messages}))
    assert (found, left_out.total()) == ([], 1)


WRONG = {
    "no prompt": ("log.jsonl", '{"canary": "a", "text": "b"}', r":1: no prompt is found; .* There are: canary, text"),
    "another column": ("log.csv", "a,b\n1,2\n", r":2: no prompt is found"),
    "no JSON": ("log.jsonl", '{"prompt": "a"}\n{"prompt', r":2: is not JSON"),
    "no object": ("log.jsonl", "[1]", r":1: must be a JSON object"),
    "another kind": ("log.xlsx", "", r"its name must end in \.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "why"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, text: str, why: str) -> None:
    with pytest.raises(CompletionsError, match=why):
        read(tmp_path / name, text)


def test_a_field_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(CompletionsError, match='there is no "ask"; there are: prompt'):
        read(tmp_path / "log.jsonl", '{"prompt": "a"}', prompt="ask")


def test_damaged_and_missing_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "log.txt.gz").write_bytes(gzip.compress(b"Why?\n" * 1000)[:-20])
    for name, why in (("log.txt.gz", "damaged or cut off"), ("none.csv", "cannot be read")):
        with pytest.raises(CompletionsError, match=why):
            list(read_exchanges(tmp_path / name, str))
