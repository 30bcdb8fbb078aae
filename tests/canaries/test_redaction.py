"""Redaction: what has the form of personal data or a secret is found, and what only looks like it stays."""

import re

import pytest

from canaries.harvest.redaction import OwnPattern, find, redact

# Put together here, so that no scanner of secrets takes this file for a leak.
OPENAI, ANTHROPIC = "sk-" + "proj-Zk3vQ9aL7mXt2RbN8wYc", "sk-" + "ant-api03-Hq7Lw2Zx9Pb4Nm6Vt1Rs"
GITHUB, AWS, GOOGLE = (
    "ghp_" + "a8Kd93jZlQ0pXv7Tn2Wc5Rb1Ye4Uo6Gh9sMf",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "SyD4x9Kq" * 4,
)
SLACK, STRIPE = "xoxb-" + "2345678901-abcdefGHIJ", "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE " + "KEY-----"

FOUND: dict[str, tuple[str, str]] = {
    "an address": ("Write to jane.doe+shop@mail.example.co.uk.", "Write to <email-1>."),
    "an address in brackets": ("Jane <jane@example.org> asks", "Jane <<email-1>> asks"),
    "an address with an umlaut": ("an müller@bücher.example bitte", "an <email-1> bitte"),
    "an address before a full stop and a word": ("Ask jane@example.org.Then go", "Ask <email-1> go"),
    "an address that hides": ("jane [at] example [dot] org", "<email-1>"),
    "an American number": ("Call (415) 555-2671 now", "Call <phone-1> now"),
    "an American number with dots": ("415.555.2671", "<phone-1>"),
    "an international number": ("mine is +49 171 123 45 67.", "mine is <phone-1>."),
    "an international number in one": ("+4917112345678", "<phone-1>"),
    "a German number": ("unter 0171 1234567 erreichbar", "unter <phone-1> erreichbar"),
    "a French number": ("au 01 23 45 67 89 svp", "au <phone-1> svp"),
    "a British number": ("on 020 7946 0958", "on <phone-1>"),
    "a number in brackets": ("mine (+49 171 1234567) is new", "mine (<phone-1>) is new"),
    "a number with its prefix in brackets": ("(call (902) 777-7238)", "(call <phone-1>)"),
    "a number dialled from abroad": ("0049 84 5811632", "<phone-1>"),
    "a number after its word": ("my phone is 5552671234", "my phone is <phone-1>"),
    "a network address": ("from 203.0.113.9:8080", "from <ip-1>:8080"),
    "a private network address": ("10.0.12.4 is down", "<ip-1> is down"),
    "a long network address": ("at 2001:db8::8a2e:370:7334 today", "at <ip-1> today"),
    "a card": ("4111 1111 1111 1111", "<card-1>"),
    "a card with hyphens": ("5555-5555-5555-4444", "<card-1>"),
    "a short card": ("amex 378282246310005!", "amex <card-1>!"),
    "a German account": ("DE89 3704 0044 0532 0130 00 please", "<iban-1> please"),
    "a British account": ("iban:GB29NWBK60161331926819", "iban:<iban-1>"),
    "a small account": ("nl91abna0417164300", "<iban-1>"),
    "an OpenAI key": (f"key {OPENAI}", "key <key-1>"),
    "an Anthropic key": (f"use {ANTHROPIC}, ok", "use <key-1>, ok"),
    "a GitHub token": (f"{GITHUB}", "<key-1>"),
    "an AWS key": (f"id={AWS}", "id=<key-1>"),
    "a Google key": (GOOGLE, "<key-1>"),
    "a Slack token": (f"({SLACK})", "(<key-1>)"),
    "a Stripe key": (f"'{STRIPE}'", "'<key-1>'"),
    "a JWT": (f"Authorization: Bearer {JWT}", "Authorization: Bearer <token-1>"),
    "a private key": (f"here:\n{PEM}\nend", "here:\n<private-key-1>\nend"),
    "a private key that was cut off": (f"{PEM[:40]}", "<private-key-1>"),
    "a URL with a password": ("postgres://app:s3cr3t@db:5432/x", "postgres://<credentials-1>@db:5432/x"),
    "a URL with a token": ("https://a.example/x?y=1&token=abcDEF123#z", "https://a.example/x?y=1&token=<token-1>#z"),
    "a password": ("my password is Tr0ub4dor&3", "my password is <secret-1>"),
    "a password that is set": ('password = "hunter2x"', 'password = "<secret-1>"'),
    "a PIN": ("pin: 4711, ok", "pin: <secret-1>, ok"),
    "a key in JSON": ('{"api_key": "9f8e7d6c5b4a"}', '{"api_key": "<secret-1>"}'),
    "a hash-like key": ("9b74c9897bac770ffc029102a200c5de is it", "<key-1> is it"),
    "a social security number": ("SSN 536-90-4399", "SSN <national-id-1>"),
    "a British insurance number": ("QQ 12 34 56 C? no: AB 12 34 56 C", "QQ 12 34 56 C? no: <national-id-1>"),
    "a German tax number": ("86 095 742 719", "<national-id-1>"),
    "a Spanish number": ("DNI 12345678Z", "DNI <national-id-1>"),
    "a Spanish foreigner's number": ("X1234567L", "<national-id-1>"),
    "an Italian code": ("RSSMRA85T10A562S", "<national-id-1>"),
    "a Brazilian number": ("CPF 529.982.247-25", "CPF <national-id-1>"),
    "a Swiss number": ("756.9217.0769.85", "<national-id-1>"),
    "a Polish number": ("PESEL 44051401359", "PESEL <national-id-1>"),
    "a Swedish number": ("811228-9874", "<national-id-1>"),
    "a French number of insurance": ("1 85 05 78 006 084 91", "<national-id-1>"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "redacted"), FOUND.values(), ids=FOUND)
def test_what_is_personal_or_secret_becomes_a_placeholder(text: str, redacted: str) -> None:
    assert redact([text]).texts == (redacted,)


KEPT = {
    "an order number": "Where is my order 4411?",
    "a long order number": "order 20240117-88231 and invoice 1000234567",
    "a date": "between 2024-01-02 and 02.03.2024, or 01-02-2024 10:30",
    "a moment": "at 2024-01-02T10:30:00Z, that is 1704191400",
    "an ISBN": "ISBN 978-3-16-148410-0 and 9783161484100",
    "prices": "1,234,567.89 EUR or 1.234.567,89 or $0.000123456",
    "a version": "version 1.2.3.4 of v10.0.12.4, and 3.11.4",
    "a loopback address": "http://127.0.0.1:8080 and ::1",
    "a clock": "12:30:45 and 08:15",
    "no address of a machine": "999.1.1.1 and 1.2.3.4.5",
    "a card with a wrong digit": "4111 1111 1111 1112",
    "zeros": "0000000000000000",
    "an account with a wrong digit": "DE89 3704 0044 0532 0130 01",
    "a handle": "ask @anna on slack, mail@ is cut",
    "a price with an at": "3 @ 5.00",
    "a decorator": "@app.route in main.py",
    "a word about tokens": "The token is valid for one hour, and tokens per second are fine.",
    "a word about passwords": "I forgot my password and the password reset fails",
    "a password yet to come": "password: <your password>",
    "a number of tokens": "max tokens: 4096, token: 4096",
    "a variable": "api_key: ${OPENAI_API_KEY}",
    "a URL": "https://user.example.com/a/b?page=12&sort=name",
    "a number of insurance of nobody": "000-12-3456 and 666-12-3456",
    "a range": "pages 100-200, 1990-2020, 555-1234",
    "a UUID": "run 123e4567-e89b-12d3-a456-426614174000 again",
    "a name in code": "get_user_by_identifier_and_return_all_of_its_orders_sorted",
    "a path": "src/components/dashboards/overview/LatencyPercentilesChart.tsx",
    "a long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "digits of pi": "3.14159265358979323846",
    "a matrix": "1 2 3 4 5 6 7 8 9 10 11 12",
    "CSS": "margin: 0 0 12px 16px; color: #a1b2c3",
    "a namespace": "std::vector<int> and a::b",
    "eleven digits with wrong check digits": "12345678901",
    "an order number with zeros": "order 0087457863",
    "part of a UUID": "084ad222-aec8-8b1c-be72-a674aacb3ac7",
    "a phone code": "dial 112 or 911",
    "a coordinate": "48.137154, 11.576124",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact([text]).texts == (text,)


def test_the_same_value_has_the_same_placeholder_throughout_a_prompt() -> None:
    done = redact(["Mail a@x.example or b@x.example.", "A@x.example wrote; pay GB29NWBK60161331926819."])
    assert done.texts == ("Mail <email-1> or <email-2>.", "<email-1> wrote; pay <iban-1>.")
    assert done.values == {"email": 2, "iban": 1}


def test_a_number_is_the_same_however_it_is_written() -> None:
    text = "4111 1111 1111 1111, 4111-1111-1111-1111, +49 171 1234567, +49 (171) 123-4567"
    assert redact([text]).texts == ("<card-1>, <card-1>, <phone-1>, <phone-1>",)


def test_own_patterns_have_their_name_and_leave_nothing_of_what_they_lie_in() -> None:
    own = [OwnPattern("customer", re.compile("(?i)acme|globex")), OwnPattern("case", re.compile(r"C-\d+"))]
    done = redact(["ACME (jane@acme.example) and Globex: C-4711, acme"], own)
    assert done.texts == ("<customer-1> (<email-1>) and <customer-2>: <case-1>, <customer-3>",)


def test_of_two_that_overlap_nothing_is_left() -> None:
    own = [OwnPattern("site", re.compile(r"example\.org/\w+"))]
    assert redact(["jane@example.org/page"], own).texts == ("<email-1><site-1>",)


def test_an_own_pattern_that_fits_nothing_is_no_value() -> None:
    assert redact(["abc"], [OwnPattern("empty", re.compile("x*"))]).texts == ("abc",)


def test_the_names_of_people_are_not_found() -> None:
    """A limit, and told as one: a name has no form."""
    assert redact(["Dear John Smith of 12 Elm Street"]).values == {}


HOSTILE = {
    "digits with spaces": "1 " * 50_000,
    "digits": "1" * 100_000,
    "dots": "a." * 50_000,
    "at signs": "a@" * 50_000,
    "addresses without end": "a" * 100_000 + "@" + "b." * 1_000,
    "addresses": "a@example.org " * 3_500,
    "colons": "ab:" * 30_000,
    "brackets": "(0)" * 30_000,
    "accounts": "DE89 " * 20_000,
    "beginnings of keys": ("-----BEGIN PRIVATE " + "KEY-----\n") * 500,
    "beginnings of tokens": "eyJaaaaaaaaaa." * 5_000,
    "passwords": "password " * 10_000,
    "addresses that hide": "a [at] b " * 10_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_long(text: str) -> None:
    find(text)
