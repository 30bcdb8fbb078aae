"""An audit in words: what a measure is called, how it has changed, and what a person must know first."""

from dataclasses import dataclass

from dashboards.audit.report import (
    Against,
    Audit,
    AuditSummary,
    BudgetLine,
    Change,
    FalseRule,
    Line,
    Measure,
    Mover,
    Reality,
    ShortPage,
    Subject,
)
from dashboards.words import Headline, Tone, counted, quantity, span

NAMES = {
    Measure.CALLS: "calls a day",
    Measure.SPEND: "spend a day",
    Measure.COST_PER_CALL: "cost per call",
    Measure.INPUT_TOKENS: "input tokens per call",
    Measure.OUTPUT_TOKENS: "output tokens per call",
    Measure.ERRORS: "failed calls",
    Measure.BROKEN_ANSWERS: "answers that break a rule",
    Measure.TRUNCATED: "answers cut off",
    Measure.LATENCY_P50: "latency p50",
    Measure.LATENCY_P95: "latency p95",
    Measure.LATENCY_P99: "latency p99",
    Measure.TTFT_P95: "first token p95",
}

NAMED_MAX = 3
"""How many movers the headline's second sentence names."""

OVER, NEAR = 1.0, 0.8
"""The shares of a budget from which on it is spent, and nearly so."""


@dataclass(frozen=True, slots=True)
class Said:
    """A change in words, and how it is to be read."""

    text: str
    tone: Tone
    reality: str


def headline(audit: Audit) -> Headline:
    """What a person must know first."""
    worse, better = list(audit.worse()), list(audit.better())
    if not audit.subjects:
        return Headline(
            Tone.LEARNING, "There is nothing to audit yet.", "No canary ran and no call came in this period."
        )
    if worse:
        text = f"{counted(len(worse), 'measure')} got worse."
        return Headline(Tone.ALARM, text, f"{_named(worse, audit.against)}.")
    over = [one for one in audit.budgets if one.share >= OVER]
    if over:
        return Headline(
            Tone.CAUTION, f"{counted(len(over), 'budget is', 'budgets are')} spent.", budget_words(over[0])
        )
    if better:
        return Headline(Tone.CALM, "Nothing got worse.", f"Better: {_named(better, audit.against)}.")
    moved = [one for one in audit.movers if is_real(one.line, audit.against)]
    if moved:
        return Headline(Tone.CALM, "Nothing got worse.", f"Moved: {_named(moved, audit.against)}.")
    if not audit.tests:
        return Headline(
            Tone.LEARNING, "There is nothing to compare with yet.", "The next audit has a period before it."
        )
    return Headline(
        Tone.CALM,
        "Nothing moved beyond noise.",
        f"{counted(audit.tests, 'change')} were judged together; none is more than what comes and goes by itself.",
    )


def summary(audit: Audit) -> AuditSummary:
    """The audit in a line."""
    first = headline(audit)
    return AuditSummary(
        night=audit.night,
        at=audit.at,
        since=audit.since,
        until=audit.until,
        headline=first.text,
        detail=first.detail,
        worse=sum(1 for _ in audit.worse()),
        better=sum(1 for _ in audit.better()),
        pages=audit.paging.pages,
    )


def title(audit: Audit) -> str:
    """What the audit is called: its night, or its period."""
    if audit.night:
        return f"Audit of {audit.night}"
    return f"Audit of the {span((audit.until - audit.since).total_seconds())} to {audit.until:%Y-%m-%d %H:%M} UTC"


def period(audit: Audit) -> str:
    """From when to when, and what with."""
    since, until = f"{audit.since:%Y-%m-%d %H:%M}", f"{audit.until:%Y-%m-%d %H:%M} UTC"
    return f"{since} to {until}, compared with {REFERENCES[audit.against]}"


REFERENCES = {
    Against.PREVIOUS: "the period before",
    Against.BASELINE: "the baseline",
}


def figure(line: Line) -> str:
    """The value of a line."""
    return amount(line.measure, line.value)


def amount(measure: Measure, value: float | None) -> str:
    """A value of a measure."""
    if value is None:
        return "no data"
    if measure.unit == "calls/day":
        return f"{value:,.0f}"
    if measure.unit == "USD/day":
        return f"${value:,.2f}"
    if measure.unit == "USD":
        return f"${value:,.3g}"
    return quantity(value, "" if measure.unit == "tokens" else measure.unit)


def before(line: Line, against: Against) -> str:
    """The value that a line is compared with."""
    change = line.change(against)
    return "" if change is None else amount(line.measure, change.before)


def said(line: Line, against: Against) -> Said:
    """How a line has changed."""
    change, difference = line.change(against), line.difference(against)
    if change is None or difference is None:
        return Said("", Tone.CALM, "")
    text = _size(line.measure, difference, change.before)
    interval = _interval(line.measure, change)
    return Said(f"{text}{interval}", _tone(line, against), change.reality.value)


def _tone(line: Line, against: Against) -> Tone:
    if line.is_worse(against):
        return Tone.ALARM
    return Tone.LEARNING if is_real(line, against) else Tone.CALM


def _size(measure: Measure, difference: float, before: float | None) -> str:
    if measure.is_share:
        return f"{difference * 100:+.2f} points"
    if not before:
        return f"{difference:+.3g}"
    return (
        f"{difference / before * 100:+.0f} %"
        if abs(difference) >= 0.1 * before
        else f"{difference / before:+.1%}"
    )


def _interval(measure: Measure, change: Change) -> str:
    if change.p_value is None or (not change.before and not measure.is_share):
        return ""
    scale = 100.0 if measure.is_share else 100.0 / (change.before or 1.0)
    digits = 2 if measure.is_share else 0

    def end(value: float | None) -> str:
        return "?" if value is None else f"{value * scale:+.{digits}f}"

    return f" ({end(change.low)} to {end(change.high)})"


def is_real(line: Line, against: Against) -> bool:
    """Whether the line has surely changed, and by more than nothing."""
    change = line.change(against)
    return change is not None and change.reality is Reality.REAL


def mover_words(mover: Mover, against: Against) -> str:
    """A mover in one line: ``checkout: latency p95 1.2 s to 1.9 s, +58 % (+31 to +90), real``."""
    line = mover.line
    change = said(line, against)
    return (
        f"{mover.subject}: {NAMES[line.measure]} {before(line, against)} to {figure(line)}, "
        f"{change.text}, {change.reality}"
    )


def short_words(mover: Mover, against: Against) -> str:
    """A mover in a few words: ``checkout latency p95 +58 %``."""
    difference, change = mover.line.difference(against), mover.line.change(against)
    size = _size(mover.line.measure, difference or 0.0, change.before if change else None)
    return f"{mover.subject} {NAMES[mover.line.measure]} {size}"


def _named(movers: list[Mover], against: Against) -> str:
    more = f" and {len(movers) - NAMED_MAX} more" if len(movers) > NAMED_MAX else ""
    return "; ".join(short_words(one, against) for one in movers[:NAMED_MAX]) + more


def budget_words(line: BudgetLine) -> str:
    """What is used of a budget."""
    if line.unit == "USD":
        used, limit = f"${line.used:,.2f}", f"${line.limit:,.2f}"
    else:
        used, limit = f"{line.used:,.0f} {line.unit}", f"{line.limit:,.0f}"
    who = f" by {line.who}" if line.who else ""
    remark = f"; {line.remark}" if line.remark else ""
    return f"{line.name}: {used} of {limit} a {line.period}{who} ({line.share:.0%}){remark}"


def budget_tone(line: BudgetLine) -> Tone:
    """How a budget is to be read."""
    if line.share >= OVER:
        return Tone.ALARM
    return Tone.CAUTION if line.share >= NEAR else Tone.CALM


def paging_words(audit: Audit) -> str:
    """How many pages there were, beside the budget."""
    paging = audit.paging
    still = f", {paging.open_now} of them still open" if paging.open_now else ""
    return (
        f"{counted(paging.pages, 'page')} in this period{still} ({paging.previous} in the one before). "
        f"{paging.quarter} in the last 91 days, where {paging.budget:g} false ones are allowed for."
    )


def short_page_words(one: ShortPage) -> str:
    """A rule whose pages were over at once."""
    advice = " A longer `for`, or another threshold, would have let people sleep."
    return (
        f"{one.rule}: {one.short} of {counted(one.pages, 'page')} {'was' if one.short == 1 else 'were'} over within "
        f"minutes (median {span(one.median_s)}).{advice if one.rule.startswith('watch/') else ''}"
    )


WHAT_TO_DO = {
    "watch": "Raise its threshold, give it a longer `for`, or make it a ticket (`severity`).",
    "drift": "See what its baseline has not met (`anchorwatch baseline show`), freeze a longer one, or lower the "
    "target's `importance`.",
    "proof": "`proofs` of its target makes this kind a ticket, or turns it off.",
    "silence": "Name the service below `silence: services` with how long it may be quiet, or below `ignore`.",
    "watchman": "`watchman` has the thresholds.",
}
"""What helps against false pages, by the first part of their key."""


def false_rule_words(one: FalseRule) -> str:
    """A rule that keeps being false, and what to do about it."""
    judged = one.false + one.right
    what = WHAT_TO_DO.get(one.rule.split("/")[0], "Change its threshold, or whom it tells.")
    return (
        f"{one.rule} keeps being false: {one.false} of {judged} pages that people judged in 91 days "
        f"({counted(one.pages, 'page')} in all). {what}"
    )


def page_advice(audit: Audit) -> list[str]:
    """The rules that pages were wasted by, those first that people said so of."""
    paging = audit.paging
    return [*map(false_rule_words, paging.false_rules), *map(short_page_words, paging.short)]


def broken_words(subject: Subject, against: Against) -> str:
    """The share of answers that broke a rule, with how many were checked; empty where none was."""
    line = subject.line(Measure.BROKEN_ANSWERS)
    if line is None or line.value is None:
        return ""
    change = line.change(against)
    was = f", before {amount(line.measure, change.before)} of {change.n:,}" if change else ""
    return f"{figure(line)} of {line.n:,}{was}"


def share_words(broken: int, checked: int) -> str:
    """A share with its number, as of the answers of a model that broke a rule."""
    return f"{broken / checked:.2%} of {checked:,}" if checked else "not checked"
