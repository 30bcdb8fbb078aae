"""What people see of an audit: text, Markdown, a page, and a message within Slack's limits."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from pydantic import TypeAdapter

from alerts.channels.slack_blocks import slack_blocks, slack_text
from alerts.channels.webhook import MAX_BODY_BYTES, webhook_body
from alerts.message import Message, addressed
from dashboards.audit import words
from dashboards.audit.drawings import WIDTH, mover_picture, tail_picture
from dashboards.audit.markdown import render_markdown
from dashboards.audit.message import LINES_MAX, message_of
from dashboards.audit.page import render_audit, render_audit_page
from dashboards.audit.report import (
    Against,
    Audit,
    BudgetLine,
    Change,
    FailedCheck,
    FalseRule,
    Line,
    Measure,
    ModelEntry,
    ModelFigures,
    Mover,
    Paging,
    Reality,
    ShortPage,
    Subject,
    SubjectKind,
    Unseen,
)
from dashboards.words import Tone

UNTIL = datetime(2026, 3, 3, 6, 30, tzinfo=UTC)

SLOWER = Line(Measure.LATENCY_P95, 2.9, 2_976, Change(1.9, 2_826, Reality.REAL, 0.8, 1.2, 1e-6, 1e-4))
BROKEN = Line(
    Measure.BROKEN_ANSWERS, 0.05, 2_976, Change(0.02, 2_826, Reality.REAL, 0.02, 0.04, 1e-5, 1e-3),
    Change(0.021, 80_000, Reality.NOISE, -0.01, 0.05, 0.3, 1.0),
)  # fmt: skip
STEADY = Line(
    Measure.COST_PER_CALL, 0.002, 2_976, Change(0.00198, 2_826, Reality.NOISE, -0.0001, 0.0002, 0.4, 1.0)
)
FEW = Line(Measure.LATENCY_P99, 4.0, 40, Change(3.0, 38, Reality.UNKNOWN))
P50 = Line(Measure.LATENCY_P50, 1.0, 2_976, Change(1.0, 2_826, Reality.NOISE, -0.1, 0.1, 0.9, 1.0))

SHOP = Subject(
    SubjectKind.SERVICE,
    "shop",
    "production",
    (P50, SLOWER, FEW, BROKEN, STEADY),
    (FailedCheck("json", 149, 57),),
    (120, 130, 0, 90),
)

RICH = Audit(
    at=UNTIL + timedelta(minutes=2),
    since=UNTIL - timedelta(days=1),
    until=UNTIL,
    subjects=(SHOP, Subject(SubjectKind.TARGET, "bot", "m, suite support")),
    movers=tuple(Mover(SubjectKind.SERVICE, "shop", line) for line in (BROKEN, SLOWER, STEADY)),
    models=(
        ModelEntry(
            "gpt-<4o>|mini", "openai", ("gpt-4o",), UNTIL - timedelta(days=40), UNTIL, False, ("shop",), ("bot",),
            "Triage; *not* refunds.", ModelFigures(2_976, 9.1, 0.003, 1.0, 2.9, checked=2_976, broken=149),
            ModelFigures(80_000, 160.0, 0.002, 1.0, 1.9),
        ),
        ModelEntry("gpt-5-mini", "openai", first_seen=UNTIL, last_seen=UNTIL, is_new=True),
    ),
    budgets=(BudgetLine("month", "month", 64.0, 40.0, "USD", "user.id u7", "3 calls have no known price"),),
    paging=Paging(
        3,
        1,
        5,
        0.25,
        (("watch/p95", 3),),
        (ShortPage("watch/p95", 2, 3, 90.0),),
        1,
        (FalseRule("watch/p95", 3, 1, 5),),
    ),
    unseen=(Unseen("silent service", "cron", "no call in this period"),),
    baseline_days=28,
    tests=12,
    night="2026-03-03",
)  # fmt: skip

EMPTY = Audit(at=UNTIL, since=UNTIL - timedelta(days=1), until=UNTIL)


def only(*lines: Line, **changes: object) -> Audit:
    movers = tuple(Mover(SubjectKind.SERVICE, "shop", line) for line in lines)
    return replace(EMPTY, subjects=(SHOP,), movers=movers, tests=9, **changes)  # type: ignore[arg-type]


FASTER = replace(SLOWER, value=1.2)


@pytest.mark.parametrize(
    ("audit", "tone", "text"),
    [
        (EMPTY, Tone.LEARNING, "There is nothing to audit yet."),
        (RICH, Tone.ALARM, "2 measures got worse."),
        (only(SLOWER), Tone.ALARM, "1 measure got worse."),
        (only(STEADY, budgets=RICH.budgets), Tone.CAUTION, "1 budget is spent."),
        (only(FASTER), Tone.CALM, "Nothing got worse."),
        (only(STEADY), Tone.CALM, "Nothing moved beyond noise."),
        (replace(only(), tests=0), Tone.LEARNING, "There is nothing to compare with yet."),
    ],
    ids=["nothing", "worse", "one worse", "a budget", "better", "noise", "no past"],
)
def test_the_headline_says_the_worst_that_is_true(audit: Audit, tone: Tone, text: str) -> None:
    found = words.headline(audit)
    assert (found.tone, found.text) == (tone, text)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (SLOWER, "shop: latency p95 1.9 s to 2.9 s, +53 % (+42 to +63), real"),
        (BROKEN, "shop: answers that break a rule 2.00% to 5.00%, +3.00 points (+2.00 to +4.00), real"),
        (STEADY, "shop: cost per call $0.00198 to $0.002, +1.0% (-5 to +10), within noise"),
        (FEW, "shop: latency p99 3 s to 4 s, +33 %, too little data"),
    ],
    ids=["seconds", "shares", "dollars", "too few"],
)
def test_a_change_is_told_with_its_interval_and_whether_it_is_real(line: Line, text: str) -> None:
    assert words.mover_words(Mover(SubjectKind.SERVICE, "shop", line), Against.PREVIOUS) == text


def test_the_json_can_be_read_back_as_it_was() -> None:
    assert TypeAdapter(Audit).validate_json(orjson.dumps(RICH)) == RICH


def test_markdown_has_all_of_it_and_nothing_that_strangers_wrote_as_markup() -> None:
    text = render_markdown(RICH)
    assert text.startswith("# Audit of 2026-03-03: 2 measures got worse.\n")
    for part in (
        "| latency p95 | 2.9 s | 2,976 | 1.9 s | +53 % (+42 to +63) | real |",
        "Failed checks: json 149 (before 57)",
        "month: $64.00 of $40.00 a month by user.id u7 (160%); 3 calls have no known price",
        "2 of 3 pages were over within minutes (median 1 min)",
        "silent service: cron: no call in this period",
        "### gpt-5-mini (openai): new",
        r"### gpt-\<4o\>\|mini (openai)",
        r"best for: Triage; \*not\* refunds.",
        "| broken answers | 5.01% of 2,976 | not checked |",
    ):
        assert part in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {re.sub(r"\\\|", "", row).count("|") for row in rows} <= {10, 4}


@pytest.mark.parametrize(
    ("rule", "is_advised"), [("watch/p95", True), ("drift/bot", False)], ids=["a watch", "a ledger"]
)
def test_only_who_can_wait_longer_is_told_to(rule: str, is_advised: bool) -> None:
    said = words.short_page_words(ShortPage(rule, 1, 1, 90.0))
    assert said.startswith(f"{rule}: 1 of 1 page was over within minutes (median 1 min).")
    assert ("A longer `for`" in said) is is_advised


ADVICE = {
    "watch/p95": "Raise its threshold",
    "drift/bot": "baseline show",
    "proof/bot": "`proofs` of its target",
    "silence/service": "`silence: services`",
    "watchman/disk": "`watchman` has the thresholds",
    "spend/bot": "Change its threshold",
}


@pytest.mark.parametrize(("rule", "advice"), ADVICE.items(), ids=ADVICE)
def test_a_rule_that_keeps_being_false_is_told_with_what_to_do(rule: str, advice: str) -> None:
    said = words.false_rule_words(FalseRule(rule, 3, 1, 5))
    assert said.startswith(
        f"{rule} keeps being false: 3 of 4 pages that people judged in 91 days (5 pages in all)."
    )
    assert advice in said


def test_a_rule_that_keeps_being_false_stands_in_every_form_of_the_audit() -> None:
    said = "keeps being false: 3 of 4 pages"
    assert said in render_audit(RICH)
    assert said in render_markdown(RICH)
    assert said in str(message_of(RICH).sections)


@pytest.mark.parametrize("audit", [RICH, EMPTY], ids=["rich", "empty"])
def test_the_page_is_complete_in_itself(audit: Audit) -> None:
    page = render_audit(audit)
    assert not re.search(r"<script|https?://|<link|src=|style=\"", page)
    assert "<4o>" not in page
    assert words.headline(audit).text in page


def test_the_page_within_the_dashboard_keeps_to_its_security_policy() -> None:
    page = render_audit_page(RICH)
    assert not re.search(r"<style|<script|style=\"", page)
    assert 'href="../static/audit.css"' in page


def test_pictures_stay_within_their_frame_however_far_things_moved() -> None:
    far = replace(SLOWER, value=1_900.0, previous=Change(1.9, 9, Reality.REAL, 10.0, None, 0.0, 0.0))
    picture = mover_picture(only(far, replace(STEADY, value=0.0)))
    assert picture is not None
    assert len(picture.rows) == 2
    assert all(0 <= row.low <= row.high <= WIDTH for row in picture.rows)
    assert [row.tone for row in picture.rows] == ["worse", "noise"]
    tails = tail_picture(RICH)
    assert tails is not None
    assert all(0 <= x <= WIDTH for row in tails.rows for x in (*row.now, *row.before))
    assert (mover_picture(EMPTY), tail_picture(EMPTY)) == (None, None)


def long_one() -> Audit:
    """An audit with more of everything than a message holds, and names that are orders to Slack."""
    movers = tuple(Mover(SubjectKind.SERVICE, f"<!channel> {n} " + "x" * 400, SLOWER) for n in range(50))
    unseen = tuple(Unseen("unpriced calls", f"model {n} " + "y" * 500, "z" * 500) for n in range(200))
    return replace(RICH, movers=movers, unseen=unseen)


@pytest.mark.parametrize("audit", [RICH, EMPTY, long_one()], ids=["rich", "empty", "long"])
def test_a_message_keeps_to_the_limits_of_slack_and_of_webhooks(audit: Audit) -> None:
    message = addressed(message_of(audit), "managers", 0).message
    blocks = slack_blocks(message, "https://watch.example.com/")
    assert len(blocks) <= 50
    assert all(len(one["text"]["text"]) <= 3_000 for one in blocks if one["type"] == "section")
    assert len(blocks[0]["text"]["text"]) <= 150
    assert "<!channel>" not in orjson.dumps(blocks).decode()
    assert len(webhook_body(message)) < MAX_BODY_BYTES
    assert all(len(one.lines) <= LINES_MAX + 1 for one in message.sections)


def test_a_message_has_the_movers_first_and_the_way_to_the_whole() -> None:
    message = message_of(RICH)
    blocks = slack_blocks(message, "https://watch.example.com/")
    assert blocks[0]["text"]["text"] == "📋 Audit of 2026-03-03"
    assert blocks[1]["text"]["text"].startswith(
        "2 measures got worse. shop answers that break a rule +3.00 points"
    )
    assert blocks[3]["text"]["text"].splitlines()[:2] == [
        "*What moved*",
        "• shop: answers that break a rule 2.00% to 5.00%, +3.00 points (+2.00 to +4.00), real",
    ]
    assert "<https://watch.example.com/audits/2026-03-03|Open it>" in str(blocks[-1])
    assert slack_text(message).startswith("Audit of 2026-03-03: 2 measures got worse.")


def test_a_webhook_gets_the_sections_and_is_told_what_was_left_out() -> None:
    body = orjson.loads(webhook_body(message_of(RICH)))
    assert (body["type"], body["page"], body["incident"]) == ("anchorwatch.report", "audits/2026-03-03", None)
    assert body["sections"][0]["title"] == "What moved"
    assert body["left_out"] == 0
    sections = tuple(replace(one, lines=("x" * 9_000,)) for one in message_of(RICH).sections)
    body = orjson.loads(webhook_body(replace(message_of(RICH), sections=sections)))
    assert len(body["sections"]) == 2
    assert body["left_out"] == len(sections) - 2


def test_a_report_survives_the_outbox() -> None:
    message = addressed(message_of(RICH), "managers", 0).message
    assert Message.from_json(message.to_json()) == message
    older = orjson.loads(message.to_json())
    del older["sections"], older["page"]
    assert Message.from_json(orjson.dumps(older).decode()).sections == ()


def test_the_same_night_gives_the_same_message_to_each_receiver_of_its_own() -> None:
    again = replace(RICH, at=RICH.at + timedelta(hours=3))
    first, second = (addressed(message_of(one), "managers", 0).id for one in (RICH, again))
    assert first == second
    assert addressed(message_of(RICH), "others", 0).id != first
