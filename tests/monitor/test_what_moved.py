"""What a picture shows: the leading score of a drift, and what a watch saw, from a real database."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from folded import in_pieces
from watched_bot import DRIFTED, Bot

from alerts.incident import NoticeKind
from alerts.intake import receive
from alerts.message import Message, about_incident
from alerts.outbox_store import notifications
from canaries.store import score_series
from dashboards.charts import Chart
from monitor.canary_flow.baseline_life import baseline_of
from monitor.config import Config, Deployment
from monitor.database import Database
from monitor.telling.what_moved import POINTS, WhatMoved
from monitor.traffic.roll_ups import Keep
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judging import judge
from monitor.traffic.windows.series import Series, minute_of
from monitor.traffic.windows.window import Window
from monitor.traffic.windows_at_rest import Folding, WindowsAtRest
from monitor.traffic_flow.watch_traffic import Look
from monitor.watched import House

SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")
OTHER = SHOP._replace(service="search")
ERRORS = {
    "name": "errors",
    "measure": "error_share",
    "match": {"service": "shop"},
    "above": "5%",
    "over": "10m",
}
MINUTES = 180


def test_of_drift_it_is_the_leading_score_of_the_last_runs_with_where_the_baseline_lies(
    database: Database,
) -> None:
    bot = Bot(database)
    bot.runs(60)
    bot.until(lambda settled: "drift/bot" in bot.open(), DRIFTED)
    incident = bot.open()["drift/bot"]
    [message] = [one.message for one in database.read(notifications) if one.message.kind is NoticeKind.FIRING]
    deployment = Deployment(Config(), {"bot": bot.watched.suite})
    chart = database.read(lambda session: WhatMoved(deployment, bot.house).chart(session, message))
    assert chart is not None
    score = incident.finding.evidence[0][0]
    baseline = database.read(lambda session: baseline_of(session, "bot", "support"))
    stored = database.read(lambda session: score_series(session, baseline.id, score))
    assert chart.points == [(one.at, one.value) for one in stored]
    assert chart.title == f"bot has drifted: {score}"
    assert (chart.moment, chart.dots, chart.limit) == (incident.firing_since, True, None)
    low, high = chart.band
    before = [one.value for one in stored[:12]]
    # Not all of twelve steady runs need lie where nine of ten do, and the last ones do not.
    assert sum(low <= value <= high for value in before) >= 8
    assert not low <= stored[-1].value <= high


def windows(now: datetime) -> list[Window]:
    """Three hours of calls: an error now and then, a gap, and at last errors in every fourth call."""
    found = []
    for ago in range(MINUTES):
        if 60 < ago < 80:
            continue
        minute = minute_of((now - timedelta(minutes=ago)).timestamp())
        mine, other = Window(minute, SHOP, 20), Window(minute, OTHER, 20)
        mine.errors["timeout"] = 5 if ago < 12 else 0
        other.errors["timeout"] = 20
        found += [mine, other]
    return sorted(found, key=lambda one: one.minute)


async def fire(database: Database, watch: WatchConfig, seen: list[Window], now: datetime) -> Message:
    """The message about an incident of the watch, whose windows are stored."""
    rest = WindowsAtRest(database, Keep())
    async with rest.lock:
        await rest.fold(in_pieces(seen), Folding(0, 0), seen[-1].minute)
    look = Look(watch, judge(watch, seen, now))
    [transition] = database.write(lambda session: receive(session, [(look.verdict(), look.rule())], now))
    assert transition.incident is not None
    return about_incident(transition.incident, NoticeKind.FIRING, now)


def chart_of(database: Database, watches: list[WatchConfig], message: Message) -> Chart | None:
    deployment = Deployment(Config(watches=watches), {})
    return database.read(lambda session: WhatMoved(deployment, House(b"")).chart(session, message))


async def test_of_a_watch_it_is_what_it_saw_at_each_moment_with_its_threshold(
    database: Database, clock
) -> None:
    now, watch = clock.now(), WatchConfig.model_validate(ERRORS)
    seen = windows(now)
    chart = chart_of(database, [watch], await fire(database, watch, seen, now))
    assert chart is not None
    assert (chart.limit, chart.limit_said, chart.is_share) == (0.05, "threshold: above 5 %", True)
    assert (chart.title, chart.moment_said) == ("errors: error_share", "page at 12:00")
    assert chart.subtitle == "of the 10 minutes before each moment; service shop"
    assert (chart.points[-1][0], chart.points[0][0]) == (now, now - timedelta(hours=2))
    assert len(chart.points) == POINTS + 1
    assert chart.points == [(at, judge(watch, seen, at).value) for at, _ in chart.points]
    values = [value for _, value in chart.points]
    assert values[-1] == 0.25
    assert values[0] == 0.0
    assert None in values


@pytest.mark.parametrize(
    "changes",
    [{"slo": {"objective": "99%"}}, {"shift": {}, "measure": "error_share"}],
    ids=["an objective", "a shift"],
)
async def test_what_has_no_threshold_on_a_measure_has_no_picture(
    database: Database, clock, changes: Mapping[str, object]
) -> None:
    watch = WatchConfig.model_validate(ERRORS)
    message = await fire(database, watch, windows(clock.now()), clock.now())
    other = WatchConfig.model_validate({"name": "errors"} | changes)
    assert chart_of(database, [other], message) is None
    assert chart_of(database, [], message) is None


def test_a_message_about_no_incident_has_no_picture(database: Database, clock) -> None:
    assert chart_of(database, [], Message("", NoticeKind.TEST, "A test.", clock.now())) is None
