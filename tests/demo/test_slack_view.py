import io

from rich.console import Console

from monitor.demo.fake_slack import SlackFile, SlackMessage
from monitor.demo.slack_view import mrkdwn, show_thread

BLOCKS = (
    {"type": "header", "text": {"type": "plain_text", "text": "PAGE FIRING: drift/practice"}},
    {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "*practice* drifted: `suite_surprise` &gt; 24 of 24"},
    },
    {
        "type": "section",
        "fields": [{"type": "mrkdwn", "text": "*evidence*\n1.2"}, {"type": "plain_text", "text": "run 57"}],
    },
    {"type": "divider"},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "incident i-1"}]},
    {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Open"}}]},
)


def lines(*thread: SlackMessage) -> list[str]:
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(show_thread(thread))
    return [line.strip("│╭╮╰╯─ ").rstrip() for line in console.export_text().splitlines()]


def test_every_kind_of_block_is_readable():
    assert lines(SlackMessage("C1", "1.1", "fallback", blocks=BLOCKS)) == [
        "Slack #on-call",
        "anchorwatch APP",
        "PAGE FIRING: drift/practice",
        "practice drifted: suite_surprise > 24 of 24",
        "evidence   run 57",
        "1.2",
        "",
        "incident i-1",
        "[ Open ]",
        "",
    ]


def test_a_message_without_blocks_shows_its_text():
    assert "all quiet" in lines(SlackMessage("C1", "1.1", "all quiet"))


def test_a_coloured_attachment_shows_its_blocks():
    attachment = {
        "color": "#d00000",
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "inside"}}],
    }
    assert "┃ inside" in lines(SlackMessage("C1", "1.1", "", attachments=(attachment,)))


def test_replies_stand_below_their_message_and_an_edit_shows():
    page = SlackMessage("C1", "1.1", "resolved", edits=1)
    shown = lines(page, SlackMessage("C1", "1.2", "it is over", thread_ts="1.1"))
    assert shown.index("anchorwatch APP (edited)") < shown.index("resolved") < shown.index("it is over")


def test_markup_becomes_style_and_links_keep_their_label():
    text = mrkdwn(
        "*bold* _soft_ snake_case_name <https://example.com/a|the page> :fire: <!date^1^{time}|9:00>"
    )
    assert text.plain == "bold soft snake_case_name the page 🔥 9:00"
    assert {str(span.style).split()[0] for span in text.spans if str(span.style)} == {
        "bold",
        "italic",
        "blue",
    }


def test_a_file_is_named_with_its_title():
    files = (SlackFile("F1", "what-moved.png", 9, title="errors: error_share"),)
    assert "what-moved.png: errors: error_share" in lines(SlackMessage("C1", "1.1", "", files=files))
