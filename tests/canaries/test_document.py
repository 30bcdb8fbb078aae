import traceback
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from canaries import CanaryError
from canaries.document import (
    DocumentError,
    Duration,
    Places,
    Problem,
    load_document,
    load_document_with_places,
    parse_duration,
    placed,
)
from canaries.problems import MAX_PROBLEMS_SHOWN


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Endpoint(Strict):
    url: str
    api_key: SecretStr | None = None
    retries: int = Field(3, ge=0, le=10)


class Scrub(Strict):
    pattern: str


def _no_bad_words(words: list[str]) -> list[str]:
    bad = [((index,), "is a bad word") for index, word in enumerate(words) if word == "bad"]
    if bad:
        raise placed(bad)
    return words


class Config(Strict):
    name: str = "x"
    targets: dict[str, Endpoint] = Field(default_factory=dict)
    every: Duration = 60.0
    freeze: Literal["auto", "command"] = "auto"
    scrub: list[Literal["uuid", "date"] | Scrub] = Field(default_factory=list)
    matches: str | list[str] = ""
    rule: bool | Literal["repairable"] = False
    words: Annotated[list[str], AfterValidator(_no_bad_words)] = Field(default_factory=list)
    numbers: list[float] = Field(default_factory=list)


def load(text: str, **env: str) -> Config:
    return load_document(text, "a.yaml", Config, env)


def complaints(text: str, **env: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load(text, **env)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nme: y", ['a.yaml:1:1  nme: unknown key; did you mean "name"?'], id="unknown key"),
        pytest.param(
            "targets:\n  bot: {url: u, api-key: k}",
            ['a.yaml:2:17  targets.bot.api-key: unknown key; did you mean "api_key"?'],
            id="dash for underscore, inside of a dict of models",
        ),
        pytest.param(
            "targets:\n  bot: {urll: u}",
            ['a.yaml:2:9  targets.bot.urll: unknown key; did you mean "url"?'],
            id="a required key that is misspelt is one problem",
        ),
        pytest.param(
            "targets:\n  bot: {qqqq: 1, url: u}",
            ["a.yaml:2:9  targets.bot.qqqq: unknown key; known here: api_key, retries, url"],
            id="unknown key like no other",
        ),
        pytest.param(
            "targets:\n  bot: {}",
            ["a.yaml:2:3  targets.bot.url: this key is required and is not there"],
            id="missing key, placed at its mapping",
        ),
        pytest.param(
            "name: 5", ["a.yaml:1:1  name: must be text, not 5; put it in quotes"], id="number for text"
        ),
        pytest.param("name:", ["a.yaml:1:1  name: must be text, not empty"], id="nothing for text"),
        pytest.param("name: [a]", ["a.yaml:1:1  name: must be text, not a list"], id="list for text"),
        pytest.param(
            "targets: 3", ["a.yaml:1:1  targets: must be a mapping (key: value), not 3"], id="not a mapping"
        ),
        pytest.param(
            "targets: {b: {url: u, retries: 11}}",
            ["a.yaml:1:23  targets.b.retries: must be at most 10, not 11"],
            id="out of range",
        ),
        pytest.param(
            "freeze: Auto",
            ["a.yaml:1:1  freeze: must be 'auto' or 'command', not \"Auto\"; did you mean \"auto\"?"],
            id="wrong choice",
        ),
        pytest.param(
            "every: 15x",
            [
                'a.yaml:1:1  every: must be a duration such as "15m", "1h30m" or "90s"'
                ' (units: ms, s, m, h, d, w), not "15x"'
            ],
            id="wrong duration",
        ),
        pytest.param(
            "matches: 5", ["a.yaml:1:1  matches: must be text or a list, not 5"], id="union of kinds"
        ),
        pytest.param(
            "rule: repair",
            ["a.yaml:1:1  rule: must be true or false or 'repairable', not \"repair\""],
            id="union of values",
        ),
        pytest.param(
            "scrub: [uuid, {patern: x}]",
            ['a.yaml:1:16  scrub[1].patern: unknown key; did you mean "pattern"?'],
            id="a union speaks of the member that was meant",
        ),
        pytest.param(
            "words: [good, bad, fine, bad]",
            ["a.yaml:1:15  words[1]: is a bad word", "a.yaml:1:26  words[3]: is a bad word"],
            id="several faults of one validator",
        ),
        pytest.param(
            "name: a\nname: b",
            ["a.yaml:2:1  name: this key is here twice; the first is on line 1; keep one of them"],
            id="duplicate key",
        ),
        pytest.param(
            "name: !secret x",
            ['a.yaml:1:1  name: the tag "!secret" has no meaning here; remove it'],
            id="tag",
        ),
        pytest.param("name: !!python/name:os.system x", None, id="tag that would run code"),
        pytest.param(
            "numbers: [1e999]", ["a.yaml:1:11  numbers[0]: is too large a number"], id="infinite number"
        ),
        pytest.param("? [a]\n: b", ["a.yaml:1:1  ?: a key must be plain text"], id="a list as key"),
        pytest.param("a: b\n---\nc: d", None, id="two documents"),
        pytest.param(
            "- a", ["a.yaml:1:1  must be a mapping (key: value), not a list"], id="no mapping at all"
        ),
    ],
)
def test_a_problem_is_told_in_plain_words_at_its_place(text: str, expected: list[str] | None) -> None:
    told = complaints(text)
    if expected is not None:
        assert told == expected
    assert all(line.startswith("a.yaml:") for line in told)


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    told = complaints(
        "every: soon\n"
        "name: ${MISSING}\n"
        "targets:\n"
        "  one: {url: 1}\n"
        "  one: {}\n"
        "  two: {}\n"
        "unknwon: 1\n"
        "numbers: [1, x]\n"
    )
    places = [line.split("  ")[0].removeprefix("a.yaml:") for line in told]
    assert places == ["1:1", "2:1", "4:9", "5:3", "6:3", "7:1", "8:14"]


def test_a_syntax_error_has_its_place() -> None:
    (line,) = complaints('name: a\ntargets: {b: "c\n')
    assert line.startswith("a.yaml:3:1  not valid YAML: found unexpected end of stream")


def test_a_variable_that_breaks_the_syntax_is_told_to_be_quoted() -> None:
    (line,) = complaints("words: [${A}]", A="x")
    assert line.endswith('put quotes around text with "${...}" in it')


def test_a_forbidden_character_has_its_place() -> None:
    assert complaints("name: a\nx: \x07") == ["a.yaml:2:4  the character U+0007 is not allowed in YAML"]


class TestVariables:
    def test_stand_anywhere_in_a_text(self) -> None:
        assert load('name: "a-${ONE}-${TWO}"', ONE="1", TWO="2").name == "a-1-2"

    def test_give_numbers_and_durations_too(self) -> None:
        config = load("every: ${E}\ntargets: {b: {url: u, retries: '${R}'}}", E="2m", R="4")
        assert (config.every, config.targets["b"].retries) == (120.0, 4)

    def test_are_not_read_again_in_what_they_hold(self) -> None:
        assert load("name: ${A}", A="${B} $${C}").name == "${B} $${C}"

    def test_are_escaped_by_doubling_the_dollar(self) -> None:
        assert load("name: cost $5 $${A} $$ ${A}", A="x").name == "cost $5 ${A} $$ x"

    @pytest.mark.parametrize("text", ["${}", "${a b}", "${A:-default}", "${1A}", "${A", "${"])
    def test_need_a_name(self, text: str) -> None:
        (line,) = complaints(f"name: 'x {text}'", A="x")
        assert '"${" must be followed by the name of a variable and "}"; write "$${" for a plain "${"' in line

    def test_that_are_not_set_are_all_told(self) -> None:
        told = complaints("name: ${A}${B}\nevery: ${C}")
        assert [name for name in "ABC" if any(f"variable {name} is not set" in line for line in told)] == [
            "A",
            "B",
            "C",
        ]
        assert len(told) == 3, "the duration is not blamed for its variable"

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("every: ${S}", id="in a message of a validator"),
            pytest.param("freeze: ${S}", id="in a choice"),
            pytest.param("targets: {b: {url: u, retries: '${S}'}}", id="for a number"),
            pytest.param("targets: ${S}", id="for a mapping"),
        ],
    )
    def test_never_show_what_they_hold(self, text: str) -> None:
        secret = "-".join(["sk", "very", "secret"])  # not in one piece: a traceback shows this line
        with pytest.raises(DocumentError) as caught:
            load(text, S=secret)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.problems)
        assert secret not in shown
        assert "${S}" in shown
        assert caught.value.__context__ is None, "no pydantic error with the values hangs on it"

    def test_are_not_the_only_secrets_that_are_not_shown(self) -> None:
        assert complaints("targets: {b: {url: u, api_key: 12345}}") == [
            "a.yaml:1:23  targets.b.api_key: must be text; put it in quotes"
        ]

    def test_long_values_are_not_shown(self) -> None:
        (line,) = complaints(f"freeze: {'prompt ' * 20}")
        assert line == "a.yaml:1:1  freeze: must be 'auto' or 'command'"


class TestYaml:
    @pytest.mark.parametrize(
        "word", ["yes", "no", "on", "off", "2024-01-31", "1:30", "1_000", ".inf", "0777x", "="]
    )
    def test_text_stays_text(self, word: str) -> None:
        assert load(f"name: {word}").name == word

    def test_numbers_are_those_of_yaml_1_2(self) -> None:
        assert load("numbers: [1, -2.5, 1e3, 0x10, 0o17, .5, 007]").numbers == [1, -2.5, 1000, 16, 15, 0.5, 7]

    def test_anchors_and_merge_keys_work_and_the_own_key_wins(self) -> None:
        config = load(
            "targets:\n"
            "  a: &base {url: u, retries: 1}\n"
            "  b: {<<: *base, retries: 2}\n"
            "  c: {retries: 3, <<: [{url: first}, *base]}\n"
        )
        assert config.targets["b"] == Endpoint(url="u", retries=2)
        assert config.targets["c"] == Endpoint(url="first", retries=3)

    def test_an_empty_document_takes_the_defaults(self) -> None:
        assert load("# nothing\n") == Config()

    def test_keys_are_text(self) -> None:
        assert list(load("targets: {404: {url: u}, true: {url: u}}").targets) == ["404", "true"]

    def test_an_alias_bomb_ends_at_the_limit(self) -> None:
        lines = ["words:", "- &a0 x"] + [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
        assert any("holds more than 100,000 values" in line for line in complaints("\n".join(lines)))

    def test_an_alias_to_its_own_parent_ends_at_the_limit(self) -> None:
        assert any("nested deeper than 60 levels" in line for line in complaints("words: &a [*a]"))

    def test_deep_nesting_is_a_problem_and_no_crash(self) -> None:
        assert any("nested deeper than 60 levels" in line for line in complaints("words: " + "[" * 5_000))

    def test_a_huge_file_is_refused_unread(self) -> None:
        assert complaints("#" * 2_000_001) == ["a.yaml:1:1  the file is longer than 2,000,000 characters"]


class TestPlaces:
    def check(self, tree: object, places: Places) -> list[Problem]:
        assert isinstance(tree, dict)
        return [places.problem(("targets", "a"), "is not liked")]

    def test_a_check_reports_together_with_the_model(self) -> None:
        with pytest.raises(DocumentError) as caught:
            load_document_with_places("nme: x\ntargets:\n  a: {}\n", "a.yaml", Config, {}, self.check)
        assert [problem.path for problem in caught.value.problems] == ["nme", "targets.a", "targets.a.url"]

    def test_are_there_after_loading(self) -> None:
        _, places = load_document_with_places("targets:\n  a: {url: u}\n", "a.yaml", Config, {})
        assert (
            str(places.problem(("targets", "a", "url"), "no", "yes")) == "a.yaml:2:7  targets.a.url: no; yes"
        )

    def test_of_something_that_is_not_there_are_those_around_it(self) -> None:
        _, places = load_document_with_places("targets:\n  a: {url: u}\n", "a.yaml", Config, {})
        problem = places.problem(("targets", "a", "retries", 3), "no")
        assert (problem.line, problem.column, problem.path) == (2, 3, "targets.a.retries[3]")


def test_the_text_of_very_many_problems_is_bounded_and_says_so() -> None:
    with pytest.raises(DocumentError) as caught:
        load("numbers: [" + "x, " * 80 + "]")
    assert len(caught.value.problems) == 80
    assert str(caught.value).splitlines()[-1] == f"and {80 - MAX_PROBLEMS_SHOWN} problems more"


def test_a_document_error_is_an_error_of_the_canaries() -> None:
    assert issubclass(DocumentError, CanaryError)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("90", 90),
        (" 90s ", 90),
        (90, 90),
        (0.25, 0.25),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_as_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "m",
        "15 minutes",
        "-5s",
        "1h-5m",
        "1e3",
        "5m30",
        "9" * 80 + "s",
        -1,
        True,
        None,
        float("nan"),
        "11000w",
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        parse_duration(value)
