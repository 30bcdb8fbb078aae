"""What the tests of audits share: a target whose baseline has just been frozen."""

import pytest
from watched_bot import BASELINE_RUNS, Bot

from monitor.database import Database


@pytest.fixture
def frozen_bot(database: Database) -> Bot:
    """A target whose baseline has just been frozen."""
    bot = Bot(database)
    assert bot.runs(BASELINE_RUNS)[-1].has_frozen
    return bot
