"""Counters by the labels of production traffic show what those of the client library do."""

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from monitor import label_counters
from monitor.label_counters import LabelCounter

LABELS = ("service", "outcome")


def without_moments(page: bytes) -> list[bytes]:
    """The lines of the page; when a counter was counted first is another moment for each."""
    return [line.rpartition(b" ")[0] if b"_created{" in line else line for line in page.splitlines()]


def test_a_counter_shows_what_the_client_librarys_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = LabelCounter("shop_calls", "Calls.", LABELS, ours)
    other = Counter("shop_calls", "Calls.", LABELS, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs)
    for labels, by in ((("shop", "ok"), 3), (('de"sk\n', "time\\out"), 1), (("shop", "ok"), 2)):
        mine.inc(labels, by)
        other.labels(*labels).inc(by)
    for render in (generate_latest, openmetrics):
        assert without_moments(render(ours)) == without_moments(render(theirs))
    assert ours.get_sample_value("shop_calls_total", {"service": "shop", "outcome": "ok"}) == 5.0


def test_label_sets_beyond_the_bound_are_counted_together_and_the_known_ones_go_on(monkeypatch) -> None:
    monkeypatch.setattr(label_counters, "SERIES_MAX", 2)
    registry = CollectorRegistry()
    counter = LabelCounter("shop_calls", "Calls.", LABELS, registry)
    for name in ("a", "b", "c", "d", "a"):
        counter.inc((name, "ok"))
    (family,) = counter.collect()
    counts = {
        sample.labels["service"]: sample.value for sample in family.samples if sample.name.endswith("_total")
    }
    assert counts == {"a": 2.0, "b": 1.0, "other": 2.0}
