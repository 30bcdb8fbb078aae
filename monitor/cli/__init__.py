"""The command ``anchorwatch``: data on stdout, logs and errors on stderr."""

import sys
from typing import NoReturn

from alerts import AlertError
from canaries import CanaryError
from monitor import MonitorError

from .running import RunOptions, plain_run, run


def main() -> None:
    """Run the command line; an error that a person can mend is one clear message and exit code 2."""
    try:
        if (options := plain_run(sys.argv[1:])) is not None:
            _run(options)
        from .commands import app

        app()
    except (MonitorError, CanaryError, AlertError) as error:
        print(f"anchorwatch: {error}", file=sys.stderr)  # noqa: T201 - this is where errors are told
        sys.exit(2)


def _run(options: RunOptions) -> NoReturn:
    try:
        sys.exit(run(options))
    except KeyboardInterrupt:  # before the daemon listens to it
        sys.exit(130)
