"""What watches want to know of a call, read in passing."""

from collections import Counter
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError

from alerts.finding import Label
from monitor.traffic.calls import Call, CostBasis, ErrorClass, FinishReason
from monitor.traffic.dialects.values import TEXT_MAX
from monitor.traffic.intake import Intake
from monitor.traffic.lookout.origin import chosen_of, origin_of
from monitor.traffic.otlp import Encoding
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judging import judge
from monitor.traffic.watches.marking import (
    FAILED_MAX,
    RESENT,
    RESENT_MAX,
    RETRIED,
    RETRY_S,
    Attempts,
    Marking,
    Marks,
    ambiguous_of,
)
from monitor.traffic.windows.series import minute_of

from .conftest import CHAT, NOON, MakeCall, key_values


def watch(**fields: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "w", **fields})


def share(where: dict[str, object], **more: object) -> WatchConfig:
    return watch(share={"where": where, **more}, above="5%")


def marked(
    marking: Marking, call: Call, attributes: dict[str, object], resource: dict[str, object] | None = None
) -> Marks:
    return marking.mark(replace(call, chosen=held(marking, attributes, resource)))


def held(
    marking: Marking, attributes: dict[str, object], resource: dict[str, object] | None = None
) -> tuple[tuple[str, str], ...]:
    return chosen_of(attributes, origin_of(resource or {}, marking.keys), marking.keys)


@pytest.mark.parametrize(
    ("where", "changes", "attributes"),
    [
        ({"attributes": {"app.fallback": True}}, {}, {"app.fallback": "true"}),
        ({"attributes": {"app.fallback": "true"}}, {}, {"app.fallback": True}),
        ({"attributes": {"app.tier": ["gold", "pl*"]}}, {}, {"app.tier": "platinum"}),
        ({"attributes": {"app.attempt": 2}}, {}, {"app.attempt": 2}),
        ({"finish_reason": "length"}, {"finish_reason": FinishReason.LENGTH}, {}),
        ({"error_class": ["timeout", "connection"]}, {"error": True, "error_class": ErrorClass.TIMEOUT}, {}),
        ({"failed": True}, {"error": True}, {}),
        ({"streaming": True}, {"streaming": True}, {}),
        ({"cost_basis": "inferred"}, {"cost_usd": 1.0, "cost_basis": CostBasis.INFERRED}, {}),
        ({"slower_than": "5s"}, {"duration_s": 5.1}, {}),
        ({"model": "backup-*"}, {"response_model": "backup-small"}, {}),
        ({"failed": False, "attributes": {"app.fallback": True}}, {}, {"app.fallback": "true"}),
    ],
    ids=str,
)
def test_a_filter_counts_the_calls_that_are_all_it_says(
    make_call: MakeCall, where, changes, attributes
) -> None:
    rule = share(where)
    name, name_of = rule.share.name, rule.share.name_of
    assert marked(Marking([rule]), make_call(**changes), attributes).matched == (name_of, name)
    other = marked(Marking([rule]), make_call(error=where.get("failed") is False), {})
    assert other.matched == (name_of,)


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"checks_failed": ("json-schema",)}, 2),
        ({"checks_passed": ("json-schema",)}, 1),
        ({"checks_failed": ("language",)}, 0),
        ({}, 0),
        ({"checks_failed": ("json-schema",), "request_model": "n"}, 0),
    ],
    ids=["failed", "passed", "judged by another check", "not judged", "failed, but of other calls"],
)
def test_a_failed_check_is_a_share_of_the_answers_that_it_judged(
    make_call: MakeCall, changes, counted
) -> None:
    rule = share({"failed_check": "json*"}, of={"model": "gpt*"})
    call = make_call(**{"request_model": "gpt", "response_model": None, **changes})
    assert marked(Marking([rule]), call, {}).matched == (rule.share.name_of, rule.share.name)[:counted]
    assert rule.measure.calls == "checked calls"


def test_a_ratio_of_two_filters_counts_only_among_the_second(make_call: MakeCall) -> None:
    rule = share({"attributes": {"app.repaired": True}}, of={"attributes": {"app.format": "json"}})
    marking = Marking([rule])
    assert marking.keys == ("app.format", "app.repaired")
    assert marked(marking, make_call(), {"app.repaired": True}).matched == ()
    assert len(marked(marking, make_call(), {"app.repaired": True, "app.format": "json"}).matched) == 2


def test_an_attribute_is_found_on_the_span_before_its_resource(make_call: MakeCall) -> None:
    marking = Marking([watch(values={"attribute": "app.route", "tell": ["new"]})])
    resource = {"app.route": "resource", "app.other": "x"}
    assert marked(marking, make_call(), {}, resource).chosen == (("app.route", "resource"),)
    assert marked(marking, make_call(), {"app.route": "span"}, resource).chosen == (("app.route", "span"),)


def test_what_only_a_filter_asks_for_is_counted_by_no_value(make_call: MakeCall) -> None:
    assert marked(Marking([share({"attributes": {"app.a": "*"}})]), make_call(), {"app.a": "b"}).chosen == ()


def test_nothing_is_read_and_no_call_changed_where_no_watch_asks(make_call: MakeCall) -> None:
    marking = Marking([watch(measure="error_share", above="2%")])
    assert (marking.keys, marking.is_wanted) == ((), False)
    assert marked(marking, make_call(), {"user.id": "alice"}) == Marks((), ())


def test_values_are_bounded_text() -> None:
    marking = Marking([watch(values={"attribute": "a", "tell": ["new"]})])
    values = (True, 3, 1.5, " x ", "y" * 1_000, "", ["a"], None)
    found = [dict(held(marking, {"a": one})).get("a") for one in values]
    assert found == ["true", "3", "1.5", "x", "y" * TEXT_MAX, None, None, None]


def test_ambiguous_costs_are_told_apart_where_a_budget_counts(make_call: MakeCall) -> None:
    marking = Marking([watch(budget={"usd": 5, "every": "day", "per": "user.id"})])
    sure = make_call(cost_usd=0.1, cost_basis=CostBasis.EXACT)
    unsure = make_call(cost_usd=0.1, cost_basis=CostBasis.AMBIGUOUS)
    assert marked(marking, sure, {"user.id": "alice"}).chosen == (("user.id", "alice"),)
    assert marked(marking, unsure, {"user.id": "alice"}).chosen == (
        ("user.id", "alice"),
        (ambiguous_of("user.id"), "alice"),
    )


# Attempts


@pytest.mark.parametrize(
    ("changes", "follows"),
    [
        ({"started_at": NOON}, True),
        ({"started_at": NOON + RETRY_S}, True),
        ({"started_at": NOON + RETRY_S + 1}, False),
        ({"started_at": NOON - 0.5}, False),
        ({"started_at": NOON + 1, "trace_id": "f" * 32}, False),
        ({"started_at": NOON + 1, "request_model": "another"}, False),
    ],
    ids=["at once", "at the latest", "too late", "in parallel", "another trace", "another model"],
)
def test_the_next_attempt_follows_a_failed_one(make_call: MakeCall, changes, follows) -> None:
    attempts = Attempts()
    assert not attempts.follows(make_call(error=True, ended_at=NOON))
    assert attempts.follows(make_call(ended_at=NOON + 5, **changes)) is follows


def test_a_call_after_an_answered_one_is_no_retry(make_call: MakeCall) -> None:
    attempts = Attempts()
    attempts.follows(make_call())
    assert not attempts.follows(make_call(started_at=NOON + 1))


def test_failed_calls_are_forgotten_beyond_the_limit(make_call: MakeCall) -> None:
    attempts = Attempts()
    for number in range(FAILED_MAX + 1):
        attempts.follows(make_call(error=True, trace_id=f"{number:032x}"))
    assert not attempts.follows(make_call(started_at=NOON + 1, trace_id=f"{0:032x}"))
    assert attempts.follows(make_call(started_at=NOON + 1, trace_id=f"{1:032x}"))


def test_what_a_client_says_it_sent_again_is_counted_up_to_a_limit(make_call: MakeCall) -> None:
    marking = Marking([watch(measure="attempts_per_call", above=1.5)])
    assert marking.keys == ("http.request.resend_count",)
    assert marked(marking, make_call(), {"http.request.resend_count": 2}).matched == (RESENT, RESENT)
    many = marked(marking, make_call(), {"http.request.resend_count": 10**6}).matched
    assert len(many) == RESENT_MAX
    marked(marking, make_call(error=True, ended_at=NOON), {})
    assert marked(marking, make_call(started_at=NOON + 1), {}).matched == (RETRIED,)


# From a request to a judgement


async def test_a_request_is_counted_by_what_a_watch_asks(database, clock, metrics, make_payload) -> None:
    rule = share({"attributes": {"app.fallback": "true"}}, of={"attributes": {"app.fallback": "*"}})
    intake = Intake(database, clock, metrics, marking=Marking([rule]))
    for spans, value in ((30, "true"), (10, "false")):
        body = make_payload(spans=spans, attributes={**CHAT, "app.fallback": value})
        await intake.accept(body, Encoding.PROTOBUF)
    await intake.accept(make_payload(spans=10), Encoding.PROTOBUF)
    await intake.fold()
    windows = await intake.windows(minute_of(NOON) - 600, minute_of(NOON))
    judgement = judge(rule, windows, clock.now())
    assert (judgement.label, judgement.value, judgement.n) == (Label.BREACHED, 0.75, 40)
    assert judgement.reason.startswith("share is 75 % (at least ")


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ({"failed": False}, 45),
        ({"slower_than": "500ms"}, 45),
        ({"cost_basis": "exact"}, 50),
        ({"model": "gpt-4o-mini"}, 45),
    ],
    ids=str,
)
async def test_calls_that_are_counted_together_are_matched_one_by_one(
    database, clock, metrics, make_payload, where, calls
) -> None:
    rule = share(where)
    intake = Intake(database, clock, metrics, marking=Marking([rule]))
    await intake.accept(make_payload(spans=40), Encoding.PROTOBUF)
    await intake.accept(make_payload(spans=5, is_error=True, duration_s=0.1), Encoding.PROTOBUF)
    await intake.accept(
        make_payload(spans=5, attributes=CHAT | {"gen_ai.request.model": "x"}), Encoding.PROTOBUF
    )
    await intake.fold()
    windows = await intake.windows(minute_of(NOON) - 600, minute_of(NOON))
    matched: Counter[str] = Counter()
    for window in windows:
        matched.update(window.matched)
    assert (matched[rule.share.name], matched[rule.share.name_of]) == (calls, 50)


def exported(number: int, name: str, *, parent: int = 0, **attributes: object) -> bytes:
    """A request with one span of one call, by one of the two emitters that tell it."""
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    scope_spans.scope.name = name
    span = scope_spans.spans.add(name="chat", trace_id=bytes(15) + b"\1", span_id=number.to_bytes(8))
    span.parent_span_id = parent.to_bytes(8) if parent else b""
    span.start_time_unix_nano, span.end_time_unix_nano = round((NOON - 2) * 1e9), round(NOON * 1e9)
    answer = {"gen_ai.response.id": "chatcmpl-77"}
    span.attributes.extend(key_values({**CHAT, **answer, **attributes}))
    return request.SerializeToString()


async def test_what_two_spans_of_a_call_hold_is_counted_once_also_after_a_restart(
    database, clock, metrics
) -> None:
    rules = [
        share({"attributes": {"app.fallback": "true", "app.route": "a"}}),
        watch(values={"attribute": "app.route", "tell": ["new"]}),
    ]
    before = Intake(database, clock, metrics, marking=Marking(rules))
    inner = exported(2, "openai", parent=1, **{"app.fallback": "true"})
    await before.accept(inner, Encoding.PROTOBUF)
    after = Intake(database, clock, metrics, marking=Marking(rules))
    await after.recover()
    await after.accept(exported(1, "langchain", **{"app.route": "a"}), Encoding.PROTOBUF)
    windows = await after.windows(minute_of(NOON), minute_of(NOON))
    (window,) = windows
    asked = rules[0].share
    assert (window.calls, window.matched) == (1, {asked.name: 1, asked.name_of: 1})
    assert {value: one.calls for value, one in window.chosen.of("app.route").items()} == {"a": 1}
    assert not window.chosen.of("app.fallback")


# Configuration


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ({}, "where matches every call"),
        ({"finish_reason": "lenght"}, "is none of stop, length"),
        ({"error_class": ["timeout", "throttled"]}, '"throttled" is none of rate_limit'),
        ({"attributes": {f"a{n}": "x" for n in range(11)}}, "at most 10"),
        ({"colour": "red"}, "Extra inputs"),
    ],
    ids=["nothing", "finish reason", "error class", "too many attributes", "unknown"],
)
def test_a_filter_that_cannot_be_meant_is_refused(where: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        share(where)
