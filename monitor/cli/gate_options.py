"""The options of ``gate``, each with its help."""

from pathlib import Path
from typing import Annotated

import typer

SuiteFile = Annotated[Path, typer.Argument(help="The suite's file.")]
Candidate = Annotated[
    str, typer.Option("--target", "-t", help="The candidate: a target of the configuration.")
]
Against = Annotated[
    str | None,
    typer.Option(
        help="What it is compared with: a target or baseline of the database, or a completions file "
        "(.jsonl, .jsonl.gz). Without it only rules and absolute limits are judged.",
    ),
]
Runs = Annotated[
    int | None, typer.Option(help="Runs of the candidate. [default: as make 100 answers, 3 to 20]")
]
Samples = Annotated[
    int | None,
    typer.Option(help="Answers to each canary in a run. [default: as suite and target say]"),
]
Alpha = Annotated[
    float | None,
    typer.Option(help="How often a candidate that is the same may fail the statistics. [default: 0.05]"),
]
Floor = Annotated[
    float | None,
    typer.Option(
        help="The smallest difference that counts: of shares, lengths and distances, 0.02 is 2 %. "
        "[default: each score's own]"
    ),
]
Detect = Annotated[
    float | None,
    typer.Option(
        help="The share of answers whose change must be likely to show, for a candidate to pass. "
        "[default: a third]"
    ),
]
Changes = Annotated[
    str | None,
    typer.Option(
        metavar="fail|warn",
        help="What answers that are different do: `warn` where the change is meant, and only answers that got "
        "worse fail. [default: fail]",
    ),
]
KnownFailures = Annotated[
    str | None,
    typer.Option(
        metavar="fail|warn",
        help="What broken expectations do that the baseline breaks, too. [default: fail]",
    ),
]
LatencyP50 = Annotated[str | None, typer.Option(help="Median latency at most: 2s, or +20%.")]
LatencyP95 = Annotated[str | None, typer.Option(help="95th percentile of latency at most: 8s, or +20%.")]
CostPer1000 = Annotated[str | None, typer.Option(help="Dollars for 1,000 calls at most: 0.8, or +10%.")]
MaxSpend = Annotated[
    float | None, typer.Option(help="What asking the candidate may cost: fewer runs rather than more.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed and answers give the same figures.")]
JUnitFile = Annotated[Path | None, typer.Option(help="Write JUnit XML into this file.")]
MarkdownFile = Annotated[Path | None, typer.Option(help="Write a summary into this file.")]
HtmlFile = Annotated[Path | None, typer.Option(help="Write a page with pictures into this file.")]
SaveFile = Annotated[
    Path | None,
    typer.Option(help="Keep the candidate's answers in this completions file: the next --against."),
]
