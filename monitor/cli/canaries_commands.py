"""``canaries ...``: where canaries come from, and what became of their suites."""

import typer

from . import borderline_command, harvest_commands, suite_commands

app = typer.Typer(help="Find canaries, and follow their suites.", no_args_is_help=True)


@app.callback()
def canaries() -> None:
    """Find canaries, and follow their suites."""


borderline_command.add_to(app)
harvest_commands.add_to(app)
suite_commands.add_to(app)
