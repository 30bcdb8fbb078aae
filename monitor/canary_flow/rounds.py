"""The canary rounds of the running daemon: each run planned, asked, settled whatever comes of it, and followed up."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

import httpx
import stamina
import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import Session

import canaries.store as canary_store
from alerts.finding import Severity
from alerts.incident import Transition
from canaries.clock import Clock
from canaries.completion import Run
from canaries.config import BurstConfig, TargetConfig
from canaries.features import extract
from canaries.replay import replay
from canaries.suite import Suite

from ..config import Deployment
from ..database import Database
from ..drift import incident_key
from ..schedule import Schedule
from ..self_watch import SelfWatch, why
from ..spending.canary_cost import cost_usd
from ..spending.spend import (
    SpendFacts,
    expectation,
    has_money_for_more,
    window,
)
from ..status import canary_job
from ..telemetry import Metrics
from ..watched import House, Watched
from .burst import BurstFacts, next_burst
from .planning import Asked, Plan, expected_spend, plan, settle_asked
from .watch_canaries import Settled

STOP_GRACE_S = 20.0
"""How long runs may go on after the signal to stop, unless it comes a second time; then they are interrupted."""

INTERRUPT_GRACE_S = 5.0
"""How long it may take to note which runs were interrupted; without the note, the next start makes it."""

STORE_PATIENCE_S = 6 * 3600.0
"""How long a run waits for a database that refuses it (locked, full) before it is given up.

It holds up the later runs of its target, which could not be stored either: one run for each target waits at most.
"""

STORE_PAUSE_MAX_S = 5.0
"""The longest pause between two tries to store a run."""

T = TypeVar("T")

log = structlog.get_logger()


@dataclass
class Rounds:
    """The runs of all targets. ``tell`` is given what became of incidents, once that is stored."""

    deployment: Deployment
    database: Database
    clock: Clock
    rng: random.Random
    client: httpx.AsyncClient
    schedule: Schedule
    metrics: Metrics
    self_watch: SelfWatch
    house: House
    watched: Mapping[str, Watched]
    tell: Callable[[Iterable[Transition]], None]
    samples: dict[str, int] = field(default_factory=dict)
    """How many samples of a canary the last run of each target was planned with, at most."""
    left_out: dict[str, datetime] = field(default_factory=dict)
    """When a run of a target was last skipped, as the money was spent."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _first_facts: dict[str, SpendFacts] = field(default_factory=dict)
    _bursts_in_a_row: Counter[str] = field(default_factory=Counter)
    """Lost with the process: after a restart a target may have its full number of bursts again."""
    _in_blocks: set[str] = field(default_factory=set)
    """The targets whose last run was ranked in blocks: runs at a shorter distance would say little there."""
    _grace: asyncio.Timeout | None = None

    @property
    def in_flight(self) -> int:
        """How many runs are on the way."""
        return len(self._tasks)

    async def look_ahead(self) -> None:
        """Work out what each target will cost, and say so. To be called before the first round."""
        for name, (facts, sentence) in (await self.database.aread(self._expected)).items():
            self._first_facts[name] = facts
            log.info("expected spend", target=name, says=sentence)
            if facts.cap_usd is not None:
                self.metrics.spend_cap.labels(name).set(facts.cap_usd)

    def _expected(self, session: Session) -> dict[str, tuple[SpendFacts, str]]:
        found = expected_spend(session, self.deployment, self.clock.now())
        return {name: (facts, expectation(facts)) for name, facts in found.items()}

    async def round(self, name: str) -> None:
        """One run of a target: planned, asked, and settled whatever comes of it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the schedule runs jobs as tasks
        self._tasks.add(task)
        run_id = f"{name}-{self.clock.now():%Y%m%dT%H%M%S}-{self.rng.getrandbits(32):08x}"
        try:
            await self._plan_and_ask(name, run_id)
        except asyncio.CancelledError:
            log.warning("a run was interrupted", run=run_id)
            self.metrics.runs.labels(name, "interrupted").inc()
            raise
        except SQLAlchemyError as error:
            self.metrics.runs.labels(name, "not_stored").inc()
            self.self_watch.problem(f"A run of {name} could not be stored and is lost: {why(error)}.")
            await self._give_up(run_id)
        except Exception:
            self.metrics.runs.labels(name, "failed").inc()
            self.self_watch.defect(f"a run of {name}")
            await self._give_up(run_id)
        finally:
            self._tasks.discard(task)

    def replay_now(self, name: str) -> bool:
        """Whether one more run of the target starts now: not where runs stick together, and not of another target."""
        if name in self._in_blocks or name not in self.watched:
            return False
        self.schedule.once_more(canary_job(name), self.clock.now())
        return True

    async def end(self) -> None:
        """Let the runs end; after the grace, note them as interrupted."""
        if not self._tasks:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S) as self._grace:
                await asyncio.wait(self._tasks)
        self._grace = None
        if not self._tasks:
            return
        for run in self._tasks:
            run.cancel()
        with contextlib.suppress(TimeoutError, SQLAlchemyError):
            async with asyncio.timeout(INTERRUPT_GRACE_S):
                await asyncio.wait(self._tasks)
                now = self.clock.now()
                # All of them in one go: a database that is locked makes each write wait.
                await self.database.awrite(lambda session: canary_store.mark_interrupted(session, now))

    def interrupt(self) -> None:
        """End the grace that runs have: somebody asked a second time."""
        if self._grace is not None:
            log.info("asked a second time: runs are interrupted")
            self._grace.reschedule(asyncio.get_running_loop().time())

    async def _plan_and_ask(self, name: str, run_id: str) -> None:
        target, suite = self.deployment.config.targets[name], self.deployment.suites[name]
        # Before the target is asked: answers cost money, and nothing is paid for that cannot be kept.
        planned = await self._stored(name, lambda session: self._planned(session, name, run_id))
        self._show_plan(name, planned)
        if planned.planned.is_skipped:
            return
        run = await replay(
            suite, target, name, run_id, self.clock, self.rng, self.client, samples=planned.planned.samples
        )
        # In a thread, and before the transaction: an expectation may take long over a strange answer.
        asked = await asyncio.to_thread(self._read, run, target, suite)
        settled, spent_usd = await self._stored(name, lambda session: self._settled(session, name, asked))
        self._report(asked, settled)
        self.metrics.spend.labels(name).set(spent_usd)
        self._plan_burst(name, settled, planned, spent_usd)

    def _planned(self, session: Session, name: str, run_id: str) -> Plan:
        """The run as the money allows it, noted as begun unless it is skipped."""
        return plan(
            session,
            self.deployment,
            self.watched[name],
            self.house,
            self._first_facts[name],
            run_id,
            self.clock.now(),
        )

    def _show_plan(self, name: str, plan: Plan) -> None:
        self.tell(plan.transitions)
        self.metrics.samples_planned.labels(name).set(plan.planned.requests)
        self.samples[name] = max(plan.planned.samples.values(), default=0)
        self.metrics.spend.labels(name).set(plan.facts.spent_usd)
        if plan.planned.is_skipped:
            self.metrics.runs.labels(name, "skipped").inc()
            self.left_out[name] = self.clock.now()
            log.info("a run was skipped", target=name, reason=plan.planned.reason)

    def _read(self, run: Run, target: TargetConfig, suite: Suite) -> Asked:
        return Asked(run, extract(run, suite, self.house.secret), cost_usd(run, target, suite))

    def _settled(self, session: Session, name: str, asked: Asked) -> tuple[Settled, float]:
        """What the run did, and what was spent with it; its cost is stored with all that follows from it."""
        now, watched = self.clock.now(), self.watched[name]
        settled = settle_asked(session, watched, self.house, asked, now)
        return settled, canary_store.spent_usd(session, name, now - window(watched.slot_s))

    async def _stored(self, name: str, work: Callable[[Session], T]) -> T:
        """What ``work`` gives once the database takes it; waits for that for ``STORE_PATIENCE_S``."""
        async for attempt in stamina.retry_context(
            on=OperationalError, attempts=None, timeout=STORE_PATIENCE_S, wait_max=STORE_PAUSE_MAX_S
        ):
            with attempt:
                try:
                    return await self.database.awrite(work)
                except OperationalError as error:
                    self.self_watch.problem(f"A run of {name} waits for the database: {why(error)}.")
                    raise
        raise AssertionError("stamina ends with a result or an error")

    async def _give_up(self, run_id: str) -> None:
        now = self.clock.now()
        with contextlib.suppress(SQLAlchemyError):  # the next start notes it
            await self.database.awrite(lambda session: canary_store.interrupt_run(session, run_id, now))

    def _report(self, asked: Asked, settled: Settled) -> None:
        # People first: their messages are stored, and only wait for somebody to send them.
        self.tell(settled.transitions)
        if settled.has_frozen:
            log.info("baseline frozen", target=asked.run.target)
        for note in settled.notes:
            log.info("baseline changed", target=asked.run.target, what=note)
        if settled.refreshing_problem:
            self.self_watch.problem(settled.refreshing_problem)
        self.metrics.count_run(asked.run, asked.cost_usd, settled.scores, settled.evidence)

    def _plan_burst(self, name: str, settled: Settled, plan: Plan, spent_usd: float) -> None:
        """Have the next run come sooner, where the evidence after this one is worth it."""
        rule, job = self.deployment.config.targets[name].burst, canary_job(name)
        facts = BurstFacts(
            evidence=max(settled.evidence.values(), default=0.0),
            slot_s=self.watched[name].slot_s,
            scheduled_at=self.schedule.next_regular_start(job),
            in_a_row=self._bursts_in_a_row[name],
            is_paging=_is_paging(name, settled),
            is_in_blocks=settled.is_in_blocks,
            has_money=has_money_for_more(replace(plan.facts, spent_usd=spent_usd)),
            chance=self.rng.random(),
        )
        (self._in_blocks.add if settled.is_in_blocks else self._in_blocks.discard)(name)
        burst = next_burst(facts, rule if isinstance(rule, BurstConfig) else None, self.clock.now())
        self._bursts_in_a_row[name] = burst.in_a_row
        self.schedule.once_more(job, burst.at)
        if burst.at is not None:
            self.metrics.bursts.labels(name).inc()
            log.info("the next run comes sooner", target=name, at=burst.at, reason=burst.reason)


def _is_paging(name: str, settled: Settled) -> bool:
    """Whether a page about the target's drift is open."""
    ours = [
        one.incident for one in settled.transitions if one.incident and one.incident.key == incident_key(name)
    ]
    return any(one.is_open and one.severity is Severity.PAGE for one in ours)
