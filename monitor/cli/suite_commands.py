"""``canaries list`` and ``history``: which versions of suites were in use, and what changed between them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import HERE, DataOption, JsonOption, existing_database, plain_console

if TYPE_CHECKING:
    from canaries.suite_history import Version


def add_to(app: typer.Typer) -> None:
    """Put these commands into the group."""
    app.command("list")(list_)
    app.command()(history)


def list_(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """The suites that were ever in use, each with its version in use.

    Example: anchorwatch canaries list --data /var/lib/anchorwatch
    """
    import orjson
    from rich.table import Table

    from canaries.suite_history import suite_names, versions

    with existing_database(data) as database:
        found = database.read(
            lambda session: {name: versions(session, name) for name in suite_names(session)}
        )
    if as_json:
        typer.echo(orjson.dumps([{"suite": name} | _plain(known[-1]) for name, known in found.items()]))
        return
    table = Table("suite", "version", "canaries", "in use on", "since", "versions", "baselines")
    for name, known in found.items():
        for one in [one for one in known if one.is_in_use] or [known[-1]]:
            now = [use for use in one.uses if use.until is None]
            since = _when(min(use.since for use in now)) if now else f"not since {_ended(one)}"
            targets = ", ".join(use.target for use in now) or "no target"
            table.add_row(
                name,
                one.short,
                str(len(one.content.canaries)),
                targets,
                since,
                str(len(known)),
                ", ".join(one.baselines),
            )
    plain_console().print(table if found else "no suite yet: the daemon notes them when it starts")


def history(
    suite: Annotated[str, typer.Argument(help="The suite's name.")],
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Only what changed from one version to another; the beginnings of their hashes will do."
        ),
    ] = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Which versions of a suite were in use on which target and when, what changed, and the baselines of each.

    Examples: anchorwatch canaries history support

    anchorwatch canaries history support --between 3f9a 81c0
    """
    import orjson

    from canaries.contract import describe_change
    from canaries.suite_history import version_named, versions

    with existing_database(data) as database:
        found = database.read(lambda session: versions(session, suite))
    console = plain_console()
    if between is not None:
        old, new = (version_named(found, beginning) for beginning in between)
        changes = describe_change(old.content, new.content)
        if as_json:
            typer.echo(orjson.dumps({"from": old.hash, "to": new.hash, "changes": changes}))
        else:
            console.print("\n".join(changes) or "nothing changed")
        return
    if as_json:
        typer.echo(orjson.dumps([_plain(one) for one in found]))
        return
    for one in found:
        _show(one)


def _show(one: "Version") -> None:
    console = plain_console()
    console.print(f"{one.short}  {len(one.content.canaries)} canaries, first used {_when(one.first_at)}")
    for change in one.changes:
        console.print(f"  {change}", soft_wrap=True)
    for use in one.uses:
        until = "now" if use.until is None else _when(use.until)
        console.print(f"  on {use.target}: {_when(use.since)} to {until}")
    if one.baselines:
        console.print(f"  baselines: {', '.join(one.baselines)}")


def _plain(one: "Version") -> dict[str, Any]:
    return {
        "version": one.hash,
        "first_at": one.first_at,
        "canaries": sorted(one.content.canaries),
        "uses": one.uses,
        "baselines": one.baselines,
        "changes": one.changes,
    }


def _ended(one: "Version") -> str:
    return _when(max(use.until for use in one.uses if use.until is not None))


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
