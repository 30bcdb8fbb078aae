"""The hard rules: whether the candidate's answers are what their canaries expect."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..completion import Completion, Outcome, Run
from ..suite import Canary, Suite
from ..validators import validate
from .config import Reaction
from .results import EXCERPT_CHARS, Check, Kind, Status

REFUSED_FOR_GOOD = (
    Outcome.BAD_REQUEST,
    Outcome.CONTEXT_LENGTH,
    Outcome.CONTENT_FILTER,
    Outcome.TOO_LARGE,
)
"""Failures that are the candidate's own answer to a prompt: asked again, it would fail again."""

FAILED_SHARE_MAX = 0.05
"""With a larger share of requests that failed, what was answered says too little of what was not."""


@dataclass(slots=True)
class _Breaches:
    """How often one expectation was broken, and by which answer first."""

    times: int = 0
    excerpt: str = ""
    note: str = ""


@dataclass(slots=True)
class _Asked:
    """What became of one canary."""

    answers: int = 0
    broken: dict[str, _Breaches] = field(default_factory=lambda: defaultdict(_Breaches))
    failed: list[Completion] = field(default_factory=list)


def canary_checks(
    suite: Suite, runs: Sequence[Run], base: Sequence[Run], known_failures: Reaction
) -> Iterator[Check]:
    """A check for each canary of the suite, in its order.

    ``known_failures`` says what a broken expectation does that answers of the ``base`` break as well.
    """
    asked, before = _looked_at(suite, runs), _looked_at(suite, base)
    for canary in suite.canaries:
        known = before[canary.id].broken if known_failures is Reaction.WARN else {}
        yield _canary_check(canary, asked[canary.id], known)


def _looked_at(suite: Suite, runs: Sequence[Run]) -> Mapping[str, _Asked]:
    found = {canary.id: _Asked() for canary in suite.canaries}
    expected = {canary.id: canary.expectations for canary in suite.canaries}
    for one in (completion for run in runs for completion in run.completions):
        if one.canary not in found:
            continue
        asked = found[one.canary]
        if one.text is None:
            asked.failed.append(one)
            continue
        asked.answers += 1
        for check in validate(expected[one.canary], one.text, one.finish_reason, one.tool_calls):
            if not check.passed:
                breaches = asked.broken[check.name]
                breaches.times += 1
                if breaches.times == 1:
                    breaches.excerpt, breaches.note = excerpt(one.text), check.note
    return found


def _canary_check(canary: Canary, asked: _Asked, known: Mapping[str, _Breaches]) -> Check:
    def check(status: Status, summary: str, details: tuple[str, ...] = ()) -> Check:
        return Check(Kind.CANARY, canary.id, status, summary, details)

    refused = [one for one in asked.failed if one.outcome in REFUSED_FOR_GOOD]
    if refused and not asked.answers:
        why = refused[0].error or refused[0].outcome.value
        return check(Status.FAIL, f"the endpoint takes no such request: {excerpt(why)}")
    if not asked.answers:
        return check(Status.INCONCLUSIVE, f"no answer in {len(asked.failed)} requests")
    if not asked.broken:
        return check(Status.PASS, f"{asked.answers} answers as expected")
    lines = tuple(
        f"{name}{f' ({found.note})' if found.note else ''}: {found.times} of {asked.answers} answers"
        f"{', as in the baseline' if name in known else ''}; such as: {found.excerpt}"
        for name, found in asked.broken.items()
    )
    status = Status.WARN if all(name in known for name in asked.broken) else Status.FAIL
    return check(status, f"breaks {', '.join(asked.broken)}", lines)


def requests_check(runs: Sequence[Run]) -> Check:
    """Whether enough of the requests were answered."""
    completions = [completion for run in runs for completion in run.completions]
    failed = [one for one in completions if not one.is_answered]
    if not failed:
        return Check(Kind.REQUESTS, "requests", Status.PASS, f"all {len(completions):,} answered")
    kinds: dict[str, list[Completion]] = defaultdict(list)
    for one in failed:
        kinds[one.outcome.value].append(one)
    details = tuple(
        f"{len(found)} {kind}{f', such as: {excerpt(found[0].error)}' if found[0].error else ''}"
        for kind, found in kinds.items()
    )
    summary = f"{len(failed):,} of {len(completions):,} failed"
    share = len(failed) / len(completions)
    status = Status.WARN if share <= FAILED_SHARE_MAX else Status.INCONCLUSIVE
    return Check(Kind.REQUESTS, "requests", status, summary, details)


def excerpt(text: str) -> str:
    """The beginning of the text on one line; a word for an empty one."""
    line = " ".join(text[: 4 * EXCERPT_CHARS].split())
    if len(line) > EXCERPT_CHARS or len(text) > 4 * EXCERPT_CHARS:
        line = line[: EXCERPT_CHARS - 1] + "…"
    return line or "(nothing)"
