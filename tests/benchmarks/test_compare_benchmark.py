"""The benchmark of ``compare``: its peers compute what they say, and its data are what it says."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare_peers import (
    PEERS,
    Answers,
    chi_square_of_hashes,
    first_token_logprobs,
    ks_of_length,
    mean_logprob,
    mmd_hamming,
)
from benchmarks.compare_power import (
    LEVEL,
    LONG,
    TEXT,
    WHOLE,
    _chi2_per_df,
    _mixed,
    _one_prompt,
    _sides,
    as_runs,
    drawn,
    drawn_apart,
    read_zoo,
)
from canaries.completion import Completion


def answers(*texts: str, logprob: float = -1.0, evaluations: int = 2) -> Answers:
    """The same texts to two prompts."""
    return {
        prompt: [
            Completion(
                prompt,
                sample=i % evaluations,
                text=text,
                logprobs=(logprob + 0.01 * i,),
                first_top=(("a", logprob - 0.001 * (i % evaluations)),),
            )
            for i, text in enumerate(texts)
        ]
        for prompt in ("p", "q")
    }


TELLS = [
    pytest.param(
        mmd_hamming, answers(*["abcd"] * 8), answers(*["wxyz"] * 8), id="MMD-Hamming: other characters"
    ),
    pytest.param(chi_square_of_hashes, answers(*"aaaaaaab"), answers(*"bbbbbbba"), id="hashes: other shares"),
    pytest.param(ks_of_length, answers(*["ab"] * 8), answers(*["abcd"] * 8), id="lengths: longer"),
    pytest.param(
        first_token_logprobs,
        answers(*"abcdefgh", evaluations=4),
        answers(*"abcdefgh", evaluations=4, logprob=-2.0),
        id="first tokens: other log-probabilities",
    ),
    pytest.param(
        mean_logprob, answers(*"abcdefgh"), answers(*"abcdefgh", logprob=-2.0), id="mean log-probability"
    ),
]


@pytest.mark.parametrize(("peer", "base", "current"), TELLS)
def test_a_peer_tells_what_it_is_made_for_and_nothing_of_equal_sides(
    peer: object, base: Answers, current: Answers
) -> None:
    assert callable(peer)
    assert peer(base, current, np.random.default_rng(1)) <= 0.05
    assert peer(base, base, np.random.default_rng(1)) > 0.5


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_keeps_its_level(name: str) -> None:
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        base, current = (
            answers(
                *("abc"[k] * (1 + k) for k in rng.integers(3, size=6)),
                logprob=float(rng.normal()),
                evaluations=6,
            )
            for _ in range(2)
        )
        if name in ("first-token log-probs", "mean log-prob"):
            current = answers(*"abcabc", logprob=-1.0, evaluations=6)
            base = answers(*"abcabc", logprob=-1.0, evaluations=6)
        wrong += PEERS[name](base, current, rng) <= 0.05
    assert wrong <= 9


def test_a_recording_is_read_by_prompt_and_drawn_from_without_replacement(tmp_path: Path) -> None:
    row = {"prompt_id": "p", "eval_group": 3, "text": "x", "finish_reason": "stop"}
    more = {"logprobs": [-1.0], "first_top20": [[5, -0.5]]}
    with gzip.open(tmp_path / "v.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({**row, **more, "text": str(i)}) + "\n" for i in range(6))
    read = read_zoo(tmp_path / "v.jsonl.gz")
    assert (read["p"][0].sample, read["p"][0].first_top) == (3, (("5", -0.5),))
    own = drawn(read, 4, np.random.default_rng(0))["p"]
    assert len({one.text for one in own}) == 4
    assert as_runs(read, text_only=True)[0].completions[0].first_top is None


def test_mixed_runs_are_as_dispersed_as_said() -> None:
    rng = np.random.default_rng(3)
    assert np.mean([_chi2_per_df(_mixed(rng, 20)) for _ in range(20)]) == pytest.approx(5.0, abs=0.6)


def test_the_sides_of_the_speed_test_have_as_many_answers_as_asked_for(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "long.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": str(i)}) + "\n" for i in range(30))
    for side in _sides(tmp_path / "long.jsonl.gz", 3, 4):
        assert [len(own) for own in side.values()] == [4, 4, 4]


def test_sides_drawn_apart_have_no_answer_in_common() -> None:
    pool: Answers = {"p": [Completion("p", text=str(i)) for i in range(30)]}
    base, current = drawn_apart(pool, 20, 10, np.random.default_rng(1))
    texts = [{one.text for one in side["p"]} for side in (base, current)]
    assert [len(own) for own in texts] == [20, 10]
    assert not texts[0] & texts[1]


def test_one_prompt_that_answers_as_another_is_found_and_named(tmp_path: Path) -> None:
    rows = [
        {"prompt_id": f"p{p}", "eval_group": i, "text": f"{'abcdefg'[p]}{i % 4}", "finish_reason": "stop"}
        for p in range(7)
        for i in range(24)
    ]
    with gzip.open(tmp_path / f"{LONG}.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    found = _one_prompt((tmp_path, WHOLE, 3))
    assert max(found[TEXT], found["the canary is named"]) <= LEVEL
