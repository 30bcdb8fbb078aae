"""Puts the scanner of spans into what is installed, where there is a C compiler; hatchling calls this.

A wheel with the scanner is for one Python on one platform, a wheel without it for all. Without a compiler, and with
ANCHORWATCH_NO_SCANNER=1, it is made without: nothing needs the scanner, and no installation fails for it.
"""

import os
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "monitor/traffic/lookout"


class ScannerHook(BuildHookInterface[Any]):
    """Builds the scanner: beside its source for an editable installation, otherwise for the wheel alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it before the wheel is put together."""
        # By its path: its package is not installed yet, nor what that imports.
        scanner = SimpleNamespace(**run_path(str(Path(self.root, PLACE, "scanner_building.py"))))
        if os.environ.get(scanner.NOT_WANTED):
            return
        name = scanner.name_of_built()
        try:
            if version == "editable":
                built = Path(self.root, PLACE, name)
                if not scanner.is_built(built, scanner.source_mark()):
                    scanner.build(built)
                return
            # Not the one beside the source: that may have been built for looking for errors in it.
            self._folder = TemporaryDirectory()
            built = Path(self._folder.name, name)
            scanner.build(built)
        except scanner.NotBuilt as reason:
            self.app.display_warning(f"spans will be read in Python, without the faster scanner: {reason}")
        else:
            build_data["force_include"][str(built)] = f"{PLACE}/{name}"
            build_data["pure_python"], build_data["infer_tag"] = False, True
