"""What a daemon does not load: its memory is for what it watches."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from alembic.script import ScriptDirectory

from monitor.database import Database
from monitor.migrating import alembic_config, newest_revision

from .conftest import otlp_json
from .running import RunningDaemon

TELLS_AT_ITS_END = """
import atexit, sys
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, *sys.modules))
from monitor.cli import main
main()
"""

PAGES_AND_COMMANDS = {"fastapi", "jinja2", "pygments", "rich", "starlette", "typer"}
OTHERS = {
    "alembic",
    "apprise",
    "asyncpg",
    "grpc",
    "json_repair",
    "jsonschema",
    "mako",
    "monitor.foresight.sensitivity",
    "numpy.random",
    "psycopg",
    "scipy",
    "slack_sdk",
    "tzlocal.windows_tz",
    "vl_convert",
    "websockets",
}
DIALECTS = {f"sqlalchemy.dialects.{name}" for name in ("mysql", "oracle", "postgresql")}

STARTED_MAX_MIB = 180
"""What a daemon takes that has just started is 105 to 120 MiB, a little more where libraries had to be compiled."""

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
def test_a_daemon_that_nobody_looks_at_loads_neither_pages_nor_command_line(tmp_path: Path) -> None:
    program = ("-c", TELLS_AT_ITS_END)
    with RunningDaemon(tmp_path, program=program) as daemon:
        assert daemon.get("/healthz").is_success
        assert daemon.get("/readyz").is_success
        assert daemon.metric("anchorwatch_calls_total") == 0
        taken_mib = daemon.memory_max_mib()
        assert daemon.stop() == 0
        assert daemon.process is not None
        assert daemon.process.stdout is not None
        loaded = set(daemon.process.stdout.read().split())
        assert daemon.rows("SELECT version_num FROM alembic_version") == [(newest_revision(),)]
    assert not (PAGES_AND_COMMANDS | OTHERS | DIALECTS) & loaded
    assert taken_mib < STARTED_MAX_MIB


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


def test_a_daemon_that_prices_and_counts_calls_loads_neither_masked_arrays_nor_another_client_of_http(
    tmp_path: Path,
) -> None:
    program = ("-c", TELLS_AT_ITS_END)
    with RunningDaemon(tmp_path, options=("--no-otlp-grpc",), program=program) as daemon:
        assert httpx.post(daemon.otlp_url + "/v1/traces", json=otlp_json(3)).is_success
        assert daemon.stop() == 0  # with a fold
        assert daemon.process is not None
        assert daemon.process.stdout is not None
        loaded = set(daemon.process.stdout.read().split())
    assert {"numpy", "genai_prices"} <= loaded
    assert not {"numpy.ma", "httpx2"} & loaded
