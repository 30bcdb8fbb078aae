"""Labels of evaluations, and what they say: an answer has passed, it has failed, or neither."""

LABEL_MAX = 64
"""The longest label that is compared; the rest is cut off."""

_SAME = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Words that YAML takes for ``true`` and ``false`` where nobody quotes them."""

_VERDICTS = dict.fromkeys(("pass", "passed", "true", "ok", "success", "correct", "relevant"), True)
_VERDICTS |= dict.fromkeys(("fail", "failed", "false", "failure", "incorrect", "not_relevant"), False)


def label_of(told: object) -> str | None:
    """The label as all of its spellings are compared; ``None`` for what is none, as a number, which is a score."""
    if isinstance(told, bool):
        return "true" if told else "false"
    if not isinstance(told, str):
        return None
    word = told[:LABEL_MAX].strip().strip('"').lower().replace(" ", "_").replace("-", "_")
    return _SAME.get(word, word) or None


def usual_verdict(label: str) -> bool | None:
    """What the label says to everybody. A score says nothing, unless the operator has drawn a line."""
    return _VERDICTS.get(label)
