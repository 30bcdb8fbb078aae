import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from canaries.completion import Completion, Outcome, Run, RunStatus
from canaries.config import TargetConfig
from canaries.replay import FREE_RETRIES, MAX_BACKOFF_S, MAX_RETRY_AFTER_S, replay
from canaries.suite import Canary, Expectations, Message, Suite

NO_MONEY = {"error": {"code": "insufficient_quota"}}

Reply = Callable[[dict[str, Any]], httpx.Response]


def canary(name: str, samples: int | None = None, **parameters: Any) -> Canary:
    return Canary(name, (Message("user", name),), parameters, samples, Expectations())


def suite(*canaries: Canary, **more: Any) -> Suite:
    return Suite("s", canaries or (canary("a"),), **more)


def target(**more: Any) -> TargetConfig:
    return TargetConfig(base_url="http://endpoint.test", model="m", suite="s.yaml", stream=False, **more)


def says(text: str) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


def refuses(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


class Replays:
    """Replays against scripted replies; time passes only where the replay sleeps."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.asked: list[dict[str, Any]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def run(
        self, reply: Reply, the_suite: Suite, the_target: TargetConfig, seed: int = 1, **more: Any
    ) -> Run:
        async def handle(message: httpx.Request) -> httpx.Response:
            asked = json.loads(message.content)
            self.asked.append(asked)
            await asyncio.sleep(0)
            return reply(asked)

        async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
            return await replay(
                the_suite,
                the_target,
                "bot",
                "run-1",
                self.clock,
                random.Random(seed),
                client,
                self.sleep,
                **more,
            )

    async def one(self, *replies: httpx.Response | Exception, **more: Any) -> Completion:
        """The completion of a single request that gets these replies, the last one for ever."""
        left = list(replies)

        def reply(_: dict[str, Any]) -> httpx.Response:
            next_ = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(next_, Exception):
                raise next_
            return httpx.Response(next_.status_code, headers=next_.headers, content=next_.content)

        (completion,) = (await self.run(reply, suite(), target(**more))).completions
        return completion


@pytest.fixture
def replays(clock) -> Replays:
    return Replays(clock)


def echo(asked: dict[str, Any]) -> httpx.Response:
    return says("about " + asked["messages"][-1]["content"])


async def test_a_run_has_a_completion_of_each_sample_in_the_order_of_the_suite(replays, clock) -> None:
    run = await replays.run(echo, suite(canary("b", 2), canary("a")), target(samples=3))
    assert [(done.canary, done.sample, done.text) for done in run.completions] == [
        ("b", 0, "about b"), ("b", 1, "about b"), ("a", 0, "about a"), ("a", 1, "about a"), ("a", 2, "about a"),
    ]  # fmt: skip
    assert (run.id, run.target, run.suite, run.status) == ("run-1", "bot", "s", RunStatus.COMPLETED)
    assert run.at == run.finished_at == clock.now()
    assert all(done.attempts == 1 and done.at == clock.now() for done in run.completions)


async def test_the_canaries_are_asked_in_an_order_that_the_seed_decides(replays) -> None:
    many = suite(*(canary(f"c{number}") for number in range(12)))

    async def order(seed: int) -> list[str]:
        replays.asked.clear()
        await replays.run(echo, many, target(concurrency=1), seed)
        return [asked["messages"][0]["content"] for asked in replays.asked]

    first = await order(1)
    assert first == await order(1)
    assert first != await order(2)
    assert first != sorted(first)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_requests_are_on_the_way_than_the_target_allows(clock, concurrency: int) -> None:
    under_way = most = 0

    async def handle(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return says("x")

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        many = suite(canary("a", 20))
        await replay(many, target(concurrency=concurrency), "bot", "r", clock, random.Random(1), client)
    assert most == concurrency


class TestRetries:
    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(refuses(429), id="429"),
            pytest.param(refuses(500), id="500"),
            pytest.param(refuses(503), id="503"),
            pytest.param(httpx.ConnectError("refused"), id="no connection"),
            pytest.param(httpx.RemoteProtocolError("cut"), id="cut"),
            pytest.param(httpx.ReadTimeout("slow"), id="timeout"),
        ],
    )
    async def test_a_fault_on_the_way_is_tried_again_and_counted(self, replays, fault) -> None:
        completion = await replays.one(fault, says("ok"))
        assert (completion.text, completion.attempts) == ("ok", 2)

    @pytest.mark.parametrize(
        ("reply", "outcome"),
        [
            pytest.param(says(""), Outcome.ANSWERED, id="an empty answer"),
            pytest.param(says("nonsense"), Outcome.ANSWERED, id="a bad answer"),
            pytest.param(refuses(401), Outcome.AUTH, id="401"),
            pytest.param(refuses(400), Outcome.BAD_REQUEST, id="400"),
            pytest.param(httpx.Response(200, text=""), Outcome.EMPTY_BODY, id="an empty body"),
            pytest.param(httpx.Response(200, text="{oops"), Outcome.BAD_RESPONSE, id="garbage"),
            pytest.param(httpx.Response(429, json=NO_MONEY), Outcome.RATE_LIMIT, id="no money"),
        ],
    )  # fmt: skip
    async def test_what_is_no_such_fault_is_never_tried_again(self, replays, reply, outcome) -> None:
        completion = await replays.one(reply)
        assert (completion.outcome, completion.attempts, replays.slept) == (outcome, 1, [])

    async def test_a_failed_request_is_an_outcome_and_no_empty_answer(self, replays) -> None:
        completion = await replays.one(refuses(503))
        assert (completion.outcome, completion.text, completion.error) == (Outcome.SERVER, None, "HTTP 503")
        assert not completion.is_answered

    @pytest.mark.parametrize("max_attempts", [1, 2, 4])
    async def test_end_with_the_attempts_that_the_target_allows(self, replays, max_attempts: int) -> None:
        completion = await replays.one(refuses(503), max_attempts=max_attempts)
        assert completion.attempts == max_attempts
        assert len(replays.asked) == max_attempts
        assert len(replays.slept) == max_attempts - 1

    async def test_of_a_timeout_happen_once(self, replays) -> None:
        completion = await replays.one(httpx.ReadTimeout("slow"), max_attempts=10)
        assert (completion.outcome, completion.attempts) == (Outcome.TIMEOUT, 2)

    async def test_wait_longer_each_time_up_to_the_limit(self, replays) -> None:
        await replays.one(refuses(503), max_attempts=10)
        expected = [min(MAX_BACKOFF_S, 0.5 * 2**number) for number in range(9)]
        assert all(most / 2 <= slept <= most for slept, most in zip(replays.slept, expected, strict=True))

    @pytest.mark.parametrize("asked_s", [1, 7, MAX_RETRY_AFTER_S])
    async def test_wait_at_least_as_long_as_the_endpoint_asks(self, replays, asked_s: float) -> None:
        completion = await replays.one(refuses(429, retry_after=f"{asked_s:g}"), says("ok"))
        assert completion.is_answered
        assert asked_s <= replays.slept[0] <= asked_s + 0.25

    async def test_do_not_happen_when_the_endpoint_asks_for_too_long_a_wait(self, replays) -> None:
        completion = await replays.one(refuses(429, retry_after=f"{MAX_RETRY_AFTER_S + 1:g}"))
        assert (completion.outcome, completion.attempts, replays.slept) == (Outcome.RATE_LIMIT, 1, [])

    async def test_of_a_storm_of_429_are_bounded_for_the_run_as_a_whole(self, replays) -> None:
        run = await replays.run(
            lambda _: refuses(429, retry_after="30"), suite(canary("a", 50)), target(max_attempts=10)
        )
        assert Counter(done.outcome for done in run.completions) == {Outcome.RATE_LIMIT: 50}
        assert len(replays.asked) <= 50 + FREE_RETRIES + 50 + 4
        assert sum(done.attempts for done in run.completions) == len(replays.asked)


async def test_parameters_of_the_canary_win_over_the_suites_and_these_over_the_targets(replays) -> None:
    the_suite = suite(canary("a", top_p=3), parameters={"temperature": 2, "top_p": 2})
    the_target = target(parameters={"max_tokens": 1, "temperature": 1, "top_p": 1})
    expected = {"max_tokens": 1, "temperature": 2, "top_p": 3}
    assert the_suite.sent_parameters(the_suite.canaries[0], the_target.parameters) == expected
    await replays.run(echo, the_suite, the_target)
    assert {key: replays.asked[0][key] for key in expected} == expected


async def test_the_start_is_up_to_the_jitter_later(replays, clock) -> None:
    before = clock.now()
    run = await replays.run(echo, suite(), target(jitter=60))
    assert 0 < (run.at - before).total_seconds() < 60


async def test_the_requests_are_spread_over_the_time_given(replays, clock) -> None:
    started = clock.now()
    run = await replays.run(echo, suite(canary("a", 40)), target(spread=100))
    starts = sorted((done.at - started).total_seconds() for done in run.completions)
    assert starts[0] < 25
    assert 75 < starts[-1] <= 101


async def test_progress_is_told_of_each_completion(replays) -> None:
    told: list[tuple[str, int, int]] = []
    await replays.run(
        echo,
        suite(canary("a", 3)),
        target(),
        on_progress=lambda done, count, total: told.append((done.canary, count, total)),
    )
    assert told == [("a", 1, 3), ("a", 2, 3), ("a", 3, 3)]


async def test_a_run_that_is_cancelled_ends_at_once_and_asks_nothing_more(clock) -> None:
    asked = 0
    began = asyncio.Event()

    async def handle(_: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        began.set()
        await asyncio.Event().wait()
        raise AssertionError("never answered")

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        many = suite(canary("a", 20))
        run = asyncio.create_task(
            replay(many, target(concurrency=2), "bot", "r", clock, random.Random(1), client)
        )
        await began.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert asked <= 2


async def test_one_request_that_fails_leaves_the_others_alone(replays) -> None:
    def reply(asked: dict[str, Any]) -> httpx.Response:
        return refuses(400) if asked["messages"][0]["content"] == "bad" else says("ok")

    run = await replays.run(reply, suite(canary("good"), canary("bad"), canary("fine")), target())
    assert [done.outcome for done in run.completions] == [
        Outcome.ANSWERED,
        Outcome.BAD_REQUEST,
        Outcome.ANSWERED,
    ]
    assert run.answered_share == pytest.approx(2 / 3)


async def test_a_run_can_ask_for_fewer_samples_than_the_suite_says(replays) -> None:
    run = await replays.run(echo, suite(canary("a", 4), canary("b")), target(), samples={"a": 2, "b": 1})
    assert [(done.canary, done.sample) for done in run.completions] == [("a", 0), ("a", 1), ("b", 0)]
    assert len(replays.asked) == 3
