"""Payloads of instrumentations that no table was written with: each call once, and as it was."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor.traffic import calls
from monitor.traffic.decoding import decode_spans
from monitor.traffic.otlp import Encoding, decode

DATA = Path(__file__).parent / "data"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((DATA / "expected_calls.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_foreign_payload_tells_the_calls_that_were_made(name: str) -> None:
    spans = decode((DATA / name).read_bytes(), Encoding.PROTOBUF).spans
    found = [orjson.loads(calls.to_json(call)) for call in decode_spans(list(spans)).calls]
    wanted = EXPECTED[name]
    assert [{fact: got[fact] for fact in want} for got, want in zip(found, wanted, strict=True)] == wanted
