"""``bench``: how fast, dear and steady targets answer the suite's prompts under load."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .options import ConfigOption, JsonOption, deployment_at, plain_console

if TYPE_CHECKING:
    from rich.console import Console

    from canaries.bench.plan import Load
    from canaries.bench.report import BenchReport
    from canaries.suite import Suite
    from monitor.config import Deployment
    from monitor.one_look.bench_once import Bench, Outcomes

INTERRUPTED = 130
"""What the command exits with after Ctrl-C, as shells know it."""


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(bench)


def bench(
    target: Annotated[
        list[str],
        typer.Option("--target", "-t", help="A target's name in the configuration; may be repeated."),
    ],
    requests: Annotated[int, typer.Option(min=1, max=100_000, help="Requests to each target.")] = 100,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1_000, help="Requests under way at a time, to each target.")
    ] = 8,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=10_000,
            help="Requests a second to each target, due at fixed times whatever the answers take.",
            show_default="each follows an answer",
        ),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(help="The suite whose prompts are asked.", show_default="that of the targets"),
    ] = None,
    long: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help="Also prompts of about so many tokens, in rows of their own."
        ),
    ] = None,
    warm_up: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1_000,
            help="Requests to each target first that are not counted.",
            show_default="as many as --concurrency",
        ),
    ] = None,
    fresh_connections: Annotated[
        bool, typer.Option("--fresh-connections", help="A new connection for each request.")
    ] = False,
    max_spend_usd: Annotated[
        float | None, typer.Option(min=0.0, help="Stop before more dollars than this are spent.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Append each answer to this file: JSON lines, as `compare` reads them."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the file of --out: ask only what it does not hold.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides the order of the requests.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures into this file.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask targets the suite's prompts under load, side by side: times, price, errors, and whether answers repeat.

    Nothing is tried again: what a request meets is what is measured. Ctrl-C shows what there is by then.

    Example: anchorwatch bench --target ours --target candidate --requests 200 --concurrency 8

    At a rate, as users come: anchorwatch bench -t ours --rate 5 --requests 500 --concurrency 64

    As a page with pictures: anchorwatch bench -t ours -t candidate --html bench.html

    In two sittings, within a dollar: anchorwatch bench -t ours --out ours.jsonl --max-spend-usd 1 --resume
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import orjson

    from canaries.bench.plain import to_plain
    from canaries.bench.plan import Load
    from canaries.bench.report import report
    from canaries.clock import SystemClock
    from monitor.one_look.bench_once import run_bench

    if resume and out is None:
        raise MonitorError("--resume goes on with a file: name it with --out")
    if html is not None and not html.parent.is_dir():
        raise MonitorError(f"{html}: cannot be written: there is no such folder")
    warm = concurrency if warm_up is None else warm_up
    load = Load(requests, concurrency, rate, warm, long, seed)
    planned = _planned(deployment_at(config), target, suite, load, fresh_connections=fresh_connections)
    done = run_bench(planned, SystemClock(), cap_usd=max_spend_usd, out=out, resume=resume)
    found = report(done.found, tuple(planned.targets), seed)
    if html is not None:
        _write(html, found, planned.suite.name, load, done)
    if as_json:
        name = planned.suite.name
        plain = to_plain(found, load, suite=name, is_complete=done.is_complete)
        typer.echo(orjson.dumps(plain | {"machine_late_p95_s": done.lag_p95_s}))
    else:
        _show(found, load, done, out, plain_console())
    if done.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if all(one.answered for one in found.targets.values()) else 1)


def _planned(
    deployment: "Deployment", names: list[str], suite: Path | None, load: "Load", *, fresh_connections: bool
) -> "Bench":
    from canaries.suite import load_suite
    from monitor.one_look.bench_once import Bench

    targets = deployment.config.targets
    if unknown := [name for name in names if name not in targets]:
        known = ", ".join(targets) or "none: the configuration has no targets section"
        raise MonitorError(f"no target is called {unknown[0]!r}; known: {known}")
    asked = {
        name: targets[name].model_copy(update={"fresh_connections": fresh_connections})
        for name in dict.fromkeys(names)
    }
    chosen = load_suite(suite, os.environ) if suite is not None else _one_suite(deployment, list(asked))
    return Bench(chosen, asked, load)


def _one_suite(deployment: "Deployment", names: list[str]) -> "Suite":
    """The suite that all these targets have: with other prompts their figures cannot be compared."""
    first, *others = (deployment.suites[name] for name in names)
    for name, other in zip(names[1:], others, strict=True):
        if other != first:
            raise MonitorError(
                f"{names[0]} and {name} have different suites: say with --suite which one is asked"
            )
    return first


def _write(path: Path, found: "BenchReport", suite: str, load: "Load", done: "Outcomes") -> None:
    from dashboards.bench_page import render_bench
    from monitor.one_look.bench_words import notes

    try:
        path.write_text(
            render_bench(found, done.found, suite, list(notes(found, load, done))), encoding="utf-8"
        )
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error


def _show(found: "BenchReport", load: "Load", done: "Outcomes", out: Path | None, console: "Console") -> None:
    from canaries.bench.words import facts_of
    from monitor.one_look.bench_words import notes, table

    console.print(table(found))
    for line in facts_of(found):
        console.print(line)
    for line in notes(found, load, done):
        console.print(line)
    if out is not None and len(found.targets) > 1:
        first, second, *_ = found.targets
        console.print(
            f"Are the answers the same? anchorwatch compare {out} {out} --base-target {first} --current-target {second}"
        )
