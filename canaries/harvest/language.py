"""In which language a prompt is, roughly: by its script, and in Latin script by its commonest words."""

import re
from collections.abc import Mapping

SEEN_CHARS = 1_000
"""How much of a prompt is looked at."""

HITS_MIN = 2
"""So few common words of a language in a prompt say nothing yet."""

_SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Japanese", re.compile(r"[\u3040-\u30ff]")),
    ("Korean", re.compile(r"[\uac00-\ud7af]")),
    ("Chinese", re.compile(r"[\u3400-\u9fff]")),
    ("Cyrillic", re.compile(r"[\u0400-\u04ff]")),
    ("Arabic", re.compile(r"[\u0600-\u06ff]")),
    ("Hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("Greek", re.compile(r"[\u0370-\u03ff]")),
    ("Indic", re.compile(r"[\u0900-\u0d7f]")),
    ("Thai", re.compile(r"[\u0e00-\u0e7f]")),
)
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPT_SHARE = 0.3

_COMMON: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "English": "the is are was what how and to of in for my your with can please this that it not have do you on "
        "where when why which there from would could should or but if they any does me be",
        "German": "der die das ist nicht und ich wie mein meine ein eine bitte kann mit für auf den dem zu sie was wo",
        "French": "le la les est une des je vous mon ma et pour dans que qui ne pas avec du au comment sur ce où",
        "Spanish": "el los las una es por para con mi que cómo está del y no se lo quiero puedo su al dónde hola",
        "Portuguese": "o os uma é não para com meu minha que como está do da em por você eu um ao mais quero",
        "Italian": "il gli è non per con mio mia che come sono della del un una di vorrei posso dove ho nel si",
        "Dutch": "het een is niet ik mijn van en voor met hoe kan wat dat zijn op aan te de er waar graag",
        "Polish": "nie jest się na do mój moja jak czy to z w proszę że gdzie mam i co chcę po",
        "Turkish": "bir ve bu için nasıl ne mı mi değil var benim ile çok nerede lütfen siparişim ben",
        "Swedish": "och är inte jag min mitt hur kan det en ett på för med till som att vad var tack",
    }.items()
}


COMMON_WORDS = frozenset().union(*_COMMON.values())
"""The commonest words of these languages: they tell a language, and nothing of what is asked."""

_LANGUAGES: dict[str, list[str]] = {}
for _name, _words in _COMMON.items():
    for _word in _words:
        _LANGUAGES.setdefault(_word, []).append(_name)


def language_of(text: str) -> str:
    """The language, or the script where several languages write it; "" where nothing tells."""
    seen = text[:SEEN_CHARS].lower()
    if not seen.isascii():
        letters = len(_LETTER.findall(seen))
        for name, pattern in _SCRIPTS:
            if letters and len(pattern.findall(seen)) >= _SCRIPT_SHARE * letters:
                return name
    hits: dict[str, int] = {}
    for word in _WORD.findall(seen):
        for name in _LANGUAGES.get(word, ()):
            hits[name] = hits.get(name, 0) + 1
    most = max(hits.values(), default=0)
    first = [name for name, count in hits.items() if count == most]
    return first[0] if most >= HITS_MIN and len(first) == 1 else ""
