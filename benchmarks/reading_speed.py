"""What reading a span costs, stage by stage: ``python -m benchmarks.reading_speed FOLDER``.

``FOLDER`` holds requests of one kind, ``.pb`` or ``.json``, as a load generator writes them. Times are processor times,
the best of several repetitions: whatever else the machine does can only make them longer.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from monitor.traffic.dialects import examine
from monitor.traffic.lookout import Lookout, slim
from monitor.traffic.lookout.prefilter import JSON_NAMES, PROTOBUF_NAMES, Prefilter
from monitor.traffic.lookout.scanning import scanner
from monitor.traffic.otlp import Encoding, decode
from monitor.traffic.otlp_size import parts
from monitor.traffic.repeats import mark_of


def best_us(work: Callable[[], object], spans: int, repetitions: int) -> float:
    """The least processor time that the work takes, in microseconds a span."""
    times = []
    for _ in range(repetitions):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) / spans * 1e6


def scopes_of(body: bytes) -> list[bytes]:
    """The encoded spans of each scope of a request in protobuf."""
    return [
        body[at:to]
        for _, begin, end in parts(body, 0, len(body))
        for number, at, to in parts(body, begin, end)
        if number == 2
    ]


def stages(bodies: Sequence[bytes], encoding: Encoding) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    now = time.time()
    python, built = Lookout(scanner=None), Lookout()
    names = PROTOBUF_NAMES if encoding is Encoding.PROTOBUF else JSON_NAMES
    work: dict[str, Callable[[], object]] = {
        "the mark of the request": lambda: [mark_of(body, encoding) for body in bodies],
        "a look for names of calls in all of it": lambda: [
            Prefilter(body, names).may_hold_calls(len(body) - 1) for body in bodies
        ],
        "the lookout in Python": lambda: [python.read(body, encoding, now) for body in bodies],
    }
    if encoding is Encoding.PROTOBUF:
        scopes = [scope for body in bodies for scope in scopes_of(body)]
        work["OTLP's own messages, nothing read"] = lambda: [
            ExportTraceServiceRequest.FromString(body) for body in bodies
        ]
        work["slim messages, nothing read"] = lambda: [slim.ScopeSpans.FromString(scope) for scope in scopes]
        work["slim messages, names of attributes read"] = lambda: [
            tuple(span.attributes) for scope in scopes for span in slim.ScopeSpans.FromString(scope).spans
        ]
        if scanner is not None:
            work["the lookout with the scanner in C"] = lambda: [
                built.read(body, encoding, now) for body in bodies
            ]
    work["decoded whole"] = lambda: [decode(body, encoding) for body in bodies]
    work["decoded whole, and read by the dialects"] = lambda: [
        examine(span) for body in bodies for span in decode(body, encoding).spans
    ]
    return work


def main(
    folder: Annotated[Path, typer.Argument(help="Requests, as .pb or as .json.")],
    repetitions: Annotated[int, typer.Option(min=1, help="How often each stage is measured.")] = 15,
) -> None:
    """Print a table of the stages."""
    paths = sorted(one for one in folder.iterdir() if one.suffix in (".pb", ".json"))
    if not paths:
        raise typer.BadParameter(f"there are no requests in {folder}")
    encoding = Encoding.PROTOBUF if paths[0].suffix == ".pb" else Encoding.JSON
    bodies = [path.read_bytes() for path in paths]
    spans = sum(len(decode(body, encoding).spans) for body in bodies)
    table = Table(
        "stage",
        "us a span",
        title=f"{folder.name}, {encoding.name}: {sum(map(len, bodies)) // spans} B a span",
    )
    for name, work in stages(bodies, encoding).items():
        times = 3 if name.startswith("decoded whole") else repetitions
        table.add_row(name, f"{best_us(work, spans, times):.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
