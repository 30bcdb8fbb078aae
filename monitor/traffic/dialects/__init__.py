"""Spans to calls: one module for each way of writing a call down as a span."""

from collections.abc import Sequence
from typing import Protocol

from ..calls import Call
from ..otlp import Span
from .otel_genai import OtelGenAi


class Dialect(Protocol):
    """One way of writing a call down as a span."""

    def read(self, span: Span) -> Call | None:
        """The call that the span reports, not priced yet; ``None`` when it reports none in this dialect."""


DIALECTS: Sequence[Dialect] = (OtelGenAi(),)
"""All dialects, the most telling first: the first that finds a call in a span wins."""


def read(span: Span) -> Call | None:
    """The call that the span reports, not priced yet; ``None`` when it reports none."""
    for dialect in DIALECTS:
        call = dialect.read(span)
        if call is not None:
            return call
    return None
