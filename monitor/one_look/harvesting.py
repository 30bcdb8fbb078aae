"""Requests of production out of files: recorded spans, where they carry prompts, and logs of any kind."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from canaries.exchanges_file import Counted, read_exchanges
from canaries.harvest.exchange import Exchange
from canaries.harvest.gathering import Gathered, Gathering

from .. import MonitorError
from ..traffic.calls import Call, Operation
from ..traffic.decoding import decode_spans
from ..traffic.dialects.answer_text import answer_text
from ..traffic.dialects.prompt_text import conversation_in
from ..traffic.otlp import Span
from ..traffic.recorded_file import read_spans

NOT_THERE = "its span carries no prompt: content is off in the instrumentation"
"""Why calls are left out."""


def is_spans(file: Path) -> bool:
    """Whether the name is that of an OTLP payload."""
    return Path(file.name.removesuffix(".gz")).suffix in (".pb", ".json")


def gather(
    files: Iterable[Path],
    prompt: str | None = None,
    answer: str | None = None,
    seed: int = 0,
    told: Callable[[str], None] = lambda _: None,
) -> Gathered:
    """The different prompts of all requests in the files; ``told`` is given the name of each before it is read.

    ``prompt`` and ``answer`` name the fields of logs. Payloads of all files are one stream of spans. Raises
    CompletionsError or MonitorError where a file is not what its name says.
    """
    gathering = Gathering(seed)
    spans: list[Span] = []
    for file in files:
        told(file.name)
        if not is_spans(file):
            gathering.take(read_exchanges(file, gathering.leave_out, prompt, answer))
            continue
        try:
            spans += read_spans(file)
        except MonitorError as error:
            raise MonitorError(f"{file}: {error}") from error
        except OSError as error:
            raise MonitorError(f"{file}: cannot be read: {error.strerror}") from error
    gathering.take(exchanges_of(spans, gathering.leave_out))
    return gathering.gathered()


def exchanges_of(spans: Sequence[Span], left_out: Counted) -> Iterator[Exchange]:
    """The requests that the spans tell, each call once."""
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    for call in decode_spans(spans).calls:
        if call.operation is not Operation.CHAT:
            continue
        # A call that is told twice may have its prompt in either span, and unconnected ones may be of another trace.
        mine = [span for key in call.span_ids if (span := by_id.get((call.trace_id, key))) is not None]
        yield from _exchange(call, mine, left_out)


def _exchange(call: Call, spans: Sequence[Span], left_out: Counted) -> Iterator[Exchange]:
    found = next((one for span in spans if (one := conversation_in(span)) is not None), None)
    if found is None:
        left_out(NOT_THERE)
    elif found.lacks is not None:
        left_out(found.lacks)
    else:
        answer = next((text for span in spans if (text := answer_text(span)) is not None), None)
        finish = None if call.finish_reason is None else call.finish_reason.value
        yield Exchange(
            found.messages,
            answer,
            finish,
            has_failed=call.error,
            tools=found.tools,
            tool_choice=found.tool_choice,
        )
