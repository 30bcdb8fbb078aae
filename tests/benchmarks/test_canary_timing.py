"""How exactly canaries are timed is measured against the server's own clock."""

import json
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.canary_timing import Beyond, beyond, delay_ms, event
from canaries.providers.openai import ChatParts


def test_what_was_timed_beyond_the_servers_own_time_counts_for_answers_of_that_time(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    connection.execute(
        "create table completion (outcome, asked_at, ttft_s, latency_s, input_tokens, output_tokens)"
    )
    rows = [
        ("answered", 10.0, 0.252, 0.405, 250_000, 400_000),
        ("answered", 9.9, 0.9, 0.9, 250_000, 400_000),  # asked before
        ("answered", 19.9, 0.9, 0.9, 250_000, 400_000),  # answered after
        ("timeout", 12.0, None, None, None, None),
    ]
    connection.executemany("insert into completion values (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    found = beyond(tmp_path / "a.sqlite", 10.0, 20.0)
    assert list(found.first_ms) == pytest.approx([2])
    assert list(found.whole_ms) == pytest.approx([5])


def test_a_delay_is_what_comes_on_top_of_an_idle_daemons() -> None:
    idle = Beyond([1.0, 2.0, 90.0], [1.0, 1.0, 1.0])
    assert delay_ms({"idle": idle, "full load": Beyond([3.0, 12.0, 12.0], [2.0, 3.0, 4.0])}) == 10
    assert delay_ms({"idle": idle, "full load": Beyond([3.0, 3.0, 3.0], [2.0, 31.0, 31.0])}) == 30


def test_a_provider_reads_the_servers_own_times_as_tokens() -> None:
    parts = ChatParts(10_000)
    for part in (
        {"choices": [{"index": 0, "delta": {"content": "billing"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 250_123, "completion_tokens": 400_456}},
    ):
        data = event(part).decode().removeprefix("data: ")
        parts.add(json.loads(data))
    said = parts.answer(1.0, 0.5)
    assert (said.text, said.input_tokens, said.output_tokens) == ("billing", 250_123, 400_456)
