"""``anchorwatch spans decode``: payload files to calls, as a person and a machine meet it."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from exported_spans import id_of, payload_of, span_of
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.cli import main
from monitor.traffic.otlp import Span

ID = "chatcmpl-0123456789abcdef"
TOLD = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": ID,
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
    "gen_ai.input.messages": '[{"role": "user", "content": "a secret question"}]',
}
FIELDS = [
    "operation", "provider", "request_model", "response_model", "response_id", "input_tokens", "cached_input_tokens",
    "cache_write_input_tokens", "output_tokens", "reasoning_tokens", "error", "error_class", "http_status",
    "finish_reason", "streaming", "ttft_s", "duration_s", "session_id", "service_name", "service_version",
    "environment", "cost_usd", "cost_basis", "dialect", "span_ids",
]  # fmt: skip

Decode = Callable[..., tuple[int, str, str]]


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Decode:
    """The command, which gives its exit code, its output, and what it told on stderr."""
    monkeypatch.setenv("COLUMNS", "220")

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "spans", "decode", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capfd.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return call


def as_json(spans: list[Span]) -> bytes:
    """The payload as OTLP/JSON, which writes ids as hex."""
    data = MessageToDict(ExportTraceServiceRequest.FromString(payload_of(spans)))
    for resource in data["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span, made in zip(scope["spans"], spans, strict=False):
                span |= {"traceId": made.trace_id, "spanId": made.span_id}
                span.pop("parentSpanId", None)
    return json.dumps(data, separators=(",", ":")).encode()


def test_every_form_of_a_payload_is_read(tmp_path: Path, decode: Decode) -> None:
    files = []
    for number, (name, body) in enumerate(
        [("a.pb", payload_of), ("b.pb.gz", payload_of), ("c.json", as_json), ("d.json.gz", as_json)]
    ):
        written = body([span_of({**TOLD, "gen_ai.response.id": None}, number=number + 1, at_s=10 * number)])
        files.append(tmp_path / name)
        files[-1].write_bytes(gzip.compress(written) if name.endswith(".gz") else written)
    code, out, err = decode(*files, "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line)["span_ids"] for line in out.splitlines()] == [[id_of(n)] for n in (1, 2, 3, 4)]


def test_a_line_has_the_fields_of_a_call_and_no_text(tmp_path: Path, decode: Decode) -> None:
    (tmp_path / "a.pb").write_bytes(payload_of([span_of(TOLD)]))
    _, out, _ = decode(tmp_path / "a.pb", "--json")
    call = json.loads(out)
    assert list(call) == FIELDS
    assert call["cost_usd"] == pytest.approx(0.00021)
    assert call["cost_basis"] == "exact"
    assert call["duration_s"] == pytest.approx(2.0)
    for shown in (["--json"], [], ["--explain"], ["--explain", "--json"]):
        assert "secret" not in decode(tmp_path / "a.pb", *shown)[1]


def test_prices_of_the_named_configuration_count_before_list_prices(tmp_path: Path, decode: Decode) -> None:
    (tmp_path / "a.pb").write_bytes(payload_of([span_of(TOLD)]))
    own = tmp_path / "own.yaml"
    own.write_text("prices: [{model: gpt-4o-mini*, input_usd_per_mtok: 1, output_usd_per_mtok: 10}]\n")
    _, out, _ = decode(tmp_path / "a.pb", "-c", own, "--json")
    assert json.loads(out)["cost_usd"] == pytest.approx(0.002)
    own.write_text("prices: [{model: gpt-4o-mini*, input_usd_per_mtok: cheap}]\n")
    code, out, err = decode(tmp_path / "a.pb", "-c", own, "--json")
    assert (code, out) == (2, "")
    assert "prices[0].input_usd_per_mtok" in err


def test_files_are_one_stream_in_which_a_call_is_once(tmp_path: Path, decode: Decode) -> None:
    (tmp_path / "a.pb").write_bytes(payload_of([span_of(TOLD, number=1)]))
    (tmp_path / "b.pb").write_bytes(payload_of([span_of(TOLD, number=2, trace=2, scope="other")]))
    _, out, _ = decode(tmp_path / "a.pb", tmp_path / "b.pb", "--json")
    assert [sorted(json.loads(line)["span_ids"]) for line in out.splitlines()] == [[id_of(1), id_of(2)]]


def test_the_collectors_file_has_a_request_on_each_line(tmp_path: Path, decode: Decode) -> None:
    lines = [as_json([span_of({**TOLD, "gen_ai.response.id": None}, number=n, at_s=9 * n)]) for n in (1, 2)]
    (tmp_path / "traces.json").write_bytes(b"\n".join(lines) + b"\n")
    _, out, _ = decode(tmp_path / "traces.json", "--json")
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("broken.pb", b"\x0a\xff\xff"),
        ("broken.json", b'{"resourceSpans": ['),
        ("broken.pb.gz", b"no gzip"),
        ("cut.pb.gz", gzip.compress(payload_of([span_of(TOLD)]))[:-12]),
        ("spans.txt", b""),
        ("missing.pb", None),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_the_others_come_out(
    tmp_path: Path, decode: Decode, name: str, body: bytes | None
) -> None:
    (tmp_path / "good.pb").write_bytes(payload_of([span_of(TOLD)]))
    if body is not None:
        (tmp_path / name).write_bytes(body)
    code, out, err = decode(tmp_path / name, tmp_path / "good.pb", "--json")
    assert code == 1
    assert str(tmp_path / name) in err
    assert len(err.splitlines()) == 1
    assert len(out.splitlines()) == 1


def test_the_table_shows_what_was_asked_and_what_it_cost(tmp_path: Path, decode: Decode) -> None:
    spans = [span_of(TOLD, number=1), span_of(TOLD, number=2, trace=2, scope="other")]
    (tmp_path / "a.pb").write_bytes(payload_of(spans))
    code, out, _ = decode(tmp_path / "a.pb")
    assert code == 0
    assert "gpt-4o-mini-2024-07-18" in out
    assert "$0.000210" in out
    assert "1 file, 2 spans: 1 call" in out


def test_the_explanation_says_why_span_by_span(tmp_path: Path, decode: Decode) -> None:
    spans = [
        span_of(TOLD, number=1, name="chat gpt", parent=3),
        span_of(TOLD, number=2, trace=2, scope="other", name="ChatOpenAI"),
        span_of({"gen_ai.operation.name": "invoke_agent"}, number=3, name="the agent"),
        span_of({"http.route": "/ask"}, number=4, name="GET /ask"),
    ]
    (tmp_path / "a.pb").write_bytes(payload_of(spans))
    _, out, _ = decode(tmp_path / "a.pb", "--explain")
    assert "gen_ai.usage.input_tokens" in out
    assert f"the same call as span {id_of(2)}: the same response id" in out
    assert "no call: gen_ai.operation.name is invoke_agent" in out
    assert "no call: it has no attributes that spans of calls have" in out


def test_the_explanation_comes_for_machines_as_well(tmp_path: Path, decode: Decode) -> None:
    (tmp_path / "a.pb").write_bytes(payload_of([span_of(TOLD), span_of({}, number=2)]))
    _, out, _ = decode(tmp_path / "a.pb", "--explain", "--json")
    first, second = map(json.loads, out.splitlines())
    assert first["is_call"]
    assert {"fact": "input_tokens", "value": 1000, "from": "gen_ai.usage.input_tokens"} in first["facts"]
    assert not second["is_call"]
    assert second["why"]
