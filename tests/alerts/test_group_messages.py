"""What a message about a group of incidents says, and how Slack and a webhook show it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from alerts.channels.slack_blocks import MAX_MEMBERS, slack_blocks
from alerts.channels.webhook import MAX_BODY_BYTES, webhook_body
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, NoticeKind, State
from alerts.message import Message, Why, about_group, addressed

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def incident(
    number: int, severity: Severity = Severity.PAGE, state: State = State.FIRING, **labels: str
) -> Incident:
    finding = Finding(severity, Source.LEDGER, f"prompt {number} moved", {"target": "bot", **labels})
    return Incident(f"i{number}", f"drift/{number}", state, severity, finding, AT, AT, firing_since=AT)


def message(*incidents: Incident, kind=NoticeKind.FIRING, why=Why.FIRST) -> Message:
    return about_group("g1", kind, why, incidents, AT)


def test_a_group_of_one_reads_like_its_incident():
    alone = message(incident(1))
    assert (alone.headline, alone.member_lines) == ("PAGE FIRING: drift/1", ())
    assert (alone.group_id, alone.incident_id, alone.why) == ("g1", "i1", Why.FIRST)


def test_a_group_names_its_incidents_and_the_labels_that_all_have():
    told = message(incident(1, n="1"), incident(2, Severity.TICKET, n="2"))
    assert told.headline == "PAGE FIRING: drift/1 and 1 more"
    assert told.member_lines == ("PAGE firing: prompt 1 moved", "TICKET firing: prompt 2 moved")
    assert told.labels == {"target": "bot"}


def test_a_message_is_as_loud_as_what_still_fires_of_it():
    over = replace(incident(1), state=State.RESOLVED)
    told = message(incident(2, Severity.TICKET), over, kind=NoticeKind.UPDATED, why=Why.RESOLVED)
    assert told.severity is Severity.TICKET


def test_the_end_of_all_says_how_many_and_how_long():
    ended = [replace(incident(n), state=State.RESOLVED, updated_at=AT + timedelta(hours=1)) for n in (1, 2)]
    told = message(*ended, kind=NoticeKind.RESOLVED, why=Why.ALL_RESOLVED)
    assert told.note == "All 2 are over. It lasted 1 h 0 min."


@pytest.mark.parametrize("count", [1, 25])
def test_a_message_about_a_group_survives_its_snapshot(count):
    told = message(*(incident(n) for n in range(count)))
    assert Message.from_json(told.to_json()) == told


def test_a_snapshot_from_before_there_were_groups_can_be_read():
    fields = orjson.loads(message(incident(1)).to_json())
    for name in ("group_id", "why", "members", "members_more", "tried"):
        del fields[name]
    old = Message.from_json(orjson.dumps(fields).decode())
    assert (old.group_id, old.why, old.members, old.member_count) == (None, None, (), 0)


def test_messages_of_two_groups_about_one_incident_have_an_id_each():
    one = message(incident(1))
    assert addressed(one, "pager", 1).id != addressed(replace(one, group_id="g2"), "pager", 1).id


def shown(told: Message) -> str:
    return orjson.dumps(slack_blocks(told)).decode()


def test_slack_names_the_first_incidents_and_counts_the_others():
    text = shown(message(*(incident(n) for n in range(30))))
    assert "• PAGE firing: prompt 7 moved" in text
    assert "prompt 8 moved" not in text
    assert f"and {30 - MAX_MEMBERS} more" in text


def test_slack_takes_no_orders_from_an_incident_of_a_group():
    text = shown(
        message(incident(1), replace(incident(2), finding=replace(incident(2).finding, summary="<!channel>")))
    )
    assert "<!channel>" not in text


def test_a_webhook_has_the_group_and_its_incidents_and_stays_small():
    long = [replace(incident(n), finding=replace(incident(n).finding, summary="x" * 5000)) for n in range(30)]
    body = webhook_body(message(*long))
    fields = orjson.loads(body)
    assert len(body) < MAX_BODY_BYTES
    assert (fields["group"], fields["why"], fields["incident_count"]) == ("g1", "first", 30)
    assert fields["incidents"][0]["incident"] == "i0"
    assert len(fields["incidents"]) < 20
