"""Draw docs/pictures/page.svg: a page in Slack as the terminal of the demo shows it, sent by the real channel.

Usage: python scripts/draw-page.py docs/pictures/page.svg
"""

import asyncio
import io
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from alerts.channels.slack import SlackChannel
from alerts.config import SlackConfig
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, NoticeKind, State
from alerts.message import Thread, about_incident
from monitor.demo.fake_slack import FakeSlack, slack_app
from monitor.demo.serving import LocalServer
from monitor.demo.slack_view import show_thread

AT = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
FINDING = Finding(
    severity=Severity.PAGE,
    source=Source.LEDGER,
    summary=(
        "support-bot has drifted from its baseline: token_surprise is unusually high "
        "(how rare the words of the answers are among those of the baseline, over all canaries), and 2 more scores"
    ),
    labels={"target": "support-bot"},
    evidence=(
        ("token_surprise", "high, against 84 calibration runs, after 2026-03-02 13:15 UTC"),
        ("length", "high, against 84 calibration runs, after 2026-03-02 13:15 UTC"),
        ("baseline", "84 train and 84 calibration runs, frozen 2026-02-24 09:00 UTC"),
    ),
)
INCIDENT = Incident("5f1b9c0e7a42d386", "drift/support-bot", State.FIRING, Severity.PAGE, FINDING, AT, AT, AT)
STEPS = (
    (NoticeKind.FIRING, 0, ""),
    (
        NoticeKind.ROLLBACK_NEWS,
        30,
        "Rollback 'deploy' was delivered to the deploy system (webhook-id msg_3f0a9c51).",
    ),
)


async def deliver(slack: FakeSlack, url: str) -> None:
    """Send the page and what came of it through the real Slack client."""
    channel = SlackChannel(SlackConfig(token=slack.token, channel="C0ONCALL", base_url=f"{url}/api/"))
    thread: Thread | None = None
    for kind, minutes, note in STEPS:
        message = about_incident(
            INCIDENT, kind, AT + timedelta(minutes=minutes), note=note, rollback="deploy"
        )
        thread = await channel.deliver(message, thread, is_repeat=False)


def main() -> None:
    """Write the picture."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    slack = FakeSlack(token="xoxb-picture", channels=("C0ONCALL",))  # noqa: S106 - the fake's own
    with LocalServer(slack_app(slack)) as server:
        asyncio.run(deliver(slack, server.url))
    console = Console(record=True, width=92, file=io.StringIO(), force_terminal=True)
    console.print(show_thread(slack.messages("C0ONCALL")))
    picture = console.export_svg(title="anchorwatch demo", theme=MONOKAI)
    # The picture takes whatever monospaced font there is, rather than fetching one from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\n?", "", picture, flags=re.DOTALL)
    Path(sys.argv[1]).write_text(picture, encoding="utf-8")


main()
