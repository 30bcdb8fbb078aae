"""Days of a deployment on a clock that is told the time: the daemon's own parts, and a world that goes wrong.

Calls come, some of them late; latency and errors rise; a target drifts and goes down; people silence and acknowledge;
rollbacks are locked and unlocked; receivers fail; the daemon is started anew. All of it is drawn from one seed.
"""

import contextlib
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from sqlalchemy import event
from watched_bot import DOWN, DRIFTED, STEADY, Answers, run_of, suite_of

from alerts import AlertError, DeliveryError, actions, outbox_store, rollback_store, rolling_back, store
from alerts.channels import Channel
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.group_store import next_due_at
from alerts.incident import State
from alerts.matcher import parse_matcher
from alerts.message import ROLLBACK_PREFIX, Message, Thread
from alerts.outbox import Outbox
from alerts.rollback import EVERY_ROLLBACK
from canaries.document import load_document_with_places
from canaries.features import extract
from monitor.canary_flow.planning import Asked, expected_spend, plan, settle_asked
from monitor.config import Config, Deployment, cadence_of
from monitor.database import Database
from monitor.deployment import watched_of
from monitor.schedule import slot_s
from monitor.self_watch import SelfWatch
from monitor.taking_over import take_over
from monitor.telemetry import Metrics
from monitor.telling.messenger import IDLE_OUTBOX_S, Messenger
from monitor.telling.rollbacks import rules_of
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.watches.marking import Marking
from monitor.traffic_flow.watching import TrafficWatch
from monitor.watchman.watchman import take

START = datetime(2026, 3, 2, 16, 0, 7, 250_000, tzinfo=UTC)

CONFIG = """
budget: {pages_per_quarter: 900, tickets_per_week: 150}
watch_every: 5m
reopen_within: 20m
targets:
  bot: {model: m, suite: support.yaml, every: 10m, baseline: {runs: 12}, down_after: 2}
watches:
  - {name: slow, measure: latency_p50, above: 3s, over: 5m, min_calls: 5, for: 5m, severity: page, rollback: shop}
  - {name: errors, measure: error_share, above: 30%, over: 10m, min_calls: 5, severity: ticket}
  - {name: shifted, measure: latency_p95, min_calls: 20, shift: {every: 15m, baseline: 2h}}
route:
  receivers: [slack]
  group_by: [service]
  group_wait: 40s
  group_interval: 5m
  repeat_interval: 2h
  routes:
    - match: [severity=page]
      receivers: [pager]
      escalate: [{after: 15m, notify: lead}]
      continue: true
    - {match: [severity=ticket], receivers: [mail], mute_times: [nights]}
mute_times:
  nights: {times: ["22:00-23:30"]}
receivers:
  slack: {webhook: {url: "https://example.org/slack", secret: whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0}}
  pager: {webhook: {url: "https://example.org/pager", secret: whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0}}
  mail:
    webhook: {url: "https://example.org/mail", secret: whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0}
    max_per_minute: 2
  lead: {webhook: {url: "https://example.org/lead", secret: whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0}}
rollbacks:
  shop: {url: "https://example.org/back", secret: whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0, mode: live}
inhibit:
  rules: [{name: slow-first, source_matchers: [watch=slow], target_matchers: ['watch=~"shifted|errors"']}]

"""

Job = Callable[[], Coroutine[Any, Any, None]]


def deployment_of(text: str = CONFIG) -> Deployment:
    """The deployment that this configuration describes, with the suite of the tests."""
    config, _ = load_document_with_places(text, "anchorwatch.yaml", Config, {}, lambda tree, places: iter(()))
    return Deployment(config, dict.fromkeys(config.targets, suite_of()))


class Moving:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Even(random.Random):
    """No chance at all: whoever draws first would else change what becomes of the others."""

    def random(self) -> float:
        return 0.5


class Middle(random.Random):
    """Chance that is the same in whatever order it is asked."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@dataclass
class Receiver:
    """One that is now and then out of reach, for a moment or for good."""

    world: "World"
    tried: Counter[str] = field(default_factory=Counter)

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        self.tried[message.id] += 1
        # Of its own chance: receivers are served side by side, in an order that nobody knows beforehand.
        rng = random.Random(f"{self.world.seed} {message.id} {self.tried[message.id]}")
        self.world.wait(0.3, rng)  # the answer takes its time
        chance = rng.random()
        if chance < 0.05:
            raise DeliveryError("no such channel", permanent=True)
        if chance < 0.12:
            raise DeliveryError("not now")
        return thread or Thread("C", message.id)


@dataclass
class World:
    """The deployment, the time, and everything that happens in it."""

    path: Path
    seed: int
    config: str = CONFIG
    clock: Moving = field(default_factory=Moving)
    _jobs: list[tuple[datetime, int, Job]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.attempts: Counter[str] = Counter()
        self.locking = random.Random(f"locks of {self.seed}")
        self.numbers = itertools.count(1)
        self.database = Database(self.path)

        @event.listens_for(self.database.engine, "connect")
        def hasten(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")  # nobody pulls the plug here

        self.database.migrate()
        self.deployment = deployment_of(self.config)
        self.services = {"shop": 1.0, "search": 0.6}
        self.weather = {"slow": 1.0, "failing": 0.0}
        self.answers: Answers = STEADY
        self.hour = 0
        self.is_up = False

    # Time

    def wait(self, at_most_s: float, rng: random.Random | None = None) -> None:
        """A little time passes."""
        self.clock.at += timedelta(seconds=(rng or self.rng).uniform(0.001, at_most_s))

    def after(self, seconds: float, job: Job) -> None:
        heapq.heappush(self._jobs, (self.clock.at + timedelta(seconds=seconds), next(self.numbers), job))

    def every(self, seconds: float, job: Job) -> None:
        process = self.process

        async def again() -> None:
            if process != self.process:
                return  # of a daemon that is gone
            self.after(seconds, again)
            await job()

        self.after(seconds, again)

    async def live(self, hours: float) -> None:
        end = START + timedelta(hours=hours)
        self.process = 0
        await self.start()
        self.world_every(600, self.change_weather)
        self.world_every(150, self.calls)
        self.world_every(1800, self.people)
        self.world_every(2000, self.see_to_locks)
        self.world_every(3.5 * 3600, self.restart)
        while self._jobs and self._jobs[0][0] < end:
            at, _, job = heapq.heappop(self._jobs)
            self.clock.at = max(self.clock.at, at)
            self.wait(0.02)
            await job()
        self.database.close()

    def world_every(self, seconds: float, job: Job) -> None:
        async def again() -> None:
            self.after(seconds, again)
            await job()

        self.after(seconds, again)

    # The daemon

    async def start(self) -> None:
        config, now = self.deployment.config, self.clock.now()
        self.process += 1
        self.metrics = Metrics(self.clock)
        self_watch = SelfWatch(self.database, self.clock, self.metrics, lambda at: None)
        self.house = self.database.write(
            lambda s: take_over(s, self.deployment, lambda problem: None, lambda trouble, said: None, now)
        )
        self.messenger = Messenger(self.database, self.clock, self.metrics, self_watch, self.house)
        self.intake = Intake(
            self.database, self.clock, self.metrics, marking=Marking(config.watches),
            keep=config.storage.keep_windows(),
        )  # fmt: skip
        await self.intake.recover()
        self.watching = TrafficWatch(
            self.deployment, self.database, self.intake.at_looks, self.metrics.ingested, self.house, print
        )
        names = (*config.receivers, *(ROLLBACK_PREFIX + name for name in config.rollbacks))
        self.outbox = Outbox(
            self.database, self.channels(names), self.clock.now, Even(),
            limits={name: one.max_per_minute for name, one in config.receivers.items()},
            fallbacks=config.fallbacks(),
        )  # fmt: skip
        self.watched = {
            name: watched_of(self.deployment, name, slot_s(cadence_of(target), now))
            for name, target in config.targets.items()
        }
        self.first_facts = self.database.read(lambda s: expected_spend(s, self.deployment, now))
        self.is_up = True
        self.every(config.watch_every, self.look)
        self.every(75, self.fold)
        self.every(600, self.look_at_the_watch)
        self.every(600, self.round)
        await self.turn()

    def channels(self, names: Iterable[str]) -> dict[str, Channel]:
        """How those who are told are reached."""
        return dict.fromkeys(names, Receiver(self))

    async def restart(self) -> None:
        """The daemon dies, and comes back after a while."""
        self.is_up, self.process = False, self.process + 1
        self.wait(1500)
        await self.start()

    async def turn(self) -> None:
        """The messenger looks whether somebody is to be told; it does again when it says so, or is woken.

        Where nothing is due it does not look every half a minute, but after people have done something.
        """
        process, self.turn_number = self.process, getattr(self, "turn_number", 0) + 1
        number = self.turn_number
        wait_s = await self.messenger.turn(self.outbox)

        async def again() -> None:
            if (process, number) == (self.process, self.turn_number):
                await self.turn()

        if wait_s >= IDLE_OUTBOX_S:
            now = self.clock.now()
            due = self.database.read(lambda s: (next_due_at(s, now), outbox_store.next_due_at(s, now)))
            waits = [(one - now).total_seconds() for one in due if one is not None]
            if not waits:
                return
            wait_s = min(waits)
        self.after(max(wait_s, 0.05), again)

    async def look(self) -> None:
        now = self.clock.now()
        self.wait(0.5)  # what is read takes its time, and the decision is of the moment at which it began
        looked = await self.watching.look(now)
        self.messenger.tell(looked.transitions)
        for one in await self.watching.look_at_tails(now):
            self.messenger.tell(one.transitions)
        await self.turn()

    async def look_at_the_watch(self) -> None:
        """Now and then the disk is nearly full."""
        now, finding = (
            self.clock.now(),
            Finding(Severity.TICKET, Source.SELF_CHECK, "The disk fills up", {"disk": "/"}),
        )
        is_wrong = self.rng.random() < 0.2
        verdict = (
            Verdict("watchman/disk", Label.BREACHED, finding)
            if is_wrong
            else Verdict("watchman/disk", Label.STEADY)
        )
        self.messenger.tell(
            self.database.write(lambda s: take(s, self.deployment, self.house, [verdict], now))
        )
        await self.turn()

    async def fold(self) -> None:
        await self.intake.fold()

    async def round(self) -> None:
        """One run of the target, which takes its time."""
        self.hour += 1
        run_id, now = f"bot-{self.hour:05d}", self.clock.now()
        first, watched = self.first_facts["bot"], self.watched["bot"]
        self.database.write(lambda s: plan(s, self.deployment, watched, self.house, first, run_id, now))
        self.wait(0.4)
        started = self.clock.now()
        run = replace(run_of(watched, self.hour, self.answers, self.seed), id=run_id, at=started)
        process = self.process

        async def done() -> None:
            if process != self.process:
                return
            ended = replace(run, finished_at=self.clock.now())
            features = extract(ended, watched.suite, self.house.secret)
            self.wait(0.2)
            now = self.clock.now()
            settled = self.database.write(
                lambda s: settle_asked(s, watched, self.house, Asked(ended, features, 0.01), now)
            )
            self.messenger.tell(settled.transitions)
            await self.turn()

        self.after(self.rng.uniform(5, 90), done)

    # The world

    async def change_weather(self) -> None:
        chance = self.rng.random()
        self.weather["slow"] = 1.0 if chance < 0.75 else self.rng.choice([2.0, 8.0, 20.0])
        self.weather["failing"] = 0.02 if self.rng.random() < 0.85 else self.rng.uniform(0.3, 0.9)
        if self.hour > 15 and self.rng.random() < 0.25:
            self.answers = self.rng.choices([STEADY, DRIFTED, DOWN], [5, 4, 1])[0]

    async def calls(self) -> None:
        """A minute's calls of each service; some arrive late, and now and then a service falls silent."""
        for service, load in self.services.items():
            if self.rng.random() < 0.03:
                self.services[service] = self.rng.choice([0.0, 0.6, 1.0, 2.0])
            count = int(load * self.rng.randint(5, 16))
            late_s = self.rng.choice([0, 0, 0, 0, 2, 20, 200, 1200]) if count else 0
            ended = self.clock.now().timestamp()
            spans = [(ended - self.rng.uniform(0, 148), self._latency(), self._fails()) for _ in range(count)]

            async def arrive(service: str = service, spans: list[Any] = spans) -> None:
                if self.is_up and spans:
                    self.metrics.count_request(200)
                    await self.intake.accept(self.payload(service, spans), Encoding.PROTOBUF)

            self.after(late_s + self.rng.uniform(0, 5), arrive)

    def _latency(self) -> float:
        return self.weather["slow"] * self.rng.lognormvariate(0, 0.4)

    def _fails(self) -> bool:
        return self.rng.random() < self.weather["failing"]

    def payload(self, service: str, spans: list[tuple[float, float, bool]]) -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.append(_text("service.name", service))
        scope = resource.scope_spans.add()
        for ended, latency_s, is_error in spans:
            number = next(self.numbers)
            span = scope.spans.add(name="chat", trace_id=number.to_bytes(16), span_id=number.to_bytes(8))
            span.end_time_unix_nano = round(ended * 1e9)
            span.start_time_unix_nano = round((ended - latency_s) * 1e9)
            span.attributes.extend(
                [
                    _text("gen_ai.operation.name", "chat"),
                    _text("gen_ai.provider.name", "openai"),
                    _text("gen_ai.request.model", "gpt-4o-mini"),
                    KeyValue(key="gen_ai.usage.output_tokens", value=AnyValue(int_value=100)),
                ]
            )
            span.status.code = 2 if is_error else 0
        return request.SerializeToString()

    async def people(self) -> None:
        """Somebody acknowledges, or silences for a while, or ends a silence; half of the time over the command line."""
        now, chance = self.clock.now(), self.rng.random()
        for question in self.database.read(rollback_store.open_questions):
            if self.rng.random() < 0.7:
                self.answer(question.incident_id, now)
                chance = 1.0  # one thing at a time: what is done at the same moment has no order on record
        opened = [one for one in self.database.read(store.open_incidents) if one.state is State.FIRING]
        if opened and chance < 0.4:
            chosen = self.rng.choice(opened).id
            self.database.write(lambda s: actions.acknowledge(s, chosen, "ada", now))
            if self.rng.random() < 0.3:

                async def take_back() -> None:
                    at = self.clock.now()
                    self.database.write(lambda s: actions.unacknowledge(s, chosen, "ada", at))
                    self.after(self.rng.uniform(0, IDLE_OUTBOX_S), self.idle_turn)

                self.after(300, take_back)
        elif chance < 0.55:
            matcher = parse_matcher(self.rng.choice(["service=shop", "watch=errors", "target=bot"]))
            end = now + timedelta(seconds=self.rng.choice([900, 5400]))
            made = self.database.write(lambda s: actions.silence(s, [matcher], "ada", "busy", now, end, now))
            if self.rng.random() < 0.5:

                async def expire() -> None:
                    at = self.clock.now()
                    with contextlib.suppress(AlertError):  # while the daemon was down it ended by itself
                        self.database.write(lambda s: actions.expire(s, made.id, "ada", at))
                    self.after(self.rng.uniform(0, IDLE_OUTBOX_S), self.idle_turn)

                self.after(600, expire)
        if self.is_up and self.rng.random() < 0.5:
            await self.turn()
        else:
            self.after(self.rng.uniform(0, IDLE_OUTBOX_S), self.idle_turn)

    def answer(self, incident: str, now: datetime) -> None:
        """Somebody says whether to roll back."""
        rules = rules_of(self.deployment.config.rollbacks)
        with contextlib.suppress(AlertError):  # what may not be, or is too late
            if self.rng.random() < 0.3:
                self.database.write(lambda s: rolling_back.reject(s, incident, "ada", now))
            else:
                self.database.write(lambda s: rolling_back.approve(s, incident, "ada", rules, now))
                if self.locking.random() < 0.5:  # before the order is sent
                    self.wait(5, self.locking)
                    self.lock()

    async def see_to_locks(self) -> None:
        """Somebody takes a lock back, or locks a rollback or each of them; all of it over the command line."""
        locked = self.database.read(rollback_store.locks)
        if not locked:
            if self.locking.random() < 0.6:
                self.lock()
        elif self.locking.random() < 0.7:
            name, now = self.locking.choice(locked).name, self.clock.now()
            self.database.write(lambda s: rolling_back.unlock(s, name, "bob", now))

    def lock(self) -> None:
        """Somebody does not want the rollback to act."""
        name, now = self.locking.choice(["shop", EVERY_ROLLBACK]), self.clock.now()
        with contextlib.suppress(AlertError):  # somebody else has locked it
            self.database.write(lambda s: rolling_back.lock(s, name, "bob", "release freeze", now))

    async def idle_turn(self) -> None:
        if self.is_up:
            await self.turn()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
