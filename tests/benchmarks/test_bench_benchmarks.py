"""The benchmarks of ``bench`` and of borderline canaries measure what they say."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_overhead import WAITED, answer, beyond_wait_ms
from benchmarks.borderline_delay import WAYS, drawn_models, find, read_model, stream
from canaries.providers.openai import ChatParts

PROMPTS = tuple(f"question {i}" for i in range(40))
COLD_TIES = next(way for way in WAYS if way.is_chosen and way.temperature == 0.1 and not way.logprobs)


def test_what_a_request_takes_beyond_the_servers_wait_is_what_counts() -> None:
    body = answer(3).replace(WAITED, b"waited-0200.50")
    assert beyond_wait_ms(0.25, body) == pytest.approx(49.5)


def test_the_null_server_streams_what_a_provider_reads() -> None:
    parts = ChatParts(10_000)
    for event in answer(3).decode().split("\n\n")[:-2]:
        parts.add(json.loads(event.removeprefix("data: ")))
    said = parts.answer(1.0, 0.5)
    assert (said.text, said.output_tokens, said.finish_reason) == (" word0 word1 word2", 3, "stop")
    assert said.system_fingerprint == WAITED.decode()


def test_a_lower_temperature_tells_the_likeliest_token_more_often() -> None:
    model, _ = drawn_models(PROMPTS, 0.1, 1)
    rng = np.random.default_rng(1)

    def commonest(temperature: float) -> int:
        drawn = Counter(model.answer(PROMPTS[0], temperature, rng)[0] for _ in range(200))
        return drawn.most_common(1)[0][1]

    assert commonest(0.05) > commonest(2.0) + 50


def test_the_search_finds_ties_of_the_drawn_model() -> None:
    model, _ = drawn_models(PROMPTS, 0.1, 1)
    found = find(model, PROMPTS, COLD_TIES, 3, 1)
    assert found.ties
    for tie in found.ties:
        first, second = sorted(model.first[tie.prompt][1])[::-1][:2]
        assert first - second < 0.1 * math.log(1 / 0.02)  # nearer than a ratio of 1 in 50 at this temperature


def test_a_stream_changes_its_model_when_it_is_to() -> None:
    before, after = drawn_models(PROMPTS, 50.0, 1)
    runs = stream(before, after, PROMPTS, COLD_TIES, 30, 30, 1)
    texts = [tuple(one.text for one in run.completions) for run in runs]
    assert len(runs) == 60
    assert len(runs[0].completions) == 3 * len(PROMPTS)
    alike = [sum(a == b for a, b in zip(texts[0], other, strict=True)) for other in texts[1:]]
    assert min(alike[:29]) > max(alike[29:])


def test_recorded_first_tokens_are_read(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps({"tea or coffee?": [["17", -0.5], ["4", -1.0]]}))
    tokens, logprobs = read_model(path).first["tea or coffee?"]
    assert tokens == ("17", "4")
    assert logprobs.tolist() == [-0.5, -1.0]
