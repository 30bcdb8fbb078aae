"""One gate from its question to its answer: the candidate is asked, and judged beside what runs now."""

import random
from dataclasses import dataclass, replace

from canaries.clock import Clock
from canaries.config import TargetConfig
from canaries.gate.config import GateConfig
from canaries.gate.judging import Side, judge
from canaries.gate.limits import Price
from canaries.gate.results import Gate
from canaries.suite import Suite

from ... import MonitorError
from ...config import Deployment
from ...spending.canary_cost import list_cost_usd, price_of, sample_costs
from .asking import Asked, Order, Progress, ask
from .base import Base


def candidate_of(deployment: Deployment, name: str) -> TargetConfig:
    """The target of this name. Raises MonitorError when there is none."""
    targets = deployment.config.targets
    if name not in targets:
        known = ", ".join(targets) or "none: the configuration has no targets section"
        raise MonitorError(f"no target is called {name!r}; known: {known}")
    return targets[name]


@dataclass(frozen=True, slots=True)
class Gating:
    """What is asked of which candidate, by what it is judged, and what it is compared with, if with anything."""

    deployment: Deployment
    suite: Suite
    candidate: str
    settings: GateConfig
    base: Base | None

    @property
    def target(self) -> TargetConfig:
        """How the candidate is reached."""
        return candidate_of(self.deployment, self.candidate)

    def need_price(self, clock: Clock) -> None:
        """Raise MonitorError for a limit on dollars that no answer could be held against: before any is paid for."""
        limit = self.settings.cost_per_1000_usd
        if limit is None or (self.base is None and limit.is_relative):
            return
        if sample_costs(self.suite, self.target, {}, clock.now()) is None:
            raise MonitorError(
                f"cost_per_1000_usd: no price is known for {self.target.model}. Give the target a `price`."
            )

    def ask(self, clock: Clock, rng: random.Random, progress: Progress | None = None) -> Asked:
        """The candidate's runs: as many as the settings say, within what they may cost."""
        settings = self.settings
        requests = sum(Order(1, settings.samples).samples_of(self.suite, self.target).values())
        order = Order(settings.runs_of(requests), settings.samples, settings.max_spend_usd)
        return ask(self.suite, self.target, self.candidate, order, clock, rng, progress)

    def judge(self, asked: Asked, seed: int, progress: Progress | None = None) -> Gate:
        """The verdict on what the candidate answered."""
        side = Side(self.candidate, asked.runs, self._price(self.candidate))
        other: Side | None = None
        notes = asked.notes
        if self.base is not None:
            other = Side(self.base.name, self.base.runs, self._price(self.base.target))
            notes += self.base.changes(self.suite, self.target)
        found = judge(self.suite, side, other, self.settings, seed=seed, notes=notes, progress=progress)
        return replace(found, took_s=asked.took_s, spent_usd=asked.spent_usd)

    def _price(self, target: str | None) -> Price:
        """The prices of a target that is configured, else list prices."""
        known = self.deployment.config.targets.get(target or "")
        return list_cost_usd if known is None else price_of(known, self.suite)
