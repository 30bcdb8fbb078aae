"""Counters whose labels come with production traffic: of bounded number, and small for each set of labels."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

SERIES_MAX = 1_000
"""How many label sets a metric fed by production traffic may have; the rest is counted under ``other``."""


class LabelCounter(Collector):
    """What a ``Counter`` of the client library shows, in a fifth of the room: that has an object for each label set."""

    def __init__(
        self, name: str, documentation: str, labels: tuple[str, ...], registry: CollectorRegistry
    ) -> None:
        """Start with no label set, and be shown by the registry."""
        self._name, self._documentation, self._labels = name, documentation, labels
        self._counts: dict[tuple[str, ...], float] = {}
        self._since: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def inc(self, labels: tuple[str, ...], by: float = 1) -> None:
        """Count under these labels, or under ``other`` for each once there are ``SERIES_MAX`` label sets."""
        if labels not in self._counts:
            if len(self._counts) >= SERIES_MAX:
                labels = ("other",) * len(labels)
            self._since.setdefault(labels, time.time())
        self._counts[labels] = self._counts.get(labels, 0.0) + by

    def describe(self) -> Iterator[CounterMetricFamily]:
        """What it is called, for the registry to see that nothing else is."""
        yield CounterMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """All label sets, with when each was counted first where the client library tells that."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        # Who renders may do so beside who counts.
        for labels, count in self._counts.copy().items():
            family.add_metric(labels, count, self._since[labels] if _TELLS_SINCE else None)
        yield family


def _tells_since() -> bool:
    """Whether the client library shows when a counter began: an environment variable may have it leave that out."""
    (probe,) = Counter("probe", "A counter that nobody sees.", registry=None).collect()
    return any(sample.name.endswith("_created") for sample in probe.samples)


_TELLS_SINCE = _tells_since()
