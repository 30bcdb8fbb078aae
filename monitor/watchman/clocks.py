"""How far this machine's clock is from those of the servers that we talk to anyway, by the Date of their answers.

A server stamps its answer at some moment between our question and its answer, to the second. So what is told is a
lower bound: how far its stamp lies outside that time. Nothing is asked for the sake of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from statistics import median_high, median_low

import httpx

from canaries.clock import Clock

KEPT_S = 3_600.0
"""How long what a server said of the time counts."""

HOSTS_MAX = 50
"""How many servers are remembered; the one that has not answered for longest makes room."""

_SENT_AT = "anchorwatch_sent_at"


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """How far the clocks of most servers are ahead of ours (behind it: below zero), and each of them."""

    apart_s: float
    hosts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    apart_s: float
    monotonic_s: float


class ServerClocks:
    """What servers say of the time, as hooks of the clients that talk to them."""

    def __init__(self, clock: Clock) -> None:
        """Compare with this clock."""
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def watch(self, client: httpx.AsyncClient) -> None:
        """Listen to what this client is answered."""
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks["request"], self.asked],
            "response": [*hooks["response"], self.answered],
        }

    async def asked(self, request: httpx.Request) -> None:
        """Remember when this was asked."""
        request.extensions[_SENT_AT] = self._clock.now()

    async def answered(self, response: httpx.Response) -> None:
        """Take note of the time by which the answer was made."""
        sent_at, host = response.request.extensions.get(_SENT_AT), response.request.url.host
        stamp = _stamp(response)
        if not isinstance(sent_at, datetime) or stamp is None or _is_ours(host):
            return
        apart_s = apart(sent_at, stamp, self._clock.now())
        self._seen.pop(host, None)
        self._seen[host] = _Seen(apart_s, self._clock.monotonic())
        while len(self._seen) > HOSTS_MAX:
            del self._seen[next(iter(self._seen))]

    def facts(self) -> ClockFacts | None:
        """What they said of late; nothing where nobody did."""
        now_s = self._clock.monotonic()
        lately = {host: one.apart_s for host, one in self._seen.items() if now_s - one.monotonic_s <= KEPT_S}
        return ClockFacts(_most(list(lately.values())), tuple(sorted(lately.items()))) if lately else None

    def forget(self) -> None:
        """Our own clock was set: what was compared with it before says nothing any more."""
        self._seen.clear()


def apart(sent_at: datetime, stamp: datetime, received_at: datetime) -> float:
    """By how many seconds at least a server's clock is ahead of ours (behind it: below zero)."""
    ahead_s, behind_s = (stamp - received_at).total_seconds(), (sent_at - stamp).total_seconds() - 1
    if ahead_s > 0:
        return ahead_s
    return -behind_s if behind_s > 0 else 0.0


def _most(apart_s: Sequence[float]) -> float:
    """The middle one, so that a few servers that are wrong accuse nobody; of two the nearer, if they agree."""
    low, high = median_low(apart_s), median_high(apart_s)
    return min(low, high, key=abs) if low * high > 0 else 0.0


def _stamp(response: httpx.Response) -> datetime | None:
    # An answer out of a cache has the time at which it was put there.
    if "age" in response.headers:
        return None
    try:
        stamp = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _is_ours(host: str) -> bool:
    """Whether it is this machine, which has our clock."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
