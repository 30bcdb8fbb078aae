"""Write the next migration from the difference between the tables in code and the migrations so far.

Usage: python scripts/make-migration.py "what is different now"
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from monitor.database import Database
from monitor.migrating import alembic_config


def main() -> None:
    """Migrate an empty database to the last revision, and compare it with the tables in code."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "empty.sqlite")
        database.migrate()
        config = alembic_config()
        versions = Path(config.get_main_option("script_location") or "") / "versions"
        number = f"{len(list(versions.glob('*.py'))) + 1:04d}"
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message=sys.argv[1], autogenerate=True, rev_id=number)
        database.close()


main()
