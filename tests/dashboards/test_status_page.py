"""The status page as a browser gets it: what it shows, what it may load, and who can read it."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import httpx
import pytest

from dashboards import StatusError
from dashboards.pages import RESOLVED_SHOWN_MAX, render_status
from dashboards.view import DeploymentStatus, EvidenceLine, IncidentState, TargetState

Browser = Callable[[], httpx.AsyncClient]

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page, its visible text, and whether its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


@pytest.fixture(params=["rich", "quiet", "empty"])
def any_status(
    request: pytest.FixtureRequest, rich: DeploymentStatus, quiet: DeploymentStatus
) -> DeploymentStatus:
    statuses: dict[str, Any] = {"rich": rich, "quiet": quiet, "empty": replace(quiet, targets=())}
    return statuses[request.param]


def test_every_page_is_whole_and_its_ids_are_unique(any_status: DeploymentStatus) -> None:
    ids = Page(render_status(any_status)).values("id")
    assert len(ids) == len(set(ids))


def test_everything_of_the_status_is_on_the_page(rich: DeploymentStatus) -> None:
    text = " ".join(Page(render_status(rich)).text.split())
    for expected in (
        "Not at anchor: 1 page is firing.",
        "false-page budget 0.25",
        "1 waiting",
        "23,977",
        "support-bot answers differently since about 11:20",
        "6.1, calibration runs had 1.4 to 2.7",
        "oncall was told 18 min ago after 2 tries.",
        "A message to platform is waiting after 3 tries: Slack answered 429",
        "Rollback revert-prompt was rehearsed only (dry run) 18 min ago.",
        "61 of 168 runs",
        "The budget's promise is not in force",
        "canary 'route-billing': messages changed",
        "10 × connection",
        "98 % answered",
        "4.62 s",
        "no call for 3 hours",
        "https://deploy.internal/hooks answered 503 five times",
        "embedder-eu did not answer for 3 runs.",
        "2 runs were missed since yesterday",
        "48,201 spans in, 12 rejected",
        "Version 0.1.0, up 12 days",
    ):
        assert expected in text
    for target in rich.targets:
        assert target.name in text
        assert target.model in text


def test_the_most_urgent_incident_comes_first(rich: DeploymentStatus) -> None:
    html = render_status(rich)
    order = [html.index(incident.key) for incident in sorted(rich.incidents[1:], key=lambda i: i.id)]
    firing, acknowledged, pending = order
    assert firing < acknowledged < pending


def test_a_firing_target_is_called_adrift_and_a_pending_one_is_not(rich: DeploymentStatus) -> None:
    drift = next(incident for incident in rich.incidents if incident.id == "i-1")
    pending = replace(rich, incidents=(replace(drift, state=IncidentState.PENDING),))
    assert ">adrift<" in render_status(rich)
    assert ">adrift<" not in render_status(pending)


def test_only_the_latest_resolved_incidents_are_listed(rich: DeploymentStatus) -> None:
    old = rich.incidents[0]
    many = tuple(replace(old, id=f"old-{i}") for i in range(RESOLVED_SHOWN_MAX + 5))
    assert len(Page(render_status(replace(rich, incidents=many))).all("details")) == RESOLVED_SHOWN_MAX


def test_what_strangers_wrote_is_shown_and_not_run(rich: DeploymentStatus) -> None:
    evil = "<script>alert('x')</script>\" onload=\"alert(1)"
    target = replace(rich.targets[0], name=evil, model=evil, suite=evil, notes=(evil,))
    watch = replace(rich.watches[0], name=evil, reason=evil, unit=evil)
    incidents = tuple(replace(i, id=evil, key=evil, summary=evil, subject=evil) for i in rich.incidents)
    rollback = replace(rich.rollbacks[0], name=evil, reason=evil)
    html = render_status(
        replace(
            rich,
            targets=(target, replace(target, state=TargetState.DOWN)),
            watches=(watch,),
            incidents=incidents[:1] + incidents[3:],
            rollbacks=(rollback,),
            problems=(evil,),
            version=evil,
        )
    )
    page = Page(html)
    assert "<script>alert" not in html
    assert [script["src"] for script in page.all("script")] == ["static/refresh.js"]
    assert page.values("onload") == []


async def test_a_page_loads_nothing_from_elsewhere_and_all_it_loads_is_there(browser: Browser) -> None:
    async with browser() as client:
        for path in ("/", "/api/docs"):
            page = Page((await client.get(path)).text)
            for link in (*page.values("src"), *page.values("href")):
                if link.startswith("#"):
                    continue
                assert not re.match(r"(?i)[a-z]+:|//", link), link
                assert (
                    await client.get(str(httpx.URL(f"http://anchorwatch.test{path}").join(link)))
                ).is_success
    for asset in ("static/anchorwatch.css", "static/refresh.js", "static/anchor.svg"):
        async with browser() as client:
            text = (await client.get(f"/{asset}")).text
        assert "url(" not in text
        assert "@import" not in text
        assert not re.search(r"https?://(?!www\.w3\.org/)", text)


async def test_the_policy_lets_only_our_own_files_run_and_the_page_keeps_to_it(browser: Browser) -> None:
    async with browser() as client:
        answer = await client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = Page(answer.text)
    assert page.values("style") == []
    assert page.all("style") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_the_page_can_be_read_without_seeing_it(any_status: DeploymentStatus) -> None:
    page = Page(render_status(any_status))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    for drawing in page.all("svg"):
        named = drawing.get("aria-label") or drawing.get("aria-labelledby") in page.values("id")
        assert named or drawing.get("aria-hidden") == "true"
    for head in page.all("th"):
        assert head["scope"] in ("col", "row")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_title_tells_the_state_to_who_sees_only_the_tab(rich: DeploymentStatus) -> None:
    assert "<title>(1) Not at anchor: 1 page is firing. Anchorwatch</title>" in render_status(rich)


async def test_a_status_that_cannot_be_read_is_said_with_503(browser: Browser, view: Any) -> None:
    view.error = StatusError("The database is <locked>.")
    async with browser() as client:
        page, api = await client.get("/"), await client.get("/api/v1/status")
    assert (page.status_code, api.status_code) == (503, 503)
    assert "The database is &lt;locked&gt;." in page.text
    assert api.json() == {"detail": "The database is <locked>."}


def test_services_are_shown_with_how_they_are_heard_and_why(rich: DeploymentStatus) -> None:
    text = " ".join(Page(render_status(rich)).text.split())
    assert "checkout silent 21 min checkout is silent: no call for 21 min" in text
    assert "cron not judged cron is not judged: its calls are too rare" in text


def test_what_does_not_get_in_is_said_where_the_services_are(quiet: DeploymentStatus) -> None:
    assert "Services that send traces" not in render_status(quiet)
    said = replace(quiet, ingest=replace(quiet.ingest, note="Nobody has sent traces yet."))
    assert "Nobody has sent traces yet." in Page(render_status(said)).text


def test_an_incident_that_another_explains_says_which(rich: DeploymentStatus) -> None:
    opened = next(one for one in rich.incidents if one.is_open)
    held = replace(rich, incidents=(replace(opened, inhibited_by="silence/ingest"),))
    assert "held while silence/ingest fires, which explains it" in Page(render_status(held)).text


def test_a_trace_that_can_be_opened_is_a_link_and_no_other_address_is(rich: DeploymentStatus) -> None:
    incident, *others = rich.incidents
    lines = (
        EvidenceLine("slowest call", "trace 5b8aa5a2 (12 s) https://traces.example.com/5b8aa5a2"),
        EvidenceLine("user.id", "https://evil.example"),
    )
    page = Page(render_status(replace(rich, incidents=(replace(incident, evidence=lines), *others))))
    links = [link["href"] for link in page.all("a") if "example" in link["href"]]
    assert links == ["https://traces.example.com/5b8aa5a2"]
    assert "trace 5b8aa5a2 (12 s)" in " ".join(page.text.split())
