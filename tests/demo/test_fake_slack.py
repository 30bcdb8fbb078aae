"""The fake Slack through the real Slack client."""

from collections.abc import Iterator

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from monitor.demo.fake_slack import FakeSlack, slack_app
from monitor.demo.serving import LocalServer

CHANNEL = "C0ONCALL"
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*drift*"}}]


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack(token="xoxb-practice", channels=(CHANNEL,))


@pytest.fixture
def url(slack: FakeSlack) -> Iterator[str]:
    with LocalServer(slack_app(slack)) as server:
        yield f"{server.url}/api/"


@pytest.fixture
def client(url: str) -> WebClient:
    return WebClient(token="xoxb-practice", base_url=url)


def test_a_posted_message_is_in_the_channel(client, slack):
    posted = client.chat_postMessage(channel=CHANNEL, text="drift", blocks=BLOCKS)
    assert posted["ok"]
    assert [(m.ts, m.text, list(m.blocks)) for m in slack.messages(CHANNEL)] == [
        (posted["ts"], "drift", BLOCKS)
    ]
    assert client.conversations_history(channel=CHANNEL)["messages"][0]["text"] == "drift"


def test_a_reply_stands_in_the_thread_and_not_in_the_channel(client, slack):
    page = client.chat_postMessage(channel=CHANNEL, text="page")
    client.chat_postMessage(channel=CHANNEL, text="resolved", thread_ts=page["ts"])
    assert [m.text for m in slack.thread(page["ts"])] == ["page", "resolved"]
    assert [m["text"] for m in client.conversations_history(channel=CHANNEL)["messages"]] == ["page"]
    replies = client.conversations_replies(channel=CHANNEL, ts=page["ts"])["messages"]
    assert [m["text"] for m in replies] == ["page", "resolved"]


def test_an_update_changes_the_message_in_its_place(client, slack):
    page = client.chat_postMessage(channel=CHANNEL, text="firing")
    client.chat_update(channel=CHANNEL, ts=page["ts"], text="resolved", blocks=BLOCKS)
    [message] = slack.messages()
    assert (message.ts, message.text, message.edits) == (page["ts"], "resolved", 1)


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("chat_postMessage", {"channel": "C0OTHER", "text": "x"}, "channel_not_found"),
        ("chat_postMessage", {"channel": CHANNEL, "text": ""}, "no_text"),
        ("chat_postMessage", {"channel": CHANNEL, "text": "x", "blocks": BLOCKS * 51}, "invalid_blocks"),
        ("chat_postMessage", {"channel": CHANNEL, "text": "x", "thread_ts": "1.0"}, "thread_not_found"),
        ("chat_update", {"channel": CHANNEL, "ts": "1.0", "text": "x"}, "message_not_found"),
        ("reactions_add", {"channel": CHANNEL, "timestamp": "1.0", "name": "eyes"}, "unknown_method"),
    ],
    ids=[
        "no such channel",
        "nothing to say",
        "too many blocks",
        "no such thread",
        "no such message",
        "no such method",
    ],
)
def test_what_slack_refuses_is_refused_with_its_code(client, slack, method, arguments, code):
    with pytest.raises(SlackApiError) as refusal:
        getattr(client, method)(**arguments)
    assert refusal.value.response["error"] == code
    assert slack.messages() == ()


def test_another_token_is_refused(url):
    with pytest.raises(SlackApiError, match="invalid_auth"):
        WebClient(token="xoxb-wrong", base_url=url).auth_test()


def test_a_rate_limited_client_is_told_when_to_come_back(client, slack):
    slack.rate_limited_calls, slack.retry_after_s = 1, 7
    with pytest.raises(SlackApiError) as refusal:
        client.chat_postMessage(channel=CHANNEL, text="page")
    assert (refusal.value.response.status_code, refusal.value.response.headers["Retry-After"]) == (429, "7")


def test_a_client_that_waits_gets_its_message_through(client, slack):
    slack.rate_limited_calls, slack.retry_after_s = 1, 0
    client.retry_handlers.append(RateLimitErrorRetryHandler())
    client.chat_postMessage(channel=CHANNEL, text="page")
    assert len(slack.messages()) == 1


async def test_the_async_client_posts_too(url, slack):
    client = AsyncWebClient(token="xoxb-practice", base_url=url)
    await client.chat_postMessage(channel=CHANNEL, text="page", blocks=BLOCKS)
    assert len(slack.messages()) == 1


def test_metadata_comes_back_and_old_messages_can_be_left_out(client, slack):
    for at in (100.0, 200.0, 200.0):
        slack.now = lambda at=at: at
        client.chat_postMessage(
            channel=CHANNEL,
            text="page",
            metadata={"event_type": "anchorwatch", "event_payload": {"id": f"{at}"}},
        )
    newest_first = client.conversations_history(channel=CHANNEL, oldest="150", include_all_metadata=True)[
        "messages"
    ]
    assert [message["ts"] for message in newest_first] == ["200.000001", "200.000000"]
    assert newest_first[0]["metadata"]["event_payload"]["id"] == "200.0"


def test_a_broadcast_reply_stands_in_the_channel_too(client, slack):
    page = client.chat_postMessage(channel=CHANNEL, text="ticket")
    client.chat_postMessage(channel=CHANNEL, text="now a page", thread_ts=page["ts"], reply_broadcast=True)
    assert [m["text"] for m in client.conversations_history(channel=CHANNEL)["messages"]] == [
        "now a page",
        "ticket",
    ]
    assert [m.text for m in slack.thread(page["ts"])] == ["ticket", "now a page"]


PNG = b"\x89PNG\r\n\x1a\n and more"


async def test_a_file_that_is_uploaded_into_a_thread_is_a_reply_in_it(url, slack):
    client = AsyncWebClient(token="xoxb-practice", base_url=url)
    page = await client.chat_postMessage(channel=CHANNEL, text="page")
    done = await client.files_upload_v2(
        content=PNG, filename="a.png", title="A", alt_txt="an A", channel=CHANNEL, thread_ts=page["ts"]
    )
    [reply] = slack.thread(page["ts"])[1:]
    [file] = reply.files
    assert (file.name, file.title, file.alt_txt, file.content) == ("a.png", "A", "an A", PNG)
    assert done["files"] == [{"id": file.id, "title": "A"}]
    replies = (await client.conversations_replies(channel=CHANNEL, ts=page["ts"]))["messages"]
    assert replies[1]["files"] == [{"id": file.id, "name": "a.png", "title": "A", "size": len(PNG)}]


def test_a_missing_scope_is_named(client, slack):
    slack.scopes = ("chat:write",)
    client.chat_postMessage(channel=CHANNEL, text="page")
    with pytest.raises(SlackApiError) as refusal:
        client.files_upload_v2(content=PNG, filename="a.png", channel=CHANNEL)
    answer = refusal.value.response
    assert (answer["error"], answer["needed"], answer["provided"]) == (
        "missing_scope",
        "files:write",
        "chat:write",
    )
    assert len(slack.messages()) == 1


def test_a_file_is_shown_only_when_all_of_it_is_there_and_only_once(client, slack):
    begun = client.files_getUploadURLExternal(filename="a.png", length=len(PNG))
    complete = {"files": [{"id": begun["file_id"]}], "channel_id": CHANNEL}
    with pytest.raises(SlackApiError, match="file_not_found"):
        client.files_completeUploadExternal(**complete)
    assert httpx.post(begun["upload_url"], content=PNG[:-1]).status_code == 400
    accepted = httpx.post(begun["upload_url"], content=PNG)
    assert (accepted.status_code, accepted.text) == (200, f"OK - {len(PNG)}")
    client.files_completeUploadExternal(**complete)
    with pytest.raises(SlackApiError, match="file_not_found"):
        client.files_completeUploadExternal(**complete)
    assert len(slack.messages()) == 1


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ({"channel": "C0OTHER"}, "channel_not_found"),
        ({"channel": CHANNEL, "thread_ts": "1.0"}, "thread_not_found"),
    ],
    ids=["no such channel", "no such thread"],
)
def test_a_file_for_a_place_that_is_not_there_is_refused(client, slack, place, code):
    with pytest.raises(SlackApiError, match=code):
        client.files_upload_v2(content=PNG, filename="a.png", **place)
    assert slack.messages() == ()
