"""Numbers that belong to a person or a machine, told from other numbers by their form and check digits."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from datetime import date

_CARD_BEGINNINGS = re.compile(
    r"4|5[1-5]|2[2-7]|3[47]|3(?:0[0-5]|[68-9])|6(?:011|5|4[4-9]|2)|50|5[6-9]|6[37]|35"
)
_CARD_LENGTHS = {"4": (13, 16, 19), "34": (15,), "37": (15,), "30": (14,), "36": (14,), "38": (14, 16, 19)}

_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21,
    "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27,
    "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29,
    "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23,
    "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip

_NOT_WORTH_HIDING = {"0.0.0.0", "255.255.255.255", "127.0.0.1", "::1", "::"}  # noqa: S104 - nobody listens on it here


def digits(text: str) -> str:
    """The digits of the text, and nothing else."""
    return "".join(character for character in text if character.isdecimal())


def is_card(text: str) -> bool:
    """Whether this is a payment card: its beginning and length are those of an issuer, and the check digit is right."""
    number = digits(text)
    if not _CARD_BEGINNINGS.match(number) or len(set(number)) < 2:
        return False
    lengths = _CARD_LENGTHS.get(number[:1]) or _CARD_LENGTHS.get(number[:2]) or (16, 17, 18, 19)
    return len(number) in lengths and is_luhn(number)


def is_luhn(number: str) -> bool:
    """Whether the last digit is the check digit of Luhn's formula."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in number[::-2])) % 10 == 0


def iban_length(text: str) -> int | None:
    """How long an IBAN that begins like this is; ``None`` where no country's does."""
    return _IBAN_LENGTHS.get(text[:2].upper())


def is_iban(text: str) -> bool:
    """Whether this is an IBAN: of its country's length, and 1 modulo 97."""
    number = re.sub(r"[ -]", "", text).upper()
    if iban_length(number) != len(number):
        return False
    return int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1


def is_ip(text: str) -> bool:
    """Whether this is an address of a machine, and not one that every machine has."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Two groups or less beside "::" are as likely a time or a namespace.
    is_sure = address.version == 4 or text.count(":") > 2 or any(one.isdigit() for one in text)
    return str(address) not in _NOT_WORTH_HIDING and is_sure


def is_phone(text: str, *, is_announced: bool) -> bool:
    """Whether this is a telephone number; ``is_announced``: a word such as "phone" stands before it."""
    written, number = text.strip(), digits(text)
    if not 7 <= len(number) <= 15 or len(set(number)) < 3 or written.count("(") != written.count(")"):
        return False
    if is_announced:
        return not _DATE.fullmatch(written)
    if re.match(r"\(?\+|00[1-9]", written):
        # Without a plus and in one piece, it is as likely the number of an order.
        return len(number) >= (12 if written == number else 9)
    if _NORTH_AMERICAN.fullmatch(written):
        return True
    is_national = number.startswith("0") and not number.startswith("00") and 9 <= len(number) <= 12
    return is_national and bool(_NATIONAL.fullmatch(written)) and not _DATE.fullmatch(written)


_DATE = re.compile(
    r"\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}(?:[ T]\d{1,2}(?::?\d{2}){0,2})?|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4}(?: \d{1,2})?"
)
_NORTH_AMERICAN = re.compile(r"(?:1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}")
_NATIONAL = re.compile(r"\(?0\d{1,5}\)?[ /-]\d{2,8}(?:[ /-]\d{2,6}){0,3}|0[1-9](?:[ .]\d{2}){4}")


def _weighted(number: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def _is_us_social_security(text: str) -> bool:
    area, group, serial = re.split(r"[- ]", text)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _is_german_tax(text: str) -> bool:
    number = digits(text)
    if number[0] == "0" or not 7 < len(set(number[:10])) < 10:  # one digit comes twice or three times
        return False
    product = 10
    for digit in number[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[10])


def _is_spanish(text: str) -> bool:
    written = re.sub(r"[ .-]", "", text).upper()
    number = written[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == written[-1]


def _is_french(text: str) -> bool:
    number = re.sub(r"[ .-]", "", text).upper()
    body = number[:13].replace("2A", "19").replace("2B", "18")
    is_month = 1 <= int(number[3:5]) <= 12 or 20 <= int(number[3:5]) <= 42
    return is_month and 97 - int(body) % 97 == int(number[13:])


_ITALIAN_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23],
        strict=True,
    )
)  # fmt: skip


def _is_italian(text: str) -> bool:
    code = text.upper()
    even = sum(int(one) if one.isdecimal() else ord(one) - ord("A") for one in code[1:15:2])
    return chr((sum(_ITALIAN_ODD[one] for one in code[:15:2]) + even) % 26 + ord("A")) == code[15]


def _is_brazilian(text: str) -> bool:
    number = digits(text)
    if len(set(number)) == 1:
        return False
    first = _weighted(number, range(10, 1, -1)) * 10 % 11 % 10
    return [first, _weighted(number[:10], range(11, 1, -1)) * 10 % 11 % 10] == [
        int(number[9]),
        int(number[10]),
    ]


def _is_swiss(text: str) -> bool:
    number = digits(text)
    return (10 - _weighted(number[:12], (1, 3) * 6) % 10) % 10 == int(number[12])


def _is_polish(text: str) -> bool:
    check = (10 - _weighted(text[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10
    return _is_day(text[4:6], int(text[2:4]) % 20) and check == int(text[10])


def _is_swedish(text: str) -> bool:
    number = digits(text)[-10:]
    return _is_day(number[4:6], int(number[2:4])) and is_luhn(number)


def _is_day(day: str, month: int) -> bool:
    try:
        date(2000, month, int(day))
    except ValueError:
        return False
    return True


def _pattern(written: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.,/+-])(?:{written})(?![\w/-]|[.,]\d)", re.IGNORECASE)


_FORMS: Sequence[tuple[str, Callable[[str], bool]]] = (
    (r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}", _is_us_social_security),
    (r"\d{2} \d{3} \d{3} \d{3}|\d{11}", _is_german_tax),
    (r"(?:\d{8}|\d{2}\.\d{3}\.\d{3}|[XYZ][ -]?\d{7})[ -]?[A-Z]", _is_spanish),
    (r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _is_french),
    (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", _is_italian),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}|\d{11}", _is_brazilian),
    (r"756[. ]\d{4}[. ]\d{4}[. ]\d{2}|756\d{10}", _is_swiss),
    (r"\d{11}", _is_polish),
    (r"(?:19|20)?\d{6}[-+]\d{4}", _is_swedish),
    (
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        lambda _: True,
    ),
)

IDENTITY_NUMBERS = tuple((_pattern(written), is_one) for written, is_one in _FORMS)
"""Forms of national identity numbers, and whether what has the form is one. Bare eleven digits have check digits."""
