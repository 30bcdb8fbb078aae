"""False pages of a whole deployment in a year: ``python -m benchmarks.deployment``.

50 targets of 25 prompts with 6 traffic scores each, at 5 providers, 4 quarters of hourly runs, one budget of 0.25
pages a quarter for everything. Nothing changes; but all targets of a provider share its shocks: in every hour it serves
all of them from one of two backends, under one load, and some hours are bad for all. So what alarms at one target tends
to alarm at its neighbours, and their baselines were unlucky together.

Of the targets some (``--answered``) are simulated as answers, which the product's baseline, scores and labels turn into
runs. The scores of the others, and all traffic, are drawn as numbers with the same shocks: heavy-tailed, with ties
where answers are nearly deterministic, unlabelled. Ranks, weights and accounts are the product's for all of them.

An alarm is a component's; a page is what people get: one for what alarms at a target within a day. Exit status 1 when
alarms are more than the budget on average, or pages are more than one in more than one of 20 replications.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from alerts.evidence import Budgets, Kind, rank
from benchmarks.canary_arm import HOUR_S, CanaryArm
from benchmarks.ledgers_together import Floats, Raised, Scope, alarms_together
from benchmarks.repetitions import repeat
from benchmarks.streams import (
    BACKEND_SHIFT,
    BASELINE_RUNS,
    NEAR_DETERMINISTIC,
    PROMPTS,
    RUNS_A_QUARTER,
    SECOND_SHARE,
    all_prompts,
    draw_endpoint,
    serve,
)

TRAFFIC = 6
"""Scores of a target's traffic: the tails of latency and of cost, errors, broken answers."""

TRAFFIC_SHARES = np.array([0.05, 0.01, 0.05, 0.01, 0.02, 0.03])
"""The share of calls beyond each frozen limit."""

CALLS_AN_HOUR = 300
LOAD_SD = 0.25
"""Of the logarithm of a provider's load in an hour."""

BAD_HOURS, BAD_SHOCK = 0.01, 3.0
"""How many hours are bad for all of a provider, and by how many standard deviations."""

PAGE_RUNS = 24
"""What alarms at a target within a day of its page belongs to the page's incident."""

SHARES_KEPT = 0.95
"""In how many of the replications pages have to stay at one."""

SUITE_SCORES = {"suite_surprise": 0.3, "token_surprise": 0.1, "divergence": 0.1, "suite_peak": 0.25}
"""The scores of a target that is drawn as numbers, with their shares; the rest goes to its canaries."""


@dataclass(frozen=True, slots=True)
class Case:
    """One replication: a deployment and its year."""

    seed: int
    targets: int
    answered: int
    providers: int
    quarters: int
    budget: float

    @property
    def runs(self) -> int:
        """Runs after the baseline."""
        return self.quarters * RUNS_A_QUARTER


@dataclass(frozen=True, slots=True)
class Outcome:
    """Alarms and pages of a replication; ``answered`` are the alarms at targets that were simulated as answers."""

    alarms: int
    pages: int
    answered: int
    traffic: int


@dataclass(frozen=True, slots=True)
class Provider:
    """The shocks of a provider, by hour: which backend serves, how high the load is, how bad the hour."""

    backend: NDArray[np.int64]
    load: Floats
    bad: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, hours: int) -> "Provider":
        """A provider's year. Hours are alike: none knows of the one before."""
        return cls(
            (rng.random(hours) < SECOND_SHARE).astype(np.int64),
            LOAD_SD * rng.standard_normal(hours),
            (rng.random(hours) < BAD_HOURS) * BAD_SHOCK * rng.random(hours),
        )


def replicate(case: Case) -> Outcome:
    """One deployment's year."""
    rng = np.random.default_rng(case.seed)
    hours = BASELINE_RUNS + case.runs
    providers = [Provider.draw(rng, hours) for _ in range(case.providers)]
    scopes = case.targets * (1 + TRAFFIC)
    share = 1 / scopes
    canaries, traffic = [], []
    for target in range(case.targets):
        provider = providers[target % case.providers]
        make = _answered if target < case.answered else _drawn
        canaries.append(make(rng, provider, share))
        traffic += [_traffic(rng, provider, usual, share) for usual in TRAFFIC_SHARES]
    budgets = [Budgets(pages_per_quarter=case.budget)]
    raised = [one for one in alarms_together(canaries + traffic, budgets, HOUR_S) if one.kind is Kind.PAGE]
    return Outcome(
        alarms=len(raised),
        pages=pages(raised),
        answered=sum(one.scope < case.answered for one in raised),
        traffic=sum(one.scope >= case.targets for one in raised),
    )


def pages(raised: Sequence[Raised]) -> int:
    """The pages that people get: an alarm belongs to the page of its target, or traffic score, of the last day."""
    last: dict[int, int] = {}
    count = 0
    for one in raised:
        count += one.run - last.get(one.scope, -PAGE_RUNS) >= PAGE_RUNS
        last[one.scope] = one.run
    return count


def _answered(rng: np.random.Generator, provider: Provider, share: float) -> Scope:
    """The canaries of a target, from its answers."""
    first = draw_endpoint(rng)
    backends = (first, all_prompts(BACKEND_SHIFT)(rng, first))
    answers = serve(rng, backends, provider.backend)
    arm = CanaryArm(answers[:BASELINE_RUNS])
    return arm.scope(arm.follow(answers[BASELINE_RUNS:]), share)


def _drawn(rng: np.random.Generator, provider: Provider, share: float) -> Scope:
    """The canaries of a target, drawn as scores: what a run has in common is a shock of the provider, and its own."""
    hours = len(provider.load)
    shock = provider.backend * rng.uniform(0.5, 1.5) + provider.bad + 0.3 * rng.standard_normal(hours)
    own = rng.gamma(rng.uniform(0.5, 4.0, PROMPTS), size=(hours, PROMPTS))
    # Nearly deterministic: usually the very same score, now and then a surprise.
    own[:, :NEAR_DETERMINISTIC] *= rng.random((hours, NEAR_DETERMINISTIC)) < rng.uniform(
        0.02, 0.3, NEAR_DETERMINISTIC
    )
    felt = rng.uniform(0.0, 0.6, PROMPTS)
    prompts = own + (own > 0) * felt * shock[:, None]
    suite = np.stack(
        [
            prompts.sum(axis=1),
            prompts.sum(axis=1) + rng.standard_normal(hours),
            shock + rng.standard_normal(hours),
            (np.maximum(prompts - prompts.mean(axis=0), 0.0) ** 2).sum(axis=1),
        ],
        axis=1,
    )
    rest = (1 - sum(SUITE_SCORES.values())) / PROMPTS
    weights = SUITE_SCORES | {f"canary:{number}": rest for number in range(PROMPTS)}
    return _scope(rng, np.concatenate([suite, prompts], axis=1), weights, share)


def _traffic(rng: np.random.Generator, provider: Provider, usual: float, share: float) -> Scope:
    """One score of a target's traffic: the share of calls beyond a frozen limit, which the load moves."""
    hours = len(provider.load)
    odds = usual / (1 - usual) * np.exp(provider.load * rng.uniform(0.2, 1.0) + provider.bad)
    hits = rng.binomial(CALLS_AN_HOUR, odds / (1 + odds), size=hours)
    return _scope(rng, np.arcsin(np.sqrt(hits / CALLS_AN_HOUR))[:, None], {"traffic": 1.0}, share)


def _scope(rng: np.random.Generator, scores: Floats, weights: dict[str, float], share: float) -> Scope:
    """A ledger that ranks unlabelled scores against those of the second half of the baseline."""
    ties = rng.random(len(scores))
    frozen = slice(BASELINE_RUNS // 2, BASELINE_RUNS)
    calibration = {
        name: [(float(score), float(tie), "") for score, tie in zip(column, ties[frozen], strict=True)]
        for name, column in zip(weights, scores[frozen].T, strict=True)
    }
    later = slice(BASELINE_RUNS, None)
    shares = {name: weight * share for name, weight in weights.items()}
    return Scope(rank(calibration), shares, (), scores[later], ties[later], ("",) * len(scores[later]))


def is_kept(outcomes: Sequence[Outcome], budget: float) -> bool:
    """Whether alarms are within the ``budget`` of the whole time on average, and pages at most one nearly always."""
    few = float(np.mean([one.pages <= 1 for one in outcomes]))
    return float(np.mean([one.alarms for one in outcomes])) <= budget and few >= SHARES_KEPT


def table(outcomes: Sequence[Outcome], case: Case) -> Table:
    """The outcomes for people."""
    title = (
        f"{case.targets} targets of {PROMPTS} prompts and {TRAFFIC} traffic scores, {case.quarters} quarters at "
        f"{case.budget:g}: {len(outcomes)} replications without a change"
    )
    drawn = Table("what", "mean ± s.e.", "most", "replications with 0, 1, 2, more", title=title)
    rows = {
        "alarms, budget " + f"{case.budget * case.quarters:g}": [one.alarms for one in outcomes],
        "of these at targets with answers": [one.answered for one in outcomes],
        "of these in traffic": [one.traffic for one in outcomes],
        "pages": [one.pages for one in outcomes],
    }
    for name, counts in rows.items():
        error = np.std(counts, ddof=1) / np.sqrt(len(counts)) if len(counts) > 1 else np.nan
        spread = ", ".join(str(sum(count == n for count in counts)) for n in range(3))
        more = sum(count > 2 for count in counts)
        drawn.add_row(name, f"{np.mean(counts):.2f} ± {error:.2f}", str(max(counts)), f"{spread}, {more}")
    return drawn


def main(
    replications: Annotated[int, typer.Option(min=1)] = 20,
    targets: Annotated[int, typer.Option(min=1)] = 50,
    answered: Annotated[int, typer.Option(min=0, help="Targets that are simulated as answers.")] = 5,
    providers: Annotated[int, typer.Option(min=1)] = 5,
    quarters: Annotated[int, typer.Option(min=1)] = 4,
    budget: Annotated[float, typer.Option(help="Pages per quarter, for everything.")] = 0.25,
    seed: Annotated[int, typer.Option(help="Replication i is drawn from seed + i.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the false pages of simulated deployments in which nothing changes."""
    cases = [
        Case(seed + i, targets, min(answered, targets), providers, quarters, budget)
        for i in range(replications)
    ]
    outcomes = repeat(replicate, cases, workers, "replications")
    if as_json:
        facts = {
            "targets": targets,
            "answered": answered,
            "quarters": quarters,
            "budget": budget,
            "seed": seed,
        }
        rows = [
            {"alarms": one.alarms, "pages": one.pages, "answered": one.answered, "traffic": one.traffic}
            for one in outcomes
        ]
        print(json.dumps(facts | {"replications": rows}, indent=2))
    else:
        Console().print(table(outcomes, cases[0]))
    raise typer.Exit(int(not is_kept(outcomes, budget * quarters)))


if __name__ == "__main__":
    typer.run(main)
