"""The search for borderline canaries: ask many prompts a few times, ask those that waver more often, keep the ties."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

import httpx

from .. import ReplayError
from ..clock import Clock
from ..completion import Completion
from ..config import TargetConfig
from ..replay import Sleep, replay
from ..suite import Canary, Expectations, Message, Suite
from .ties import RATIO_MIN, Tie, best, ratio_told, tie_of, wavers

BATCH = 25
"""So many prompts are asked before it is looked at whether that is enough, and paid for."""

REFINED_PER_KEPT = 3
"""So many prompts that waver are asked more often, for each that is kept: half of them turn out to be no ties."""

TOP = 20
"""How many likeliest tokens are asked for: as many as endpoints give."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and how hard."""

    samples: int = 3
    refine: int = 20
    keep: int = 10
    ratio_min: float = RATIO_MIN
    temperature: float | None = 0.1
    max_tokens: int = 1
    tokens_parameter: str = "max_tokens"
    with_logprobs: bool = True
    system: str | None = None

    def parameters(self, *, logprobs: bool) -> dict[str, object]:
        """What is sent with each prompt, and stands in the suite later."""
        asked: dict[str, object] = {self.tokens_parameter: self.max_tokens}
        if self.temperature is not None:
            asked["temperature"] = self.temperature
        return asked | ({"logprobs": True, "top_logprobs": TOP} if logprobs else {})


class Stage(StrEnum):
    """What the search is at."""

    SIEVING = "asking candidates"
    REFINING = "asking those that waver"


@dataclass(slots=True)
class Found:
    """What came of a search: the ties, and how many prompts, requests and answers it took."""

    ties: tuple[Tie, ...] = ()
    tried: int = 0
    wavered: int = 0
    requests: int = 0
    failed: int = 0
    has_logprobs: bool = False
    is_out_of_money: bool = False
    refined: list[Tie] = field(default_factory=list)


OnStep = Callable[[Stage, int, int], None]
"""Told of the stage, how many prompts are done in it, and of how many."""

Pay = Callable[[Sequence[Completion]], None]
MayAsk = Callable[[Suite, Mapping[str, int]], bool]
"""Whether there is money for a suite with so many samples of each canary."""


async def search(
    prompts: Sequence[str],
    wanted: Search,
    target: TargetConfig,
    base: Suite,
    clock: Clock,
    rng: random.Random,
    client: httpx.AsyncClient,
    on_step: OnStep = lambda stage, done, total: None,
    pay: Pay = lambda completions: None,
    may_ask: MayAsk = lambda suite, samples: True,
    sleep: Sleep = asyncio.sleep,
) -> Found:
    """The nearest ties among the prompts, asked as canaries of the suite ``base`` are.

    Where the endpoint gives log-probabilities one answer tells how near a tie is; elsewhere a few answers are a sieve.
    Either way the ratio that counts comes from fresh answers. Raises ReplayError when nothing is answered.
    """
    asker = _Asker(wanted, target, base, clock, rng, client, pay, may_ask, sleep, Found())
    found = asker.found
    if wanted.with_logprobs:
        await asker.look_for_logprobs(prompts[0])
    near: list[tuple[float, str]] = []
    enough = wanted.keep * REFINED_PER_KEPT
    for begin in range(0, len(prompts), BATCH):
        batch = prompts[begin : begin + BATCH]
        answers = await asker.asked(batch, 1 if found.has_logprobs else wanted.samples)
        if answers is None:
            break
        found.tried += len(batch)
        near += [(ratio, one) for one, its in answers.items() if (ratio := asker.nearness(one, its)) > 0]
        on_step(Stage.SIEVING, found.tried, len(prompts))
        if not found.has_logprobs and len(near) >= enough:
            break
    found.wavered = len(near)
    chosen = [prompt for _, prompt in sorted(near, key=lambda pair: -pair[0])[:enough]]
    for begin in range(0, len(chosen), BATCH):
        batch = chosen[begin : begin + BATCH]
        answers = await asker.asked(batch, wanted.refine)
        if answers is None:
            break
        found.refined += [tie_of(prompt, its) for prompt, its in answers.items()]
        on_step(Stage.REFINING, len(found.refined), len(chosen))
    found.ties = best(found.refined, wanted.keep, wanted.ratio_min)
    return found


def canary_of(prompt: str, wanted: Search, *, logprobs: bool, samples: int | None = None) -> Canary:
    """The canary that asks the prompt. Its id follows from the prompt, so that a second search finds it again."""
    digest = blake2b(prompt.encode(), digest_size=4).hexdigest()
    messages = [Message("user", prompt)]
    if wanted.system is not None:
        messages.insert(0, Message("system", wanted.system))
    return Canary(
        f"border-{digest}", tuple(messages), wanted.parameters(logprobs=logprobs), samples, Expectations()
    )


@dataclass(slots=True)
class _Asker:
    """What all steps of a search have in common."""

    wanted: Search
    target: TargetConfig
    base: Suite
    clock: Clock
    rng: random.Random
    client: httpx.AsyncClient
    pay: Pay
    may_ask: MayAsk
    sleep: Sleep
    found: Found

    async def look_for_logprobs(self, prompt: str) -> None:
        """Find out whether the endpoint gives log-probabilities."""
        self.found.has_logprobs = True
        answers = await self.asked([prompt], 1, may_fail=True) or {}
        self.found.has_logprobs = any(one.first_top for its in answers.values() for one in its)

    async def asked(
        self, prompts: Sequence[str], samples: int, *, may_fail: bool = False
    ) -> dict[str, list[Completion]] | None:
        """The completions of each prompt; ``None`` when there is no money for them."""
        canaries = [canary_of(one, self.wanted, logprobs=self.found.has_logprobs) for one in prompts]
        suite = Suite("borderline", tuple(canaries), self.base.scrub, self.base.parameters)
        counts = {one.id: samples for one in canaries}
        if not self.may_ask(suite, counts):
            self.found.is_out_of_money = True
            return None
        at_once = self.target.model_copy(update={"jitter": 0.0, "spread": 0.0})
        run = await replay(
            suite, at_once, "", "", self.clock, self.rng, self.client, self.sleep, samples=counts
        )
        self.pay(run.completions)
        failed = [one for one in run.completions if not one.is_answered]
        self.found.requests += len(run.completions)
        self.found.failed += len(failed)
        if len(failed) == len(run.completions) and not may_fail:
            raise ReplayError(
                f"none of {len(failed)} requests was answered; the last one: {failed[-1].outcome.value}, "
                f"{failed[-1].error}"
            )
        by_id: dict[str, list[Completion]] = {}
        for one in run.completions:
            by_id.setdefault(one.canary, []).append(one)
        return {prompt: by_id[one.id] for prompt, one in zip(prompts, canaries, strict=True)}

    def nearness(self, prompt: str, completions: Sequence[Completion]) -> float:
        """How near to a tie the completions show the prompt to be; 0: not near enough to ask again."""
        if self.found.has_logprobs:
            told = [ratio_told(one.first_top, self.wanted.temperature or 0.0) for one in completions]
            ratio = max(told, default=0.0)
            return ratio if ratio > self.wanted.ratio_min / 2 else 0.0
        tie = tie_of(prompt, completions)
        return tie.ratio if wavers(tie) else 0.0
