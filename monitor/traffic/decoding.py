"""A whole stream of spans to its calls, with an account of what became of each span."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import dialects
from .calls import Call
from .dialects import NoCall, Report
from .joining.groups import Joined, Link, join
from .otlp import Span
from .pricing.book import LIST_PRICES, PriceBook


@dataclass(frozen=True, slots=True)
class SpanAccount:
    """What became of one span.

    ``report`` is what it tells of a call, ``why`` the reason when it counts for none; ``links`` are the spans that
    tell the same call, and why they were taken for that.
    """

    span: Span
    report: Report | None
    why: str | None
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Decoding:
    """The calls of a stream, priced and in the order in which they began, and an account of each of its spans."""

    calls: Sequence[Call]
    accounts: Sequence[SpanAccount]


def decode_spans(spans: Sequence[Span], prices: PriceBook = LIST_PRICES) -> Decoding:
    """The calls that the spans tell, each once and priced by ``prices``."""
    found = [dialects.examine(span) for span in spans]
    joined, wrappers = join([one for one in found if isinstance(one, Report)])
    no_calls = {_key(wrapper.report): wrapper.why for wrapper in wrappers}
    links = _links(joined)
    accounts = [_account(span, one, no_calls, links) for span, one in zip(spans, found, strict=True)]
    return Decoding([prices.price(one.call) for one in joined], accounts)


def _account(
    span: Span, found: Report | NoCall, no_calls: Mapping[object, str], links: Mapping[str, tuple[Link, ...]]
) -> SpanAccount:
    if isinstance(found, NoCall):
        return SpanAccount(span, None, found.why, ())
    return SpanAccount(span, found, no_calls.get(_key(found)), links.get(span.span_id, ()))


def _key(report: Report) -> object:
    return report.call.trace_id, report.call.span_ids[0]


def _links(joined: Sequence[Joined]) -> Mapping[str, tuple[Link, ...]]:
    """The links of each span, from its own side."""
    links: dict[str, tuple[Link, ...]] = defaultdict(tuple)
    for one in joined:
        for link in one.links:
            links[link.span_id] += (link,)
            links[link.other_span_id] += (Link(link.other_span_id, link.span_id, link.why),)
    return links
