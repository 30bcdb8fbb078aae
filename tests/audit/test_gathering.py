"""What is stored becomes the facts of an audit: on a month of calls and on a target's runs, both in a real database."""

from dataclasses import replace
from datetime import timedelta

import pytest
import watched_bot
from sqlmodel import Session
from traffic_month import END, SEARCH, SHOP, UNTIL, Calls, always, since_last_day, write_month
from watched_bot import START, Answers, Bot

import alerts.store as alert_store
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State
from canaries.config import TargetConfig
from dashboards.audit.report import Against, Audit, FalseRule, Measure, ModelEntry, Reality, Subject
from monitor.audit.auditing import audit
from monitor.audit.config import ModelNoteConfig
from monitor.audit.facts import Span, span_of
from monitor.audit.gathering import Wanted, gather
from monitor.audit.tally import Tally
from monitor.audit.traffic_sums import read_traffic
from monitor.config import Config, Deployment
from monitor.database import Database
from monitor.traffic import store
from monitor.traffic.roll_ups import Resolution, parts
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.windows.series import OVERFLOW
from monitor.traffic.windows.window import Window, window_from_bytes

DAY = Wanted(UNTIL - timedelta(days=1), UNTIL)


def audited(database: Database, config: Config | None = None, wanted: Wanted = DAY) -> Audit:
    deployment = Deployment(config or Config(), {})
    return audit(database.read(lambda session: gather(session, deployment, wanted, UNTIL)))


def subject(found: Audit, name: str) -> Subject:
    return next(one for one in found.subjects if one.name == name)


def model(found: Audit, name: str) -> ModelEntry:
    return next(one for one in found.models if one.model == name)


@pytest.fixture
def month(database: Database) -> Database:
    """A shop that grew slower and dearer in the last day, and a search that is as ever."""
    usual = Calls()
    write_month(
        database,
        {SHOP: since_last_day(usual, latency_s=1.8, cost_usd=0.003), SEARCH: always(usual)},
    )
    return database


@pytest.mark.parametrize("against", Against, ids=str)
def test_what_moved_is_found_in_the_service_where_it_did(month: Database, against: Against) -> None:
    found = audited(month, wanted=replace(DAY, against=against))
    worse = {(one.subject, one.line.measure) for one in found.worse()}
    assert {("shop", Measure.COST_PER_CALL), ("shop", Measure.LATENCY_P95)} <= worse
    assert {name for name, _ in worse} == {"shop"}
    cost = subject(found, "shop").line(Measure.COST_PER_CALL)
    assert cost is not None
    assert cost.value == pytest.approx(0.003, rel=0.02)
    change = cost.change(against)
    assert change is not None
    assert change.before == pytest.approx(0.002, rel=0.02)
    assert change.reality is Reality.REAL
    assert found.baseline_days == 28


def test_calls_are_counted_once_by_minutes_hours_and_days_alike(month: Database) -> None:
    sums = month.read(lambda session: read_traffic(session, span_of(DAY.since, DAY.until)))
    for tallies, days in ((sums.now, 1), (sums.previous, 1), (sums.days, 28)):
        for service in (SHOP, SEARCH):
            calls = sum(one.calls for one in tallies[service.service, "production"].values())
            assert calls == pytest.approx(120 * 24 * days, rel=0.02)
    # The services are what the models are, put together another way.
    assert sum(one.now.calls for one in sums.models.values()) == sum(
        tally.calls for blocks in sums.now.values() for tally in blocks.values()
    )


def test_what_is_read_is_what_the_windows_come_to_one_by_one(database: Database) -> None:
    """Also of a service with several models, and of calls that are in no series."""
    other_model = SHOP._replace(response_model="gpt-4o-mini-2025-01-01", version="1.1")
    unpriced = Calls(cost_usd=None, checked_share=0.0, failed_share=0.1)
    write_month(
        database,
        {SHOP: always(Calls()), other_model: always(Calls(latency_s=3.0)), SEARCH: always(unpriced),
         OVERFLOW: always(Calls(an_hour=6))},
        days=3,
    )  # fmt: skip
    span = span_of(DAY.since, DAY.until)
    sums = database.read(lambda session: read_traffic(session, span))
    for piece, tallies in ((span, sums.now), (span.before(), sums.previous)):
        windows = database.read(lambda session, piece=piece: minutes_of(session, piece))
        for block in (one for one in piece.blocks() if one > piece.first):
            mine = [one for one in windows if piece.block(one.minute) == block]
            for name in ("shop", "search"):
                whole = Window(block, SHOP)
                for window in mine:
                    if window.series.service == name:
                        whole.merge(window)
                assert_tally(tallies[name, "production"][block], whole)
    assert sums.models["openai", SHOP.response_model].services == {"shop"}
    assert sums.overflow == sum(
        one.calls
        for one in database.read(lambda session: minutes_of(session, span))
        if one.series == OVERFLOW
    )


def minutes_of(session: Session, span: Span) -> list[Window]:
    """The windows of a span, each read whole and by the longest there are within an hour."""
    return [
        window_from_bytes(start, series, body)
        for part in parts(span.first, span.end, store.rolled(session), Resolution.HOUR)
        for start, series, body in store.scan(session, part.resolution, part.first, part.end)
    ]


def assert_tally(tally: Tally, window: Window) -> None:
    assert (tally.calls, tally.failed, tally.checked, tally.broken) == (
        window.calls, window.failed, window.checked, window.unsound
    )  # fmt: skip
    assert (tally.cost_nano, tally.priced, tally.unpriced) == (
        window.cost_usd.total_nano, window.cost_usd.n, window.unpriced
    )  # fmt: skip
    assert (tally.input_tokens, tally.asked) == (window.input_tokens.total, window.input_tokens.n)
    assert (tally.output_tokens, tally.answered) == (
        pytest.approx(window.output_tokens.total, rel=1e-12), window.output_tokens.n
    )  # fmt: skip
    assert tally.failed_checks == window.failed_checks
    assert tally.latency_s.n == window.latency_s.n
    for q in (0.01, 0.5, 0.95, 1.0):
        assert tally.latency_s.quantile(q) == window.latency_s.quantile(q)


def test_a_week_is_read_from_days(database: Database) -> None:
    write_month(database, {SHOP: always(Calls())}, by_hour=15)
    found = audited(database, wanted=Wanted(UNTIL - timedelta(days=7), UNTIL))
    calls = subject(found, "shop").line(Measure.CALLS)
    assert calls is not None
    assert calls.value == pytest.approx(120 * 24, rel=0.02)
    assert calls.previous is not None
    assert calls.previous.before == pytest.approx(120 * 24, rel=0.02)


def test_the_catalogue_tells_of_each_model_version_and_what_it_is_for(month: Database) -> None:
    notes = [
        ModelNoteConfig(model="gpt-4o-mini*", use="Short answers."),
        ModelNoteConfig(model="*", use="Never reached by the first."),
    ]
    entry = model(audited(month, Config(models=notes)), "gpt-4o-mini-2024-07-18")
    assert (entry.provider, entry.asked_as, entry.services) == ("openai", ("gpt-4o-mini",), ("shop",))
    assert entry.use == "Short answers."
    assert entry.first_seen is not None
    assert entry.last_seen is not None
    assert (entry.last_seen - entry.first_seen).days == 29
    assert not entry.is_new
    assert entry.now.latency_p50 == pytest.approx(1.8, rel=0.05)
    assert entry.usual.latency_p50 == pytest.approx(1.0, rel=0.05)
    assert entry.now.checked == entry.now.calls == pytest.approx(2_880, rel=0.02)
    assert 0 < entry.now.broken < 0.05 * entry.now.checked


def test_a_model_that_came_with_the_period_is_new(database: Database) -> None:
    def newcomer(at: int) -> Calls:
        return Calls(an_hour=120 if at >= END - 3_600 * 5 else 0)

    write_month(
        database, {SHOP: always(Calls()), SHOP._replace(response_model="gpt-5-mini"): newcomer}, days=8
    )
    found = audited(database)
    assert [one.model for one in found.models if one.is_new] == ["gpt-5-mini"]


def test_budgets_are_told_with_what_is_used_of_them(month: Database) -> None:
    watches = [
        WatchConfig(name="month", budget={"usd": 20.0, "every": "month"}),
        WatchConfig(name="shop tokens", match={"service": "shop"}, budget={"tokens": "10M", "every": "day"}),
    ]
    by_name = {one.name: one for one in audited(month, Config(watches=watches)).budgets}
    # Two days and a half of March: two services at $5.76 a day, and the shop half as much more in the last.
    assert by_name["month"].used == pytest.approx(2.27 * 2 * 5.76 + 2.88, rel=0.05)
    assert by_name["month"].share > 1
    # Six hours and a half of the day, 1,200 tokens a call.
    assert by_name["shop tokens"].used == pytest.approx(120 * 6.5 * 1_200, rel=0.05)
    assert (by_name["shop tokens"].unit, by_name["shop tokens"].limit) == ("tokens", 10e6)


def test_what_could_not_be_seen_is_named(database: Database) -> None:
    def fallen_silent(at: int) -> Calls:
        return Calls(an_hour=0 if at >= END - 86_400 else 120)

    unpriced = Calls(cost_usd=None, checked_share=0.0)
    write_month(
        database,
        {SHOP: fallen_silent, SEARCH: always(unpriced), OVERFLOW: always(Calls(an_hour=6))},
        days=8,
    )
    unseen = {one.what: one for one in audited(database).unseen}
    assert unseen["silent service"].who == "shop (production)"
    assert "claude-haiku-4-5 (anthropic)" in unseen["unpriced calls"].who
    assert unseen["unchecked answers"].who == "search (production)"
    assert "144 calls" in unseen["calls without a series"].detail


def incident(key: str, paged_hours: float, lasted_s: float | None) -> Incident:
    paged = UNTIL - timedelta(hours=paged_hours)
    over = None if lasted_s is None else paged + timedelta(seconds=lasted_s)
    finding = Finding(Severity.PAGE, Source.WATCH, "slow")
    return Incident(
        f"{key}-{paged_hours}", key, State.FIRING if over is None else State.RESOLVED, Severity.PAGE, finding,
        opened_at=paged, updated_at=over or paged, firing_since=paged, steady_since=over,
        resolved_at=over and over + timedelta(minutes=15), paged_at=paged,
    )  # fmt: skip


def test_pages_are_held_against_their_budget_and_those_that_were_over_at_once_are_named(
    database: Database,
) -> None:
    pages = [
        incident("watch/p95", 2, 120),
        incident("watch/p95", 5, 60),
        incident("watch/p95", 8, 7_200),
        incident("drift/bot", 3, None),
        incident("drift/bot", 30, 60),
        incident("drift/bot", 24 * 50, 60),
        incident("drift/bot", 24 * 100, 60),
    ]
    database.write(lambda session: [alert_store.save_incident(session, one) for one in pages])
    paging = audited(database).paging
    assert (paging.pages, paging.previous, paging.quarter, paging.open_now) == (4, 1, 6, 1)
    assert paging.by_rule == (("watch/p95", 3), ("drift/bot", 1))
    assert [(one.rule, one.short, one.pages, one.median_s) for one in paging.short] == [
        ("watch/p95", 2, 3, 90.0)
    ]


def test_a_rule_that_keeps_being_false_is_named_with_what_people_said(database: Database) -> None:
    def judged(key: str, hours: float, is_true: bool | None) -> Incident:
        return replace(incident(key, hours, 60), is_true=is_true)

    pages = [
        *(judged("watch/p95", hours, False) for hours in (2, 48, 24 * 60)),
        judged("watch/p95", 50, True),
        judged("watch/p95", 51, None),
        *(judged("drift/bot", hours, False) for hours in (3, 4)),  # too few
        judged("drift/bot", 24 * 100, False),  # too long ago
        *(judged("watch/errors", hours, False) for hours in (5, 6, 7)),  # more often right
        *(judged("watch/errors", hours, True) for hours in (8, 9, 10, 11)),
    ]
    database.write(lambda session: [alert_store.save_incident(session, one) for one in pages])
    assert audited(database).paging.false_rules == (FalseRule("watch/p95", false=3, right=1, pages=5),)


@pytest.fixture
def bot_audit(frozen_bot: Bot) -> Audit:
    """A target a day after its baseline was frozen; some answers of the last hours break a rule."""
    hours = frozen_bot.hour
    frozen_bot.runs(24)
    frozen_bot.runs(24, Answers(off_label=True, failed=frozenset({"text-2"})))
    until = START + timedelta(hours=hours + 49)
    suite = watched_bot.suite_of()
    target = TargetConfig(model="m", suite="support.yaml")
    deployment = Deployment(Config(targets={"bot": target}), {"bot": suite})
    wanted = Wanted(until - timedelta(days=1), until)
    return audit(frozen_bot.database.read(lambda session: gather(session, deployment, wanted, until)))


def test_a_target_is_told_by_its_runs(bot_audit: Audit) -> None:
    (bot,) = bot_audit.subjects
    broken = bot.line(Measure.BROKEN_ANSWERS)
    assert broken is not None
    assert (broken.n, broken.value) == (24 * 5, 24 * 3 / (24 * 5))
    for change, n in ((broken.previous, 24 * 6), (broken.baseline, 48 * 6)):
        assert change is not None
        assert (change.before, change.n, change.reality) == (0.0, n, Reality.REAL)
    assert bot.failed_checks[0].failed == 24
    assert bot.failed_checks[0].name.startswith("label-")
    errors = bot.line(Measure.ERRORS)
    assert errors is not None
    assert errors.value == pytest.approx(1 / 6)


def test_a_canary_that_nobody_answers_is_blind(bot_audit: Audit) -> None:
    assert [one.detail for one in bot_audit.unseen if one.what == "blind canary"] == [
        "text-2: no request for it was answered in this period"
    ]


def test_models_that_canaries_met_are_in_the_catalogue(bot_audit: Audit) -> None:
    (met,) = bot_audit.models
    assert (met.model, met.targets, met.services) == ("m-2026-01", ("bot",), ())
    assert (met.canary_checked, met.canary_broken) == (24 * 5, 24 * 3)
