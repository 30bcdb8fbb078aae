"""Recorded OTLP trace payloads in files: ``.pb`` or ``.json``, each also with ``.gz``."""

from collections.abc import Sequence
from pathlib import Path

from .. import MonitorError
from .otlp import Encoding, Span, decode
from .receiving.unpacking import Unpacker

UNPACKED_MAX = 1 << 30
"""How large a file may be, unpacked."""


def read_spans(file: Path) -> Sequence[Span]:
    """The spans of one file. Raises MonitorError or OSError when it is not what its name says."""
    encoding = {".pb": Encoding.PROTOBUF, ".json": Encoding.JSON}.get(
        Path(file.name.removesuffix(".gz")).suffix
    )
    if encoding is None:
        raise MonitorError("its name must end in .pb or .json, or in one of these and .gz")
    body = file.read_bytes()
    if file.suffix == ".gz":
        body = _unpacked(body)
    bodies = _lines(body) if encoding is Encoding.JSON else [body]
    return [span for one in bodies for span in decode(one, encoding).spans]


def _unpacked(packed: bytes) -> bytes:
    unpacker = Unpacker(UNPACKED_MAX)
    plain = unpacker.feed(packed)
    unpacker.finish()
    return plain


def _lines(body: bytes) -> list[bytes]:
    """The requests in a JSON file: the collector's file exporter writes one a line."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    is_one_a_line = len(lines) > 1 and all(line.startswith(b'{"resourceSpans"') for line in lines)
    return lines if is_one_a_line else [body]
