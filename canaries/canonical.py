"""The form of an answer that is compared: what differs without meaning anything is taken out."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

MAX_REGEX_CHARS = 10_000
"""How much of a text regular expressions see: its first so many characters. A match cannot be interrupted."""


ScrubberName = Literal["uuid", "timestamp", "date", "hex", "number"]

LOWEST_LOGPROB = -9999.0
"""What stands for the log-probability of an impossible token, as it does at OpenAI: minus infinity is no JSON."""


class CustomScrubber(NamedTuple):
    """Replaces what ``pattern`` finds, in the words of ``re.sub``."""

    pattern: str
    replace: str


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"

SCRUBBERS: Mapping[str, CustomScrubber] = {
    "uuid": CustomScrubber(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<uuid>"),
    "timestamp": CustomScrubber(
        r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?"
        r"|\b\d{2}:\d{2}:\d{2}\b",
        "<timestamp>",
    ),
    "date": CustomScrubber(
        r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
        rf"|\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b|\b\d{{1,2}} {_MONTH} \d{{4}}\b",
        "<date>",
    ),
    "hex": CustomScrubber(r"\b(?:0x[0-9a-fA-F]+|(?=[0-9a-fA-F]{0,63}[0-9])[0-9a-fA-F]{8,64})\b", "<hex>"),
    "number": CustomScrubber(r"\d+(?:[.,]\d+)*", "<number>"),
}
"""The scrubbers that a suite can name. They are applied in the suite's order: name the wider ones last."""

_PIECE = re.compile(r"[\s\S]{1,1000}(?=\s|\Z)|[\s\S]{1,1000}")
_GAP = re.compile(r"\s+")
_TOKEN = re.compile(r"[^\W\d_]+|\d+|_+|[^\w\s]")


def canonical(text: str, scrubbers: Sequence[str | CustomScrubber] = ()) -> str:
    """The text as it is hashed: in Unicode NFC, without outer white space, and scrubbed.

    Of a text longer than ``MAX_REGEX_CHARS`` only the beginning is scrubbed. Line ends are one ``\\n`` each.
    """
    form = nfc(well_formed(text)).replace("\r\n", "\n").replace("\r", "\n").strip()
    head, tail = form[:MAX_REGEX_CHARS], form[MAX_REGEX_CHARS:]
    for scrubber in scrubbers:
        pattern, replacement = SCRUBBERS[scrubber] if isinstance(scrubber, str) else scrubber
        head = re.sub(pattern, replacement, head)
    return (head + tail).strip()


def tokens(text: str) -> list[str]:
    """The text's words, numbers and signs, in order and as they are written: case tells versions apart.

    A word is a run of letters of any script, a number a run of digits, and every other visible character
    stands for itself. White space is left out.
    """
    return _TOKEN.findall(text)


def gaps(text: str, chars: int) -> list[str]:
    """The white space inside the text, in order, up to so many ``chars`` of each piece: how it is laid out."""
    return [gap[:chars] for gap in _GAP.findall(text)]


def nfc(text: str) -> str:
    """The text in Unicode NFC, where letters and their accents are one character each."""
    # Piece by piece: the time it takes grows with the square of a run of accents, and a megabyte of them would
    # take minutes. A cut falls before white space, where nothing is joined.
    return "".join(unicodedata.normalize("NFC", piece) for piece in _PIECE.findall(text))


def well_formed(text: str) -> str:
    """The text without lone surrogates, which cannot be stored: pairs are joined, the rest becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
