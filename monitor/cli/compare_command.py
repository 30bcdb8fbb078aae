"""``compare``: are two files of completions from the same model, prompts and settings?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .options import JsonOption, plain_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from canaries.compare import Comparison, Settings
    from canaries.completion import Run

EXIT_CODES = {"same": 0, "different": 1, "inconclusive": 3}
"""What the command exits with; 2 is for input that cannot be used."""

CANARIES_SHOWN = 15
"""How many canaries the table lists, those that moved most."""


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(compare)


def compare(
    base: Annotated[Path, typer.Argument(help="Completions of what you run: JSON lines, .gz allowed.")],
    current: Annotated[Path, typer.Argument(help="Completions of what you compare it with.")],
    suite: Annotated[
        Path | None, typer.Option(help="The suite: its expectations are checked, its scrubbers applied.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="How often equal sides may be called different.")] = 0.05,
    permutations: Annotated[int, typer.Option(help="Permutations to draw, 50,000 at most.")] = 5_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 0,
    detect: Annotated[
        float,
        typer.Option(
            help="The share of answers whose change must be likely to show, for `same` to be said. "
            "Data that cannot show it are inconclusive.",
            show_default="a third",
        ),
    ] = 1 / 3,
    performance_decides: Annotated[
        bool,
        typer.Option(
            "--performance-decides",
            help="Let latency, time to first token, tokens and cost make the verdict, too. "
            "Without it they are told, and only the answers decide.",
        ),
    ] = False,
    base_target: Annotated[
        str | None, typer.Option(help="Of the base file, take this target alone, as in a file of `bench`.")
    ] = None,
    current_target: Annotated[str | None, typer.Option(help="The same of the current file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures into this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Whether two files of completions come from the same model, prompts and settings: one look, exact in its error.

    Both hold lines such as {"run": "r1", "canary": "capital", "text": "Canberra."}. Whole runs are permuted; where no
    line has a `run`, the answers to each canary are. Where known, add finish_reason, logprobs, first_top, latency_s,
    ttft_s, input_tokens, output_tokens and served_model. Failed requests have an `error`, and are told.

    Exits with 0 when they are the same, 1 when different, 3 when the data cannot tell, 2 when they cannot be read.

    Example: anchorwatch compare before.jsonl after.jsonl --suite suites/first.yaml --html report.html

    Two targets of one file: anchorwatch compare bench.jsonl bench.jsonl --base-target ours --current-target candidate
    """
    # Before numpy is loaded: the matrices are small, and threads that wait for each other on busy cores take ten times
    # as long as one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import orjson

    from canaries.compare import Settings
    from canaries.compare.plain import to_plain

    if html is not None and not html.parent.is_dir():
        raise MonitorError(f"{html}: cannot be written: there is no such folder")
    try:
        settings = Settings(alpha, permutations, seed, detect, performance_decides)
    except ValueError as error:
        raise MonitorError(str(error)) from error
    before, after = _runs(base, base_target), _runs(current, current_target)
    found = _compared(before, after, suite, settings)
    if html is not None:
        _write(html, found, base_target or base.name, current_target or current.name)
    if as_json:
        typer.echo(orjson.dumps(to_plain(found)))
    else:
        _show(found, plain_console())
    raise typer.Exit(EXIT_CODES[found.verdict.value])


def _runs(path: Path, target: str | None) -> "list[Run]":
    """The runs of a file; where a target is named, its alone."""
    from canaries.completions_file import read_runs

    runs = read_runs(path)
    chosen = [run for run in runs if target in (None, run.target)]
    if not chosen:
        known = ", ".join(sorted({run.target for run in runs} - {""})) or "none: no line has a target"
        raise MonitorError(f"{path}: holds no answer of {target}; known there: {known}")
    return chosen


def _compared(
    before: "Sequence[Run]", after: "Sequence[Run]", suite: Path | None, settings: "Settings"
) -> "Comparison":
    from rich.console import Console
    from rich.progress import Progress

    from canaries.compare import compare as compared
    from canaries.suite import load_suite
    from monitor.spending.canary_cost import list_cost_usd

    loaded = None if suite is None else load_suite(suite, os.environ)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("comparing", total=None)
        return compared(
            before,
            after,
            settings,
            suite=loaded,
            price=list_cost_usd,
            progress=lambda done, of: progress.update(bar, completed=done, total=of),
        )


def _show(found: "Comparison", console: "Console") -> None:
    from canaries.compare.words import details, headline

    console.print(headline(found))
    for line in details(found):
        console.print(line)
    console.print(_scores(found))
    console.print(_canaries(found))
    console.print(_footnote(found))


def _scores(found: "Comparison") -> object:
    from rich.table import Table

    from canaries.compare.words import effect_words

    table = Table(
        "score", "adjusted p", "p alone", "difference (95% interval)", "base", "current", "what it sees"
    )
    for result in found.scores:
        effect = result.effect
        table.add_row(
            result.score.name if result.decides else f"({result.score.name})",
            f"{result.p_value:.2g}",
            f"{result.p_value_alone:.2g}",
            effect_words(result)
            + (
                ", negligible"
                if result.is_negligible and result.p_value_alone <= found.settings.alpha
                else ""
            ),
            "" if effect is None or effect.base is None else f"{effect.base:.4g}",
            "" if effect is None or effect.current is None else f"{effect.current:.4g}",
            result.score.sees,
        )
    return table


def _canaries(found: "Comparison") -> object:
    from rich.table import Table

    table = Table("canary", "adjusted p", "p alone", "base answers", "current answers")
    for result in found.canaries[:CANARIES_SHOWN]:
        table.add_row(
            result.canary,
            f"{result.p_value:.2g}",
            f"{result.p_value_alone:.2g}",
            f"{result.base:,}",
            f"{result.current:,}",
        )
    if len(found.canaries) > CANARIES_SHOWN:
        table.add_row(f"and {len(found.canaries) - CANARIES_SHOWN:,} more, see --json", "", "", "", "")
    return table


def _footnote(found: "Comparison") -> str:
    what = "runs" if found.pairing.runs_given else "answers within each canary"
    how = "all" if found.is_exact else "random"
    brackets = "" if all(r.decides for r in found.scores) else " Scores in brackets do not decide."
    return f"{found.permutations:,} {how} permutations of {what}.{brackets}"


def _write(path: Path, found: "Comparison", base: str, current: str) -> None:
    from dashboards.comparison_page import render_comparison

    try:
        path.write_text(render_comparison(found, base, current), encoding="utf-8")
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error
