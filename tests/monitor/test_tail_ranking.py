"""How loudly a period is ranked: alone where periods are like fresh draws, in blocks where a load lasts."""

from dataclasses import replace

import numpy as np
import pytest

from alerts.evidence.ledger import Budgets, Kind, observe, open_ledger
from monitor.traffic.tails.baseline import Seen, TailBaseline
from monitor.traffic.tails.counting import Tally
from monitor.traffic.tails.stickiness import Stickiness, stickiness
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic_flow.tail_ranking import BLOCKS, ranking_of
from monitor.traffic_flow.tail_verdicts import guarantee

HOUR_S = 3600


def watch(**fields: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "tail", "measure": "latency_p95", "shift": {}} | fields)


def baseline(block: int = 1, periods: int = 120) -> TailBaseline:
    hits = np.random.default_rng(1).binomial(300, 0.05, periods).tolist()
    calibration = tuple((HOUR_S * i, Tally(300, k)) for i, k in enumerate(hits))
    return TailBaseline(
        "b",
        "f",
        HOUR_S * periods,
        train_means=tuple((0, 0.0) for _ in range(periods)),
        calibration=calibration,
        stickiness=Stickiness(0.5, block),
    )


def ties(found: TailBaseline) -> dict[int, float]:
    return {start: (start / HOUR_S % 97) / 97 for start, _ in found.calibration}


def wander(coefficient: float, seed: int, n: int = 84) -> list[float]:
    noise = np.random.default_rng(seed).normal(size=n)
    for i in range(1, n):
        noise[i] = coefficient * noise[i - 1] + np.sqrt(1 - coefficient**2) * noise[i]
    return [float(one) for one in noise]


def test_a_load_that_lasts_is_found_in_a_week() -> None:
    found = [stickiness([wander(0.0, seed), wander(0.8, seed)]) for seed in range(20)]
    assert sum(one.block > 1 for one in found) >= 19
    assert min(one.lag1 for one in found if one.block > 1) > 0.1


def test_fresh_draws_are_seldom_called_sticky() -> None:
    found = [stickiness([wander(0.0, seed), wander(0.0, 1_000 + seed)]) for seed in range(60)]
    assert sum(one.block > 1 for one in found) <= 6


def test_periods_that_are_like_fresh_draws_bet_one_by_one() -> None:
    one = baseline()
    ranking = ranking_of(watch(), one, ties(one), 0.25)
    assert ranking.weights == {"latency_p95": 0.25}
    assert ranking.tickets_only == frozenset()
    assert guarantee(one) == "in force"


def test_where_a_load_lasts_single_periods_open_tickets_and_blocks_page() -> None:
    sticky = baseline(block=4)
    ranking = ranking_of(watch(), sticky, ties(sticky), 0.25)
    assert sum(ranking.weights.values()) == pytest.approx(0.25)
    assert ranking.tickets_only == {"latency_p95"}
    kinds: dict[str, set[Kind]] = {name: set() for name in ranking.weights}
    ledger = open_ledger(ranking.ranks)
    for hour in range(120, 220):
        run = ranking.observation(Seen(HOUR_S * hour, Tally(300, 60)), f"{hour}", 0.5)
        step = observe(
            ranking.ranks, ledger, run, ranking.weights, Budgets(pages_per_quarter=1.0), ranking.tickets_only
        )
        ledger = step.ledger
        for alarm in step.alarms:
            kinds[alarm.component].add(alarm.kind)
    assert kinds["latency_p95"] == {Kind.TICKET}
    assert Kind.PAGE in kinds[f"latency_p95{BLOCKS}"]
    assert "single periods open tickets only, and pages need blocks of 4" in guarantee(sticky)


def test_a_ticket_watch_has_no_score_that_pages() -> None:
    for one in (baseline(), baseline(block=4)):
        ranking = ranking_of(watch(severity="ticket"), one, ties(one), 1.0)
        assert ranking.tickets_only == set(ranking.weights)


def test_a_period_is_ranked_by_its_distance_from_what_is_usual_at_its_hours() -> None:
    one = baseline()
    shifted = replace(one, hours=replace(one.hours, usual=(0.1,)))
    seen = Seen(HOUR_S * 500, Tally(300, 15))
    plain = ranking_of(watch(), one, ties(one), 1.0).observation(seen, "r", 0.5).scores["latency_p95"]
    moved = ranking_of(watch(), shifted, ties(one), 1.0).observation(seen, "r", 0.5).scores["latency_p95"]
    assert moved == pytest.approx(plain - 0.1)
