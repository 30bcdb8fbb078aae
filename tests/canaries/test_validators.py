import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from canaries.canonical import MAX_REGEX_CHARS
from canaries.schema import broken_rule, schema_faults
from canaries.suite import Expectations, IdRule, JsonRule
from canaries.validators import MAX_JSON_CHARS, MAX_REPAIR_CHARS, Check, is_refusal, validate

TICKETS = IdRule(r"TICKET-\d+", r"TICKET-\d{4}")
STRICT = Expectations(json=JsonRule.STRICT)
REPAIRABLE = Expectations(json=JsonRule.REPAIRABLE)
OBJECT = Expectations(
    json=JsonRule.STRICT,
    json_schema={"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
)


@pytest.mark.parametrize(
    ("expectations", "text", "passed"),
    [
        pytest.param(Expectations(not_empty=True), "x", True, id="not_empty: something"),
        pytest.param(Expectations(not_empty=True), " \n", False, id="not_empty: white space"),
        pytest.param(Expectations(matches=("^a",)), "abc", True, id="matches"),
        pytest.param(Expectations(matches=("^b",)), "abc", False, id="matches: not"),
        pytest.param(Expectations(matches=("b",)), "abc", True, id="matches anywhere"),
        pytest.param(Expectations(must_not_match=("x",)), "abc", True, id="must_not_match"),
        pytest.param(Expectations(must_not_match=("b",)), "abc", False, id="must_not_match: does"),
        pytest.param(
            Expectations(labels=("billing", "bug")), " Billing. ", True, id="labels: case and punctuation"
        ),
        pytest.param(Expectations(labels=("billing",)), "**billing**", True, id="labels: markdown"),
        pytest.param(
            Expectations(labels=("billing",)), "billing issue", False, id="labels: more than the label"
        ),
        pytest.param(Expectations(labels=("billing",)), "...", False, id="labels: punctuation only"),
        pytest.param(Expectations(labels=("Straße",)), "STRASSE", True, id="labels: casefolded"),
        pytest.param(Expectations(labels=("e-mail",)), "e-mail", True, id="labels: signs inside stay"),
        pytest.param(Expectations(ids=TICKETS), "see TICKET-1234", True, id="ids: allowed"),
        pytest.param(Expectations(ids=TICKETS), "TICKET-1234 TICKET-12345", False, id="ids: one is not"),
        pytest.param(Expectations(ids=TICKETS), "none", True, id="ids: none"),
        pytest.param(Expectations(max_length=3), "abc", True, id="max_length: at it"),
        pytest.param(Expectations(max_length=3), "abcd", False, id="max_length: beyond"),
        pytest.param(Expectations(no_refusal=True), "Sure.", True, id="no_refusal"),
        pytest.param(
            Expectations(no_refusal=True), "I cannot help with that.", False, id="no_refusal: refused"
        ),
        pytest.param(STRICT, ' {"a": [1, null]} ', True, id="json"),
        pytest.param(STRICT, '"text"', True, id="json: a scalar"),
        pytest.param(STRICT, "{'a': 1}", False, id="json: needs repair"),
        pytest.param(STRICT, "NaN", False, id="json: no constant of Python's"),
        pytest.param(STRICT, "", False, id="json: empty"),
        pytest.param(REPAIRABLE, "{'a': 1,}", True, id="json repairable"),
        pytest.param(REPAIRABLE, '```json\n{"a": 1}\n```', True, id="json repairable: fenced"),
        pytest.param(REPAIRABLE, "no json at all", False, id="json repairable: prose"),
    ],
)
def test_an_expectation_holds_or_not(expectations: Expectations, text: str, passed: bool) -> None:
    (check,) = validate(expectations, text)
    assert check.passed is passed


def test_several_patterns_are_checked_each_under_its_own_name() -> None:
    checks = validate(Expectations(matches=("a", "b"), must_not_match=("c",)), "a")
    assert [(check.name, check.passed) for check in checks] == [
        ("matches[0]", True),
        ("matches[1]", False),
        ("must_not_match", True),
    ]


@pytest.mark.parametrize("text", ["", "x", '{"n": 1}', '{"n": 1'])
def test_the_checks_of_a_canary_are_always_the_same_ones(text: str) -> None:
    expectations = Expectations(
        not_empty=True, matches=("a",), must_not_match=("b",), json=JsonRule.STRICT, json_schema={},
        labels=("x",), ids=TICKETS, max_length=1, no_refusal=True,
    )  # fmt: skip
    assert [check.name for check in validate(expectations, text)] == [
        "not_empty", "matches", "must_not_match", "labels", "ids", "max_length", "json", "json_schema", "no_refusal",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expectations", "text", "reason", "check"),
    [
        (STRICT, '{"a": 1', "stop", Check("json", False, "parses only after repair")),
        (REPAIRABLE, '{"a": 1', "stop", Check("json", True, "parses only after repair")),
        (REPAIRABLE, '{"a": 1}', "stop", Check("json", True, "")),
        (STRICT, "{", "length", Check("json", False, "not JSON; the answer was cut at its token limit")),
        (STRICT, "prose", "stop", Check("json", False, "not JSON")),
    ],
)  # fmt: skip
def test_json_says_whether_it_parses_only_after_repair(expectations, text, reason, check) -> None:
    assert validate(expectations, text, reason) == (check,)


@pytest.mark.parametrize(
    ("text", "passed", "note"),
    [
        ('{"n": 1}', True, ""),
        ('{"n": "secret words"}', False, "breaks properties/n/type"),
        ('{"secret words": 1}', False, "breaks required"),
        ("[]", False, "breaks type"),
        ("secret words", False, "not JSON"),
    ],
)
def test_a_schema_says_which_rule_is_broken_and_nothing_of_the_answer(
    text: str, passed: bool, note: str
) -> None:
    schema = validate(OBJECT, text)[1]
    assert schema == Check("json_schema", passed, note)


def test_a_schema_looks_at_what_was_repaired_where_that_is_allowed() -> None:
    assert OBJECT.json_schema is not None
    lenient = Expectations(json=JsonRule.REPAIRABLE, json_schema=OBJECT.json_schema)
    assert all(check.passed for check in validate(lenient, "{'n': 1}"))
    assert not any(check.passed for check in validate(OBJECT, "{'n': 1}"))


@pytest.mark.parametrize(
    "text",
    [
        "I\u2019m sorry, but I can\u2019t help.",
        "I CANNOT do that",
        "  **I'm unable** to assist",
        "Sorry, I can't.",
        "As an AI language model",
        '"I won\'t do this."',
    ],
)
def test_an_answer_that_opens_like_a_refusal_is_one(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text", ["", "Sorry for the wait! Here it is.", "You said: I cannot.", "I can help."]
)
def test_other_answers_are_no_refusal(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("reason", "refused"), [("content_filter", True), ("refusal", True), ("stop", False), (None, False)]
)
def test_the_provider_can_say_that_it_refused(reason: str | None, refused: bool) -> None:
    assert is_refusal("Sure", reason) is refused


class TestHostileAnswers:
    EVERYTHING = Expectations(
        not_empty=True,
        matches=(r"\w+@\w+",),
        must_not_match=(r"(\d+)-\1",),
        json=JsonRule.REPAIRABLE,
        json_schema={"type": "array", "items": {"type": "object"}},
        labels=("billing",),
        ids=TICKETS,
        max_length=400,
        no_refusal=True,
    )

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("x" * 5_000_000, id="long"),
            pytest.param("[" * 90_000, id="deep"),
            pytest.param("[" * 90_000 + "]" * 5, id="deep and almost closed"),
            pytest.param("{'" * (MAX_REPAIR_CHARS // 2), id="slow to repair"),
            pytest.param('{"a":' * 600, id="deep to repair"),
            pytest.param("a" + "." * 9_998 + "b", id="slow to strip"),
            pytest.param("a" + "\u0301\u0327" * 5_000, id="a flood of accents"),
            pytest.param("TICKET-" * 20_000, id="nearly ids"),
            pytest.param("1" * 6_000, id="a number of many digits"),
            pytest.param("\ud83d\x00\u202e", id="surrogates and control characters"),
        ],
    )
    def test_are_judged_in_bounded_time(self, text: str) -> None:
        started = time.process_time()
        checks = validate(self.EVERYTHING, text)
        assert time.process_time() - started < 4
        assert not all(check.passed for check in checks)

    def test_are_looked_at_up_to_the_limit_and_the_check_says_so(self) -> None:
        (check,) = validate(Expectations(matches=("end",)), "x" * MAX_REGEX_CHARS + "end")
        assert check == Check("matches", False, "looked at the first 10,000 characters")

    def test_are_not_parsed_beyond_the_limit(self) -> None:
        (check,) = validate(STRICT, "[" + " " * MAX_JSON_CHARS + "]")
        assert check == Check("json", False, "longer than 100,000 characters")

    def test_are_not_repaired_beyond_the_limit(self) -> None:
        fitting, longer = ("{'a': '" + "x" * (MAX_REPAIR_CHARS - 9 + more) + "'}" for more in (0, 1))
        assert validate(REPAIRABLE, fitting) == (Check("json", True, "parses only after repair"),)
        assert validate(REPAIRABLE, longer) == (Check("json", False, "not JSON"),)

    @pytest.mark.parametrize("key", ["$ref", "$dynamicRef"])
    def test_are_never_held_against_a_schema_that_would_have_to_be_fetched(self, key: str) -> None:
        fetched: list[str] = []

        class Site(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fetched.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

        with HTTPServer(("127.0.0.1", 0), Site) as site:
            Thread(target=site.serve_forever, daemon=True).start()
            schema = {key: f"http://127.0.0.1:{site.server_port}/schema.json"}
            assert broken_rule(schema, 1) == "a reference that leads nowhere"
            assert schema_faults(schema)[0][0] == (key,)
            site.shutdown()
        assert fetched == []

    def test_never_make_a_schema_fetch_its_own_dialect(self) -> None:
        schema = {"$schema": "http://127.0.0.1:9/none", "type": "object"}
        assert [
            check.passed for check in validate(Expectations(json=JsonRule.STRICT, json_schema=schema), "{}")
        ] == [True, True]
