"""Messages that the tests of channels send: one of each kind, about one group from its first word to its end."""

from dataclasses import replace
from datetime import UTC, datetime

from alerts.finding import Severity
from alerts.incident import NoticeKind, State
from alerts.message import MemberLine, Message, Why

AT = datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
PAGE = Message(
    id="msg_1",
    kind=NoticeKind.FIRING,
    summary="support-bot answers differently than in its baseline.",
    created_at=AT,
    incident_id="2b26878b897629cd",
    key="drift/support-bot",
    severity=Severity.PAGE,
    state=State.FIRING,
    since=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
    labels={"target": "support-bot", "model": "gpt-4o"},
    evidence=(("strongest score", "suite surprise, 6 runs in a row above all 84"), ("evidence", "1.31 of 1")),
    group_id="9f0c7a3b5d1e2f48",
    why=Why.FIRST,
)
MEMBERS = tuple(
    MemberLine(f"{number:016x}", f"drift/bot-{number}", Severity.PAGE, State.FIRING, f"bot-{number} moved.")
    for number in range(3)
)
KINDS = {
    "first": PAGE,
    "group": replace(PAGE, id="msg_2", members=MEMBERS, members_more=27),
    "updated": replace(PAGE, id="msg_3", kind=NoticeKind.UPDATED, why=Why.NEW_IN_GROUP, members=MEMBERS),
    "worse": replace(PAGE, id="msg_4", kind=NoticeKind.ESCALATED, why=Why.WORSE),
    "again": replace(PAGE, id="msg_5", kind=NoticeKind.REPEATED, why=Why.REPEAT),
    "acknowledged": replace(
        PAGE, id="msg_6", kind=NoticeKind.ACKNOWLEDGED, state=State.ACKNOWLEDGED, note="Acknowledged by Ada"
    ),
    "rolled back": replace(
        PAGE, id="msg_7", kind=NoticeKind.ROLLBACK_NEWS, evidence=(), note="Rollback 'deploys' was delivered."
    ),
    "question": replace(
        PAGE,
        id="msg_11",
        kind=NoticeKind.ROLLBACK_QUESTION,
        evidence=(),
        rollback="deploys",
        note="Rollback 'deploys' waits for a person. Approve or reject it by 2026-03-02 12:35 UTC (within 30 min).",
    ),
    "resolved": replace(
        PAGE, id="msg_8", kind=NoticeKind.RESOLVED, state=State.RESOLVED, note="It lasted 2 h 5 min."
    ),
    "news of what is over": replace(
        PAGE, id="msg_9", kind=NoticeKind.ROLLBACK_NEWS, state=State.RESOLVED, note="It was not delivered."
    ),
    "test": Message(
        id="msg_10",
        kind=NoticeKind.TEST,
        summary="This is a test of the receiver 'oncall'. Nothing is wrong.",
        created_at=AT,
    ),
}
_HUGE = "<€\0😀" * 3000
HUGE = replace(
    KINDS["group"],
    summary=_HUGE,
    key=_HUGE,
    note=_HUGE,
    evidence=((_HUGE, _HUGE),) * 60,
    labels={f"{number}{_HUGE}": _HUGE for number in range(40)},
)
