"""``python -m monitor.cli`` is the command ``anchorwatch``."""

from . import main

main()
