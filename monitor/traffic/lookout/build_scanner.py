"""The command that builds the scanner: ``python -m monitor.traffic.lookout.build_scanner``."""

import sys

from .scanner_building import main

if __name__ == "__main__":
    main(sys.argv[1:])
