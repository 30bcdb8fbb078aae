"""``canaries borderline``: the questions to which a target's answers are near ties."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor import MonitorError

from .options import ConfigOption, JsonOption, deployment_at, plain_console

if TYPE_CHECKING:
    from canaries.borderline.search import Found, Search
    from canaries.borderline.ties import Tie


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(borderline)


def borderline(
    target: Annotated[str, typer.Option("--target", "-t", help="The target's name in the configuration.")],
    out: Annotated[
        Path | None, typer.Option(help="The suite to write, or to add to where it is there.")
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=5_000, help="How many prompts are tried at most.")
    ] = 500,
    prompts: Annotated[
        Path | None, typer.Option(help="Try the lines of this file instead of our own prompts.")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, max=200, help="How many canaries are wanted.")] = 10,
    samples: Annotated[int, typer.Option(min=2, max=20, help="Answers to each candidate, as a sieve.")] = 3,
    refine: Annotated[
        int, typer.Option(min=5, max=100, help="Fresh answers to each that passes, which decide.")
    ] = 20,
    ratio: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="How likely the second answer is at least, beside the first."),
    ] = 0.2,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, help="Lower finds fewer ties, and sharper ones.")
    ] = 0.1,
    no_temperature: Annotated[
        bool, typer.Option("--no-temperature", help="Send none, for models that take none.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, max=64, help="Tokens of an answer.")] = 1,
    tokens_parameter: Annotated[
        str, typer.Option(help="The parameter that limits them; newer models want max_completion_tokens.")
    ] = "max_tokens",
    no_logprobs: Annotated[
        bool,
        typer.Option("--no-logprobs", help="Do not ask for log-probabilities, even where there are some."),
    ] = False,
    suite_samples: Annotated[
        int, typer.Option(min=1, max=20, help="The `samples` of each canary that is written.")
    ] = 3,
    max_spend_usd: Annotated[
        float | None, typer.Option(min=0.0, help="Stop before more dollars than this are spent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides which prompts are tried.")] = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find questions whose first token is a near tie for a target: the cheapest canaries, and the first to move.

    Where the endpoint gives log-probabilities one answer tells of each candidate, and the canaries ask for them, too.
    Exits with 0 when some were found, with 1 when none was.

    Example: anchorwatch canaries borderline --target support-bot --out suites/border.yaml --max-spend-usd 0.10

    Added to a suite, for its system prompt: anchorwatch canaries borderline -t support-bot --out suites/first.yaml
    """
    import orjson

    from canaries.borderline.search import Search
    from canaries.borderline.suite_text import system_of
    from canaries.clock import SystemClock
    from canaries.suite import Suite, load_suite
    from monitor.one_look.borderline_once import find_borderline

    targets = deployment_at(config).config.targets
    if target not in targets:
        known = ", ".join(targets) or "none: the configuration has no targets section"
        raise MonitorError(f"no target is called {target!r}; known: {known}")
    base = load_suite(out, os.environ) if out is not None and out.exists() else Suite("borderline", ())
    wanted = Search(
        samples=samples,
        refine=refine,
        keep=keep,
        ratio_min=ratio,
        temperature=None if no_temperature else temperature,
        max_tokens=max_tokens,
        tokens_parameter=tokens_parameter,
        with_logprobs=not no_logprobs,
        system=None if out is None else system_of(out),
    )
    found, cost_usd = find_borderline(
        _candidates(prompts, candidates, seed),
        wanted,
        targets[target],
        base,
        SystemClock(),
        cap_usd=max_spend_usd,
        seed=seed,
    )
    written = None
    if out is not None and found.ties:
        written = _written(out, found, wanted, suite_samples)
    if as_json:
        typer.echo(orjson.dumps(_plain(found, cost_usd, written)))
    else:
        _show(found, cost_usd, out, written)
    raise typer.Exit(0 if found.ties else 1)


def _candidates(path: Path | None, count: int, seed: int) -> tuple[str, ...]:
    from canaries.borderline.prompts import candidates

    if path is None:
        return candidates(count, seed)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MonitorError(f"{path}: cannot be read as lines of text: {error}") from error
    found = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))[:count]
    if not found:
        raise MonitorError(f"{path}: holds no prompts; write one on each line")
    return found


def _written(out: Path, found: "Found", wanted: "Search", samples: int) -> int:
    """How many canaries were written to ``out``."""
    from canaries.borderline.suite_text import longer_suite, new_suite, write_suite
    from canaries.suite import load_suite

    try:
        if out.exists():
            before = len(load_suite(out, os.environ).canaries)
            text, count = longer_suite(
                out, found.ties, wanted, os.environ, logprobs=found.has_logprobs, samples=samples
            )
            write_suite(out, text, before + count, os.environ)
            return count
        text = new_suite(out.stem, found.ties, wanted, logprobs=found.has_logprobs, samples=samples)
        write_suite(out, text, len(found.ties), os.environ)
    except ValueError as error:
        raise MonitorError(f"{out}: {error}; name a new file with --out") from error
    except OSError as error:
        raise MonitorError(f"{out}: cannot be written: {error.strerror}") from error
    return len(found.ties)


def _plain(found: "Found", cost_usd: float | None, written: int | None) -> dict[str, Any]:
    return {
        "canaries": [
            {"prompt": tie.prompt, "ratio": tie.ratio, "answers": dict(tie.counts)} for tie in found.ties
        ],
        "tried": found.tried,
        "wavered": found.wavered,
        "requests": found.requests,
        "failed": found.failed,
        "logprobs": found.has_logprobs,
        "stopped_by_spend_cap": found.is_out_of_money,
        "cost_usd": cost_usd,
        "written": written,
    }


def _show(found: "Found", cost_usd: float | None, out: Path | None, written: int | None) -> None:
    from rich.table import Table

    console = plain_console()
    table = Table("prompt", "second : first", "answers")
    for tie in found.ties:
        table.add_row(tie.prompt, f"{tie.ratio:.2f}", _answers(tie))
    if found.ties:
        console.print(table)
    cost = "" if cost_usd is None else f", ${cost_usd:.2g}"
    how = "by log-probabilities" if found.has_logprobs else "by a few answers each"
    console.print(
        f"{found.tried} prompts tried {how}, {found.wavered} of them wavered, {len(found.refined)} asked more often, "
        f"{len(found.ties)} kept; {found.requests:,} requests{cost}"
    )
    if found.failed:
        console.print(f"{found.failed} requests failed")
    if found.is_out_of_money:
        console.print("Stopped at --max-spend-usd.")
    if not found.ties:
        console.print(
            "No tie was found. Try more --candidates or a higher --temperature; models that think before they answer "
            "hardly have any."
        )
    elif written is not None:
        console.print(
            f"{written} canaries written to {out}. A target that is watched already takes them in as added canaries."
        )
    else:
        console.print("Nothing was written: name a suite with --out.")


def _answers(tie: "Tie") -> str:
    return ", ".join(f"{text!r} {count}" for text, count in tie.counts[:4]) + (
        ", ..." if len(tie.counts) > 4 else ""
    )
