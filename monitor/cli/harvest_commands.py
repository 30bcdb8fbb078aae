"""``canaries harvest``, ``review`` and ``accept``: a suite from what production asks."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor import MonitorError

from .options import JsonOption, plain_console

if TYPE_CHECKING:
    from rich.console import Console

    from canaries.harvest.proposal import ProposalDocument
    from canaries.harvest.proposing import Account, Harvest
    from canaries.harvest.redaction import OwnPattern
    from canaries.suite import Suite

PICKS_MAX = 500
"""The most canaries that are proposed: more nobody goes through, and each replay pays for them."""

CLUSTERS_SHOWN = 15
"""How many clusters the table lists, the largest."""

COVERAGE_SHOWN = (10, 25, 50, 100, 200, 300, 500)
"""Of how many canaries the coverage is told."""

DEFAULT_PROPOSAL = Path("proposal.yaml")

ProposalArgument = Annotated[Path, typer.Argument(help="A file that `canaries harvest` wrote.")]


def add_to(app: typer.Typer) -> None:
    """Put these commands into the group."""
    app.command()(harvest)
    app.command()(review)
    app.command()(accept)


def harvest(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Recorded spans (.pb, .json) or logs of requests (.jsonl, .csv, .tsv, .txt), each also with .gz."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the proposal goes.")] = DEFAULT_PROPOSAL,
    name: Annotated[str | None, typer.Option(help="Name of the suite. [default: that of its file]")] = None,
    pick: Annotated[
        int, typer.Option(min=1, max=PICKS_MAX, help="How many canaries to propose, the most telling first.")
    ] = 200,
    redact_pattern: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=REGEX: redact what matches as <NAME-1>, beside what is found anyway; repeatable."
        ),
    ] = None,
    known: Annotated[
        Path | None, typer.Option(help="A suite: nothing is proposed that it asks already.")
    ] = None,
    prompt_field: Annotated[
        str | None, typer.Option(help="Field or column with the prompt. [default: the usual names]")
    ] = None,
    answer_field: Annotated[
        str | None, typer.Option(help="Field or column with the answer. [default: the usual names]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept all of them, without asking.")] = False,
    ask: Annotated[
        bool, typer.Option("--ask/--no-ask", help="Go through the proposal now, where this is a terminal.")
    ] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a proposal that is there.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same proposal.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """A suite proposed from what production asks: a spread of common requests and edge cases, redacted.

    Of spans those are used that carry prompts; the instrumentation must be told to. Anchorwatch itself keeps none.

    Examples: anchorwatch canaries harvest captured/*.pb.gz --out proposal.yaml

    anchorwatch canaries harvest requests.jsonl --pick 50 --redact-pattern 'customer=(?i)acme|globex' --no-ask

    anchorwatch canaries harvest log.csv --prompt-field question --answer-field reply --name support --seed 7 --json

    anchorwatch canaries harvest prompts.txt --known suites/support.yaml --yes --replace
    """
    # Before numpy is loaded: threads that wait for each other on busy cores take longer than one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import orjson
    from rich.console import Console

    from .dialogue import is_person_here, save

    own = _own_patterns(redact_pattern or [])
    _check_out(out, name, replace=replace)
    console = Console(stderr=True)
    asked = _questions(known)
    found = _harvested(files, (prompt_field, answer_field), pick, name, own, asked, seed, console)
    from canaries.harvest.proposal import proposal_text

    proposal = found.proposal.all_accepted() if yes else found.proposal
    save(out, proposal_text(proposal))
    if as_json:
        typer.echo(
            orjson.dumps({"proposal": str(out), "canaries": len(proposal.proposed)} | _plain(found.account))
        )
    else:
        _show(found, plain_console())
        plain_console().print(f"{out}: {len(proposal.proposed)} canaries proposed.")
    if ask and not yes and not as_json and is_person_here():
        _review(out, proposal)
    else:
        step = "accept" if yes else "review"
        typer.echo(f"Next: anchorwatch canaries {step} {out}{' SUITE.yaml' if yes else ''}", err=True)


def review(proposal: ProposalArgument = DEFAULT_PROPOSAL) -> None:
    """Go through a proposal: accept, edit or skip each canary. It goes on where you left it, also after Ctrl-C.

    Example: anchorwatch canaries review proposal.yaml
    """
    _review(proposal, _read(proposal))


def accept(
    proposal: ProposalArgument,
    suite: Annotated[Path, typer.Argument(help="The suite to write.")],
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also those that nobody has looked at; never those that were skipped."),
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Put them below the canaries of a suite that is there.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a suite that is there.")] = False,
) -> None:
    """Make a suite of the canaries of a proposal that were accepted.

    Examples: anchorwatch canaries accept proposal.yaml suites/support.yaml

    anchorwatch canaries accept proposal.yaml suites/support.yaml --all --replace

    anchorwatch canaries accept more.yaml suites/support.yaml --add
    """
    from canaries.attachments import Attachments
    from canaries.clock import SystemClock
    from canaries.contract import HASH_SHOWN, content_of
    from canaries.harvest.proposal import suite_document, suite_text

    from .dialogue import save

    read = _read(proposal)
    chosen = read.all_accepted() if everything else read
    if not chosen.accepted:
        raise MonitorError(
            f"{proposal}: nothing is accepted yet. `anchorwatch canaries review {proposal}` asks you; in an editor, "
            "write `accepted: true`."
        )
    if suite.exists() and not (add or replace):
        raise MonitorError(f"{suite}: is there already; --add adds to it, --replace overwrites it")
    if add:
        text, made = _added(suite, chosen)
    else:
        made = suite_document(chosen).suite(suite.stem, Attachments(suite.parent))
        note = (
            f"Harvested from production, written {SystemClock().now():%Y-%m-%d}: {len(made.canaries)} canaries, "
            f"{chosen.checked} of them checked one by one."
        )
        text = suite_text(chosen, [note])
    changes = _changes(suite, made)
    save(suite, text)
    typer.echo(f"{suite}: {len(made.canaries)} canaries, version {content_of(made).hash[:HASH_SHOWN]}.")
    for change in changes:
        typer.echo(change)
    if chosen.open:
        typer.echo(f"{len(chosen.open)} of the proposal are still to be looked at.")
    typer.echo(
        f"Next: name it as `suite` of a target, and look: anchorwatch replay {suite} --target TARGET",
        err=True,
    )


def _added(path: Path, chosen: "ProposalDocument") -> "tuple[str, Suite]":
    """The suite in the file and the accepted canaries, as text and as it will be read. Raises MonitorError."""
    from canaries.attachments import Attachments
    from canaries.harvest.proposal import suite_document, text_with_added, with_own_system
    from canaries.suite import load_suite, read_suite

    before = load_suite(path, os.environ)
    wanted = (*before.canaries, *suite_document(chosen).suite(path.stem, Attachments(path.parent)).canaries)
    text = path.read_text(encoding="utf-8")
    # With the system prompt of the suite, where that is theirs as well, else each with its own.
    for proposal in (chosen, with_own_system(chosen)):
        added = text_with_added(text, proposal)
        made = read_suite(added, path, os.environ)
        if made.canaries == wanted:
            return added, made
    raise MonitorError(
        f"{path}: nothing can be added to it as it is: `canaries` must be its last key, and where it has a system "
        "prompt, what was harvested must have one. Accept into another file, and put the canaries in by hand"
    )


def _changes(path: Path, made: "Suite") -> tuple[str, ...]:
    """How the suite differs from the one in the file that it takes the place of; nothing where that is none."""
    from canaries import CanaryError
    from canaries.contract import content_of, describe_change
    from canaries.suite import load_suite

    try:
        return (
            describe_change(content_of(load_suite(path, os.environ)), content_of(made))
            if path.exists()
            else ()
        )
    except CanaryError:
        return ()


def _questions(known: Path | None) -> dict[str, str]:
    """What the canaries of a suite ask last, by their ids."""
    from canaries.harvest.exchange import Exchange
    from canaries.suite import load_suite

    if known is None:
        return {}
    return {
        canary.id: Exchange(canary.messages).question for canary in load_suite(known, os.environ).canaries
    }


def _own_patterns(written: Sequence[str]) -> "list[OwnPattern]":
    import re

    from canaries.harvest.redaction import OwnPattern

    found = []
    for one in written:
        name, equals, pattern = one.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
            raise MonitorError(
                f"--redact-pattern {one!r}: write NAME=REGEX with a name in small letters, such as customer=Acme|Globex"
            )
        try:
            found.append(OwnPattern(name, re.compile(pattern)))
        except re.error as error:
            raise MonitorError(f"--redact-pattern {one!r}: is not a regular expression: {error}") from error
    return found


def _check_out(out: Path, name: str | None, *, replace: bool) -> None:
    """Say what would go wrong at the end before the work begins. Raises MonitorError."""
    import re

    if out.exists() and not replace:
        raise MonitorError(
            f"{out}: is there already, with what was said of it: `anchorwatch canaries review {out}` goes on with it, "
            "--replace overwrites it"
        )
    if not out.absolute().parent.is_dir():
        raise MonitorError(f"{out}: cannot be written: there is no such folder")
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}", name):
        raise MonitorError(
            f"--name {name!r}: a name has letters, digits, '.', '_', '-' and '/', and 100 of them at most"
        )


def _harvested(
    files: Sequence[Path],
    fields: tuple[str | None, str | None],
    pick: int,
    name: str | None,
    own: "Sequence[OwnPattern]",
    known: Mapping[str, str],
    seed: int,
    console: "Console",
) -> "Harvest":
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from canaries.harvest.proposing import propose
    from monitor.one_look.harvesting import gather

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading")
        gathered = gather(
            files, *fields, seed, lambda file: progress.update(task, description=f"reading {file}")
        )
        found = propose(
            gathered, pick, name, own, seed, lambda step: progress.update(task, description=step), known
        )
    if found is None:
        why = "; ".join(f"{count:,} left out: {reason}" for reason, count in gathered.left_out.items())
        raise MonitorError(
            f"there is nothing to propose{f' ({why})' if why else ': no request that is not asked already'}"
        )
    return found


def _show(found: "Harvest", console: "Console") -> None:
    account = found.account
    kept = "" if account.share == 1 else f" (a random {account.share:.3g} of all: there are too many)"
    console.print(
        f"{account.requests:,} requests, {account.prompts:,} different prompts{kept}, "
        f"{account.near_duplicates:,} of them nearly the same as another."
    )
    console.print(_clusters(account))
    console.print(_coverage(account))
    if account.edges:
        console.print(
            f"Edge cases: {', '.join(f'{edge} ({count})' for edge, count in account.edges.items())}."
        )
    if account.redacted:
        kinds = ", ".join(f"{count} {kind}" for kind, count in account.redacted.items())
        console.print(f"Redacted in {account.redacted_canaries} of them: {kinds}.")
    console.print("Names of people and places are not found: look for them as you read.")
    for reason, count in account.left_out.items():
        console.print(f"{count:,} left out: {reason}")


def _clusters(account: "Account") -> object:
    from rich.table import Table

    table = Table("requests", "different", "canaries", "such as", title=f"{len(account.clusters)} clusters")
    for one in account.clusters[:CLUSTERS_SHOWN]:
        such_as = ", ".join(one.canaries[:2])
        table.add_row(f"{one.share:.1%}", f"{one.prompts:,}", str(len(one.canaries)), such_as)
    rest = account.clusters[CLUSTERS_SHOWN:]
    if rest:
        canaries = sum(len(one.canaries) for one in rest)
        share, prompts = sum(one.share for one in rest), sum(one.prompts for one in rest)
        table.add_row(f"{share:.1%}", f"{prompts:,}", str(canaries), f"{len(rest)} smaller clusters")
    table.add_row(f"{account.in_no_cluster:.1%}", "", "", "in no cluster: like few others")
    return table


def _coverage(account: "Account") -> str:
    told = [count for count in COVERAGE_SHOWN if count < len(account.coverage)] + [len(account.coverage)]
    shares = ", ".join(f"{count}: {account.coverage[count - 1]:.0%}" for count in told)
    return f"Requests in a cluster with a canary, by how many of the first you take: {shares}."


def _plain(account: "Account") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(account) | {"left_out": dict(account.left_out)}


def _read(path: Path) -> "ProposalDocument":
    from canaries.harvest.proposal import read_proposal

    try:
        return read_proposal(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise MonitorError(
            f"{path}: cannot be read: {error.strerror}. `anchorwatch canaries harvest` writes a proposal."
        ) from error
    except UnicodeDecodeError as error:
        raise MonitorError(f"{path}: is not UTF-8 text") from error


def _review(path: Path, proposal: "ProposalDocument") -> None:
    from rich.console import Console

    from canaries.harvest.review import review as reviewed

    from .dialogue import printable, progress_of, terminal

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if proposal.system is not None and proposal.open:
        console.print(f"The system prompt of all of them:\n{printable(proposal.system)}\n")
    try:
        reviewed(proposal, terminal(path, console))
    except KeyboardInterrupt:
        console.print()
    after = _read(path)
    console.print(progress_of(proposal, after))
    if after.open:
        console.print(f"Go on: anchorwatch canaries review {path}")
    if after.accepted:
        console.print(f"The suite: anchorwatch canaries accept {path} SUITE.yaml")
