"""What a bench asks, how it asks it, and what it makes of the answers."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from canaries.bench.lines import line_of
from canaries.bench.load import Asked, Endpoint, run_load
from canaries.bench.measured import Measured, Meter
from canaries.bench.plan import LONG_MIN, Ask, Load, identity, long_canaries, plan, what_is_left
from canaries.bench.purse import Purse
from canaries.bench.report import report
from canaries.completion import Completion, Outcome
from canaries.config import TargetConfig
from canaries.prompt import Image, Message, ToolCall
from canaries.suite import Canary, Expectations, ExpectedCall, Suite


def canary(name: str, **expected: Any) -> Canary:
    return Canary(
        name,
        (Message("system", "Be brief."), Message("user", f"say {name}")),
        {},
        None,
        Expectations(**expected),
    )


SUITE = Suite("s", tuple(canary(name) for name in "abc"))
TARGET = TargetConfig(base_url="http://endpoint.test", model="m", suite="s.yaml", stream=False)


def counted(asks: tuple[Ask, ...]) -> list[tuple[str, int]]:
    return [(ask.canary.id, ask.sample) for ask in asks if not ask.is_warm_up]


class TestPlan:
    def test_all_targets_get_the_same_prompts_in_the_same_order(self) -> None:
        planned = plan(SUITE, ["x", "y"], Load(requests=20, long_tokens=50))
        assert counted(planned["x"]) == counted(planned["y"])

    def test_each_round_asks_every_prompt_once_and_the_last_one_may_be_cut(self) -> None:
        asks = plan(SUITE, ["x"], Load(requests=7, warm_up=0))["x"]
        assert Counter(ask.canary.id for ask in asks[:6]) == {"a": 2, "b": 2, "c": 2}
        assert [ask.round for ask in asks] == ["0", "0", "0", "1", "1", "1", "2"]
        assert len({ask.key for ask in asks}) == 7

    def test_the_seed_decides_the_order(self) -> None:
        orders = [tuple(counted(plan(SUITE, ["x"], Load(30, seed=seed))["x"])) for seed in (1, 1, 2)]
        assert orders[0] == orders[1] != orders[2]

    def test_warm_up_comes_first_and_is_beside_what_is_counted(self) -> None:
        asks = plan(SUITE, ["x"], Load(requests=5, warm_up=4))["x"]
        assert [ask.is_warm_up for ask in asks] == [True] * 4 + [False] * 5

    def test_at_a_rate_every_slot_has_one_request_to_each_target_in_an_order_drawn_anew(self) -> None:
        planned = plan(SUITE, ["x", "y"], Load(requests=40, warm_up=0, rate=10.0))
        due = {name: [ask.due_s or 0.0 for ask in asks] for name, asks in planned.items()}
        for slot, pair in enumerate(zip(due["x"], due["y"], strict=True)):
            assert sorted(pair) == pytest.approx([slot / 10, slot / 10 + 0.05])
        assert 5 < sum(x < y for x, y in zip(due["x"], due["y"], strict=True)) < 35

    def test_more_requests_are_those_before_and_more(self) -> None:
        few, many = (set(counted(plan(SUITE, ["x"], Load(n, long_tokens=9))["x"])) for n in (20, 40))
        assert few < many

    def test_what_is_left_begins_at_once_and_is_warmed_up_again(self) -> None:
        planned = plan(SUITE, ["x", "y"], Load(requests=4, warm_up=1, rate=1.0))
        done = {one.key for one in planned["x"] if not one.is_warm_up} | {
            planned["y"][1].key,
            planned["y"][2].key,
        }
        left = what_is_left(planned, done)
        assert left["x"] == ()
        assert [one.is_warm_up for one in left["y"]] == [True, False, False]
        assert [one.due_s for one in left["y"]] == [None, 0.0, pytest.approx(1.0, abs=0.5)]

    def test_long_prompts_are_as_long_as_asked_and_begin_each_in_its_own_way(self) -> None:
        made = long_canaries(SUITE, Load(requests=10, long_tokens=500))
        assert len(made) == LONG_MIN
        texts = [one.messages[-1].content for one in made]
        assert all(2000 <= len(text) <= 2200 for text in texts)
        assert len({text[:10] for text in texts}) == LONG_MIN
        assert all(text.endswith("say a") for text in texts)
        assert made[0].messages[0] == SUITE.canaries[0].messages[0]

    def test_only_the_number_of_requests_may_change_between_sittings(self) -> None:
        base = identity(SUITE, {"x": TARGET}, Load(10))
        assert identity(SUITE, {"x": TARGET}, Load(20, warm_up=1)) == base
        changed = (
            identity(SUITE, {"x": TARGET}, Load(10, concurrency=9)),
            identity(SUITE, {"x": TARGET}, Load(10, rate=1.0)),
            identity(SUITE, {"x": TARGET.model_copy(update={"model": "n"})}, Load(10)),
            identity(Suite("s", SUITE.canaries[:2]), {"x": TARGET}, Load(10)),
        )
        pictured = replace(canary("a"), messages=(Message.of("user", [Image("image/png", b"1")]),))
        assert identity(Suite("s", (pictured,)), {"x": TARGET}, Load(10)) != base
        assert base not in changed
        assert len(set(changed)) == 4


class Endpoints:
    """Targets that answer after a time of their own; time passes only where something sleeps."""

    def __init__(
        self, clock: Any, takes_s: float = 1.0, reply: Callable[[str], httpx.Response] | None = None
    ) -> None:
        self.clock, self.takes_s, self.reply = clock, takes_s, reply or says
        self.sleeping: list[tuple[float, asyncio.Event]] = []
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.sent: list[tuple[float, str, str]] = []
        self.asked: list[Asked] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.sleeping.append((self.clock.monotonic() + seconds, woken))
        await woken.wait()

    async def tick(self) -> None:
        """Let time jump to the next thing that happens, whenever all wait."""
        while True:
            for _ in range(50):
                await asyncio.sleep(0)
            if self.sleeping:
                self.sleeping.sort(key=lambda entry: entry[0])
                moment, woken = self.sleeping.pop(0)
                self.clock.advance(max(0.0, moment - self.clock.monotonic()))
                woken.set()

    async def handle(self, message: httpx.Request) -> httpx.Response:
        name, prompt = message.url.host, json.loads(message.content)["messages"][-1]["content"]
        self.sent.append((self.clock.monotonic() - 1000, name, prompt))
        self.under_way[name] += 1
        self.most[name] = max(self.most[name], self.under_way[name])
        await self.sleep(self.takes_s)
        self.under_way[name] -= 1
        return self.reply(prompt)

    async def run(self, load: Load, *names: str, **more: Any) -> list[Asked]:
        endpoints = [
            Endpoint(name, TARGET.model_copy(update={"base_url": f"http://{name}"}))
            for name in names or ("x",)
        ]
        ticking = asyncio.create_task(self.tick())
        try:
            await run_load(
                SUITE,
                endpoints,
                plan(SUITE, [one.name for one in endpoints], load),
                load.concurrency,
                self.clock,
                httpx.AsyncClient(transport=httpx.MockTransport(self.handle)),
                self.asked.append,
                sleep=self.sleep,
                **more,
            )
        finally:
            ticking.cancel()
        return self.asked


def says(text: str) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


async def test_each_target_has_so_many_requests_under_way_at_the_same_time(clock: Any) -> None:
    endpoints = Endpoints(clock)
    asked = await endpoints.run(Load(requests=12, concurrency=3, warm_up=0), "x", "y")
    assert len(asked) == 24
    assert endpoints.most == {"x": 3, "y": 3}


async def test_warm_up_has_ended_before_anything_is_counted(clock: Any) -> None:
    endpoints = Endpoints(clock)
    asked = await endpoints.run(Load(requests=4, concurrency=2, warm_up=3))
    assert [one.ask.is_warm_up for one in asked] == [True] * 3 + [False] * 4
    assert [moment for moment, *_ in endpoints.sent] == [0, 0, 1, 2, 2.5, 3, 3.5]


async def test_requests_set_out_evenly_over_the_time_of_an_answer_once_that_is_known(clock: Any) -> None:
    endpoints = Endpoints(clock, takes_s=2.0)
    await endpoints.run(Load(requests=8, concurrency=4, warm_up=1))
    assert [moment for moment, *_ in endpoints.sent] == [0, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5]


async def test_at_a_rate_what_is_due_at_once_sets_out_at_once(clock: Any) -> None:
    endpoints = Endpoints(clock, takes_s=2.0)
    await endpoints.run(Load(requests=4, concurrency=4, warm_up=1, rate=1_000.0))
    assert [moment for moment, *_ in endpoints.sent] == pytest.approx([0, 2, 2.001, 2.002, 2.003])


async def test_at_a_rate_requests_go_out_when_they_are_due_whatever_the_answers_take(clock: Any) -> None:
    endpoints = Endpoints(clock, takes_s=5.0)
    asked = await endpoints.run(Load(requests=4, concurrency=10, warm_up=0, rate=2.0))
    assert [moment for moment, *_ in endpoints.sent] == pytest.approx([0, 0.5, 1.0, 1.5])
    assert [one.queued_s for one in asked] == [0.0] * 4


async def test_a_request_that_had_to_wait_is_as_late_as_it_was_sent_after_it_was_due(clock: Any) -> None:
    endpoints = Endpoints(clock, takes_s=5.0)
    asked = await endpoints.run(Load(requests=3, concurrency=1, warm_up=0, rate=1.0))
    assert [one.queued_s for one in asked] == pytest.approx([0.0, 4.0, 8.0])
    one = Meter(SUITE, lambda *_: None).measured(
        "x", Completion("a", text="", latency_s=5.0), asked[2].queued_s
    )
    assert one.latency_s == pytest.approx(13.0)


async def test_nothing_is_tried_again(clock: Any) -> None:
    endpoints = Endpoints(clock, reply=lambda _: httpx.Response(503))
    asked = await endpoints.run(Load(requests=3, concurrency=1, warm_up=0))
    assert len(endpoints.sent) == 3
    assert {one.completion.outcome for one in asked} == {Outcome.SERVER}


async def test_no_more_is_asked_when_there_is_no_money(clock: Any) -> None:
    money = iter([True] * 5)
    asked = await Endpoints(clock).run(
        Load(20, concurrency=2, warm_up=0), may_ask=lambda _: next(money, False)
    )
    assert len(asked) == 5


class TestPurse:
    ask = Ask("x", canary("a"), 0, "0")

    def purse(self) -> Purse:
        return Purse(1.0, {"x": {"a": 0.4}})

    def asked(self, outcome: Outcome = Outcome.ANSWERED) -> Asked:
        return Asked(
            self.ask, Completion("a", outcome=outcome, text="" if outcome is Outcome.ANSWERED else None)
        )

    def test_what_is_under_way_counts_as_what_it_may_cost(self) -> None:
        purse = self.purse()
        assert [purse.may_ask(self.ask) for _ in range(3)] == [True, True, False]
        assert purse.is_empty

    def test_what_was_cheaper_than_it_might_have_been_leaves_money_for_more(self) -> None:
        purse = self.purse()
        for _ in range(7):
            assert purse.may_ask(self.ask)
            purse.paid(self.asked(), 0.1)
        assert purse.spent_usd == pytest.approx(0.7)
        assert not purse.may_ask(self.ask)

    def test_a_timed_out_request_may_have_cost_all_of_it_and_a_refused_one_nothing(self) -> None:
        for outcome, cost in ((Outcome.TIMEOUT, 0.4), (Outcome.RATE_LIMIT, 0.0), (Outcome.ANSWERED, 0.4)):
            purse = self.purse()
            purse.may_ask(self.ask)
            purse.paid(self.asked(outcome), None)
            assert purse.spent_usd == cost


class TestMeasured:
    meter = Meter(Suite("s", (canary("a", matches=("yes",), not_empty=True),)), lambda *_: 0.5)

    def test_a_timed_out_request_took_for_ever_and_other_failures_no_time(self) -> None:
        timed_out = self.meter.measured("x", Completion("a", outcome=Outcome.TIMEOUT), 0.0)
        refused = self.meter.measured("x", Completion("a", outcome=Outcome.RATE_LIMIT), 0.0)
        assert (timed_out.latency_s, refused.latency_s) == (float("inf"), None)

    def test_the_speed_is_that_of_the_tokens_after_the_first(self) -> None:
        answer = Completion("a", text="yes", latency_s=3.0, ttft_s=1.0, output_tokens=101)
        assert self.meter.measured("x", answer, 0.0).tokens_per_s == pytest.approx(50)

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(
                Completion("a", text="y", latency_s=3.0, ttft_s=1.0, output_tokens=3), id="few tokens"
            ),
            pytest.param(
                Completion("a", text="y", latency_s=1.0, ttft_s=1.0, output_tokens=99), id="in one piece"
            ),
            pytest.param(Completion("a", text="y", latency_s=1.0, output_tokens=99), id="no stream"),
        ],
    )
    def test_no_speed_where_it_cannot_be_told(self, answer: Completion) -> None:
        assert self.meter.measured("x", answer, 0.0).tokens_per_s is None

    def test_broken_expectations_have_names(self) -> None:
        assert self.meter.measured("x", Completion("a", text="no"), 0.0).breaks == ("matches",)
        assert self.meter.measured("x", Completion("a", text="yes"), 0.0).breaks == ()

    def test_an_answer_that_calls_the_expected_tool_breaks_nothing(self) -> None:
        meter = Meter(Suite("s", (canary("a", tool_calls=(ExpectedCall("find", {}),)),)), lambda *_: None)
        called = Completion("a", text='[{"arguments":{},"name":"find"}]', tool_calls=(ToolCall("find", {}),))
        assert meter.measured("x", called, 0.0).breaks == ()
        assert "tool_calls" in (meter.measured("x", replace(called, tool_calls=()), 0.0).breaks or ())

    def test_a_canary_that_the_suite_lacks_is_the_long_one(self) -> None:
        one = self.meter.measured("x", Completion("long-9", text="no"), 0.0)
        assert one.is_long
        assert one.breaks is None

    def test_answers_that_differ_in_outer_spaces_only_are_the_same(self) -> None:
        one, other = (self.meter.measured("x", Completion("a", text=text), 0.0) for text in ("yes", " yes\n"))
        assert one.answer == other.answer

    def test_a_line_is_a_completion_and_what_a_bench_knows(self) -> None:
        ask = Ask("x", canary("a"), 3, "3", 1.0)
        line = line_of(Asked(ask, Completion("a", 3, text="yes", latency_s=0.25), 0.5), "id")
        known = {"run": "x/3", "target": "x", "canary": "a", "sample": 3, "text": "yes", "latency_s": 0.25}
        assert line.items() >= (known | {"queued_s": 0.5, "bench": "id"}).items()


def answers(target: str, latency_s: float, n: int = 100, **more: Any) -> list[Measured]:
    fields = {"answer": b"12345678"} | more
    return [
        Measured(target, f"c{i % 5}", Outcome.ANSWERED, latency_s=latency_s * (1 + i % 7 / 20), **fields)
        for i in range(n)
    ]


def row_of(found: Any, name: str) -> Any:
    return next(row for row in found.rows if row.measure.name == name)


class TestReport:
    def test_a_much_faster_target_wins_and_its_factor_is_told(self) -> None:
        row = row_of(report([*answers("slow", 2.0), *answers("fast", 1.0)], ["slow", "fast"]), "latency p50")
        assert (row.leader, row.winner) == ("fast", "fast")
        assert row.differences[0].effect.value == pytest.approx(2.0, rel=0.05)

    def test_alike_targets_have_no_winner(self) -> None:
        found = report([*answers("x", 1.0), *answers("y", 1.001)], ["x", "y"])
        assert all(row.winner is None for row in found.rows)
        assert row_of(found, "latency p50").leader == "x"

    def test_who_wins_against_three_wins_against_each(self) -> None:
        three = [*answers("a", 1.0), *answers("b", 1.001), *answers("c", 3.0)]
        row = row_of(report(three, ["a", "b", "c"]), "latency p50")
        assert row.winner is None
        assert {(one.first, one.second): one.is_real for one in row.differences} == {
            ("a", "b"): False,
            ("a", "c"): True,
            ("b", "c"): True,
        }

    def test_a_tail_of_few_requests_is_told_and_not_compared(self) -> None:
        row = row_of(report([*answers("x", 1.0), *answers("y", 9.0)], ["x", "y"]), "latency p99")
        assert row.too_few
        assert row.differences == ()
        assert row.winner is None

    def test_failures_make_a_winner(self) -> None:
        down = [Measured("down", "c1", Outcome.SERVER) for _ in range(40)]
        found = report([*answers("up", 1.0, 40), *down], ["up", "down"])
        assert row_of(found, "failed requests").winner == "up"
        assert found.targets["down"].errors == {"server_error": 40}
        assert list(row_of(found, "latency p50").figures) == ["up"]

    def test_answers_that_repeat_win_against_ones_that_do_not(self) -> None:
        varied = [
            Measured("varied", f"c{i % 5}", Outcome.ANSWERED, latency_s=1.0, answer=f"{i:<8}".encode())
            for i in range(50)
        ]
        found = report([*answers("same", 1.0, 50), *varied], ["same", "varied"])
        assert row_of(found, "two answers agree").winner == "same"
        assert found.targets["same"].unique_answers == (1.0, 10.0)
        assert found.targets["varied"].unique_answers == (10.0, 10.0)
        assert found.targets["same"].same_always == 5

    def test_long_prompts_have_rows_of_their_own(self) -> None:
        found = report([*answers("x", 1.0), *answers("x", 9.0, 10, is_long=True, input_tokens=8000)], ["x"])
        assert row_of(found, "latency p50").figures["x"].value < 2
        assert row_of(found, "long prompts: latency p50").figures["x"].value > 8
        assert found.targets["x"].long_input_tokens == 8000

    def test_what_nobody_knows_has_no_row(self) -> None:
        names = [row.measure.name for row in report(answers("x", 1.0), ["x"]).rows]
        assert "cost of 1,000 answers" not in names
        assert "first token p50" not in names

    def test_the_same_seed_gives_the_same_figures(self) -> None:
        both = [*answers("x", 1.0, cost_usd=0.1), *answers("y", 1.2, cost_usd=0.2)]
        assert report(both, ["x", "y"], seed=3) == report(both, ["x", "y"], seed=3)

    def test_nothing_measured_is_no_row_and_no_error(self) -> None:
        found = report([], ["x", "y"])
        assert found.rows == ()
        assert found.targets["x"].requests == 0
