"""What a daemon does not load: its memory is for what it watches."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from monitor.database import Database
from monitor.migrating import alembic_config, newest_revision

AS_A_DAEMON = """
import sys
from pathlib import Path
from monitor.left_out import leave_out_command_lines
leave_out_command_lines()
import monitor.cli, monitor.daemon
from monitor.database import Database
database = Database(Path(sys.argv[1]))
database.migrate_apart()
database.close()
print(*sorted(sys.modules))
"""

SPARED = {"alembic", "apprise", "asyncpg", "grpc", "mako", "psycopg", "scipy", "slack_sdk", "vl_convert"}
SPARED_DIALECTS = {f"sqlalchemy.dialects.{name}" for name in ("mysql", "oracle", "postgresql")}

WITH_CHILDREN_IGNORED = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from monitor.database import Database
database = Database(Path(sys.argv[1]))
database.migrate_apart()
print(database.engine.connect().exec_driver_sql("SELECT count(*) FROM baseline").scalar())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere migrations are done by the daemon itself")
def test_a_daemon_loads_nothing_that_it_has_no_use_for_and_still_makes_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", AS_A_DAEMON, path], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not SPARED & {name.partition(".")[0] for name in loaded}
    assert not SPARED_DIALECTS & loaded
    made = Database(path)
    with made.engine.connect() as connection:
        assert (
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            == newest_revision()
        )
    made.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere migrations are done by the daemon itself")
def test_a_daemon_that_was_told_to_ignore_its_children_makes_its_tables(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITH_CHILDREN_IGNORED, tmp_path / "a.sqlite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_the_newest_migration_is_known_without_reading_them() -> None:
    assert newest_revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_with_other_threads_about_migrations_are_done_by_the_process_itself(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    with ThreadPoolExecutor(1) as another:
        another.submit(int).result()
        database.migrate_apart()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM baseline").scalar() == 0
    database.close()
