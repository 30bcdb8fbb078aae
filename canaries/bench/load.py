"""Asking what a bench has planned: closed loop, or at a rate."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ..clock import Clock
from ..completion import Completion
from ..config import TargetConfig
from ..providers import Provider, RequestFailed, Sender, build_provider
from ..replay import Sleep, answered, not_answered, request_of
from ..suite import Suite
from .plan import Ask


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was made. ``queued_s`` is how much later than it was due; 0 without a rate."""

    ask: Ask
    completion: Completion
    queued_s: float = 0.0


OnAsked = Callable[[Asked], None]
MayAsk = Callable[[Ask], bool]
"""Whether there is still money for a request. Once there is not, a bench asks no more."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A target of a bench under its name."""

    name: str
    config: TargetConfig


async def run_load(
    suite: Suite,
    endpoints: Sequence[Endpoint],
    asks: Mapping[str, Sequence[Ask]],
    concurrency: int,
    clock: Clock,
    client: Sender,
    on_asked: OnAsked,
    may_ask: MayAsk = lambda _: True,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Make the requests to all targets at the same time; each has ``concurrency`` of them under way at most.

    First come those to warm up, then the counted ones. In a closed loop the first of these set out evenly over the time
    that an answer took by then: all at once, they would come back at once ever after, and wait for each other here and
    there. Nothing is tried again: what a request meets is what is
    measured. ``on_asked`` is told of each as it ends; when this is cancelled, what was under way is dropped.
    """
    lanes = [_Lane(suite, one.config, build_provider(one.config, clock), clock) for one in endpoints]

    async def work(lane: _Lane, waiting: deque[Ask], started: float, first_s: float) -> None:
        await _until(started + first_s, clock, sleep)
        while waiting and may_ask(waiting[0]):
            ask = waiting.popleft()
            if ask.due_s is not None:
                await _until(started + ask.due_s, clock, sleep)
            asked = await lane.asked(ask, client, started)
            if ask.is_warm_up and asked.completion.latency_s is not None:
                lane.warm_up_s.append(asked.completion.latency_s)
            on_asked(asked)

    for is_warm_up in (True, False):
        started = clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for one, lane in zip(endpoints, lanes, strict=True):
                waiting = deque(ask for ask in asks[one.name] if ask.is_warm_up is is_warm_up)
                workers = min(concurrency, len(waiting))
                over_s = lane.usual_s if waiting and waiting[0].due_s is None else 0.0
                for number in range(workers):
                    group.create_task(work(lane, waiting, started, over_s * number / workers))


async def _until(moment: float, clock: Clock, sleep: Sleep) -> None:
    early_s = moment - clock.monotonic()
    if early_s > 0:
        await sleep(early_s)


@dataclass(frozen=True, slots=True)
class _Lane:
    """What all requests to one target have in common."""

    suite: Suite
    target: TargetConfig
    provider: Provider
    clock: Clock
    warm_up_s: list[float] = field(default_factory=list)

    @property
    def usual_s(self) -> float:
        """How long an answer took so far; 0 where nobody knows."""
        return median(self.warm_up_s) if self.warm_up_s else 0.0

    async def asked(self, ask: Ask, client: Sender, started: float) -> Asked:
        """The request, made now."""
        at = self.clock.now()
        queued_s = 0.0 if ask.due_s is None else max(0.0, self.clock.monotonic() - started - ask.due_s)
        request = request_of(self.suite, self.target, ask.canary)
        try:
            answer = await self.provider.complete(request, client)
        except RequestFailed as failed:
            return Asked(ask, not_answered(ask.canary.id, ask.sample, failed, at), queued_s)
        return Asked(ask, answered(ask.canary.id, ask.sample, answer, at), queued_s)
