"""One pass of a suite over a target: every canary is asked, and each request ends as a completion."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from . import ReplayError
from .abilities import unsupported
from .clock import Clock
from .completion import Completion, Outcome, Run
from .config import TargetConfig
from .providers import Answer, ChatRequest, Provider, RequestFailed, build_provider
from .suite import Canary, Suite

MAX_RETRY_AFTER_S = 60.0
"""The longest wait that an endpoint may ask for. When it asks for more, the request fails at once: asking again
before that time would only be refused, and the next run comes anyway."""

FIRST_BACKOFF_S = 0.5
"""The wait before the second try, where the endpoint asks for none; it doubles with each try."""

MAX_BACKOFF_S = 20.0
"""The longest wait between two tries that we choose ourselves."""

MAX_TIMEOUT_RETRIES = 1
"""How often a request is tried again that took too long: each try costs the whole timeout."""

FREE_RETRIES = 8
"""How many retries any run may use up; beyond them it has one for each of its requests.

When an endpoint refuses everything, a run thus ends after about two tries of each request instead of all of them.
"""

Sleep = Callable[[float], Awaitable[None]]
OnProgress = Callable[[Completion, int, int], None]
"""Told of each completion, how many there are by now, and how many there will be."""


async def replay(
    suite: Suite,
    target: TargetConfig,
    target_name: str,
    run_id: str,
    clock: Clock,
    rng: random.Random,
    client: httpx.AsyncClient,
    sleep: Sleep = asyncio.sleep,
    on_progress: OnProgress | None = None,
    samples: Mapping[str, int] | None = None,
) -> Run:
    """The run, with its completions in the order of the suite. A failed request is a completion with its outcome.

    ``samples`` says how often each canary is asked, where that is not what suite and target say.
    The canaries are asked in an order, and from a moment within the target's jitter, that ``rng`` decides. When it is
    cancelled, what was on the way is dropped. Raises ReplayError when the suite asks what the target's API lacks.
    """
    if faults := unsupported(suite, target.provider):
        raise ReplayError("; ".join(faults))
    if target.jitter > 0:
        await sleep(rng.uniform(0, target.jitter))
    started_at = clock.now()
    samples = suite.expected_samples(target.samples) if samples is None else samples
    provider = build_provider(target, clock)
    replayer = _Replayer(suite, target, samples, provider, clock, rng, client, sleep, on_progress)
    completions = await replayer.completions()
    return Run(run_id, target_name, suite.name, started_at, completions, finished_at=clock.now())


@dataclass(frozen=True, slots=True)
class _Task:
    """One request of a run; ``start_s`` counts from the start of the run."""

    canary: Canary
    sample: int
    start_s: float


@dataclass(slots=True)
class _Replayer:
    """What the workers of one run share."""

    suite: Suite
    target: TargetConfig
    samples: Mapping[str, int]
    provider: Provider
    clock: Clock
    rng: random.Random
    client: httpx.AsyncClient
    sleep: Sleep
    on_progress: OnProgress | None
    tasks: deque[_Task] = field(init=False)
    total: int = field(init=False)
    retries_left: int = field(init=False)
    done: list[Completion] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.tasks = deque(self._shuffled())
        self.total = len(self.tasks)
        self.retries_left = FREE_RETRIES + self.total

    async def completions(self) -> tuple[Completion, ...]:
        started = self.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.target.concurrency, self.total)):
                group.create_task(self._work(started))
        position = {canary.id: index for index, canary in enumerate(self.suite.canaries)}
        return tuple(sorted(self.done, key=lambda done: (position[done.canary], done.sample)))

    def _shuffled(self) -> list[_Task]:
        pairs = [
            (canary, sample)
            for canary in self.suite.canaries
            for sample in range(self.samples.get(canary.id, 0))
        ]
        self.rng.shuffle(pairs)
        starts = sorted(self.rng.uniform(0, self.target.spread) for _ in pairs)
        return [_Task(canary, sample, start) for (canary, sample), start in zip(pairs, starts, strict=True)]

    async def _work(self, started: float) -> None:
        while self.tasks:
            task = self.tasks.popleft()
            early_s = started + task.start_s - self.clock.monotonic()
            if early_s > 0:
                await self.sleep(early_s)
            completion = await self._completion(task)
            self.done.append(completion)
            if self.on_progress is not None:
                self.on_progress(completion, len(self.done), self.total)

    async def _completion(self, task: _Task) -> Completion:
        request = request_of(self.suite, self.target, task.canary)
        at = self.clock.now()
        attempts = timeouts = 0
        while True:
            attempts += 1
            try:
                answer = await self.provider.complete(request, self.client)
                return answered(task.canary.id, task.sample, answer, at, attempts)
            except RequestFailed as failed:
                timeouts += failed.outcome is Outcome.TIMEOUT
                wait_s = self._wait_s(failed, attempts, timeouts)
                if wait_s is None:
                    return not_answered(task.canary.id, task.sample, failed, at, attempts)
            self.retries_left -= 1
            await self.sleep(wait_s)

    def _wait_s(self, failed: RequestFailed, attempts: int, timeouts: int) -> float | None:
        """How long to wait before the next try; ``None`` when there is to be none."""
        if not failed.is_transport or attempts >= self.target.max_attempts or self.retries_left <= 0:
            return None
        if timeouts > MAX_TIMEOUT_RETRIES or (failed.retry_after_s or 0) > MAX_RETRY_AFTER_S:
            return None
        backoff_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempts - 1))
        # Never sooner than asked for, and never all at the same moment.
        return (failed.retry_after_s or backoff_s / 2) + self.rng.uniform(0, backoff_s / 2)


def request_of(suite: Suite, target: TargetConfig, canary: Canary) -> ChatRequest:
    """What ``target`` is asked with a canary of the ``suite``."""
    return ChatRequest(
        model=target.model,
        messages=canary.messages,
        parameters=suite.sent_parameters(canary, target.parameters),
        stream=target.stream,
        logprobs=target.logprobs,
        seed=target.seed,
        timeout_s=target.timeout,
        max_answer_bytes=target.max_answer_bytes,
        fresh_connection=target.fresh_connections,
        tools=canary.tools,
        tool_choice=canary.tool_choice,
    )


def answered(canary: str, sample: int, answer: Answer, at: datetime, attempts: int = 1) -> Completion:
    """The completion of a request that was answered."""
    return Completion(
        canary=canary,
        sample=sample,
        outcome=Outcome.ANSWERED,
        text=answer.text,
        finish_reason=answer.finish_reason,
        served_model=answer.served_model,
        system_fingerprint=answer.system_fingerprint,
        logprobs=answer.logprobs,
        first_top=answer.first_top,
        latency_s=answer.latency_s,
        ttft_s=answer.ttft_s,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cached_input_tokens=answer.cached_input_tokens,
        cache_write_input_tokens=answer.cache_write_input_tokens,
        reasoning_tokens=answer.reasoning_tokens,
        tool_calls=answer.tool_calls,
        attempts=attempts,
        at=at,
    )


def not_answered(
    canary: str, sample: int, failed: RequestFailed, at: datetime, attempts: int = 1
) -> Completion:
    """The completion of a request that failed."""
    return Completion(
        canary=canary,
        sample=sample,
        outcome=failed.outcome,
        attempts=attempts,
        error=failed.message,
        at=at,
    )
