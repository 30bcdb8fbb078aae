"""What the tests of the daemon's flows share: a target under watch, before its first run and with its baseline."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from watched_bot import BASELINE_RUNS, Bot

from monitor.database import Database


@pytest.fixture
def bot(database: Database) -> Bot:
    """A target that has not had a run yet."""
    return Bot(database)


@pytest.fixture(scope="session")
def frozen_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which the target's baseline has just been frozen."""
    database = Database(tmp_path_factory.mktemp("frozen") / "anchorwatch.sqlite")
    database.migrate()
    assert Bot(database).runs(BASELINE_RUNS)[-1].has_frozen
    database.close()
    return database.path


@pytest.fixture
def frozen_bot(frozen_file: Path, tmp_path: Path) -> Iterator[Bot]:
    """A target whose baseline has just been frozen."""
    database = Database(Path(shutil.copy(frozen_file, tmp_path / "frozen.sqlite")))
    yield Bot(database, hour=BASELINE_RUNS)
    database.close()
