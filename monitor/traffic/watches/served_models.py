"""Whether the model that answers is the one that was asked for.

A name stands for itself and for its own dated versions: ``gpt-4o`` for ``gpt-4o-2024-08-06``, and
``claude-3-5-sonnet-latest`` for ``claude-3-5-sonnet-20241022``. A dated name stands for itself alone. What a router or
a deployment calls a model is known by the operator's aliases only: a guess could hide a swap.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from alerts.finding import Label

from ..windows.exemplars import Kind
from ..windows.window import Window
from .config import WatchConfig
from .judgement import Judgement, nothing_to_judge
from .match import Pattern, fits
from .measures import Unit, show
from .measuring import share, traces

NAMED_MAX = 5
"""How many pairs of models a finding names."""

_DATED = re.compile(r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|[01]\d[0-3]\d|2\d[01]\d|\d{3})")
"""How providers write a version behind a name: -2024-08-06, -20241022, @20241022, -0613, -2407, -001."""

_LATEST = "-latest"


def stands_for(asked: str, served: str, aliases: Mapping[str, Pattern]) -> bool:
    """Whether ``asked`` stands for the model ``served``; upper and lower case are the same."""
    if _is_same(asked.lower(), served.lower()):
        return True
    wanted = aliases.get(asked)
    if wanted is None:
        return False
    return fits(wanted, served) or any(
        _is_same(one.lower(), served.lower()) for one in ([wanted] if isinstance(wanted, str) else wanted)
    )


def judge_served_models(watch: WatchConfig, windows: Sequence[Window], span: str) -> Judgement:
    """What the watch says of the models that answered, where calls tell both."""
    asked = watch.served_model
    if asked is None:
        raise ValueError(f"the watch {watch.name} does not look at served models")
    above = watch.above or 0.0
    pairs: Counter[tuple[str, str]] = Counter()
    for window in windows:
        if window.series.request_model and window.series.response_model:
            pairs[window.series.request_model, window.series.response_model] += window.calls
    calls = pairs.total()
    if calls < watch.min_calls:
        reason = f"{calls} calls tell both models in {span}, {watch.min_calls} are needed"
        return nothing_to_judge(calls, reason, threshold=above)
    others = Counter({pair: count for pair, count in pairs.items() if not stands_for(*pair, asked.aliases)})
    found = share(others.total(), calls)
    is_sure, seems = found.low > above, found.value > above
    of = f"{show(found.value, Unit.SHARE)} of {calls} calls of {span}"
    if not others:
        reason = f"every one of {calls} calls of {span} was answered by the model that was asked for"
    else:
        certainty = "" if is_sure else ", not surely" if seems else ", not"
        limit = f"{certainty} above {show(above, Unit.SHARE)}" if above or not is_sure else ""
        reason = f"{of} were answered by another model than the one asked for: {_first(others)}{limit}"
    return Judgement(
        Label.BREACHED if is_sure else Label.STEADY,
        found.value,
        found.low,
        found.high,
        calls,
        reason,
        seems and not is_sure,
        above,
        evidence=_evidence(others, windows) if is_sure else (),
    )


def _is_same(asked: str, served: str) -> bool:
    if asked == served:
        return True
    one, other = asked.rpartition("/"), served.rpartition("/")
    # A vendor in front of the name, as gateways write it: two different ones are two different models.
    if one[0] and other[0] and one[0] != other[0]:
        return False
    name, answered = one[2], other[2]
    stem = name.removesuffix(_LATEST)
    if answered in (name, stem):
        return True
    return answered.startswith(stem) and _DATED.fullmatch(answered[len(stem) :]) is not None


def _first(others: Counter[tuple[str, str]]) -> str:
    (asked, served), _ = others.most_common(1)[0]
    more = f", and {len(others) - 1} more pairs" if len(others) > 1 else ""
    return f"{served} instead of {asked}{more}"


def _evidence(others: Counter[tuple[str, str]], windows: Sequence[Window]) -> tuple[tuple[str, str], ...]:
    lines = [
        (f"asked for {asked}", f"{served} answered {count} calls")
        for (asked, served), count in others.most_common(NAMED_MAX)
    ]
    theirs = [
        window for window in windows if (window.series.request_model, window.series.response_model) in others
    ]
    return (*lines, *traces(Kind.SLOWEST, theirs))
