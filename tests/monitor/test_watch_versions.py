"""Releases from minute windows to incidents: the newest version beside the one before it, within the page budget."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import alerts.store as alert_store
from alerts.evidence.ledger import Budgets
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, State
from alerts.intake import receive
from monitor.database import Database
from monitor.inhibiting.inhibitions import RULES
from monitor.traffic.tails.counting import WATERMARK_S
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.windows.exemplars import Exemplars
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window
from monitor.traffic_flow.watch_tails import SILENT_MAX, TailLook, look_at_tails
from monitor.traffic_flow.watch_versions import look_at_versions
from monitor.watched import House

START = datetime(2026, 3, 2, tzinfo=UTC)
EVERY = timedelta(minutes=5)


def watch(**fields: object) -> WatchConfig:
    told = {
        "name": "release",
        "match": {"service": "shop"},
        "measure": "error_share",
        "against": "previous",
        "notify": ["oncall"],
    }
    return WatchConfig.model_validate(told | fields)


@dataclass
class Shop:
    """Production with one window each five minutes and version, and a daemon that looks at it."""

    database: Database
    rng: np.random.Generator
    house: House = field(default_factory=lambda: House(b"secret", Budgets(pages_per_quarter=1.0)))
    stored: list[Window] = field(default_factory=list)
    period: int = 0

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        return [one for one in self.stored if first_minute <= one.minute <= last_minute]

    async def run(self, periods: int, rule: WatchConfig, **failing: float) -> list[TailLook]:
        """So many periods of five minutes, in which each version has 200 calls of which a share fails."""
        looks = []
        for _ in range(periods):
            start = START + self.period * EVERY
            self.period += 1
            for name, share in failing.items():
                self.stored.append(self._window(start, name.replace("_", "."), share))
            now = start + EVERY + timedelta(seconds=WATERMARK_S)
            looks += await look_at_versions(self.database, self, [rule], {rule.name: 1.0}, self.house, now)
        return looks

    def _window(self, start: datetime, version: str, share: float) -> Window:
        series = Series("shop", "production", version, "chat", "openai", "m", "m")
        window = Window(int(start.timestamp()), series, 200)
        window.errors["server_error"] = int(self.rng.binomial(200, share))
        if window.errors["server_error"]:
            failed = [[start.timestamp(), f"trace-of-{version}", "span"]]
            window.exemplars = Exemplars.from_json({"failed": failed})
        for value in np.exp(0.5 * self.rng.normal(size=200)):
            window.latency_s.add(float(value) * (1 + 3 * (self.rng.random() < share)))
        return window

    def incidents(self) -> tuple[Incident, ...]:
        return self.database.read(alert_store.incidents)


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database, np.random.default_rng(5))


async def test_a_release_that_fails_more_often_pages_within_the_hour(shop: Shop) -> None:
    await shop.run(24, watch(), v1=0.01)
    looks = await shop.run(12, watch(), v1=0.01, v2=0.12)
    (incident,) = shop.incidents()
    assert (incident.severity, incident.state) == (Severity.PAGE, State.FIRING)
    assert "v2 does worse than v1: " in incident.finding.summary
    assert incident.labels["version"] == "v2"
    assert [name for name, _ in incident.finding.evidence] == ["v2", "v1", "failed call"]
    assert dict(incident.finding.evidence)["failed call"] == "trace trace-of-v2"
    assert "failed, " in looks[-1].said


async def test_a_release_that_does_alike_or_better_pages_nobody(shop: Shop) -> None:
    await shop.run(24, watch(), v1=0.10)
    await shop.run(60, watch(), v1=0.10, v2=0.10)
    await shop.run(24, watch(), v2=0.10, v3=0.01)
    assert shop.incidents() == ()


async def test_what_both_versions_share_is_no_difference(shop: Shop) -> None:
    await shop.run(24, watch(), v1=0.01)
    await shop.run(6, watch(), v1=0.01, v2=0.01)
    await shop.run(12, watch(), v1=0.3, v2=0.3)
    assert shop.incidents() == ()


async def test_a_release_that_is_slower_is_seen_by_the_limit_of_the_one_before(shop: Shop) -> None:
    rule = watch(measure="latency_p95")
    await shop.run(24, rule, v1=0.0)
    await shop.run(12, rule, v1=0.0, v2=0.3)
    (incident,) = shop.incidents()
    assert "took longer than " in incident.finding.summary
    assert "(p95 of v1)" in incident.finding.summary
    assert float(dict(incident.finding.evidence)["limit"].split()[0]) == pytest.approx(
        np.exp(0.5 * 1.645), rel=0.1
    )


async def test_an_incident_ends_when_the_release_was_rolled_back(shop: Shop) -> None:
    await shop.run(24, watch(), v1=0.01)
    await shop.run(12, watch(), v1=0.01, v2=0.2)
    (said,) = await shop.run(1, watch(), v1=0.01)
    assert said.said == "0 calls of v2 and 200 of v1 in the same time, 20 of each are needed"
    (incident,) = shop.incidents()
    assert incident.state is State.RESOLVED


async def test_an_incident_ends_when_the_version_before_has_been_gone_for_a_while(shop: Shop) -> None:
    await shop.run(24, watch(), v1=0.01)
    await shop.run(12, watch(), v1=0.01, v2=0.2)
    await shop.run(SILENT_MAX, watch(), v2=0.2)
    assert shop.incidents()[0].state is State.FIRING
    await shop.run(1, watch(), v2=0.2)
    assert shop.incidents()[0].state is State.RESOLVED


async def test_a_look_that_comes_again_changes_nothing(shop: Shop) -> None:
    await shop.run(24, watch(), v1=0.01)
    assert len(await shop.run(1, watch(), v1=0.01, v2=0.2)) == 1
    now = START + shop.period * EVERY + timedelta(seconds=WATERMARK_S)
    again = await look_at_versions(shop.database, shop, [watch()], {"release": 1.0}, shop.house, now)
    assert again == []


async def test_while_no_traces_get_in_no_release_is_to_blame(shop: Shop) -> None:
    shop.house = House(b"secret", Budgets(pages_per_quarter=1.0), inhibitions=RULES)
    broken = Finding(
        Severity.PAGE, Source.SELF_CHECK, "No traces get in", {"silence": "ingest", "extent": "broken"}
    )
    verdict, rule = Verdict("silence/ingest", Label.BREACHED, broken), AlertRule(keep_firing_s=0.0)
    shop.database.write(lambda session: receive(session, [(verdict, rule)], START))
    await shop.run(24, watch(), v1=0.01)
    await shop.run(12, watch(), v1=0.01, v2=0.2)
    assert [one.key for one in shop.incidents()] == ["silence/ingest"]
    over = Verdict("silence/ingest", Label.STEADY)
    shop.database.write(lambda session: receive(session, [(over, rule)], START + shop.period * EVERY))
    await shop.run(1, watch(), v1=0.01, v2=0.2)
    assert [one.key for one in shop.incidents() if one.is_open] == ["watch/release"]


async def test_a_ticket_watch_opens_tickets_only(shop: Shop) -> None:
    rule = watch(severity="ticket")
    await shop.run(24, rule, v1=0.01)
    await shop.run(12, rule, v1=0.01, v2=0.2)
    (incident,) = shop.incidents()
    assert incident.severity is Severity.TICKET


async def test_until_there_is_a_newer_version_it_says_what_it_knows(shop: Shop) -> None:
    looks = await shop.run(3, watch(), v1=0.01)
    assert looks[-1].said == "no newer version beside an older one yet: calls of v1 now, 1 known"


async def test_a_watch_that_becomes_another_kind_begins_anew(shop: Shop) -> None:
    await shop.run(3, watch(), v1=0.01)
    shifting = WatchConfig.model_validate(
        {"name": "release", "measure": "error_share", "shift": {"baseline": "2d"}}
    )
    now = START + timedelta(hours=3)
    looks = await look_at_tails(shop.database, shop, [shifting], {"release": 1.0}, shop.house, now)
    assert looks[-1].said.startswith("It collects its baseline")
    shop.period += 36
    looks = await shop.run(2, watch(), v1=0.01)
    assert looks[-1].said.startswith("no newer version")
