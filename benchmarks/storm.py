"""A storm of 10,000 findings in a minute, to a receiver that takes 60 messages in that time.

Through incidents, groups and outbox, on a real database: how long it takes, what arrives, and how much memory it takes.
Fails when a page is missed or memory has no bound. ``python -m benchmarks.storm [--findings 10000] [--grouped]``.
"""

import argparse
import asyncio
import random
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alerts import group_store, outbox_store, store
from alerts.dispatch import flush_due
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.message import Message, Thread
from alerts.outbox import Outbox
from alerts.routing import Routing
from alerts.routing_config import RouteConfig, routing_of
from monitor.config import DATABASE_FILE
from monitor.database import Database

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BATCHES = 60
"""The findings come a second's worth at a time."""

MEMORY_MAX_MB = 150
"""How much more memory the storm may take than the process took before it."""


class Pager:
    """A receiver that keeps what arrives."""

    def __init__(self) -> None:
        self.arrived: list[Message] = []

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """Where the message lies: in memory."""
        self.arrived.append(message)
        return thread or Thread("C", str(len(self.arrived)))


class Storm:
    """One deployment and the time in it."""

    def __init__(self, database: Database, routing: Routing) -> None:
        self.database, self.routing, self.now, self.pager = database, routing, START, Pager()
        rng = random.Random(1)  # noqa: S311 - spreads retries, no secret
        self.outbox = Outbox(database, {"pager": self.pager}, lambda: self.now, rng, limits={"pager": 60})

    def blow(self, first: int, count: int, label: Label) -> None:
        """So many findings begin, or end."""
        rule = AlertRule(notify=("pager",))
        looks = [(self.verdict(n, label), rule) for n in range(first, first + count)]
        self.database.write(lambda session: receive(session, looks, self.now, routing=self.routing))

    def verdict(self, number: int, label: Label) -> Verdict:
        """What is found of one thing."""
        severity = Severity.PAGE if number % 10 == 0 else Severity.TICKET
        labels = {"prompt": str(number), "target": f"t{number % 3}"}
        finding = Finding(
            severity, Source.LEDGER, f"prompt {number} has moved", labels, (("evidence", "1.3"),)
        )
        return Verdict(f"drift/{number}", label, finding if label is Label.BREACHED else None)

    async def tell(self) -> None:
        """What the messenger does when it is woken."""
        while True:
            _, due = self.database.write(lambda session: flush_due(session, self.routing, (), self.now))
            if due is None or due > self.now:
                break
        await self.outbox.drain()

    async def run(self, findings: int, label: Label) -> float:
        """How long a minute of the storm and three minutes after it took."""
        began = time.monotonic()
        for batch in range(BATCHES):
            self.blow(batch * findings // BATCHES, findings // BATCHES, label)
            await self.tell()
            self.now += timedelta(seconds=1)
        for _ in range(72):
            await self.tell()
            self.now += timedelta(seconds=5)
        return time.monotonic() - began


def told(messages: list[Message]) -> int:
    """How many findings people have heard of as firing: named, or counted."""
    alone = sum(message.member_count or 1 for message in messages if message.kind.value != "digest")
    return alone + sum(message.member_count for message in messages if message.kind.value == "digest")


def memory_mb() -> float:
    """The most memory that this process ever took."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Blow, and say what happened."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--findings", type=int, default=10_000)
    arguments.add_argument("--grouped", action="store_true", help="with a route that groups by target")
    options = arguments.parse_args()
    tree = RouteConfig(receivers=["pager"], group_by=["target"]) if options.grouped else None
    findings = options.findings // BATCHES * BATCHES
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / DATABASE_FILE)
        database.migrate()
        before = memory_mb()
        storm = Storm(database, routing_of(tree, {}, 0.0))
        took_s = asyncio.run(storm.run(findings, Label.BREACHED))
        alarms = list(storm.pager.arrived)
        grew = memory_mb() - before
        opened = len(database.read(store.open_incidents))
        groups = len(database.read(group_store.open_groups))
        waiting = database.read(lambda session: outbox_store.backlog(session, START)).waiting
        database.close()
    kinds = sorted({message.kind.value for message in alarms})
    print(f"findings {findings}, open incidents {opened}, groups {groups}, took {took_s:.1f} s")
    print(f"messages that arrived {len(alarms)} ({', '.join(kinds)}), telling of {told(alarms)} findings")
    print(f"waiting {waiting}, memory grew by {grew:.0f} MB at most")
    assert opened == findings
    assert waiting == 0, "something was not told"
    assert options.grouped or told(alarms) == findings, "a finding was told to nobody, or twice"
    assert len(alarms) <= 70, "a storm of messages"
    assert grew < MEMORY_MAX_MB, "memory without a bound"


if __name__ == "__main__":
    main()
