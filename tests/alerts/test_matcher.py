import pytest

from alerts.matcher import Matcher, Operator, literal, parse_matcher, parse_matchers, read_matcher, wildcard


@pytest.mark.parametrize(
    ("text", "facts", "fits"),
    [
        ("service=checkout", {"service": "checkout"}, True),
        ("service=checkout", {"service": "checkouts"}, False),
        ('service = "a b"', {"service": "a b"}, True),
        ("service!=checkout", {"service": "cart"}, True),
        ("service!=checkout", {}, True),
        ("service!=checkout", {"service": "checkout"}, False),
        ("model=~gpt-4.*", {"model": "gpt-4o-mini"}, True),
        ("model=~gpt-4", {"model": "gpt-4o"}, False),
        ("model=~a|b", {"model": "b"}, True),
        ("model!~gpt-.*", {"model": "claude"}, True),
        ("model!~gpt-.*", {"model": "gpt-4"}, False),
        ("service=", {}, True),
        ("service=~.+", {}, False),
        ("severity=page", {"severity": "page"}, True),
    ],
)
def test_a_matcher_fits_as_in_alertmanager(text, facts, fits):
    assert parse_matcher(text).fits(facts) is fits


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("checkout", "write it like service=checkout"),
        ("=checkout", "write it like"),
        ("model=~(", "not a regular expression"),
        ("severity=loud", "one of info, ticket, page"),
        ("a=" + "x" * 501, "500 characters at most"),
    ],
)
def test_what_is_no_matcher_says_what_would_be_right(text, told):
    with pytest.raises(ValueError, match=told):
        parse_matcher(text)


def test_no_pattern_takes_longer_than_its_text():
    assert not parse_matcher(r"key=~([\w/-]+)+!").fits({"key": "a" * 100_000})


@pytest.mark.parametrize("text", ["a b", "a|b", "ü.*", "a\\Z", "drift/bot [1]", "a\nb", "(x)"])
def test_a_literal_is_fitted_by_itself_alone(text):
    matcher = Matcher("key", Operator.LIKE, literal(text))
    assert matcher.fits({"key": text})
    assert not matcher.fits({"key": text + "x"})


def test_a_wildcard_is_not_a_pattern():
    fits = Matcher("key", Operator.LIKE, wildcard("watch/*.?-[a]")).fits
    assert fits({"key": "watch/a/b.c-[a]"})
    assert not fits({"key": "watch/a/bxc-[a]"})
    assert not fits({"key": "watch/a/b.c-a"})


@pytest.mark.parametrize("text", ["key=~(?=a)a", "key!~(?=a)a"])
def test_a_stored_pattern_that_is_none_any_more_silences_nothing(text):
    assert not read_matcher(text).fits({"key": "a"})


def test_a_text_that_is_no_text_fits_like_any_other():
    assert parse_matcher("key=~a.b").fits({"key": "a\ud800b"})


def test_a_matcher_reads_what_it_writes():
    for matcher in (Matcher("a", Operator.NOT_LIKE, 'x"y.*'), Matcher("b", Operator.IS, "")):
        assert parse_matcher(str(matcher)) == matcher


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ()),
        ("service=checkout", ('service="checkout"',)),
        ("a=b, c!=d", ('a="b"', 'c!="d"')),
        ("a=b\r\n\r\nc=~x.*\n", ('a="b"', 'c=~"x.*"')),
        ('a="x, y", b=~"p{1,2}"', ('a="x, y"', 'b=~"p{1,2}"')),
        ("a=b,,", ('a="b"',)),
    ],
    ids=["none", "one", "with a comma", "one a line", "commas inside quotes", "commas at the end"],
)
def test_matchers_are_read_as_people_write_several(text, said):
    assert tuple(map(str, parse_matchers(text))) == said


def test_more_matchers_than_a_person_reads_are_refused():
    assert len(parse_matchers(",".join(["a=b"] * 50))) == 50
    with pytest.raises(ValueError, match="51 matchers; 50 at most"):
        parse_matchers(",".join(["a=b"] * 51))
