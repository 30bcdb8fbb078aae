"""Facts in, audit out: what is real, what is noise, what is too small or too little."""

import random
from datetime import timedelta

import numpy as np
import pytest
from traffic_month import END, SHOP, UNTIL, Calls, window_of

from dashboards.audit.report import Against, Audit, Line, Measure, Reality, Subject
from monitor.audit.auditing import audit
from monitor.audit.facts import DAY_S, HOUR_S, Facts, ServiceFacts, Span, TargetFacts, days_before, span_of
from monitor.audit.tally import Counting, Tally
from monitor.traffic.windows.counted import counted_in
from monitor.traffic.windows.distribution import distribution_of
from monitor.traffic.windows.window import window_to_bytes

SPAN = span_of(UNTIL - timedelta(days=1), UNTIL)
USUAL = Calls()


def tallies(span: Span, calls: Calls, seed: int, hours: float = 1.0) -> dict[int, Tally]:
    rng, found = np.random.default_rng(seed), {}
    for start in span.blocks():
        counting = Counting([0])
        counting.count(0, counted_in(window_to_bytes(window_of(start, SHOP, calls, hours, rng))))
        found[start] = counting.tallies(0)[0]
    return found


def audited(
    now: Calls, previous: Calls = USUAL, days: Calls = USUAL, against: Against = Against.PREVIOUS
) -> Audit:
    service = ServiceFacts(
        "shop",
        "production",
        tallies(SPAN, now, 1),
        tallies(SPAN.before(), previous, 2),
        tallies(days_before(SPAN), days, 3, hours=24),
    )
    return audit(Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, against, SPAN, services=[service]))


def line(found: Audit, measure: Measure) -> Line:
    one = found.subjects[0].line(measure)
    assert one is not None
    return one


def test_nothing_is_called_real_when_nothing_moved() -> None:
    found = audited(USUAL)
    changes = [c for one in found.subjects[0].lines for against in Against if (c := one.change(against))]
    assert {one.reality for one in changes} <= {Reality.NOISE, Reality.NEGLIGIBLE, Reality.UNKNOWN}
    assert list(found.worse()) == []


@pytest.mark.parametrize("against", Against, ids=str)
@pytest.mark.parametrize(
    ("measure", "calls"),
    [
        (Measure.COST_PER_CALL, Calls(cost_usd=0.003)),
        (Measure.SPEND, Calls(cost_usd=0.003)),
        (Measure.ERRORS, Calls(failed_share=0.05)),
        (Measure.BROKEN_ANSWERS, Calls(broken_share=0.10)),
        (Measure.LATENCY_P95, Calls(latency_s=1.6)),
    ],
    ids=lambda value: value.value if isinstance(value, Measure) else "",
)
def test_what_got_worse_is_real_and_leads_the_movers(
    measure: Measure, calls: Calls, against: Against
) -> None:
    found = audited(calls, against=against)
    change = line(found, measure).change(against)
    assert change is not None
    assert change.reality is Reality.REAL
    assert change.low is not None
    assert change.low > 0
    assert measure in {one.line.measure for one in found.worse()}
    assert found.movers[0].line.change(against).reality is Reality.REAL  # type: ignore[union-attr]


def test_a_change_for_the_better_is_no_worse() -> None:
    found = audited(Calls(latency_s=0.6))
    assert {Measure.LATENCY_P50, Measure.LATENCY_P95} <= {one.line.measure for one in found.better()}
    assert list(found.worse()) == []


def test_more_calls_are_told_and_are_neither_better_nor_worse() -> None:
    found = audited(Calls(an_hour=240))
    calls = line(found, Measure.CALLS)
    assert calls.value == pytest.approx(240 * 24, rel=0.05)
    assert calls.previous is not None
    assert calls.previous.reality is Reality.REAL
    assert Measure.CALLS not in {one.line.measure for one in (*found.worse(), *found.better())}


def test_a_sure_change_that_matters_to_nobody_is_called_negligible() -> None:
    def steady(cost_nano: int) -> dict[int, Tally]:
        return {start: Tally(calls=10, priced=10, cost_nano=cost_nano) for start in SPAN.blocks()}

    before = {start - SPAN.seconds: one for start, one in steady(1_000_000).items()}
    service = ServiceFacts("shop", "", steady(1_010_000), before)
    found = audit(Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, Against.PREVIOUS, SPAN, services=[service]))
    previous = line(found, Measure.COST_PER_CALL).previous
    assert previous is not None
    assert previous.reality is Reality.NEGLIGIBLE


def test_the_tail_of_few_calls_is_told_and_not_compared() -> None:
    found = audited(Calls(an_hour=10), Calls(an_hour=10))
    assert line(found, Measure.LATENCY_P50).previous.reality is Reality.NOISE  # type: ignore[union-attr]
    p99 = line(found, Measure.LATENCY_P99).previous
    assert p99 is not None
    assert (p99.reality, p99.p_value) == (Reality.UNKNOWN, None)
    assert p99.before is not None


def test_a_service_without_a_past_has_figures_and_no_changes() -> None:
    service = ServiceFacts("shop", "production", tallies(SPAN, USUAL, 1))
    found = audit(Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, Against.PREVIOUS, SPAN, services=[service]))
    assert line(found, Measure.LATENCY_P95).value is not None
    assert all(one.previous is None and one.baseline is None for one in found.subjects[0].lines)
    assert (found.movers, found.tests) == ((), 0)


def test_the_days_before_hold_back_what_they_show_themselves() -> None:
    """Every day has its own price: a day that is dearer than the one before is no news."""
    rng = random.Random(5)
    days = {
        start: Tally(calls=1_000, priced=1_000, cost_nano=round(2e9 * rng.lognormvariate(0, 0.3)))
        for start in days_before(SPAN).blocks()
    }

    def day(cost_nano: int, span: Span) -> dict[int, Tally]:
        return {start: Tally(calls=40, priced=40, cost_nano=cost_nano + start % 7) for start in span.blocks()}

    now, before = day(100_000_000, SPAN), day(80_000_000, SPAN.before())
    facts = Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, Against.PREVIOUS, SPAN)

    def reality(service: ServiceFacts) -> Reality:
        found = audit(Facts(**{name: getattr(facts, name) for name in ("at", "since", "until", "against", "span")},
                            services=[service]))  # fmt: skip
        return line(found, Measure.COST_PER_CALL).previous.reality  # type: ignore[union-attr]

    assert reality(ServiceFacts("shop", "", now, before)) is Reality.REAL
    assert reality(ServiceFacts("shop", "", now, before, days)) is Reality.NOISE


def runs(count: int, broken: int, latency_s: float, seed: int) -> list[Tally]:
    rng, found = random.Random(seed), []
    for _ in range(count):
        tally = Tally(calls=40, checked=40, broken=sum(rng.random() < broken / 40 for _ in range(40)))
        tally.latency_s = distribution_of(
            np.array([latency_s * rng.lognormvariate(0, 0.3) for _ in range(40)])
        )
        found.append(tally)
    return found


def test_a_target_is_compared_run_by_run_with_the_period_before_and_with_its_baseline() -> None:
    target = TargetFacts(
        "bot", "m", "support", runs(96, 4, 1.0, 1), runs(96, 4, 1.0, 2), runs(168, 1, 1.0, 3)
    )
    found = audit(Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, Against.BASELINE, SPAN, targets=[target]))
    broken = line(found, Measure.BROKEN_ANSWERS)
    assert broken.n == 96 * 40
    assert broken.previous is not None
    assert broken.baseline is not None
    assert (broken.previous.reality, broken.baseline.reality) == (Reality.NOISE, Reality.REAL)
    assert [one.line.measure for one in found.worse()] == [Measure.BROKEN_ANSWERS]


def test_the_share_of_broken_answers_names_the_checks_that_failed_most() -> None:
    now, before = tallies(SPAN, Calls(broken_share=0.1), 1), tallies(SPAN.before(), USUAL, 2)
    found = audit(
        Facts(
            UNTIL,
            UNTIL - timedelta(days=1),
            UNTIL,
            Against.PREVIOUS,
            SPAN,
            services=[ServiceFacts("a", "", now, before)],
        )
    )
    subject: Subject = found.subjects[0]
    assert [one.name for one in subject.failed_checks] == ["json"]
    assert subject.failed_checks[0].failed > 3 * subject.failed_checks[0].before > 0


@pytest.mark.parametrize(
    ("length_s", "block_s"),
    [(HOUR_S, 300), (6 * HOUR_S, 900), (DAY_S, HOUR_S), (7 * DAY_S, DAY_S)],
    ids=["an hour", "six hours", "a day", "a week"],
)
def test_blocks_are_as_long_as_the_period_has_some_of(length_s: int, block_s: int) -> None:
    span = span_of(UNTIL - timedelta(seconds=length_s), UNTIL)
    assert span.block_s == block_s
    assert span.before().end == span.first
    assert len(span.blocks()) == len(span.before().blocks())
    assert days_before(span).end <= span.first
    assert span.end == END


def test_a_new_target_has_a_baseline_and_nothing_before_which_is_said() -> None:
    target = TargetFacts("bot", "m", "support", now=runs(8, 1, 1.0, 1), baseline=runs(20, 1, 1.0, 2))
    by = {
        against: audit(Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, against, SPAN, targets=[target]))
        for against in Against
    }
    assert by[Against.PREVIOUS].tests == 0
    assert by[Against.BASELINE].tests > 0
