"""Calls that stop while a watch fires say nothing: neither that it is over, nor, once they are back, that it was."""

import pytest

from alerts.incident import Reason, Transition
from monitor.traffic.watches.config import WatchConfig

from .test_late_spans import Watched

WATCH = WatchConfig.model_validate({"name": "errors", "measure": "error_share", "above": "10%", "over": "5m"})
"""It has to be right for 15 minutes, as nothing else is said."""


@pytest.fixture
async def after_a_silence(database, make_call) -> Watched:
    """Errors have paged; it was right for 6 minutes, and then there were no calls for half an hour."""
    watched = Watched(database, make_call, WATCH)
    watched.arrive(0.2, 50, failed=True)
    assert (await watched.look(0.5)).is_page
    watched.arrive(8.2, 50, failed=False)
    looks = [await watched.look(minute + 0.5) for minute in range(8, 40)]
    said = [one.reason for one in looks]
    assert said == [Reason.KEPT_FIRING] * 6 + [Reason.NO_DATA] * 26
    return watched


async def good(watched: Watched, minute: int) -> Transition:
    watched.arrive(minute + 0.2, 30, failed=False)
    return await watched.look(minute + 0.5)


async def test_one_right_look_after_a_silence_does_not_end_what_fires_again_at_once(
    after_a_silence: Watched,
) -> None:
    assert (await good(after_a_silence, 40)).reason is Reason.KEPT_FIRING
    after_a_silence.arrive(42.2, 50, failed=True)
    again = await after_a_silence.look(42.5)
    assert (again.reason, again.notifications) == (Reason.STILL_FIRING, ())
    assert after_a_silence.pages() == 1


async def test_it_ends_when_it_was_right_for_as_long_as_it_must_be_before_and_after(
    after_a_silence: Watched,
) -> None:
    reasons = [(await good(after_a_silence, minute)).reason for minute in range(40, 50)]
    assert reasons == [Reason.KEPT_FIRING] * 9 + [Reason.RESOLVED]
