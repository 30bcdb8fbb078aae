"""Evaluations that applications write on the spans of their calls: each way, from the SDK to a watch that fires."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from exported_spans import payload_of, span_of
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from alerts.finding import Label
from canaries.clock import SystemClock
from monitor.cli import main
from monitor.traffic.checks import EVALUATIONS_MAX, NAME_MAX, AnswerChecks
from monitor.traffic.config import EvaluationConfig
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic_flow.watch_traffic import look

from .conftest import CHAT, CountingMetrics, MakeCall

Told = Mapping[str, object]
Results = tuple[tuple[str, ...], tuple[str, ...]]
FAILED: Results = ((), ("grounded",))
PASSED: Results = (("grounded",), ())
NEITHER: Results = ((), ())


def lines(**told: dict[str, object]) -> dict[str, EvaluationConfig]:
    return {name: EvaluationConfig.model_validate(one) for name, one in told.items()}


def results(make_call: MakeCall, attributes: Told, **told: dict[str, object]) -> Results:
    checked = AnswerChecks((), lines(**told)).check(make_call(), [span_of(CHAT | dict(attributes))])
    return checked.checks_passed, checked.checks_failed


# --- by conventions

OTEL = "gen_ai.evaluation."


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({f"{OTEL}name": "grounded", f"{OTEL}score.label": "fail", f"{OTEL}score.value": 0.9}, FAILED),
        ({f"{OTEL}name": "grounded", f"{OTEL}label": "Pass", f"{OTEL}score": 4}, PASSED),
        ({f"{OTEL}name": "grounded", f"{OTEL}label": "made up", f"{OTEL}passed": False}, FAILED),
        ({f"{OTEL}score.label": "fail"}, NEITHER),
        ({f"{OTEL}name": "grounded", f"{OTEL}score.value": 0.1}, NEITHER),
        ({"evaluation.name": "grounded", "evaluation.label": "incorrect"}, FAILED),
        ({"eval.grounded.label": "not-relevant", "eval.grounded.score": 0.1}, FAILED),
        ({"eval.grounded.passed": True, "eval.grounded.explanation": "fail"}, PASSED),
        ({"eval.grounded": False, "eval.label": "fail", "eval..label": "fail"}, NEITHER),
        ({"braintrust.scores": '{"grounded": true}'}, PASSED),
        ({"braintrust.scores.grounded": False}, FAILED),
        ({"braintrust.scores": "{", "braintrust.scores.": False}, NEITHER),
        ({"eval.grounded.label": ["fail"], "braintrust.scores": '{"grounded": [0]}'}, NEITHER),
        ({"eval.grounded.label": "pass", "braintrust.scores": '{"grounded": false}'}, FAILED),
    ],
)
def test_what_conventions_name_counts_without_configuration(
    make_call: MakeCall, attributes: Told, expected: Results
) -> None:
    assert results(make_call, attributes) == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {f"{OTEL}name": "grounded", f"{OTEL}score.label": "pass", f"{OTEL}score.value": 0.69},
        {f"{OTEL}name": "grounded", f"{OTEL}label": "pass", f"{OTEL}score": 0},
        {"evaluation.name": "grounded", "evaluation.score": "0.2"},
        {"eval.grounded.label": "pass", "eval.grounded.score": 0.5},
        {"braintrust.scores": '{"other": 0.1, "grounded": 0.2}'},
        {"braintrust.scores.grounded": 0.2},
    ],
    ids=lambda one: next(iter(one)),
)
def test_of_a_score_the_operators_line_decides(make_call: MakeCall, attributes: Told) -> None:
    assert results(make_call, attributes, grounded={"min": 0.7}) == FAILED
    assert results(make_call, attributes, grounded={"max": 0.7}) == PASSED


# --- by the operator's choice


@pytest.mark.parametrize(
    ("line", "value", "expected"),
    [
        ({"min": 0.7}, 0.7, PASSED),
        ({"min": 0.7}, 0.6, FAILED),
        ({"min": 0.7}, "0.6", FAILED),
        ({}, 0.6, NEITHER),
        ({}, True, PASSED),
        ({}, "no", FAILED),
        ({}, "so-so", NEITHER),
        ({}, ["fail"], NEITHER),
        ({"failed": "yes"}, True, FAILED),
        ({"failed": "yes"}, "Yes", FAILED),
        ({"failed": "yes"}, False, PASSED),
        ({"passed": ["grounded", "Mostly Grounded"]}, "mostly-grounded", PASSED),
        ({"passed": ["grounded"]}, "invented", FAILED),
        ({"failed": ["invented"]}, "grounded", PASSED),
        ({"passed": ["grounded"], "failed": ["invented"]}, "unsure", NEITHER),
        ({"passed": ["grounded"]}, 0.1, NEITHER),
        ({"passed": ["grounded"], "min": 3}, 2, FAILED),
        ({"passed": ["grounded"], "min": 3}, "grounded", PASSED),
    ],
)
def test_any_attribute_can_hold_a_score_or_a_label(
    make_call: MakeCall, line: dict[str, object], value: object, expected: Results
) -> None:
    line = {"attribute": "app.eval"} | line
    assert results(make_call, {"app.eval": value}, grounded=line) == expected


def test_words_that_yaml_takes_for_true_and_false_are_what_they_were(make_call: MakeCall) -> None:
    for written in (True, "yes", "on"):
        line = {"attribute": "app.eval", "failed": [written]}
        assert results(make_call, {"app.eval": "yes"}, grounded=line) == FAILED


def test_own_attributes_count_beside_any_number_of_evaluations(make_call: MakeCall) -> None:
    told = {f"eval.{number:03}{'x' * 99}.label": "pass" for number in range(500)} | {"app.eval": "fail"}
    passed, failed = results(make_call, told, grounded={"attribute": "app.eval"})
    assert (len(passed), failed) == (EVALUATIONS_MAX, ("grounded",))
    assert max(map(len, passed)) == NAME_MAX


def test_a_call_that_failed_was_not_judged(make_call: MakeCall) -> None:
    told = span_of(CHAT | {"eval.grounded.label": "fail"})
    assert not AnswerChecks().check(make_call(error=True), [told]).is_checked


# --- from the SDK to a watch


def exported(calls: int, attributes: Told, event: Told | None = None) -> bytes:
    """Calls as OpenTelemetry's SDK sends them, judged while their spans were open."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "atlas"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("app")
    for _ in range(calls):
        with tracer.start_as_current_span("chat", attributes=CHAT) as span:
            for key, value in attributes.items():
                span.set_attribute(key, value)
            if event:
                span.add_event("gen_ai.evaluation.result", event)
    return encode_spans(kept.get_finished_spans()).SerializeToString()


WAYS = {
    "an event": ({}, {"gen_ai.evaluation.name": "grounded", "gen_ai.evaluation.score.value": 0.2}),
    "OpenTelemetry": ({"gen_ai.evaluation.name": "grounded", "gen_ai.evaluation.score.value": 0.2}, None),
    "Arize": ({"eval.grounded.score": 0.2, "eval.grounded.label": "made up"}, None),
    "Braintrust": ({"braintrust.scores": '{"grounded": 0.2}'}, None),
    "its own": ({"app.eval.grounded": 0.2}, None),
}


@pytest.mark.parametrize("way", WAYS)
async def test_each_way_fires_a_watch(database, way: str) -> None:
    clock, metrics = SystemClock(), CountingMetrics()
    checks = AnswerChecks((), lines(grounded={"attribute": "app.eval.grounded", "min": 0.7}))
    intake = Intake(database, clock, metrics, checks=checks)
    body = await asyncio.to_thread(exported, 30, *WAYS[way])
    await intake.accept(body, Encoding.PROTOBUF)
    await intake.accept(body, Encoding.PROTOBUF)  # a retry
    assert metrics.checks == {("atlas", "grounded", "failed"): 30}
    watch = {"name": "rules", "measure": "validator_failures", "above": "5%", "notify": ["oncall"]}
    (said,) = await look(intake, [WatchConfig.model_validate(watch)], clock.now())
    assert said.judgement.label is Label.BREACHED
    assert said.judgement.reason.endswith("(30 grounded)")


# --- what people are told


def test_the_explanation_names_the_attribute_that_gave_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told = {
        "app.eval.helpful": 0.2,
        "eval.grounded.label": "invented",
        "braintrust.scores": '{"polite": true}',
    }
    (tmp_path / "a.pb").write_bytes(payload_of([span_of(CHAT | told)]))
    (tmp_path / "own.yaml").write_text("evaluations: {helpful: {attribute: app.eval.helpful, min: 0.5}}\n")

    def explained(*options: str) -> str:
        arguments = ["spans", "decode", str(tmp_path / "a.pb"), "--explain", *options]
        monkeypatch.setattr(sys, "argv", ["anchorwatch", *arguments, "-c", str(tmp_path / "own.yaml")])
        monkeypatch.setenv("COLUMNS", "220")
        with pytest.raises(SystemExit):
            main()
        return capfd.readouterr().out

    out = explained()
    assert "checked as helpful: failed, by app.eval.helpful, which says 0.2" in out
    assert (
        "checked as grounded: not counted, as it says neither passed nor failed, by eval.grounded.label, "
        "which says invented"
    ) in out
    assert "checked as polite: passed, by braintrust.scores > polite, which says true" in out
    first = json.loads(explained("--json"))
    assert first["checks"][0] == {
        "check": "helpful",
        "passed": False,
        "value": 0.2,
        "from": "app.eval.helpful",
    }
