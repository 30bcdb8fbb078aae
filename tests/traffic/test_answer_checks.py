"""Validators on production answers: from an export request to a watch that fires, and no text on the way."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from exported_spans import START_NS, payload_of, span_of
from pydantic import ValidationError
from sqlmodel import select

import alerts.store as alert_store
from alerts.evidence.ledger import Budgets
from alerts.finding import Label
from monitor.cli.spans_commands import call_json
from monitor.database import Database
from monitor.telemetry import Metrics
from monitor.traffic import calls as calls_json
from monitor.traffic import checks as checks_module
from monitor.traffic import store
from monitor.traffic.calls import FinishReason, Operation
from monitor.traffic.checks import EVALUATIONS_MAX, AnswerChecks
from monitor.traffic.config import EvaluationConfig, ValidatorConfig
from monitor.traffic.dialects.evaluations import EVENT
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding, Span
from monitor.traffic.tables import TrafficWindowRow
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.measures import Measure
from monitor.traffic.windows.series import series_of
from monitor.traffic.windows.window import CHECKS_MAX, OTHER_CHECKS, Window, window_from_json, window_to_json
from monitor.traffic_flow.watch_tails import look_at_tails
from monitor.traffic_flow.watch_traffic import look
from monitor.watched import House

from .conftest import CHAT, CountingMetrics, MakeCall

START = datetime.fromtimestamp(START_NS / 1e9, UTC)
SECRET = "zanzibar-4711"


def validator(name: str = "format", **fields: object) -> ValidatorConfig:
    return ValidatorConfig.model_validate({"name": name, "expect": {"json": True}} | fields)


def answered(text: str | None, number: int = 1, at_s: float = 0.0, **fields: object) -> Span:
    told = CHAT if text is None else CHAT | {"gen_ai.output.messages": messages(text)}
    return span_of(told, number=number, trace=number, at_s=at_s, **fields)  # type: ignore[arg-type]


def messages(text: str) -> str:
    return orjson.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}]).decode()


def evaluated(name: str, **told: object) -> tuple[str, float, Mapping[str, object]]:
    return (
        EVENT,
        1.0,
        {"gen_ai.evaluation.name": name}
        | {f"gen_ai.evaluation.{key.replace('__', '.')}": value for key, value in told.items()},
    )


def results(call: calls_json.Call) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return call.checks_passed, call.checks_failed


# --- one call


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a": 1}', (("format",), ())), ("a: 1", ((), ("format",))), (None, ((), ()))],
    ids=["passed", "failed", "no text"],
)
def test_an_answer_passes_or_fails_each_validator(make_call: MakeCall, text, expected) -> None:
    checked = AnswerChecks([validator()]).check(make_call(), [answered(text)])
    assert results(checked) == expected
    assert checked.is_checked is (text is not None)


def test_an_answer_fails_a_validator_when_one_of_its_expectations_fails(make_call: MakeCall) -> None:
    both = validator(expect={"json": True, "must_not_match": "secret"})
    assert AnswerChecks([both]).check(make_call(), [answered('["secret"]')]).checks_failed == ("format",)


@pytest.mark.parametrize(
    "changes",
    [
        {"error": True},
        {"operation": Operation.EMBEDDINGS},
        {"finish_reason": FinishReason.TOOL_CALLS},
        {"service_name": "blog"},
    ],
    ids=["it failed", "it embeds", "it asks for tools", "it does not match"],
)
def test_what_is_not_checked(make_call: MakeCall, changes: dict[str, object]) -> None:
    checks = AnswerChecks([validator(match={"service": "shop"})])
    assert not checks.check(make_call(**changes), [answered("a: 1")]).is_checked


@pytest.mark.parametrize("validators", [[], [validator(match={"version": "2.*"})]], ids=["none", "another"])
def test_no_text_is_read_where_no_validator_matches(make_call: MakeCall, monkeypatch, validators) -> None:
    def read(span: Span) -> str:
        raise AssertionError("it was read")

    monkeypatch.setattr(checks_module, "answer_text", read)
    call = make_call()
    assert AnswerChecks(validators).check(call, [answered("a: 1")]) is call


def test_the_text_comes_from_the_first_span_that_carries_it(make_call: MakeCall) -> None:
    spans = [answered(None), answered('{"a": 1}'), answered("a: 1")]
    assert AnswerChecks([validator()]).check(make_call(), spans).checks_passed == ("format",)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"score__label": "pass"}, (("grounded",), ())),
        ({"score__label": "Not Relevant", "score__value": 0.9}, ((), ("grounded",))),
        ({"score__value": 0.1}, ((), ())),
        ({"score__label": "so-so"}, ((), ())),
    ],
    ids=["passed", "failed", "a score alone", "another label"],
)
def test_what_an_application_says_of_its_answers_counts(make_call: MakeCall, told, expected) -> None:
    span = answered(None, events=[evaluated("grounded", **told)])
    assert results(AnswerChecks().check(make_call(), [span])) == expected


@pytest.mark.parametrize(
    ("line", "told", "expected"),
    [
        ({"min": 0.7}, {"score__value": 0.7}, (("grounded",), ())),
        ({"min": 0.7}, {"score__value": 0.69}, ((), ("grounded",))),
        ({"max": 0.2}, {"score__value": 1}, ((), ("grounded",))),
        ({"min": -1, "max": 1}, {"score__value": "0.5"}, (("grounded",), ())),
        ({"min": 0.7}, {"score__value": 0.1, "score__label": "pass"}, ((), ("grounded",))),
        ({"min": 0.7}, {"score__label": "pass"}, (("grounded",), ())),
        ({"min": 0.7}, {"score__value": float("nan")}, ((), ())),
    ],
    ids=["on it", "below", "above", "as text", "the line decides", "no score", "no number"],
)
def test_a_score_counts_where_the_operator_draws_the_line(make_call: MakeCall, line, told, expected) -> None:
    checks = AnswerChecks((), {"grounded": EvaluationConfig.model_validate(line)})
    span = answered(None, events=[evaluated("grounded", **told), evaluated("other", score__value=0.5)])
    assert results(checks.check(make_call(), [span])) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [({}, "draws no line"), ({"min": 1, "max": 0}, "no score passes"), ({"min": float("inf")}, "finite")],
    ids=["none", "crossed", "infinite"],
)
def test_a_line_that_cannot_be_meant_is_refused(line: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        EvaluationConfig.model_validate(line)


def test_of_one_name_the_worst_counts(make_call: MakeCall) -> None:
    events = [evaluated("format", score__label=label) for label in ("fail", "pass")]
    span = answered('{"a": 1}', events=events)
    assert results(AnswerChecks([validator()]).check(make_call(), [span])) == ((), ("format",))


def test_evaluations_are_bounded(make_call: MakeCall) -> None:
    span = answered(None, events=[evaluated(f"e{n}" + "x" * 99, score__label="pass") for n in range(500)])
    names = AnswerChecks().check(make_call(), [span]).checks_passed
    assert (len(names), max(map(len, names))) == (EVALUATIONS_MAX, 64)


# --- what is stored


def test_a_call_keeps_its_checks_in_the_journal(make_call: MakeCall) -> None:
    call = make_call(checks_passed=("a",), checks_failed=("b", "c"))
    assert calls_json.from_json(orjson.loads(calls_json.to_json(call))) == call


def test_what_spans_decode_prints_has_no_checks(make_call: MakeCall) -> None:
    assert b"checks" not in call_json(make_call(checks_failed=("a",)))


def test_calls_and_windows_of_earlier_versions_are_read(make_call: MakeCall) -> None:
    old = {
        name: value
        for name, value in orjson.loads(calls_json.to_json(make_call())).items()
        if not name.startswith("checks")
    }
    assert calls_json.from_json(old) == make_call()
    window = counted(make_call())
    plain = window_to_json(window)
    for name in ("checked", "unsound", "failed_checks"):
        plain.pop(name, None)
    assert window_from_json(window.minute, window.series, plain) == window


def counted(*calls: calls_json.Call) -> Window:
    window = Window(0, series_of(calls[0]))
    for call in calls:
        window.add(call)
    return window


def test_a_window_counts_checked_calls_and_those_that_failed_a_check(make_call: MakeCall) -> None:
    window = counted(
        make_call(),
        make_call(checks_passed=("a", "b")),
        make_call(checks_passed=("a",), checks_failed=("b",)),
        make_call(checks_failed=("a", "b")),
    )
    assert (window.calls, window.checked, window.unsound) == (4, 3, 2)
    assert window.failed_checks == {"a": 1, "b": 2}
    twice = counted(make_call(checks_failed=("b",)))
    twice.merge(window)
    assert (twice.checked, twice.unsound, twice.failed_checks) == (4, 3, {"a": 1, "b": 3})
    assert window_from_json(window.minute, window.series, window_to_json(window)) == window


def test_names_of_checks_without_end_are_counted_together(make_call: MakeCall) -> None:
    window = counted(*(make_call(checks_failed=(f"e{number}",)) for number in range(CHECKS_MAX + 7)))
    assert len(window.failed_checks) == CHECKS_MAX + 1
    assert window.failed_checks[OTHER_CHECKS] == 7
    assert window.unsound == CHECKS_MAX + 7


# --- from the wire to people


@pytest.fixture
def shop(database: Database, clock, metrics: CountingMetrics) -> Intake:
    checks = AnswerChecks([validator(match={"service": "atlas"})])
    return Intake(database, clock, metrics, checks=checks)


async def serve(intake: Intake, clock, sound: int, unsound: int, first: int = 1) -> None:
    texts = ['{"a": 1}'] * sound + [f"{SECRET}, not JSON"] * unsound
    numbers = range(first, first + len(texts))
    at_s = clock.now().timestamp() - START.timestamp() - 5
    spans = [
        answered(text, number, at_s, resource={"service.name": "atlas"})
        for text, number in zip(texts, numbers, strict=True)
    ]
    await intake.accept(payload_of(spans), Encoding.PROTOBUF)


def watch(**fields: object) -> WatchConfig:
    told = {"name": "rules", "measure": "validator_failures", "notify": ["oncall"]}
    return WatchConfig.model_validate(told | fields)


async def test_a_watch_fires_when_answers_surely_break_the_rules(shop: Intake, clock) -> None:
    await serve(shop, clock, sound=80, unsound=20)
    await shop.fold()
    (said,) = await look(shop, [watch(above="5%")], clock.now())
    verdict = said.verdict()
    assert verdict.label is Label.BREACHED
    assert verdict.finding is not None
    assert verdict.finding.summary == (
        "rules: validator_failures is 20 % (at least 11.6 %) over 100 checked calls of the last 6 minutes, "
        "above 5 % (20 format)"
    )


async def test_a_few_failures_are_no_breach(shop: Intake, clock) -> None:
    await serve(shop, clock, sound=19, unsound=2)
    (said,) = await look(shop, [watch(above="5%")], clock.now())
    assert said.judgement.label is Label.STEADY
    assert said.judgement.is_doubtful


async def test_calls_without_a_check_say_nothing_and_why(database, clock, metrics) -> None:
    unchecked = Intake(database, clock, metrics)
    await serve(unchecked, clock, sound=0, unsound=50)
    (said,) = await look(unchecked, [watch(above="5%")], clock.now())
    assert said.judgement.label is Label.NO_DATA
    assert said.judgement.reason == (
        "0 checked calls to judge in the last 6 minutes, 20 are needed; of 50 calls none was checked: "
        "a validator must match them and their spans carry the answers, or an evaluation that says passed or failed"
    )


async def test_an_evaluation_of_the_application_fires_the_watch_without_any_validator(
    database, clock, metrics
) -> None:
    intake = Intake(database, clock, metrics)
    at_s = clock.now().timestamp() - START.timestamp() - 5
    spans = [
        answered(None, number, at_s, events=[evaluated("grounded", score__label="fail")])
        for number in range(1, 31)
    ]
    await intake.accept(payload_of(spans), Encoding.PROTOBUF)
    (said,) = await look(intake, [watch(above="50%")], clock.now())
    assert said.judgement.label is Label.BREACHED
    assert said.judgement.reason.endswith("(30 grounded)")


async def test_checks_are_told_by_service_and_validator(shop: Intake, clock, metrics) -> None:
    await serve(shop, clock, sound=3, unsound=2)
    assert metrics.checks == {("atlas", "format", "passed"): 3, ("atlas", "format", "failed"): 2}


def test_the_daemons_metrics_count_checks(clock) -> None:
    metrics = Metrics(clock)
    metrics.count_check("shop", "format", "failed")
    told = metrics.render().decode()
    assert 'anchorwatch_answer_checks_total{result="failed",service="shop",validator="format"} 1.0' in told


def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_no_text_of_an_answer_is_stored_anywhere(shop: Intake, database, clock, tmp_path: Path) -> None:
    await serve(shop, clock, sound=1, unsound=30)
    in_journal = files(tmp_path)
    await shop.fold()
    in_windows = database.read(
        lambda session: [zlib.decompress(row.body[1:]) for row in session.exec(select(TrafficWindowRow))]
    )
    assert any(b'["format",false]' in body for body in in_journal)
    assert all(b"unsound" in body for body in in_windows)
    assert not any(SECRET.encode() in body for body in (*in_journal, *in_windows, *files(tmp_path)))


async def test_checks_survive_a_crash(shop: Intake, database, clock) -> None:
    await serve(shop, clock, sound=3, unsound=2)
    after = Intake(database, clock, CountingMetrics())
    assert await after.recover() == 5
    await after.fold()
    (window,) = database.read(lambda session: store.windows_between(session, 0, 10**10))
    assert (window.checked, window.unsound) == (5, 2)


async def serve_hours(intake: Intake, clock, hours: Sequence[tuple[int, int]]) -> None:
    for sound, unsound in hours:
        clock.advance(3_600)
        await serve(intake, clock, sound, unsound, first=int(clock.now().timestamp()) // 3_600 * 1_000)


async def test_a_shift_of_the_failures_pages_against_their_own_history(
    shop: Intake, database: Database, clock
) -> None:
    house = House(b"secret", Budgets(pages_per_quarter=1.0))
    shifted = watch(shift={"baseline": "2d"})
    await serve_hours(shop, clock, [(95 + hour % 4, 5 - hour % 4) for hour in range(48)])
    clock.advance(600)
    await tails(database, shop, [shifted], house, clock)
    for _ in range(10):
        await serve_hours(shop, clock, [(60, 40)])
        await tails(database, shop, [shifted], house, clock)
    await serve_hours(shop, clock, [(60, 40)])
    await tails(database, shop, [shifted], house, clock)
    (incident,) = database.read(alert_store.incidents)
    assert "% of 100 checked calls from " in incident.finding.summary
    assert "failed a validator, usually 3" in incident.finding.summary


async def test_a_shift_beside_a_control_needs_no_baseline(shop: Intake, database: Database, clock) -> None:
    beside = watch(match={"version": "2"}, shift={"control": {"version": "1"}})
    house = House(b"secret", Budgets(pages_per_quarter=1.0))
    await tails(database, shop, [beside], house, clock)
    for hour in range(1, 13):
        clock.advance(3_600)
        at_s = clock.now().timestamp() - START.timestamp() - 5
        spans = [
            answered(
                "{}" if number % 10 >= failing else "no",
                hour * 1_000 + number + 500 * int(version),
                at_s,
                resource={"service.name": "atlas", "service.version": version},
            )
            for version, failing in (("1", 0), ("2", 3))
            for number in range(100)
        ]
        await shop.accept(payload_of(spans), Encoding.PROTOBUF)
        await tails(database, shop, [beside], house, clock)
    (incident,) = database.read(alert_store.incidents)
    assert "failed a validator, 0 % of 100 checked calls of its control" in incident.finding.summary


async def tails(database: Database, intake: Intake, watches: list[WatchConfig], house: House, clock) -> None:
    now = clock.now() + timedelta(seconds=200)
    await look_at_tails(database, intake, watches, {one.name: 1.0 for one in watches}, house, now)


def test_validator_failures_are_a_share() -> None:
    assert Measure.VALIDATOR_FAILURES.is_share
    assert watch(above="2%").above == 0.02
    with pytest.raises(ValueError, match="measured in share"):
        watch(above="2s")


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ({}, "expects nothing"),
        ({"max_length": 200_000}, "max_length is 100,000 at most"),
        ({"matches": "("}, "is not a regular expression"),
        ({"jsn": True}, "Extra inputs"),
    ],
)
def test_a_validator_that_cannot_work_is_refused(expect: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        validator(expect=expect)


def test_a_joined_call_is_checked_once(make_call: MakeCall) -> None:
    call = replace(make_call(), span_ids=("1" * 16, "2" * 16))
    checked = AnswerChecks([validator()]).check(call, [answered("a"), answered("a")])
    assert checked.checks_failed == ("format",)
