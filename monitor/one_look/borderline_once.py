"""A search for borderline canaries, for a person at the terminal: shown as it goes, within a spend cap."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
import uvloop
from rich.console import Console
from rich.progress import Progress

from canaries.borderline.search import Found, Search, Stage, canary_of, search
from canaries.clock import Clock
from canaries.completion import Completion
from canaries.config import TargetConfig
from canaries.suite import Suite

from .. import MonitorError
from ..spending.canary_cost import answer_cost_usd, sample_costs


@dataclass(slots=True)
class Spending:
    """What a search has spent, and what it may spend."""

    target: TargetConfig
    cap_usd: float | None
    clock: Clock
    spent_usd: float = 0.0

    def estimate_usd(self, suite: Suite, samples: Mapping[str, int]) -> float | None:
        """Dollars for so many samples of each canary; ``None`` where the price is not known."""
        costs = sample_costs(suite, self.target, {}, self.clock.now())
        return None if costs is None else sum(costs[canary] * count for canary, count in samples.items())

    def may_ask(self, suite: Suite, samples: Mapping[str, int]) -> bool:
        """Whether the cap allows for these."""
        return (
            self.cap_usd is None
            or self.spent_usd + (self.estimate_usd(suite, samples) or 0.0) <= self.cap_usd
        )

    def pay(self, suite: Suite, completions: Sequence[Completion]) -> None:
        """Take note of what was asked."""
        canary = suite.canaries[0]
        self.spent_usd += sum(answer_cost_usd(one, self.target, canary) or 0.0 for one in completions)


def find_borderline(
    prompts: Sequence[str],
    wanted: Search,
    target: TargetConfig,
    base: Suite,
    clock: Clock,
    *,
    cap_usd: float | None,
    seed: int,
) -> tuple[Found, float | None]:
    """What the search found, and the dollars that it cost, where the price is known.

    Raises MonitorError when the cap cannot be kept, and ReplayError when nothing is answered.
    """
    console = Console(stderr=True, markup=False)
    spending = Spending(target, cap_usd, clock)
    some = Suite(
        "borderline",
        tuple(canary_of(one, wanted, logprobs=False) for one in prompts[:25]),
        (),
        base.parameters,
    )
    sample_usd = spending.estimate_usd(some, {one.id: 1 for one in some.canaries})
    if cap_usd is not None and sample_usd is None:
        raise MonitorError(
            "--max-spend-usd cannot be kept: the target's price is not known; give it a `price`"
        )
    most = len(prompts) * wanted.samples + 3 * wanted.keep * wanted.refine
    dollars = "" if sample_usd is None else f", ${most * sample_usd / len(some.canaries):.2g}"
    console.print(
        f"{most:,} requests{dollars} at most; far fewer where ties are found soon or log-probabilities are given"
    )

    async def work() -> Found:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bars = {stage: progress.add_task(stage.value, total=None, visible=False) for stage in Stage}

            def on_step(stage: Stage, done: int, total: int) -> None:
                progress.update(bars[stage], completed=done, total=total, visible=True)

            async with httpx.AsyncClient() as client:
                return await search(
                    prompts,
                    wanted,
                    target,
                    base,
                    clock,
                    random.Random(seed),  # noqa: S311 - an order of requests, not a secret
                    client,
                    on_step,
                    lambda completions: spending.pay(some, completions),
                    spending.may_ask,
                )

    found = uvloop.run(work())
    return found, None if sample_usd is None else spending.spent_usd
