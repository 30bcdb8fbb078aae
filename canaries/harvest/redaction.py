"""Personal data and secrets out of texts: each value becomes a placeholder such as ``<email-1>``.

What has a form is found: addresses, numbers with check digits, keys with known beginnings. Names of people and places
have none, and are not found; an operator names the own ones with patterns.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from .personal_numbers import IDENTITY_NUMBERS, digits, iban_length, is_card, is_iban, is_ip, is_phone

SECRET_CHARS_MIN = 6
"""A shorter word after "password" or "token" is not taken for one."""

_WORD_BEFORE = r"(?<![A-Za-z0-9_])"
_WORD_AFTER = r"(?![A-Za-z0-9_])"

_DOMAIN = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}"
_EMAIL = re.compile(
    rf"(?<![\w.+%-])[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}}@{_DOMAIN}(?![\w-])"
    rf"|(?<![\w.+%-])[\w.+-]{{1,64}}\s?[\[(]\s?at\s?[\])]\s?[\w-]{{1,63}}"
    rf"(?:(?:\.|\s?[\[(]\s?dot\s?[\])]\s?)[\w-]{{2,63}}){{1,5}}",
    re.IGNORECASE,
)
_URL_CREDENTIALS = re.compile(
    r"(?<=://)[^\s/@:\"'<>]{0,200}:[^\s/@\"'<>]{1,200}(?=@)|(?<=://)[^\s/@:\"'<>]{20,200}(?=@)"
)
_URL_SECRET = re.compile(
    r"(?<=[?&])(?:access_token|refresh_token|id_token|token|auth|api[_-]?key|apikey|key|secret|client_secret|password"
    r"|passwd|pwd|sig|signature|x-amz-signature|x-amz-security-token|session|sessionid|code)=([^\s&#\"'<>]{6,2000})",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    # Without its end, it was cut off: then what looks like more of it.
    r"(?:[\s\S]{1,8000}?-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s]{1,8000})"
)
_JWT = re.compile(
    rf"{_WORD_BEFORE}eyJ[A-Za-z0-9_-]{{8,4000}}\.eyJ[A-Za-z0-9_-]{{4,8000}}\.[A-Za-z0-9_-]{{0,2000}}"
)
_KEY = re.compile(
    rf"""{_WORD_BEFORE}(?:
      sk-(?:ant-|proj-|svcacct-|or-|lf-)?[A-Za-z0-9_-]{{16,250}}     # OpenAI, Anthropic, OpenRouter, Langfuse
    | pk-lf-[A-Za-z0-9-]{{16,100}}
    | (?:sk|pk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{{16,250}}      # Stripe
    | (?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{{16}}                   # AWS
    | gh[pousr]_[A-Za-z0-9]{{30,250}} | github_pat_[A-Za-z0-9_]{{30,250}}
    | gl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{{18,100}}
    | xox[abeoprs]-[A-Za-z0-9-]{{10,250}} | xapp-[A-Za-z0-9-]{{10,250}}
    | AIza[A-Za-z0-9_-]{{30,60}} | ya29\.[A-Za-z0-9_-]{{20,1000}}  # Google
    | hf_[A-Za-z0-9]{{25,60}} | gsk_[A-Za-z0-9]{{30,100}} | xai-[A-Za-z0-9]{{30,120}} | r8_[A-Za-z0-9]{{30,60}}
    | npm_[A-Za-z0-9]{{30,60}} | pypi-[A-Za-z0-9_-]{{30,300}} | dckr_pat_[A-Za-z0-9_-]{{20,60}}
    | SG\.[A-Za-z0-9_-]{{16,40}}\.[A-Za-z0-9_-]{{30,60}} | key-[0-9a-f]{{32}}
    | (?:SK|AC)[0-9a-f]{{32}}                                     # Twilio
    | [0-9]{{8,10}}:AA[A-Za-z0-9_-]{{30,40}}                        # Telegram
    | dop_v1_[0-9a-f]{{40,80}} | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{30,40}} | hvs\.[A-Za-z0-9_-]{{20,200}}
    ){_WORD_AFTER}""",
    re.VERBOSE,
)
_ASSIGNED = re.compile(
    r"(?<![A-Za-z])(?P<what>api[ _-]?key|access[ _-]?key|secret[ _-]?key|account[ _-]?key|client[ _-]?secret|secret"
    r"|auth[ _-]?token|access[ _-]?token|token|password|passwort|passwd|pwd|passphrase|mot de passe|contraseña|pin"
    r"|authorization|bearer)(?![A-Za-z])[\"']?"
    r"(?:\s{0,3}(?::=|=>|=|:)\s{0,3}(?:(?:bearer|basic|token)\s{1,3})?|\s{1,3}(?:is|ist|was|est|es)\s{1,3}:?\s{0,3}|\s{1,3})"
    r"(?P<quote>[\"'`]?)(?P<value>[^\s\"'`<>,;]{4,500})(?P=quote)",
    re.IGNORECASE,
)
_BASE64_OR_HEX = re.compile(
    rf"{_WORD_BEFORE}(?:[0-9a-fA-F]{{32,128}}|[A-Za-z0-9+/_-]{{40,500}}={{0,2}}){_WORD_AFTER}"
)

_CARD = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])"
)
_PHONE = re.compile(
    r"(?<![\w.,@#/=+-])(?:\(\+?\d{1,5}\)|\+?\d)(?:[ ().\u00a0\u2011/-]{0,3}\d){6,16}(?![\w@]|[.,:/-]\d)"
)

_PHONE_WORDS = re.compile(
    r"(?:phone|telephone|tel|telefon|téléphone|teléfono|telefono|mobile|mobil|handy|handynummer|cell|call|ring|text|sms"
    r"|whatsapp|fax|rufnummer|numéro|reach me)\b[^\d\n]{0,25}$",
    re.IGNORECASE,
)
_VERSION_WORDS = re.compile(
    r"(?:\bv|version|release|build|firmware|section|chapter|§)\s{0,3}$", re.IGNORECASE
)
_SEPARATORS = re.compile(r"[\s().\u00a0\u2011/-]+")
_NO_SECRETS = ("<", "${", "{{", "http://", "https://", "***", "xxx", "...")
_NUMBERS_TOO = ("pin", "password", "passwort", "passwd", "pwd", "passphrase")
_WORDS_LOOKED_BACK = 40


@dataclass(frozen=True, slots=True)
class OwnPattern:
    """What an operator has redacted beside what is found anyway: ``name`` is that of the placeholder."""

    name: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A value to be redacted; ``value`` is the same however it is written, and is never stored."""

    start: int
    end: int
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """Texts of one prompt without what was found in them, and how many different values of each kind there were."""

    texts: tuple[str, ...]
    values: Mapping[str, int] = field(default_factory=dict)


def redact(texts: Sequence[str], own: Sequence[OwnPattern] = ()) -> Redacted:
    """The texts of one prompt, redacted together: the same value has the same placeholder in all of them."""
    placeholders: dict[tuple[str, str], str] = {}
    numbers: Counter[str] = Counter()
    redacted = []
    for text in texts:
        pieces, end = [], 0
        for one in find(text, own):
            key = (one.kind, one.value)
            if key not in placeholders:
                numbers[one.kind] += 1
                placeholders[key] = f"<{one.kind}-{numbers[one.kind]}>"
            pieces += [text[end : one.start], placeholders[key]]
            end = one.end
        redacted.append("".join([*pieces, text[end:]]))
    return Redacted(tuple(redacted), dict(numbers))


def find(text: str, own: Sequence[OwnPattern] = ()) -> list[Found]:
    """What is to be redacted in the text, in its order. Where two overlap, the surer kind has what both want.

    But what an own pattern finds within something longer gives way: of an address nothing may be left because a name in
    it was known.
    """
    taken: list[Found] = []
    names = {one.name for one in own}
    for one in _candidates(text, own):
        if any(other.start <= one.start and one.end <= other.end for other in taken):
            continue
        within = [other for other in taken if one.start <= other.start and other.end <= one.end]
        if any(other.kind not in names for other in within):
            continue
        taken = [other for other in taken if other not in within]
        start = max((other.end for other in taken if other.start < one.start < other.end), default=one.start)
        end = min((other.start for other in taken if other.start < one.end < other.end), default=one.end)
        if start < end:
            taken.append(replace(one, start=start, end=end))
    return sorted(taken, key=lambda one: one.start)


def _candidates(text: str, own: Sequence[OwnPattern]) -> Iterator[Found]:
    """Everything that may be one of the kinds, the surest kinds first."""
    for one in own:
        yield from _matches(one.name, one.pattern, text)
    yield from _matches("private-key", _PRIVATE_KEY, text)
    yield from _matches("token", _JWT, text)
    yield from _matches("credentials", _URL_CREDENTIALS, text)
    yield from _matches("key", _KEY, text)
    yield from (_found("token", match, 1) for match in _URL_SECRET.finditer(text))
    yield from _matches("email", _EMAIL, text)
    yield from _ibans(text)
    yield from _checked("card", _CARD, text, is_card)
    yield from _ips(text)
    for pattern, is_one in IDENTITY_NUMBERS:
        yield from _checked("national-id", pattern, text, is_one)
    yield from _phones(text)
    yield from _assigned(text)
    yield from (_found("key", m) for m in _BASE64_OR_HEX.finditer(text) if _looks_random(m[0]))


def _matches(kind: str, pattern: re.Pattern[str], text: str) -> Iterator[Found]:
    for match in pattern.finditer(text):
        yield _found(kind, match)


def _found(kind: str, match: re.Match[str], group: int | str = 0) -> Found:
    start, end = match.span(group)
    return Found(start, end, kind, match[group].casefold() if kind == "email" else match[group])


def _checked(
    kind: str, pattern: re.Pattern[str], text: str, is_one: Callable[[str], bool]
) -> Iterator[Found]:
    """The matches that are what they look like; written with or without separators, a number is the same value."""
    for match in pattern.finditer(text):
        if is_one(match[0]):
            yield Found(match.start(), match.end(), kind, _SEPARATORS.sub("", match[0]).upper())


def _ibans(text: str) -> Iterator[Found]:
    """IBANs, which end where their country's length says: what comes after may be the next word."""
    for match in _IBAN.finditer(text):
        end, length = match.start(), iban_length(match[0]) or 0
        for _ in range(length):
            while end < match.end() and text[end] in " -":
                end += 1
            end += 1
        written = text[match.start() : end]
        is_whole = end <= match.end() and not text[end : end + 1].isalnum()
        if is_whole and is_iban(written):
            yield Found(match.start(), end, "iban", _SEPARATORS.sub("", written).upper())


def _ips(text: str) -> Iterator[Found]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            is_version = _VERSION_WORDS.search(_before(text, match))
            if is_ip(match[0]) and not is_version:
                yield _found("ip", match)


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        is_announced = _PHONE_WORDS.search(_before(text, match)) is not None
        if is_phone(match[0], is_announced=is_announced):
            yield Found(match.start(), match.end(), "phone", digits(match[0]))


def _assigned(text: str) -> Iterator[Found]:
    """What is told to be a password or a key. Without ``=`` or ``:`` it must look like one: "the token is valid"."""
    for match in _ASSIGNED.finditer(text):
        value = match["value"].rstrip(".!?)]}")
        is_set = any(sign in text[match.start() : match.start("value")] for sign in "=:")
        is_number = is_set and value.isdecimal() and match["what"].lower() in _NUMBERS_TOO
        is_told = len(value) >= SECRET_CHARS_MIN and not value.startswith(_NO_SECRETS)
        if is_number or (is_told and (_has_kinds(value, 2 if is_set else 3) or (is_set and match["quote"]))):
            yield Found(match.start("value"), match.start("value") + len(value), "secret", value)


def _has_kinds(value: str, kinds: int) -> bool:
    """Whether the value has so many kinds of characters: small and capital letters, digits, signs."""
    tests = (str.islower, str.isupper, str.isdecimal, lambda one: not one.isalnum())
    return sum(any(map(test, value)) for test in tests) >= kinds


def _looks_random(value: str) -> bool:
    """Whether a long run of letters and digits is no word and no path: it mixes them throughout."""
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        return len(set(value.lower())) >= 10 and not value.isdecimal()
    changes = sum(first.isdecimal() != second.isdecimal() for first, second in pairwise(value))
    cases = sum(a.islower() and b.isupper() for a, b in pairwise(value))
    return "/" not in value[:2] and value.count("-") + value.count("_") < 4 and changes >= 6 and cases >= 4


def _before(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - _WORDS_LOOKED_BACK) : match.start()]
