"""All commands of ``anchorwatch`` and their options.

Every command imports what it needs when it is called, so that ``anchorwatch --help`` answers at once.
"""

from typing import Annotated

import typer

from . import (
    alerts_commands,
    audit_command,
    baseline_commands,
    bench_command,
    canaries_commands,
    compare_command,
    daemon_commands,
    gate_command,
    rollback_commands,
    simulate_command,
    spans_commands,
    stream_commands,
)

app = typer.Typer(
    name="anchorwatch",
    help="The anchor watch for LLM applications.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from monitor.telemetry import installed_version

        typer.echo(installed_version())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        # Eager: whoever asks for it names no command.
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_tell_version),
    ] = False,
) -> None:
    """The anchor watch for LLM applications."""


daemon_commands.add_to(app)
stream_commands.add_to(app)
compare_command.add_to(app)
gate_command.add_to(app)
bench_command.add_to(app)
audit_command.add_to(app)
simulate_command.add_to(app)
app.add_typer(baseline_commands.app, name="baseline")
app.add_typer(canaries_commands.app, name="canaries")
app.add_typer(alerts_commands.app, name="alerts")
app.add_typer(rollback_commands.app, name="rollback")
app.add_typer(spans_commands.app, name="spans")
