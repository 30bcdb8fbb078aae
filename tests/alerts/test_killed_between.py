"""kill -9 anywhere between decision and delivery: everybody hears everything, under one id each, and in order."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from alerts import group_store, outbox_store, store
from monitor.database import Database

PROGRAM = Path(__file__).with_name("killed_voyage.py")


@dataclass(frozen=True)
class Voyage:
    """What arrived, in the order in which it did, how long it took, and how often it was killed."""

    arrived: list[list]
    took_s: float
    hits: int


def sail(folder: Path, kills: int = 0, lasts_s: float = 0.0) -> Voyage:
    """A voyage that is killed so often."""
    folder.mkdir()
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(PROGRAM), str(folder), str(kills), str(lasts_s)]
    done = subprocess.run(
        command, env=dict(os.environ) | paths, check=True, stdout=subprocess.PIPE, text=True
    )
    took_s, hits = done.stdout.split()
    arrived = [json.loads(line) for line in (folder / "arrived").read_text().splitlines()]
    return Voyage(arrived, float(took_s), int(hits))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Voyage:
    """The voyage that nobody killed."""
    return sail(tmp_path_factory.mktemp("voyage") / "whole")


def first_times(arrived: list[list]) -> dict[tuple[str, str], list[str]]:
    """The ids that each receiver got for each group, in the order in which it first got them."""
    found: dict[tuple[str, str], list[str]] = {}
    for receiver, message_id, group_id, *_ in arrived:
        ids = found.setdefault((receiver, group_id), [])
        if message_id not in ids:
            ids.append(message_id)
    return found


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_whatever_is_killed_people_hear_what_they_would_have_heard(whole, tmp_path, kills):
    killed = sail(tmp_path / "killed", kills, whole.took_s)
    assert killed.hits > kills / 2
    assert first_times(killed.arrived) == first_times(whole.arrived)
    assert copies(killed) <= 1 + killed.hits
    database = Database(tmp_path / "killed" / "a.sqlite")
    assert database.read(store.open_incidents) == ()
    assert database.read(group_store.open_groups) == ()
    rows = database.read(lambda session: outbox_store.notifications(session, limit=10_000))
    assert all(row.sent_at is not None for row in rows)
    assert {row.id for row in rows} == {message_id for _, message_id, *_ in killed.arrived}
    database.close()


def copies(voyage: Voyage) -> int:
    """How often the message arrived that arrived most often."""
    return max(Counter(message_id for _, message_id, *_ in voyage.arrived).values())


def test_without_a_kill_everything_arrives_once_and_the_last_of_each_incident_is_its_end(whole):
    assert len(whole.arrived) > 20
    assert copies(whole) == 1
    last: dict[tuple[str, str], str] = {}
    for receiver, _, _, _, members in whole.arrived:
        last |= {(receiver, incident_id): state for incident_id, state in members}
    assert set(last.values()) == {"resolved"}
