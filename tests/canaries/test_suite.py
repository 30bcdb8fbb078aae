from pathlib import Path

import pytest
from pydantic import ValidationError

from canaries.canonical import CustomScrubber
from canaries.config import TargetConfig
from canaries.document import DocumentError, load_document
from canaries.suite import Canary, Expectations, IdRule, JsonRule, Message, Suite, load_suite

FULL = r"""
name: support
system: "You sort mails of ${COMPANY}."
parameters: {temperature: 0.7, max_tokens: 64}
samples: 3
scrub: [uuid, {pattern: 'order (\d+)', replace: 'order N'}]
canaries:
  - id: triage-label
    prompt: "My invoice is wrong."
    samples: 2
    parameters: {max_tokens: 8}
    expect:
      not_empty: true
      matches: '^\w+$'
      must_not_match: [foo, bar]
      json: repairable
      json_schema: {type: object}
      labels: [billing, no]
      ids: {pattern: 'TICKET-\d+', allowed: '^TICKET-\d{4}$'}
      max_length: 400
      no_refusal: true
  - id: talk
    messages:
      - {role: system, content: own}
      - {role: user, content: hi}
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "mails.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def complaints(path: Path) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load_suite(path, {})
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_a_suite_is_read_as_it_is_written(written) -> None:
    suite = load_suite(written(FULL), {"COMPANY": "ACME"})
    assert suite == Suite(
        name="support",
        canaries=(
            Canary(
                id="triage-label",
                messages=(
                    Message("system", "You sort mails of ACME."),
                    Message("user", "My invoice is wrong."),
                ),
                parameters={"max_tokens": 8},
                samples=2,
                expectations=Expectations(
                    not_empty=True,
                    matches=(r"^\w+$",),
                    must_not_match=("foo", "bar"),
                    json=JsonRule.REPAIRABLE,
                    json_schema={"type": "object"},
                    labels=("billing", "no"),
                    ids=IdRule(r"TICKET-\d+", r"^TICKET-\d{4}$"),
                    max_length=400,
                    no_refusal=True,
                ),
            ),
            Canary("talk", (Message("system", "own"), Message("user", "hi")), {}, None, Expectations()),
        ),
        scrub=("uuid", CustomScrubber(r"order (\d+)", "order N")),
        parameters={"temperature": 0.7, "max_tokens": 64},
        samples=3,
    )


def test_a_suite_without_a_name_has_that_of_its_file(written) -> None:
    assert load_suite(written("canaries: [{id: a, prompt: x}]"), {}).name == "mails"


@pytest.mark.parametrize(
    ("suite_samples", "target_samples", "expected"),
    [
        pytest.param("samples: 3", 5, {"own": 2, "other": 3}, id="the suite before the target"),
        pytest.param("", 5, {"own": 2, "other": 5}, id="the target where the suite says nothing"),
        pytest.param("", None, {"own": 2, "other": 1}, id="one by default"),
    ],
)
def test_a_canary_says_first_how_often_it_is_asked(written, suite_samples, target_samples, expected) -> None:
    text = f"{suite_samples}\ncanaries: [{{id: own, prompt: x, samples: 2}}, {{id: other, prompt: x}}]"
    assert load_suite(written(text), {}).expected_samples(target_samples) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("canaries: []", ["canaries: must list at least 1"], id="no canary"),
        pytest.param("", ["canaries: this key is required and is not there"], id="an empty file"),
        pytest.param(
            "canaries: [{id: a}]",
            ["canaries[0]: must have either `prompt` or `messages`"],
            id="nothing to ask",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x, messages: [{role: user, content: x}]}]",
            ["canaries[0]: must have either `prompt` or `messages`"],
            id="two things to ask",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x}, {id: b, prompt: x}, {id: a, prompt: y, tmie: 1}]",
            ['canaries[2].id: "a" is already the id of canaries[0]', "canaries[2].tmie: unknown key"],
            id="an id twice, beside another problem",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x, expect: {matches: [ok, '(']}}]",
            [
                "canaries[0].expect.matches[1]: is not a regular expression: missing ), unterminated subpattern"
                ' (at character 1), not "("'
            ],
            id="a broken regular expression",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x, expect: {json_schema: {properties: {n: {type: nubmer}}}}}]",
            [
                "canaries[0].expect.json_schema.properties.n.type: not a valid JSON schema:"
                " 'nubmer' is not valid under any of the given schemas"
            ],
            id="a broken schema",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x, expect: {json_schema: {$ref: 'https://example.com/s.json'}}}]",
            [
                "canaries[0].expect.json_schema.$ref: only references within the schema are followed,"
                ' such as "#/$defs/name"'
            ],
            id="a schema that would be fetched",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x, expect: {json_schema: {$ref: '#/$defs/no'}}}]",
            ["canaries[0].expect.json_schema.$ref: refers to nothing in this schema"],
            id="a dangling reference",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: x, expect: {json_schema: {$ref: '#'}}}]",
            ["canaries[0].expect.json_schema: refers to itself without end"],
            id="an endless reference",
        ),
        pytest.param(
            "parameters: {stream: true, n: 2}\ncanaries: [{id: a, prompt: x, parameters: {model: y}}]",
            [
                "parameters.stream: cannot be set here: it is a key of the target",
                "parameters.n: cannot be set here: use `samples`",
                "canaries[0].parameters.model: cannot be set here: it is a key of the target",
            ],
            id="parameters that are not free",
        ),
        pytest.param(
            "scrub: [{pattern: a, replace: '\\2'}]\ncanaries: [{id: a, prompt: x}]",
            ["scrub[0].replace: refers to a group that the pattern does not have"],
            id="a replacement without its group",
        ),
        pytest.param(
            "samples: 101\ncanaries: [{id: a, prompt: x, samples: 0}]",
            ["samples: must be at most 100, not 101", "canaries[0].samples: must be at least 1, not 0"],
            id="samples out of range",
        ),
        pytest.param(
            "canaries: [{id: a, prompt: " + "x" * 200_001 + "}]",
            ["canaries[0].prompt: must have at most 200000 characters"],
            id="a prompt that is too long, which is not shown",
        ),
    ],
)
def test_a_suite_that_cannot_be_used_says_why(written, text: str, expected: list[str]) -> None:
    assert complaints(written(text)) == expected


def test_a_suite_has_at_most_a_thousand_canaries(written) -> None:
    canaries = "".join(f"- {{id: c{number}, prompt: x}}\n" for number in range(1001))
    assert complaints(written("canaries:\n" + canaries)) == ["canaries: must list at most 1000"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.yaml:1:1  cannot be read: No such file"):
        load_suite(tmp_path / "none.yaml", {})


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DocumentError, match=r"s\.yaml:1:1  is not UTF-8 text"):
        load_suite(tmp_path / "s.yaml", {})


class TestTarget:
    def load(self, text: str, **env: str) -> TargetConfig:
        return load_document(text, "t.yaml", TargetConfig, env)

    def complaint(self, text: str, **env: str) -> str:
        with pytest.raises(DocumentError) as caught:
            self.load(text, **env)
        (problem,) = caught.value.problems
        return f"{problem.path}: {problem.message}"

    def test_needs_a_model_and_a_suite_only(self) -> None:
        target = self.load("{model: m, suite: s.yaml}")
        assert (target.every, target.cron, target.stream, target.baseline.runs) == (900.0, None, True, None)

    @pytest.mark.parametrize(
        ("slot_s", "runs"),
        [(900.0, 672), (3600.0, 168), (86_400.0, 168), (1.0, 10_000)],
        ids=["a week of quarters", "a week of hours", "half a year of days", "a second: the most"],
    )
    def test_a_baseline_is_a_week_of_runs_unless_somebody_says_otherwise(
        self, slot_s: float, runs: int
    ) -> None:
        assert self.load("{model: m, suite: s.yaml}").baseline.runs_needed(slot_s) == runs
        assert self.load("{model: m, suite: s.yaml, baseline: {runs: 40}}").baseline.runs_needed(slot_s) == 40

    def test_shows_no_secret(self) -> None:
        target = self.load(
            "{model: m, suite: s, api_key: '${K}', headers: {x-key: '${H}'}}", K="sk-aaa", H="hhh-secret"
        )
        assert "sk-aaa" not in repr(target)
        assert "hhh-secret" not in repr(target) + str(target.model_dump())

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("every: 5m, cron: '* * * * *'", "every: stands beside `cron`; keep one of them"),
            ("cron: '* * *'", "cron: must have 5 fields: minute, hour, day, month, weekday"),
            ("every: 0", "every: must be at least 0.1, not 0"),
            ("base_url: a.org", 'base_url: must be an address such as "https://api.example.com/v1", not "a.org"'),
            ("base_url: 'http://u:p@a.o'", "base_url: must not hold a user or a password; use `api_key` or `headers`"),
            ("headers: {'a b': x}", "headers.a b: is not a name for a header"),
            ("headers: {Connection: x}", "headers.Connection: is set by Anchorwatch itself"),
            ("concurrency: 65", "concurrency: must be at most 64, not 65"),
            ("parameters: {messages: []}", "parameters.messages: cannot be set here: they come from the suite"),
        ],
    )  # fmt: skip
    def test_that_cannot_be_used_says_why(self, text: str, expected: str) -> None:
        assert self.complaint(f"{{model: m, suite: s, {text}}}") == expected

    @pytest.mark.parametrize("key", ["sk-abcd\n", "sk abcd\r\nx: y", "", "schlüssel"])
    def test_refuses_a_key_that_no_header_can_carry_without_showing_it(self, key: str) -> None:
        told = self.complaint("{model: m, suite: s, api_key: '${K}'}", K=key)
        assert told.startswith("api_key: must be one line of plain ASCII")
        assert not key or key.strip() not in told

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            self.load("{model: m, suite: s}").model = "other"
