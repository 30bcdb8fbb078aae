"""The search for borderline canaries, against a scripted endpoint whose ties are known."""

import json
import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from canaries import ReplayError
from canaries.borderline.prompts import CANDIDATES_MAX, candidates
from canaries.borderline.search import BATCH, Found, Search, Stage, canary_of, search
from canaries.borderline.suite_text import longer_suite, new_suite, system_of, write_suite
from canaries.borderline.ties import Tie, best, is_borderline, ratio_told, tie_of, wavers
from canaries.completion import Completion, Outcome
from canaries.config import TargetConfig
from canaries.suite import Suite, load_suite

TARGET = TargetConfig(
    base_url="http://endpoint.test", model="m", suite="s.yaml", stream=False, max_attempts=1
)
NOTHING = Suite("s", ())


def answers(*texts: str) -> list[Completion]:
    return [Completion("a", text=text) for text in texts]


class TestTies:
    def test_answers_are_counted_the_commonest_first_whatever_their_outer_spaces(self) -> None:
        tie = tie_of("p", [*answers("no", " yes", "yes", "yes "), Completion("a", outcome=Outcome.TIMEOUT)])
        assert tie.counts == (("yes", 3), ("no", 1))
        assert tie.ratio == pytest.approx(1 / 3)
        assert tie.answers == 4

    def test_three_answers_are_a_sieve_as_good_as_said(self) -> None:
        """The chances in the docstring, exactly: 1 - p1**3 - p2**3 for two answers."""
        for ratio, said in ((1.0, 3 / 4), (0.2, 2 / 5), (0.02, 1 / 17)):
            first = 1 / (1 + ratio)
            assert 1 - first**3 - (1 - first) ** 3 == pytest.approx(said, rel=0.05)

    def test_a_prompt_that_always_says_the_same_does_not_waver(self) -> None:
        assert not wavers(tie_of("p", answers("a", "a", "a")))
        assert wavers(tie_of("p", answers("a", "a", "b")))
        assert tie_of("p", answers("a")).ratio == 0

    def test_a_tie_is_above_the_ratio_not_at_it(self) -> None:
        assert not is_borderline(Tie("p", (("a", 5), ("b", 1))))
        assert is_borderline(Tie("p", (("a", 19), ("b", 4))))

    def test_the_nearest_ties_are_kept(self) -> None:
        ties = [Tie(str(n), (("a", 10), ("b", n))) for n in (1, 9, 5, 10)]
        assert [tie.prompt for tie in best(ties, 2)] == ["10", "9"]

    def test_log_probabilities_tell_the_ratio_at_any_temperature(self) -> None:
        top = (("a", math.log(0.6)), ("b", math.log(0.3)))
        assert ratio_told(top, 1.0) == pytest.approx(0.5)
        assert ratio_told(top, 0.5) == pytest.approx(0.25)
        assert ratio_told(top, 0.0) == ratio_told(top, 0.05)
        assert ratio_told(top[:1], 1.0) == ratio_told(None, 1.0) == 0


def test_candidates_are_many_different_ones_and_the_same_for_the_same_seed() -> None:
    some = candidates(1_000, 1)
    assert len(set(some)) == 1_000
    assert some == candidates(1_000, 1) != candidates(1_000, 2)
    assert 3_000 < len(candidates(10**6)) <= CANDIDATES_MAX


class Endpoint:
    """Answers each prompt with ``yes`` at the share that is known for it, else with ``no``."""

    def __init__(self, shares: Mapping[str, float], *, logprobs: bool = False, refuses: bool = False) -> None:
        self.shares, self.logprobs, self.refuses = shares, logprobs, refuses
        self.rng = random.Random(3)
        self.asked: list[dict[str, Any]] = []

    def reply(self, message: httpx.Request) -> httpx.Response:
        asked = json.loads(message.content)
        self.asked.append(asked)
        if self.refuses or (asked.get("logprobs") and not self.logprobs):
            return httpx.Response(400, json={"error": {"message": "unsupported parameter"}})
        share = self.shares[asked["messages"][-1]["content"]]
        text = "yes" if self.rng.random() < share else "no"
        choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": "length"}
        if asked.get("logprobs"):
            tops = [("yes", share), ("no", 1 - share)]
            top = [
                {"token": token, "logprob": math.log(max(1e-9, p))}
                for token, p in sorted(tops, key=lambda t: -t[1])
            ]
            choice["logprobs"] = {"content": [top[0] | {"top_logprobs": top}]}
        return httpx.Response(200, json={"choices": [choice]})

    async def search(self, clock: Any, wanted: Search, base: Suite = NOTHING, **more: Any) -> Found:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.reply)) as client:
            return await search(
                list(self.shares), wanted, TARGET, base, clock, random.Random(1), client, **more
            )

    def times(self) -> Counter[str]:
        return Counter(asked["messages"][-1]["content"] for asked in self.asked)


SHARES = {f"sure {i}": 1.0 for i in range(60)} | {"tie": 0.5, "near": 0.6, "far": 0.99}


async def test_ties_are_found_among_sure_prompts_which_are_asked_three_times_each(clock: Any) -> None:
    endpoint = Endpoint(SHARES)
    found = await endpoint.search(clock, Search(keep=5, temperature=1.0, with_logprobs=False))
    assert {tie.prompt for tie in found.ties} <= {"tie", "near"}
    assert found.ties
    assert all(tie.answers == 20 for tie in found.ties)
    assert endpoint.times()["sure 7"] == 3
    assert endpoint.times()[found.ties[0].prompt] == 3 + 20
    assert found.tried == len(SHARES)
    assert found.requests == len(endpoint.asked)


async def test_the_first_answers_do_not_count_for_what_is_kept(clock: Any) -> None:
    found = await Endpoint({f"far {i}": 0.97 for i in range(75)}).search(
        clock, Search(keep=25, temperature=1.0, with_logprobs=False)
    )
    assert found.wavered >= 3  # chance lets some through
    assert found.ties == ()  # and fresh answers stop them


async def test_with_log_probabilities_one_answer_is_enough_of_a_sieve(clock: Any) -> None:
    endpoint = Endpoint(SHARES, logprobs=True)
    found = await endpoint.search(clock, Search(keep=1, temperature=1.0))
    assert found.has_logprobs
    assert endpoint.times()["sure 7"] == 1
    assert [tie.prompt for tie in found.ties] in (["tie"], ["near"])
    assert found.wavered == 2


async def test_an_endpoint_that_refuses_log_probabilities_is_asked_without(clock: Any) -> None:
    endpoint = Endpoint(SHARES)
    found = await endpoint.search(clock, Search(keep=2, temperature=1.0))
    assert not found.has_logprobs
    assert found.ties
    assert found.failed == 1
    assert sum("logprobs" in asked for asked in endpoint.asked) == 1


async def test_the_search_ends_when_enough_prompts_waver(clock: Any) -> None:
    endpoint = Endpoint({f"tie {i}": 0.5 for i in range(4 * BATCH)})
    found = await endpoint.search(clock, Search(keep=2, with_logprobs=False))
    assert found.tried == BATCH
    assert len(found.ties) == 2


async def test_prompts_are_asked_as_the_suite_asks_its_own(clock: Any) -> None:
    endpoint = Endpoint({"p": 0.5})
    base = Suite("s", (), parameters={"top_p": 0.9, "max_tokens": 60})
    wanted = Search(
        system="Be brief.", temperature=None, tokens_parameter="max_completion_tokens", with_logprobs=False
    )
    await endpoint.search(clock, wanted, base)
    asked = endpoint.asked[0]
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (asked["top_p"], asked["max_completion_tokens"]) == (0.9, 1)
    assert "temperature" not in asked


async def test_no_money_ends_it_with_what_was_found(clock: Any) -> None:
    rounds = iter([True, True])
    found = await Endpoint({f"tie {i}": 0.5 for i in range(3 * BATCH)}).search(
        clock, Search(keep=50, with_logprobs=False), may_ask=lambda suite, samples: next(rounds, False)
    )
    assert found.is_out_of_money
    assert found.tried == 2 * BATCH
    assert found.ties == ()


async def test_all_that_was_asked_is_paid_for(clock: Any) -> None:
    paid: list[int] = []
    endpoint = Endpoint(SHARES)
    await endpoint.search(
        clock, Search(keep=2, with_logprobs=False), pay=lambda completions: paid.append(len(completions))
    )
    assert sum(paid) == len(endpoint.asked)


async def test_an_endpoint_that_answers_nothing_says_why(clock: Any) -> None:
    with pytest.raises(
        ReplayError, match="none of 3 requests was answered; the last one: bad_request, HTTP 400"
    ):
        await Endpoint({"p": 0.5}, refuses=True).search(clock, Search())


async def test_progress_is_told_of_both_stages(clock: Any) -> None:
    steps: list[tuple[Stage, int, int]] = []
    await Endpoint(SHARES).search(
        clock, Search(keep=5, temperature=1.0, with_logprobs=False), on_step=lambda *step: steps.append(step)
    )
    assert steps[0] == (Stage.SIEVING, BATCH, len(SHARES))
    assert steps[-1][0] is Stage.REFINING
    assert steps[-1][1] == steps[-1][2]


TIES = (
    Tie('say "x" or ${HOME}?', (("yes", 11), ("no", 9))),
    Tie("tea or coffee?", (("tea", 12), ("coffee", 8))),
)
WANTED = Search()


class TestSuiteText:
    def test_a_new_suite_asks_what_was_searched_with(self, tmp_path: Path) -> None:
        path = tmp_path / "border.yaml"
        write_suite(path, new_suite("border", TIES, WANTED, logprobs=True, samples=3), 2, {})
        suite = load_suite(path, {})
        assert [one.id for one in suite.canaries] == [
            canary_of(t.prompt, WANTED, logprobs=True).id for t in TIES
        ]
        assert suite.canaries[0].messages[0].content == TIES[0].prompt
        assert suite.canaries[0].parameters == {
            "max_tokens": 1,
            "temperature": 0.1,
            "logprobs": True,
            "top_logprobs": 20,
        }
        assert suite.expected_samples() == {one.id: 3 for one in suite.canaries}

    def test_a_suite_that_is_there_gets_longer_and_keeps_its_comments(self, tmp_path: Path) -> None:
        path = tmp_path / "s.yaml"
        path.write_text("# ours\nsystem: Be brief.\ncanaries:\n- id: a  # first\n  prompt: hello\n")
        wanted = Search(system=system_of(path))
        text, count = longer_suite(path, TIES, wanted, {}, logprobs=False, samples=2)
        write_suite(path, text, 1 + count, {})
        suite = load_suite(path, {})
        assert path.read_text().startswith("# ours\nsystem: Be brief.\ncanaries:\n- id: a  # first\n")
        assert suite.canaries[0].id == "a"
        assert len(suite.canaries) == 3
        assert suite.canaries[1].messages == canary_of(TIES[0].prompt, wanted, logprobs=False).messages
        again, more = longer_suite(path, TIES, wanted, {}, logprobs=False, samples=2)
        assert (again, more) == (path.read_text(), 0)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("canaries:\n- {id: a, prompt: x}\nname: s\n", "must be its last key", id="not last"),
            pytest.param("canaries: [{id: a, prompt: x}]\n", "must stand below each other", id="in a row"),
        ],
    )
    def test_a_suite_that_cannot_be_made_longer_is_left_alone(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        path = tmp_path / "s.yaml"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            longer_suite(path, TIES, WANTED, {}, logprobs=False, samples=2)
        assert path.read_text() == text

    def test_a_text_that_is_no_suite_is_not_written(self, tmp_path: Path) -> None:
        path = tmp_path / "s.yaml"
        with pytest.raises(ValueError, match="cannot be made longer"):
            write_suite(path, "canaries: 3\n", 1, {})
        assert list(tmp_path.iterdir()) == []

    def test_a_suite_that_is_not_there_has_no_system(self, tmp_path: Path) -> None:
        assert system_of(tmp_path / "none.yaml") is None
