"""What is asked of the open incidents while thousands are: never all of them."""

from datetime import timedelta

import pytest

from alerts import outbox_store, store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.inhibition import ANY, InhibitRule, matching, source_labels
from alerts.intake import receive
from alerts.message import addressed, receiver_test
from alerts.sources import inhibitors

RULE = AlertRule(notify=("pager",))
DOWN = InhibitRule(matching(proof="endpoint_down"), matching(source="ledger"), equal=("target",), doubts=True)
SILENT = InhibitRule(matching(silence="service", service=ANY), matching(watch=ANY), equal=("service",))


def breach(key: str, source: Source = Source.LEDGER, **labels: str) -> Verdict:
    return Verdict(key, Label.BREACHED, Finding(Severity.PAGE, source, f"{key} is wrong", labels))


@pytest.fixture
def take(database, clock):
    def took(*verdicts: Verdict, inhibitions=()):
        looks = [(one, RULE) for one in verdicts]
        done = database.write(lambda session: receive(session, looks, clock.now(), inhibitions=inhibitions))
        clock.advance(1)
        return done

    return took


def keys(incidents) -> list[str]:
    return [one.key for one in incidents]


def test_the_open_incidents_of_some_keys(database, take) -> None:
    take(breach("a"), breach("b"), breach("c"))
    take(Verdict("b", Label.STEADY))
    assert keys(database.read(lambda session: store.open_of(session, {"a", "b", "nothing"}))) == ["a"]
    assert database.read(lambda session: store.open_of(session, ())) == ()


def test_more_keys_than_one_question_names(database, take) -> None:
    names = [f"key-{number}" for number in range(store.KEYS_AT_ONCE + 2)]
    take(breach(names[0]), breach(names[-1]))
    found = database.read(lambda session: store.open_of(session, names))
    assert sorted(keys(found)) == sorted([names[0], names[-1]])


def test_the_open_incidents_whose_keys_begin_so(database, take) -> None:
    take(breach("silence/a"), breach("silence"), breach("silenceXa"), breach("silence/b"))
    take(Verdict("silence/b", Label.STEADY))
    assert keys(database.read(lambda session: store.open_below(session, "silence/"))) == ["silence/a"]


def test_the_latest_open_incidents_come_in_their_order(database, take) -> None:
    for key in "abcd":
        take(breach(key))
    take(Verdict("c", Label.STEADY))
    assert keys(database.read(lambda session: store.latest_open(session, 2))) == ["b", "d"]


def test_only_what_can_explain_something_away_is_read(database, take) -> None:
    take(
        breach("drift/bot", target="bot"),
        breach("proof/bot/endpoint_down", Source.PROOF, target="bot", proof="endpoint_down"),
        breach("proof/bot/model", Source.PROOF, target="bot", proof="served_model"),
        breach("silence/service/a", Source.SELF_CHECK, silence="service", service="a"),
        breach("silence/traffic", Source.SELF_CHECK, silence="no_traffic"),
    )
    assert source_labels((DOWN, SILENT)) == ({"proof", "target"}, {"silence", "service"})
    labelled = database.read(lambda session: store.open_labelled(session, [{"proof"}]))
    assert sorted(keys(labelled)) == ["proof/bot/endpoint_down", "proof/bot/model"]
    everything = keys(database.read(store.open_incidents))
    found = database.read(lambda session: inhibitors(session, (DOWN, SILENT)))
    assert {key for key in everything if key in found} == {"proof/bot/endpoint_down", "silence/service/a"}
    nothing = database.read(lambda session: inhibitors(session, ()))
    assert not any(key in nothing for key in everything)


def test_a_rule_that_needs_no_label_looks_at_all(database, take) -> None:
    take(breach("drift/bot"), breach("proof/bot", Source.PROOF))
    rule = InhibitRule((*matching(source="proof"), *matching(severity="page")), matching(source="ledger"))
    assert source_labels((rule,)) == (frozenset(),)
    found = database.read(lambda session: inhibitors(session, (rule,)))
    assert [key in found for key in ("drift/bot", "proof/bot")] == [False, True]


def test_what_explains_a_finding_away_is_found_among_what_was_open_before(take) -> None:
    take(breach("proof/bot/endpoint_down", Source.PROOF, target="bot", proof="endpoint_down"))
    [held, other] = take(
        breach("drift/bot", target="bot"), breach("drift/lark", target="lark"), inhibitions=(DOWN,)
    )
    assert held.inhibited_by is not None
    assert other.inhibited_by is None


def test_what_became_of_the_messages_of_each_incident(database, clock, take) -> None:
    [one, two] = (done.incident for done in take(breach("a"), breach("b")))
    assert one is not None
    assert two is not None
    [first] = database.read(lambda session: outbox_store.notifications(session, one.id))
    claim = database.write(lambda session: outbox_store.claim_next(session, "pager", clock.now(), first.id))
    assert claim is not None
    database.write(lambda session: outbox_store.mark_sent(session, first.id, None, clock.now()))
    stray = addressed(receiver_test("pager", clock.now()), "pager", 0)
    database.write(lambda session: outbox_store.enqueue(session, [stray]))
    fates = database.read(lambda session: outbox_store.fates(session, {one.id, two.id}))
    assert [(fate.receiver, fate.sent_at, fate.attempts) for fate in fates[one.id]] == [
        ("pager", clock.now(), 1)
    ]
    assert [fate.sent_at for fate in fates[two.id]] == [None]
    assert clock.now() - first.message.created_at == timedelta(seconds=1)
    assert database.read(lambda session: outbox_store.fates(session, ())) == {}
