"""A daemon whose page is followed by a picture into its thread."""

from pathlib import Path

import httpx

from .conftest import Harbour, otlp_json
from .running import RunningDaemon

WATCH = """
watch_every: 500ms
watches:
  - {name: flood, measure: calls_per_minute, above: 10, over: 1m, notify: [oncall]}
"""


def test_a_page_is_followed_by_a_picture_of_what_the_watch_saw(tmp_path: Path) -> None:
    harbour = Harbour()
    harbour.picture = "true"
    with (
        harbour.slack_server,
        harbour.deploy_server,
        RunningDaemon(tmp_path, harbour.config + WATCH) as daemon,
    ):
        assert httpx.post(f"{daemon.otlp_url}/v1/traces", json=otlp_json(60), timeout=20).status_code == 200
        slack = harbour.slack
        # Long, for it is drawn by a process that stands back for all others.
        [picture] = daemon.until("a picture", lambda: [one for one in slack.messages() if one.files], 90)
        (incident,) = daemon.incidents("watch/flood")
        (page,) = harbour.first_messages(incident["id"])
        assert picture.thread_ts == page.ts
        assert picture.files[0].title == "flood: calls_per_minute"
        assert picture.files[0].content.startswith(b"\x89PNG")
        assert "icture" not in daemon.problems()
        assert daemon.stop() == 0
