"""``run``, ``demo``, ``init`` and ``check-config``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import running
from .options import HERE, ConfigOption, DataOption, JsonOption, deployment_at
from .receiver_words import proofs_missing, receiver_line, receivers_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerts.routing import Routing

TEMPLATES = Path(__file__).parent.parent / "templates"


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.command()(run)
    app.command()(demo)
    app.command()(init)
    app.command("check-config")(check_config)


def run(
    config: ConfigOption = None,
    data: DataOption = HERE,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of pages, API and metrics; 0 takes a free one."),
    ] = None,
    otlp_http_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of OTLP/HTTP; 0 takes a free one.")
    ] = None,
    otlp_grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of OTLP/gRPC; 0 takes a free one.")
    ] = None,
    no_otlp_grpc: Annotated[bool, typer.Option("--no-otlp-grpc", help="Take no OTLP/gRPC.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Watch: replay canaries, receive traces, page, roll back. Stops in order at SIGTERM or Ctrl-C.

    Example: anchorwatch run -c anchorwatch.yaml --data /var/lib/anchorwatch
    """
    options = running.RunOptions(config, data, port, otlp_http_port, otlp_grpc_port, no_otlp_grpc, verbose)
    raise typer.Exit(running.run(options))


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Run the story to its end and exit 0 if all of it happened.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Folder to work in. [default: a temporary one]")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the page. [default: 8700; with --once a free one]"),
    ] = None,
) -> None:
    """The whole story on this machine, without keys: baseline, drift, page, rollback, recovery.

    Example: anchorwatch demo --once
    """
    from monitor.demo.story import tell

    if port is None:
        port = 0 if once else 8700
    raise typer.Exit(tell(once=once, data=data, port=port))


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = HERE,
) -> None:
    """Write a commented configuration and a first suite; files that exist are left alone.

    Example: anchorwatch init ops/
    """
    for name, template in (("anchorwatch.yaml", "anchorwatch.yaml"), ("suites/first.yaml", "first.yaml")):
        path = folder / name
        if path.exists():
            typer.echo(f"kept   {path} (it was there)")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((TEMPLATES / template).read_text(encoding="utf-8"), encoding="utf-8")
        typer.echo(f"wrote  {path}")
    typer.echo(
        f"Next: set the secrets it names, then `anchorwatch check-config -c {folder / 'anchorwatch.yaml'}`."
    )


def check_config(config: ConfigOption = None, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """Say whether the configuration can be used: exit 0, or all problems with their places and exit 2.

    Of each receiver it says whether anything ever arrived there, by what the database below --data knows.

    Example: anchorwatch check-config -c anchorwatch.yaml --data /var/lib/anchorwatch
    """
    import orjson

    from alerts.inhibition_words import inhibit_lines
    from alerts.routing_words import tree_lines, unreachable_routes
    from canaries.clock import SystemClock
    from monitor import MonitorError
    from monitor.advice import advice, spending
    from monitor.config import DEFAULT_FILE, ConfigError
    from monitor.inhibiting.inhibitions import shown

    try:
        deployment = deployment_at(config)
        if deployment.source is None:
            raise MonitorError(f"there is no {DEFAULT_FILE} here; name the file with -c")
    except ConfigError as error:
        if as_json:
            typer.echo(orjson.dumps({"ok": False, "problems": [str(problem) for problem in error.problems]}))
        else:
            typer.echo(str(error), err=True)
            typer.echo(f"{len(error.problems)} problem(s)", err=True)
        raise typer.Exit(2) from error
    now, routing = SystemClock().now(), deployment.config.routing()
    receivers = receivers_at(data, deployment)
    facts: dict[str, Any] = {
        "source": str(deployment.source),
        "targets": {name: len(suite.canaries) for name, suite in deployment.suites.items()},
        "watches": [watch.name for watch in deployment.config.watches],
        "receivers": list(deployment.config.receivers),
        "confirmed": {one.name: one.state == "confirmed" for one in receivers},
        "route": tree_lines(routing.tree) if routing.tree else [],
        "unreachable_routes": [f"{name}: {why}" for name, why in unreachable_routes(routing)],
        "inhibitions": inhibit_lines(shown(deployment.config.inhibitions())),
        "rollbacks": {name: one.mode for name, one in deployment.config.rollbacks.items()},
        "spending": spending(deployment, now),
        "advice": [*advice(deployment, now), *proofs_missing(receivers)],
    }
    if as_json:
        typer.echo(orjson.dumps({"ok": True, **facts}))
        return
    nothing = "" if deployment.config.targets or deployment.config.watches else ", but nothing is watched"
    typer.echo(f"{facts['source']}: good{nothing}")
    for name, count in deployment.suites.items():
        target = deployment.config.targets[name]
        told = _tells(target.notify, routing)
        typer.echo(f"  target {name}: {len(count.canaries)} canaries against {target.model}{told}")
        typer.echo(f"    {facts['spending'][name]}")
    for watch in deployment.config.watches:
        typer.echo(f"  watch {watch.name}{_tells(watch.notify, routing)}")
    for one in receivers:
        typer.echo(f"  {receiver_line(one)}")
    for line in facts["route"]:
        typer.echo(f"  {line}")
    for line in facts["unreachable_routes"]:
        typer.echo(f"  consider: nothing ever reaches {line}")
    for line in facts["inhibitions"]:
        typer.echo(f"  {line}")
    for sentence in facts["advice"]:
        typer.echo(f"  consider: {sentence}")


def _tells(notify: "Sequence[str]", routing: "Routing") -> str:
    """Whom a target or a watch tells; nothing where the tree of routes says it."""
    return "" if routing.tree else f", tells {', '.join(notify) or 'nobody'}"
