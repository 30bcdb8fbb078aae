"""After a rollback the canaries are replayed sooner, a few times, until it is known whether it helped."""

from typing import Any

import pytest

from alerts import outbox_store, rollback_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.rollback import Mode, RollbackRule
from monitor.telling.verifying import REPLAYS_MAX, Verifying

RULES = {"deploy": RollbackRule(Mode.LIVE, replay_after_s=300, recover_within_s=7200)}


class Ship:
    """A target whose release was rolled back, and those who look whether it helped."""

    def __init__(self, database: Any, clock: Any) -> None:
        self.database, self.clock = database, clock
        self.replayed: list[str] = []
        self.woken = 0
        self.can_replay = True
        self.verifying = Verifying(database, clock, RULES, self.replay, self.wake)

    def replay(self, target: str) -> bool:
        if self.can_replay:
            self.replayed.append(target)
        return self.can_replay

    def wake(self) -> None:
        self.woken += 1

    def see(self, label: Label, labels: dict[str, str] | None = None) -> None:
        found = Finding(Severity.PAGE, Source.LEDGER, "it moved", labels or {"target": "bot"})
        finding = found if label is Label.BREACHED else None
        verdict = Verdict("drift/bot", label, finding, wants_rollback=finding is not None)
        rule, now = AlertRule(notify=("oncall",), rollback="deploy"), self.clock.now()
        [done] = self.database.write(lambda session: receive(session, [(verdict, rule)], now, RULES))
        if label is Label.BREACHED:
            self.database.write(
                lambda session: rollback_store.mark_delivered(session, "deploy", done.incident.id, now)
            )

    def news(self) -> list[str]:
        rows = self.database.read(outbox_store.notifications)
        return [row.message.note for row in rows if row.message.kind.value == "rollback_news"]

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.verifying.look()


@pytest.fixture
def ship(database, clock) -> Ship:
    return Ship(database, clock)


async def test_canaries_are_replayed_when_the_release_may_be_out_and_some_times_after(ship):
    ship.see(Label.BREACHED)
    await ship.passes(299)
    assert ship.replayed == []
    await ship.passes(1)
    await ship.passes(299)
    assert ship.replayed == ["bot"]
    for _ in range(2 * REPLAYS_MAX):
        await ship.passes(300)
    assert ship.replayed == ["bot"] * REPLAYS_MAX
    assert (ship.news(), ship.woken) == ([], 0)


async def test_what_has_recovered_is_told_and_replayed_no_more(ship):
    ship.see(Label.BREACHED)
    await ship.passes(300)
    ship.see(Label.STEADY)
    await ship.passes(300)
    await ship.passes(300)
    assert ship.replayed == ["bot"]
    assert ["recovered: the incident was over 5 min after" in one for one in ship.news()] == [True]
    assert ship.woken == 1


async def test_a_replay_that_cannot_be_now_is_tried_again(ship):
    ship.see(Label.BREACHED)
    ship.can_replay = False
    await ship.passes(300)
    ship.can_replay = True
    await ship.passes(30)
    assert ship.replayed == ["bot"]


async def test_traffic_needs_no_replay(ship):
    ship.see(Label.BREACHED, {"service": "chat"})
    await ship.passes(3600)
    assert ship.replayed == []
    await ship.passes(3600)
    assert ["not recovered" in one for one in ship.news()] == [True]
