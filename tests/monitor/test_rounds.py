"""Rounds of a target against scripted answers: what they may cost, what is stored of that, and when the next comes."""

import json
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from watched_bot import DRIFTED, STEADY, Answers, Bot, house_of, run_of, suite_of, watched_of

from alerts.finding import Severity
from alerts.incident import Incident, Transition
from canaries.config import PriceConfig, TargetConfig
from canaries.suite import Suite
from canaries.tables import CompletionRow, RunRow
from monitor.canary_flow.rounds import Rounds
from monitor.config import Config, Deployment
from monitor.database import Database
from monitor.schedule import Every, Schedule
from monitor.self_watch import SelfWatch
from monitor.spending.spend import spend_key
from monitor.status import canary_job
from monitor.telemetry import Metrics
from monitor.watched import Watched

SLOT_S = 3600.0
CENT_A_SAMPLE = PriceConfig(input_usd_per_mtok=0.0, output_usd_per_mtok=2000.0)
PER_DAY = 86_400 / SLOT_S


def priced(**more: Any) -> TargetConfig:
    """A target that may be asked once an hour for four answers of a cent to each canary: 24 cents a run."""
    usual = {
        "model": "m",
        "suite": "support.yaml",
        "every": SLOT_S,
        "stream": False,
        "concurrency": 1,
        "max_attempts": 1,
        "parameters": {"max_tokens": 5},
        "samples": 4,
        "price": CENT_A_SAMPLE,
    }
    return TargetConfig(**usual | more)


@dataclass
class Endpoint:
    """Answers as it is told to, each after half a second of the clock's time."""

    clock: Any
    watched: Watched
    answers: Answers = STEADY
    tokens: int = 5
    asked: int = 0
    hour: int = 10_000
    """Other hours than those of the baseline: texts that were not seen yet."""

    def handle(self, message: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.clock.advance(0.5)
        prompt = json.loads(message.content)["messages"][-1]["content"]
        canary = prompt[prompt.rindex("(") + 1 : -1]
        run = run_of(self.watched, self.hour + self.asked, self.answers)
        text = next(one.text for one in run.completions if one.canary == canary)
        return httpx.Response(
            200,
            json={
                "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
                "model": self.answers.served_model,
                "system_fingerprint": self.answers.fingerprint,
                "usage": {"prompt_tokens": 10, "completion_tokens": self.tokens},
            },
        )


@dataclass
class Harness:
    """The rounds of one target, with everything around them."""

    rounds: Rounds
    endpoint: Endpoint
    database: Database
    clock: Any
    told: list[Transition] = field(default_factory=list)

    async def round(self, after_s: float = SLOT_S) -> int:
        """One round, ``after_s`` after the one before it began; gives how many answers it asked for."""
        begun, before = self.clock.now(), self.endpoint.asked
        await self.rounds.round("bot")
        self.clock.advance(after_s - (self.clock.now() - begun).total_seconds())
        return self.endpoint.asked - before

    def incident(self) -> Incident | None:
        found = [one.incident for one in self.told if one.incident and one.incident.key == spend_key("bot")]
        return found[-1] if found and found[-1].is_open else None

    def metric(self, name: str, **labels: str) -> float | None:
        return self.rounds.metrics.registry.get_sample_value(name, {"target": "bot"} | labels)


Start = Callable[..., Any]


@pytest.fixture
async def start(database: Database, clock: Any) -> AsyncIterator[Start]:
    """Opens the rounds of a target; what the schedule plans lies in the future of the real clock."""
    schedules, clients = [], []

    async def start(
        target: TargetConfig, in_database: Database = database, watched: Watched | None = None
    ) -> Harness:
        suite: Suite = suite_of()
        clock.advance((datetime.now(UTC) - clock.now()).total_seconds())
        watched = watched or watched_of(slot_s=SLOT_S)
        endpoint, metrics, told = Endpoint(clock, watched), Metrics(clock), list[Transition]()
        self_watch = SelfWatch(in_database, clock, metrics, lambda now: None)
        schedule = Schedule(self_watch.missed)
        client = httpx.AsyncClient(transport=httpx.MockTransport(endpoint.handle))
        schedules.append(schedule)
        clients.append(client)
        deployment = Deployment(Config(targets={"bot": target}), {"bot": suite})

        def tell(transitions: Iterable[Transition]) -> None:
            told.extend(transitions)

        rounds = Rounds(
            deployment, in_database, clock, random.Random(1), client, schedule, metrics, self_watch,
            house_of(), {"bot": watched}, tell,
        )  # fmt: skip
        await rounds.look_ahead()
        schedule.add(
            canary_job("bot"), Every(SLOT_S), lambda: rounds.round("bot"), clock.now() + timedelta(days=9)
        )
        schedule.start()
        return Harness(rounds, endpoint, in_database, clock, told)

    yield start
    for schedule in schedules:
        schedule.stop()
    for client in clients:
        await client.aclose()


def costs(database: Database) -> list[float | None]:
    return database.read(lambda s: [cost for (cost,) in s.execute(select(RunRow.cost_usd))])


# --- what a run may cost


async def test_a_run_is_stored_with_what_it_did_cost(start: Start) -> None:
    harness = await start(priced())
    assert await harness.round() == 24
    assert costs(harness.database) == [pytest.approx(0.24)]
    assert harness.metric("anchorwatch_spend_usd_24h") == pytest.approx(0.24)
    assert harness.metric("anchorwatch_canary_cost_usd_total") == pytest.approx(0.24)
    assert harness.metric("anchorwatch_canary_samples_planned") == 24
    assert harness.incident() is None


async def test_a_cap_that_bites_shrinks_the_samples_and_says_so(start: Start) -> None:
    harness = await start(priced(spend_cap_usd_per_day=0.13 * PER_DAY))
    assert [await harness.round() for _ in range(5)] == [12] * 5
    incident = harness.incident()
    assert incident is not None
    assert incident.severity is Severity.TICKET
    assert "12 of 24 samples are asked in a run" in incident.finding.summary
    assert harness.metric("anchorwatch_spend_cap_usd_per_day") == pytest.approx(0.13 * PER_DAY)
    assert harness.metric("anchorwatch_canary_samples_planned") == 12
    stored = harness.database.read(lambda s: s.execute(select(CompletionRow.sample).distinct()).all())
    assert {sample for (sample,) in stored} == {0, 1}


async def test_a_cap_that_is_reached_skips_runs_until_the_window_frees(start: Start) -> None:
    harness = await start(priced(spend_cap_usd_per_day=0.1))
    asked = [await harness.round() for _ in range(50)]
    assert [hour for hour, count in enumerate(asked) if count] == [0, 24, 48]
    assert set(asked) == {0, 6}
    assert harness.metric("anchorwatch_runs_total", status="skipped") == 47
    assert harness.metric("anchorwatch_canary_samples_planned") == 0
    assert len(costs(harness.database)) == 3  # a run that is skipped is no run
    assert harness.incident() is not None


async def test_a_cap_without_a_price_is_a_ticket_and_the_runs_go_on(start: Start) -> None:
    harness = await start(priced(price=None, spend_cap_usd_per_day=0.1))
    assert [await harness.round() for _ in range(3)] == [24] * 3
    incident = harness.incident()
    assert incident is not None
    assert "cannot be kept" in incident.finding.summary
    assert costs(harness.database) == [None] * 3


async def test_a_cap_that_does_not_bite_any_more_ends_its_incident(start: Start, database: Database) -> None:
    harness = await start(priced(spend_cap_usd_per_day=0.1))
    await harness.round()
    assert harness.incident() is not None
    harness = await start(priced())
    await harness.round()
    assert "spend/bot" not in Bot(database).open()


async def test_before_anything_is_known_a_run_is_planned_by_the_length_of_its_prompts(start: Start) -> None:
    # Five tokens for the answer by its limit: the estimate of the very first run is that of the later ones.
    harness = await start(priced(spend_cap_usd_per_day=0.25 * PER_DAY))
    assert await harness.round() == 24


async def test_a_run_that_is_cut_off_counts_as_what_was_expected(start: Start) -> None:
    harness = await start(priced(spend_cap_usd_per_day=0.25 * PER_DAY))

    def broken(message: httpx.Request) -> httpx.Response:
        raise RuntimeError("a defect")

    harness.rounds.client = httpx.AsyncClient(transport=httpx.MockTransport(broken))
    await harness.round()
    assert costs(harness.database) == [pytest.approx(0.24)]


# --- bursts


def hourly(**more: Any) -> TargetConfig:
    """The target that the frozen baseline is of."""
    return TargetConfig(
        **{"model": "m", "suite": "support.yaml", "every": SLOT_S, "stream": False, "concurrency": 1} | more
    )


async def drift(harness: Harness, most: int = 12) -> tuple[list[bool], list[bool]]:
    """Of each run while the target drifts until it pages and twice more: does a sooner one follow, and is it paged?"""
    harness.endpoint.answers = DRIFTED
    schedule, sooner, paged = harness.rounds.schedule, list[bool](), list[bool]()
    for _ in range(most):
        await harness.round(after_s=700.0)
        sooner.append(
            schedule.next_start(canary_job("bot")) != schedule.next_regular_start(canary_job("bot"))
        )
        paged.append(any(one.is_page for one in harness.told))
        if paged[-3:] == [True] * 3:
            return sooner, paged
    raise AssertionError(f"it did not page in {most} runs")


async def test_while_evidence_rises_the_next_run_comes_sooner_and_no_more_once_it_paged(
    start: Start, frozen_bot: Bot
) -> None:
    harness = await start(hourly(), frozen_bot.database, frozen_bot.watched)
    await harness.round()
    schedule = harness.rounds.schedule
    regular = schedule.next_regular_start(canary_job("bot"))
    assert schedule.next_start(canary_job("bot")) == regular
    sooner, paged = await drift(harness)
    assert any(sooner)
    assert not any(one for one, is_paged in zip(sooner, paged, strict=True) if is_paged)
    assert schedule.next_regular_start(canary_job("bot")) == regular
    assert harness.metric("anchorwatch_bursts_total") == sum(sooner)


async def test_a_burst_comes_ten_to_fifteen_minutes_after_the_run(start: Start, frozen_bot: Bot) -> None:
    harness = await start(hourly(), frozen_bot.database, frozen_bot.watched)
    harness.endpoint.answers = DRIFTED
    job, schedule = canary_job("bot"), harness.rounds.schedule
    for _ in range(12):
        await harness.rounds.round("bot")
        wait = (schedule.next_start(job) or harness.clock.now()) - harness.clock.now()
        if wait < timedelta(days=1):
            break
        harness.clock.advance(SLOT_S)
    assert timedelta(minutes=10) <= wait <= timedelta(minutes=15)


OFF = {
    "off": {"burst": "off"},
    "without money": {"price": CENT_A_SAMPLE, "spend_cap_usd_per_day": 0.108 * PER_DAY + 0.01},
}


@pytest.mark.parametrize("more", OFF.values(), ids=OFF)
async def test_no_run_comes_sooner_where_bursts_are(
    start: Start, frozen_bot: Bot, more: dict[str, Any]
) -> None:
    harness = await start(hourly(**more), frozen_bot.database, frozen_bot.watched)
    harness.endpoint.tokens = 9  # as in the runs of the baseline: 10.8 cents a run
    sooner, _ = await drift(harness)
    assert not any(sooner)


# --- at once


async def test_who_wants_to_know_whether_it_helped_has_the_target_replayed_at_once(
    start: Start, frozen_bot: Bot
) -> None:
    harness = await start(hourly(), frozen_bot.database, frozen_bot.watched)
    job, schedule = canary_job("bot"), harness.rounds.schedule
    regular = schedule.next_regular_start(job)
    harness.clock.advance(SLOT_S)  # in the future of the real clock, by which the schedule would run it
    assert harness.rounds.replay_now("bot")
    assert schedule.next_start(job) == harness.clock.now()
    assert schedule.next_regular_start(job) == regular
    assert not harness.rounds.replay_now("of another deployment")


async def test_nothing_is_replayed_at_once_where_runs_are_ranked_in_blocks(
    start: Start, frozen_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = await start(hourly(), frozen_bot.database, frozen_bot.watched)
    settled_as_usual = harness.rounds._settled

    def settled_in_blocks(*asked: Any) -> Any:
        settled, spent_usd = settled_as_usual(*asked)
        return replace(settled, is_in_blocks=True), spent_usd

    monkeypatch.setattr(harness.rounds, "_settled", settled_in_blocks)
    await harness.round()
    assert not harness.rounds.replay_now("bot")
    monkeypatch.undo()
    await harness.round()
    harness.clock.advance(SLOT_S)
    assert harness.rounds.replay_now("bot")
