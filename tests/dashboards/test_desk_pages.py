"""Seeing to incidents on the pages, over the real application and a real database: what is shown, done and refused."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from alerts import actions, store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, State
from alerts.intake import receive
from alerts.matcher import parse_matchers
from alerts.routing_config import MuteTimeConfig, RouteConfig, routing_of
from dashboards.app import build_app
from dashboards.incident_pages import SHOWN_MAX
from monitor.inhibiting.inhibitions import RULES
from monitor.telling.incident_desk import Desk

TOKEN = "a-long-token-of-ours"
OURS = {"origin": "http://localhost:8700", "sec-fetch-site": "same-origin"}
"""What a browser says of a form on one of our pages."""

ROUTING = routing_of(
    RouteConfig.model_validate(
        {
            "receivers": ["slack"],
            "routes": [{"match": ["service=batch"], "mute_times": ["nights"], "receivers": ["mail"]}],
        }
    ),
    {"nights": MuteTimeConfig(times=["11:00-13:00"])},
    600.0,
)

FINDINGS = {
    "watch/chat": Finding(Severity.PAGE, Source.WATCH, "chat is <slow>", {"service": "chat"}),
    "watch/cost": Finding(Severity.TICKET, Source.WATCH, "cost is high", {"service": "batch"}),
    "proof/bot/endpoint_down": Finding(
        Severity.PAGE, Source.PROOF, "bot does not answer", {"target": "bot", "proof": "endpoint_down"}
    ),
}


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def open_pages(database, clock, woken, view) -> Callable[..., httpx.AsyncClient]:
    """A browser on the pages, on this machine unless said otherwise."""

    def open_pages(
        peer: str = "127.0.0.1",
        host: str = "localhost:8700",
        token: str | None = None,
        public_url: str | None = None,
        headers: Mapping[str, str] = OURS,
    ) -> httpx.AsyncClient:
        desk = Desk(database, clock, lambda: woken.append("woken"), ROUTING, RULES)
        app = build_app(
            view, lambda: b"", view.is_ready, view, desk, token, clock=clock, public_url=public_url
        )
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)

    return open_pages


@pytest.fixture
def incidents(database, clock) -> dict[str, str]:
    """The ids of some that fire, by their keys."""
    verdicts = [
        (Verdict(key, Label.BREACHED, finding), AlertRule(notify=("oncall",)))
        for key, finding in FINDINGS.items()
    ]
    database.write(lambda session: receive(session, verdicts, clock.now(), None, RULES, ROUTING))
    return {one.key: one.id for one in database.read(store.open_incidents)}


def read(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())


async def test_an_incident_is_acknowledged_by_its_form_and_the_name_is_asked_once(
    open_pages, incidents, database, woken
):
    page = f"/incidents/{incidents['watch/chat']}"
    async with open_pages() as client:
        assert 'name="by"' in (await client.get(page)).text
        sent = await client.post(f"{page}/acknowledge", data={"by": "Ada Löve"})
        assert (sent.status_code, str(sent.next_request.url.path)) == (303, page)
        shown = await client.send(sent.next_request)
        assert "You see to it from now on" in shown.text
        assert "acknowledged by Ada Löve" in shown.text
        assert 'name="by"' not in shown.text
        await client.post(f"{page}/mark", data={"is_true": "false"})
        assert "found that it was a false alarm" in (await client.get(page)).text
    seen = database.read(lambda session: store.incident(session, incidents["watch/chat"]))
    assert (seen.state, seen.acknowledged_by, seen.is_true) == (State.ACKNOWLEDGED, "Ada Löve", False)
    assert woken == ["woken", "woken"]


async def test_who_comes_second_is_told_that_somebody_sees_to_it(open_pages, incidents):
    page = f"/incidents/{incidents['watch/chat']}"
    for name, said in (("ada", "You see to it"), ("ben", "Somebody already sees to it")):
        async with open_pages() as client:
            sent = await client.post(f"{page}/acknowledge", data={"by": name})
            assert said in (await client.send(sent.next_request)).text


async def test_the_status_page_has_a_button_for_whoever_is_known(open_pages, incidents):
    async with open_pages() as client:
        assert "Acknowledge as" not in (await client.get("/")).text
        await client.post("/you", data={"name": "ada", "next": ""})
        assert "Acknowledge as ada" in (await client.get("/")).text
        sent = await client.post(f"/incidents/{incidents['watch/chat']}/acknowledge", data={"back": "status"})
        assert str(sent.next_request.url) == "http://localhost:8700/"


async def test_a_silence_is_made_only_of_what_was_previewed(open_pages, incidents, database):
    asked = {"matchers": "service=chat\r\nseverity=page", "for": "2h", "comment": "moving"}
    async with open_pages() as client:
        draft = await client.get("/silences/new", params=asked)
        assert "It would hold 1 open incident now" in draft.text
        assert "chat is &lt;slow&gt;" in draft.text
        assert "bot does not answer" not in draft.text
        unseen = await client.post("/silences/new", data=asked | {"by": "ada", "previewed": "service=shop"})
        assert "Nothing is silenced yet" in unseen.text
        assert "Nothing is silenced." in (await client.get("/silences")).text
        made = await client.post("/silences/new", data=asked | {"by": "ada", "previewed": asked["matchers"]})
        listed = read(await client.send(made.next_request))
    for said in (
        "The silence stands below",
        "service=&#34;chat&#34;",
        "until",
        "14:00:00 UTC",
        "ada",
        "moving",
    ):
        assert said in listed


async def test_a_silence_for_planned_work_begins_later(open_pages):
    asked = {"matchers": "service=chat", "for": "2h", "starts": "2026-03-02T18:00", "by": "ada"}
    async with open_pages() as client:
        made = await client.post("/silences/new", data=asked | {"previewed": asked["matchers"]})
        listed = read(await client.send(made.next_request))
        asked_by_machine = {"matchers": ["a=b"], "starts_at": "2026-03-02T19:00+01:00", "by": "ada"}
        second = (await client.post("/api/v1/silences", json=asked_by_machine)).json()
    for said in ("pending", "2026-03-02 18:00:00 UTC", "2026-03-02 20:00:00 UTC"):
        assert said in listed
    assert (second["state"], second["ends_at"]) == ("pending", "2026-03-02T19:00:00Z")


async def test_a_silence_is_ended_from_the_list(open_pages, incidents, database, clock):
    held = database.write(
        lambda session: actions.silence(
            session,
            parse_matchers("service=chat"),
            "ada",
            "",
            clock.now(),
            clock.now().replace(hour=15),
            clock.now(),
        )
    )
    async with open_pages() as client:
        nameless = (await client.get("/silences")).text
        assert "Say who you are" in nameless
        assert f"silences/{held.id}/expire" not in nameless
        await client.post("/you", data={"name": "bob", "next": ""})
        assert f"silences/{held.id}/expire" in (await client.get("/silences")).text
        ended = await client.post(f"/silences/{held.id}/expire", data={"": ""})
        assert "The silence is over" in (await client.send(ended.next_request)).text
        assert held.id not in (await client.get("/silences")).text
        past = (await client.get("/silences?all=1")).text
    assert held.id in past
    assert "ended by bob" in past


async def test_the_list_says_of_each_what_keeps_it_quiet(open_pages, incidents, database, clock):
    drift = Finding(Severity.PAGE, Source.LEDGER, "bot drifts", {"target": "bot"})
    rule = (Verdict("drift/bot", Label.BREACHED, drift), AlertRule())
    # Without rules of inhibition, as if it had come before the endpoint went down.
    database.write(lambda session: receive(session, [rule], clock.now(), None, (), ROUTING))
    until = clock.now().replace(hour=15)
    database.write(
        lambda session: actions.silence(
            session, parse_matchers("service=chat"), "ada", "moving", clock.now(), until, clock.now()
        )
    )
    async with open_pages() as client:
        shown = read(await client.get("/incidents"))
        quiet = read(await client.get("/incidents?quiet=1"))
        lines = (await client.get("/api/v1/incidents")).json()
        ids = {one["key"]: one["id"] for one in lines}
        cause, drifting = ids["proof/bot/endpoint_down"], ids["drift/bot"]
        explaining = read(await client.get(f"/incidents/{cause}"))
        holds = (await client.get(f"/api/v1/incidents/{cause}")).json()["holds"]
    assert "While it fires, people do not hear of what it explains:" in explaining
    assert f'incidents/{drifting}">drift/bot</a>.' in explaining
    assert [one["key"] for one in holds] == ["drift/bot"]
    assert "of ada (moving), until 2026-03-02 15:00:00 UTC at most" in shown
    assert "muted by mute time nights, until 2026-03-02 13:00:00 UTC at most" in shown
    assert "another incident explains it: proof/bot/endpoint_down" in shown
    assert "bot does not answer" in shown
    assert "bot does not answer" not in quiet
    held = {one["key"]: [reason["why"] for reason in one["held"]] for one in lines}
    assert held == {
        "watch/chat": ["silenced"],
        "watch/cost": ["muted"],
        "drift/bot": ["another incident explains it"],
        "proof/bot/endpoint_down": [],
    }


async def test_the_list_shows_what_is_asked_for(open_pages, incidents):
    known = ("chat is", "cost is", "bot does")
    async with open_pages() as client:
        for asked, shown in (
            ({}, set(known)),
            ({"state": "firing"}, set(known)),
            ({"state": "resolved"}, set()),
            ({"state": "all", "match": "severity=ticket"}, {"cost is"}),
            ({"match": 'service="chat", severity!=ticket'}, {"chat is"}),
        ):
            text = (await client.get("/incidents", params=asked)).text
            assert {said for said in known if said in text} == shown, asked


async def test_the_file_of_an_incident_says_who_was_told_and_every_decision(open_pages, incidents):
    async with open_pages() as client:
        muted = read(await client.get(f"/incidents/{incidents['watch/cost']}"))
        waiting = read(await client.get(f"/incidents/{incidents['watch/chat']}"))
        by_key = read(await client.get("/explain", params={"incident": "watch/cost"}))
    assert "Nobody was told: muted by mute time nights, until 2026-03-02 13:00:00 UTC at most." in muted
    assert "Nobody was told yet: what belongs together is told together, at 2026-03-02 12:00:30" in waiting
    assert "wrong for as long as the rule wants" in waiting
    assert "by route: everything" in waiting
    assert f"incidents/{incidents['watch/cost']}" in by_key


IMPOSSIBLE: tuple[tuple[str, str, dict[str, str] | None, int, str], ...] = (
    ("GET", "/incidents/gone", None, 404, "There is no incident"),
    ("GET", "/explain?incident=gone", None, 404, "Nothing was decided about"),
    ("GET", "/incidents?match=nonsense", None, 400, "write it like service=checkout"),
    ("GET", "/incidents?state=odd", None, 400, "is no state: one of open, pending"),
    ("GET", "/silences/new?matchers=nonsense", None, 400, "write it like service=checkout"),
    ("GET", "/silences/new?matchers=a!=b", None, 400, "fit everything that lacks"),
    ("GET", "/silences/new?matchers=a=b&for=soon", None, 400, "no duration"),
    ("GET", "/silences/new?matchers=a=b&starts=soon", None, 400, "write it like 2026-03-02T18:00"),
    ("POST", "/incidents/gone/acknowledge", {"by": "ada"}, 404, "There is no incident"),
    ("POST", "/incidents/CHAT/acknowledge", {"by": " "}, 400, "Say who does it"),
    ("POST", "/incidents/CHAT/mark", {"by": "ada"}, 400, "false for a false alarm"),
    ("POST", "/silences/gone/expire", {"by": "ada"}, 404, "There is no silence"),
    ("POST", "/silences/gone/expire", {"x": ""}, 400, "Say who does it"),
    ("POST", "/silences/new", {"matchers": "a=b", "previewed": "a=b", "by": ""}, 400, "needs an author"),
    ("POST", "/silences/new", {"matchers": "a=b", "by": "x" * 70_000}, 413, "65,536 bytes at most"),
    ("POST", "/you", {"name": ""}, 400, "Say who you are"),
    ("GET", "/nowhere", None, 404, "No page of ours has this address"),
)


async def test_what_cannot_be_done_is_a_page_that_says_what_would_be_right(open_pages, incidents):
    async with open_pages() as client:
        for method, path, data, code, told in IMPOSSIBLE:
            answer = await client.request(
                method, path.replace("CHAT", incidents["watch/chat"]), data=data, follow_redirects=False
            )
            assert answer.headers["content-type"].startswith("text/html"), path
            assert (answer.status_code, told in read(answer)) == (code, True), (path, read(answer))


STRANGE = {"origin": "https://evil.example.com", "sec-fetch-site": "cross-site"}


LOCAL: dict[str, Any] = {}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], int]] = {
    "a page of a stranger": (LOCAL, STRANGE, 403),
    "another page of the same site": (LOCAL, OURS | {"sec-fetch-site": "same-site"}, 403),
    "a stranger in a browser that tells the origin alone": (LOCAL, {"origin": STRANGE["origin"]}, 403),
    "another program of this machine": (LOCAL, {"origin": "http://localhost:3000"}, 403),
    "a page of nobody": (LOCAL, {"origin": "null"}, 403),
    "no browser at all": (LOCAL, {}, 403),
    "another machine": ({"peer": "192.0.2.7"}, OURS, 403),
    "a name of a stranger that leads here": (
        {"host": "evil.example.com"},
        {"origin": "http://evil.example.com"},
        403,
    ),
    "a form that a browser sends without asking": (LOCAL, OURS | {"content-type": "text/plain"}, 415),
    "no token where there is one": ({"token": TOKEN}, OURS, 401),
    "a pass without a seal": ({"token": TOKEN}, OURS | {"cookie": "anchorwatch_pass=9999999999."}, 401),
    "a pass that was made up": ({"token": TOKEN}, OURS | {"cookie": "anchorwatch_pass=9999999999.00"}, 401),
    "a pass that is none": ({"token": TOKEN}, OURS | {"cookie": "anchorwatch_pass=x.ÿ"}, 401),
}


async def test_forms_of_whoever_may_not_change_anything_change_nothing(open_pages, incidents, database):
    chat = incidents["watch/chat"]
    for who, (browser_on, headers, code) in REFUSED.items():
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        async with open_pages(**browser_on, headers={}) as client:
            answer = await client.post(f"/incidents/{chat}/acknowledge", data={"by": "eve"}, headers=sent)
        assert answer.status_code == code, who
        assert database.read(lambda session: store.incident(session, chat)).state is State.FIRING, who


async def test_a_browser_that_tells_the_origin_alone_is_believed(open_pages, incidents):
    async with open_pages(headers={"origin": "http://localhost:8700"}) as client:
        answer = await client.post(f"/incidents/{incidents['watch/chat']}/acknowledge", data={"by": "ada"})
    assert answer.status_code == 303


async def test_whoever_shows_the_token_once_may_act_from_anywhere_for_a_while(open_pages, incidents, clock):
    page = f"/incidents/{incidents['watch/chat']}"
    there: dict[str, Any] = {"peer": "192.0.2.7", "host": "watch.example.com", "token": TOKEN}
    async with open_pages(**there) as client:
        assert "Sign in</a> to acknowledge" in (await client.get(page)).text
        wrong = await client.post("/you", data={"name": "ada", "token": "wröng", "next": page[1:]})
        assert (wrong.status_code, "not the token" in wrong.text) == (401, True)
        assert "ada" in wrong.text
        shown = await client.post("/you", data={"name": "ada", "token": TOKEN, "next": page[1:]})
        assert str(shown.next_request.url.path) == page
        assert TOKEN not in str(shown.headers)
        assert "HttpOnly" in shown.headers["set-cookie"]
        assert (await client.post(f"{page}/acknowledge", data={"by": "ada"})).status_code == 303
        clock.advance(31 * 86_400)
        assert (await client.post(f"{page}/mark", data={"is_true": "true"})).status_code == 401


async def test_behind_a_proxy_that_hides_the_host_the_public_address_is_ours(open_pages, incidents):
    mark = (f"/incidents/{incidents['watch/chat']}/mark", {"by": "ada", "is_true": "true"})
    origin = {"origin": "https://watch.example.com"}
    for public_url, code in (("https://watch.example.com/", 303), (None, 403)):
        async with open_pages(token=TOKEN, public_url=public_url) as client:
            signed_in = await client.post("/you", data={"name": "ada", "token": TOKEN, "next": ""})
            assert signed_in.status_code == 303
        async with open_pages(token=TOKEN, public_url=public_url, headers=origin) as behind:
            behind.cookies = client.cookies
            assert (await behind.post(mark[0], data=mark[1])).status_code == code


async def test_nobody_is_sent_elsewhere_after_signing_in(open_pages):
    async with open_pages() as client:
        for after in ("//evil.example.com", "https://evil.example.com", "\\\\evil", "a:b", "?x\r\ny"):
            answer = await client.post("/you", data={"name": "ada", "next": after})
            assert answer.headers["location"] == "./", after


async def test_a_page_that_cannot_be_read_says_so_in_its_own_style(open_pages, incidents, database):
    database.write(lambda session: session.connection().exec_driver_sql("DROP TABLE alert_group_member"))
    async with open_pages() as client:
        answer = await client.get(f"/incidents/{incidents['watch/chat']}")
    assert (answer.status_code, "The status cannot be read" in answer.text) == (503, True)
    assert 'href="../static/anchorwatch.css"' in answer.text


async def test_more_than_a_page_holds_is_said(open_pages, database, clock):
    verdicts = [
        (Verdict(f"watch/{n}", Label.BREACHED, Finding(Severity.TICKET, Source.WATCH, f"w{n}")), AlertRule())
        for n in range(SHOWN_MAX + 1)
    ]
    database.write(lambda session: receive(session, verdicts, clock.now()))
    async with open_pages() as client:
        page = (await client.get("/incidents")).text
    assert page.count('<th scope="row">') == SHOWN_MAX
    assert "There are more than are shown, 200 at most." in page


async def test_a_browser_forgets_who_asks_for_it(open_pages):
    async with open_pages() as client:
        await client.post("/you", data={"name": "ada", "next": ""})
        assert 'value="ada"' in (await client.get("/you")).text
        await client.post("/you/forget", data={"x": ""})
        assert 'value="ada"' not in (await client.get("/you")).text
