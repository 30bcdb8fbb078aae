import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from alerts import DeliveryError
from alerts.channels.slack import SlackChannel
from alerts.channels.slack_blocks import escaped, slack_blocks, slack_text
from alerts.config import SlackConfig
from alerts.incident import NoticeKind
from alerts.message import Thread

from .messages import KINDS

PAGE = replace(KINDS["first"], group_id=None, why=None)
RESOLVED = replace(KINDS["resolved"], id="msg_2", group_id=None, why=None)
ROLLED_BACK = replace(
    KINDS["rolled back"],
    id="msg_3",
    group_id=None,
    why=None,
    note="Rollback 'deploys' was delivered to the deploy system (webhook-id msg_9).",
)
THREAD = Thread("C0ONCALL", "1772452800.000000")


@pytest.fixture
def channel(slack):
    return SlackChannel(SlackConfig(token="xoxb-secret", channel="C0ONCALL", base_url=slack.url))


def answer(status: int, body: object, **headers: str) -> SimpleNamespace:
    return SimpleNamespace(status=status, body=body, headers=headers)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page", PAGE),
        ("resolved", RESOLVED),
        ("rollback_news", ROLLED_BACK),
        ("rollback_question", KINDS["question"]),
    ],
    ids=["page", "resolved", "rollback", "question"],
)
def test_what_people_see(golden, name, message):
    asks = message.kind is NoticeKind.ROLLBACK_QUESTION
    blocks = slack_blocks(message, "https://anchorwatch.example.com", with_buttons=asks)
    payload = {"text": slack_text(message), "blocks": blocks}
    golden(f"slack_{name}.json", json.dumps(payload, indent=2, ensure_ascii=False) + "\n")


def test_values_cannot_give_slack_orders():
    orders = "<!channel> & <https://evil.example|click>"
    harmless = "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;"
    message = replace(PAGE, summary=orders, key=orders, evidence=((orders, orders),), labels={orders: orders})
    shown = json.dumps([slack_blocks(message), slack_text(message)])
    assert shown.count(harmless) == 8
    assert "<!channel>" not in shown
    assert "<http" not in shown


def test_a_trace_that_can_be_opened_is_a_link():
    evidence = (("slowest call", "trace 5b8aa5a2 (12 s) https://traces.example.com/5b8aa5a2?a&b"),)
    shown = json.dumps(slack_blocks(replace(PAGE, evidence=evidence)))
    assert "<https://traces.example.com/5b8aa5a2?a&amp;b|trace 5b8aa5a2> (12 s)" in shown


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("a<b", 6, "a&lt;b"),
        ("a<bc", 6, "a&lt;…"),
        ("<<<", 12, "&lt;&lt;&lt;"),
        ("<<<", 11, "&lt;…"),
        ("", 5, ""),
    ],
    ids=[
        "fits",
        "too long",
        "escape fits",
        "cut after an escape",
        "only escapes",
        "cut in an escape",
        "empty",
    ],
)
def test_a_text_is_cut_between_characters_and_never_inside_an_escape(text, limit, expected):
    assert escaped(text, limit) == expected


def test_a_message_of_any_size_keeps_slacks_limits():
    huge = "<" * 9000
    message = replace(
        PAGE,
        summary=huge,
        key=huge,
        note=huge,
        evidence=((huge, huge),) * 40,
        labels={f"{huge}{i}": huge for i in range(40)},
    )
    header, summary, note, fields, context = slack_blocks(message, "https://anchorwatch.example.com")
    assert len(header["text"]["text"]) <= 150
    assert max(len(summary["text"]["text"]), len(note["text"]["text"])) <= 3000
    assert len(fields["fields"]) == 6
    assert fields["fields"][-1]["text"] == "_and 35 more_"
    assert all(len(part["text"]) <= 2000 for part in fields["fields"])
    assert all(len(part["text"]) <= 3000 for part in context["elements"])


async def test_the_first_message_opens_a_thread(slack, channel):
    thread = await channel.deliver(PAGE, None, is_repeat=False)
    assert thread == THREAD
    [(method, posted)] = slack.calls
    assert (method, posted["channel"]) == ("chat.postMessage", "C0ONCALL")
    assert posted["metadata"]["event_payload"] == {"id": "msg_1"}
    assert "thread_ts" not in posted


@pytest.mark.parametrize(
    ("kind", "methods", "is_loud"),
    [
        (NoticeKind.ESCALATED, ["chat.update", "chat.postMessage"], True),
        (NoticeKind.RESOLVED, ["chat.update", "chat.postMessage"], False),
        (NoticeKind.ROLLBACK_NEWS, ["chat.postMessage"], False),
    ],
)
async def test_later_messages_reply_and_states_update_the_first_one(slack, channel, kind, methods, is_loud):
    assert await channel.deliver(replace(PAGE, kind=kind), THREAD, is_repeat=False) == THREAD
    assert slack.methods() == methods
    reply = slack.calls[-1][1]
    assert (reply["thread_ts"], reply["reply_broadcast"]) == (THREAD.message, is_loud)
    if "chat.update" in methods:
        assert slack.calls[0][1]["ts"] == THREAD.message
        assert slack.calls[0][1]["blocks"] == reply["blocks"]


async def test_a_first_message_that_was_removed_holds_nothing_back(slack, channel):
    slack.script.append(("chat.update", answer(200, {"ok": False, "error": "message_not_found"})))
    slack.script.append(("chat.postMessage", answer(200, {"ok": False, "error": "thread_not_found"})))
    assert await channel.deliver(RESOLVED, THREAD, is_repeat=False) == Thread("C0ONCALL", "1772452800.000000")
    assert "thread_ts" not in slack.messages[0]


@pytest.mark.parametrize(
    ("status", "body", "headers", "permanent", "retry_after_s", "says"),
    [
        (429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"}, False, 7.0, "pause"),
        (429, {"ok": False, "error": "ratelimited"}, {}, False, 30.0, "pause"),
        (200, {"ok": False, "error": "invalid_auth"}, {}, True, None, "invalid_auth; make a new bot token"),
        (200, {"ok": False, "error": "token_revoked"}, {}, True, None, "token_revoked"),
        (200, {"ok": False, "error": "channel_not_found"}, {}, True, None, "invite the app"),
        (200, {"ok": False, "error": "not_in_channel"}, {}, True, None, "invite the app"),
        (200, {"ok": False, "error": "is_archived"}, {}, True, None, "not archived"),
        (200, {"ok": False, "error": "internal_error"}, {}, False, None, "internal_error"),
        (503, {"ok": False, "error": "service_unavailable"}, {}, False, None, "service_unavailable"),
        (502, "<html>Bad gateway</html>", {}, False, None, "502"),
        (200, "<html>Sign in</html>", {}, False, None, "200"),
    ],
    ids=[
        "rate limit",
        "rate limit without a time",
        "bad token",
        "revoked token",
        "no such channel",
        "not invited",
        "archived",
        "slack has a bad day",
        "slack is down",
        "a proxy answers",
        "a captive portal answers",
    ],
)
async def test_what_a_failure_means(slack, channel, status, body, headers, permanent, retry_after_s, says):
    slack.script.append(("chat.postMessage", answer(status, body, **headers)))
    with pytest.raises(DeliveryError, match=says) as failure:
        await channel.deliver(PAGE, None, is_repeat=False)
    assert (failure.value.permanent, failure.value.retry_after_s) == (permanent, retry_after_s)
    assert "xoxb" not in str(failure.value)
    assert len(slack.calls) == 1


async def test_an_unreachable_slack_is_worth_another_try():
    channel = SlackChannel(
        SlackConfig(token="xoxb-secret", channel="C0ONCALL", base_url="http://127.0.0.1:9/")
    )
    with pytest.raises(DeliveryError, match="could not be reached") as failure:
        await channel.deliver(PAGE, None, is_repeat=False)
    assert not failure.value.permanent


async def test_a_repeat_finds_the_message_that_had_arrived(slack, channel):
    first = await channel.deliver(PAGE, None, is_repeat=False)
    again = await channel.deliver(PAGE, None, is_repeat=True)
    assert again == first
    assert len(slack.messages) == 1
    assert slack.calls[-1][0] == "conversations.history"
    assert slack.calls[-1][1]["include_all_metadata"] == "1"


async def test_a_repeated_reply_is_searched_in_its_thread(slack, channel):
    await channel.deliver(PAGE, None, is_repeat=False)
    await channel.deliver(RESOLVED, THREAD, is_repeat=False)
    assert await channel.deliver(RESOLVED, THREAD, is_repeat=True) == THREAD
    assert len(slack.messages) == 2
    assert slack.calls[-1][0] == "conversations.replies"


async def test_a_repeat_that_may_not_search_is_sent_again(slack, channel):
    slack.script.append(("conversations.history", answer(200, {"ok": False, "error": "missing_scope"})))
    await channel.deliver(PAGE, None, is_repeat=True)
    assert slack.methods() == ["conversations.history", "chat.postMessage"]


@pytest.mark.parametrize(
    ("kind", "offered"),
    [
        ("first", ["acknowledge", "silence_1h", "silence_1d", "mark_false"]),
        ("acknowledged", ["silence_1h", "silence_1d", "mark_false"]),
        ("resolved", ["mark_true", "mark_false"]),
        ("rolled back", []),
        ("test", []),
    ],
)
def test_the_buttons_are_those_that_make_sense_now_and_name_the_group(kind, offered):
    blocks = slack_blocks(KINDS[kind], with_buttons=True)
    pressed = [element for block in blocks if block["type"] == "actions" for element in block["elements"]]
    assert [element["action_id"] for element in pressed] == offered
    assert {element["value"] for element in pressed} <= {"9f0c7a3b5d1e2f48"}


@pytest.mark.parametrize("settings", [{}, {"app_token": "xapp-1"}, {"signing_secret": "s"}])
async def test_buttons_are_there_when_somebody_hears_of_them(slack, settings):
    config = SlackConfig(token="xoxb-secret", channel="C0ONCALL", base_url=slack.url, **settings)
    await SlackChannel(config).deliver(PAGE, None, is_repeat=False)
    [(_, posted)] = slack.calls
    assert any(block["type"] == "actions" for block in posted["blocks"]) is bool(settings)
