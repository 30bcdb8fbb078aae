"""The check of what is stored over kills tells whole requests from anything else; its counts are made by hand."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from collections.abc import Sequence

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.ingest_truth import Counts, Group, how_often, told, verdict

SHOP: Group = ("shop", "1", "openai", "gpt-4o", "chat")
BOT: Group = ("bot", "2", "anthropic", "claude-sonnet-4-5", "chat")
PAYLOADS: list[Counts] = [
    {SHOP: [3, 1, 30, 6], BOT: [1, 0, 10, 2]},
    {SHOP: [2, 0, 25, 1]},
    {BOT: [4, 0, 90, 7]},
]
MARKS = [bytes([number]) for number in range(20)]


def sent(*times: int) -> dict[Group, list[int]]:
    counts = {group: [0, 0, 0, 0] for group in (SHOP, BOT)}
    for often, payload in zip(times, PAYLOADS, strict=True):
        for group, figures in payload.items():
            counts[group] = [a + often * b for a, b in zip(counts[group], figures, strict=True)]
    return counts


def test_counts_are_taken_apart_into_whole_requests() -> None:
    assert how_often(sent(5, 0, 2_000_000), PAYLOADS) == [5, 0, 2_000_000]
    partial = sent(5, 1, 2)
    partial[BOT][0] += 1
    assert how_often(partial, PAYLOADS) is None
    with pytest.raises(ValueError, match="told apart"):
        how_often(sent(1, 1, 1), [*PAYLOADS, PAYLOADS[0]])


@pytest.mark.parametrize(
    ("stored", "cut_off", "marks", "problems"),
    [
        ((2, 3, 4), 0, MARKS[:9], []),
        ((2, 4, 4), 1, MARKS[:10], []),
        ((2, 4, 5), 1, MARKS[:11], ["2 requests more are stored than acknowledged, and only 1 were cut off"]),
        ((2, 2, 4), 3, MARKS[:8], ["1 acknowledged requests are lost"]),
        ((2, 4, 4), 1, MARKS[:9], ["9 requests were taken, and 10 are counted"]),
        ((2, 4, 4), 1, [*MARKS[:9], MARKS[0]], ["1 requests were taken twice"]),
    ],
)
def test_only_requests_that_were_cut_off_may_be_stored_without_an_answer(
    stored: Sequence[int], cut_off: int, marks: Sequence[bytes], problems: Sequence[str]
) -> None:
    assert verdict(sent(2, 3, 4), sent(*stored), PAYLOADS, cut_off, marks) == problems


def test_a_part_of_a_request_is_told() -> None:
    found = sent(2, 4, 4)
    found[SHOP][2] -= 5
    assert verdict(sent(2, 3, 4), found, PAYLOADS, 1, MARKS[:10]) == [
        "what is stored is no sum of whole requests"
    ]


def test_a_payload_says_the_same_in_protobuf_and_in_json() -> None:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, text in (("service.name", "shop"), ("service.version", "1")):
        resource.resource.attributes.add(key=key).value.string_value = text
    scope = resource.scope_spans.add()
    for operation, is_error in (("chat", False), ("chat", True), ("execute_tool", False)):
        span = scope.spans.add(name="x")
        span.status.code = span.status.STATUS_CODE_ERROR if is_error else span.status.STATUS_CODE_OK
        said = {"operation.name": operation, "system": "openai", "request.model": "gpt-4o"}
        for key, text in said.items():
            span.attributes.add(key=f"gen_ai.{key}").value.string_value = text
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 7
    expected = {SHOP: [2, 1, 14, 0]}
    assert told(request.SerializeToString()) == expected
    assert told(json_format.MessageToJson(request).encode()) == expected
