"""A deployment that is killed again and again: `killed_voyage.py FOLDER KILLS LASTS_S`; the last start runs to the end.

``LASTS_S`` is how long it takes when it is not killed. Says how long it took and how many kills hit it. It is a
program of its own, which forks: so a start costs no imports, and a kill hits it anywhere.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alerts import decisions, outbox_store
from alerts.dispatch import flush_due
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.message import Message, Thread
from alerts.outbox import Outbox
from alerts.routing_config import RouteConfig, routing_of
from monitor.database import Database

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
STEPS = 40
KEYS = 8
TREE = RouteConfig.model_validate(
    {
        "receivers": ["pager", "slack"],
        "group_by": ["target"],
        "group_wait": "60s",
        "group_interval": "2m",
        "escalate": [{"after": "5m", "notify": "lead"}],
    }
)
ROUTING = routing_of(TREE, {}, 300.0)


class Channel:
    """A receiver that writes down what arrives, as another machine would."""

    def __init__(self, log: Path, name: str) -> None:
        self._log, self._name = log, name

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        members = [(one.incident_id, one.state.value) for one in message.members]
        line = json.dumps([self._name, message.id, message.group_id, message.kind.value, members])
        with self._log.open("a") as file:
            file.write(line + "\n")
        return thread or Thread("C", message.id)


def verdicts(step: int) -> list[tuple[Verdict, AlertRule]]:
    """What is found at a step: the same whenever it is asked."""
    rng, rule = random.Random(step), AlertRule()
    found = []
    for number in range(KEYS):
        key = f"drift/{number}"
        if step < STEPS - 10 and rng.random() < 0.5:
            severity = Severity.PAGE if rng.random() < 0.3 else Severity.TICKET
            labels = {"target": f"t{number % 2}"}
            finding = Finding(severity, Source.LEDGER, f"{key} has moved", labels)
            found.append((Verdict(key, Label.BREACHED, finding), rule))
        else:
            found.append((Verdict(key, Label.STEADY), rule))
    return found


def sail(folder: Path) -> None:
    """Go on from where the last start was killed, to the end."""
    database = Database(folder / "a.sqlite")
    database.migrate()
    made = database.read(lambda session: decisions.decisions(session, "voyage"))
    done = int(made[-1].why) if made else -1
    database.write(outbox_store.release_claims)
    # What was decided at the last step may still have to be told.
    for step in range(max(done, 0), STEPS):
        now = START + timedelta(seconds=60 * step)
        if step > done:
            database.write(lambda session, step=step, now=now: _take(session, step, now))
        _tell(database, folder, now)
    database.close()


def _take(session, step: int, now: datetime) -> None:
    receive(session, verdicts(step), now, routing=ROUTING)
    decisions.record(session, now, "step", str(step), key="voyage")


def _tell(database: Database, folder: Path, now: datetime) -> None:
    while True:
        _, due = database.write(lambda session: flush_due(session, ROUTING, (), now))
        if due is None or due > now:
            break
    names = ("pager", "slack", "lead")
    channels = {name: Channel(folder / "arrived", name) for name in names}
    outbox = Outbox(database, channels, lambda: now, random.Random(1))
    asyncio.run(outbox.drain())


def main() -> None:
    """Start, kill, start again."""
    folder, kills, lasts_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    rng, hits, began = random.Random(7), 0, time.monotonic()
    Database(folder / "a.sqlite").migrate()
    for number in range(kills + 1):
        child = os.fork()
        if child == 0:
            sail(folder)
            os._exit(0)
        if number < kills:
            time.sleep(rng.uniform(0.0, 1.5 * lasts_s / kills))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        hits += os.WIFSIGNALED(status)
    sys.stdout.write(f"{time.monotonic() - began} {hits}")


if __name__ == "__main__":
    main()
