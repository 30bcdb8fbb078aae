"""What one run by itself says of each thing that can be proven; ``docs/statistics.md`` derives the chances."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from .completion import Outcome
from .features import RunFeatures
from .reference import (
    CHECK_PREFIX,
    KNOWN_VALUES_MAX,
    FingerprintNews,
    ProofHistory,
    Reference,
    extended,
    seen_fingerprints,
    seen_models,
)

PAGE_CHANCE = 1e-5
"""A proof that leans on chance pages when nothing that could have gone unnoticed shows it in more of the runs."""

TICKET_CHANCE = 1e-3
"""The same for a ticket."""

FAILING_ANSWERS_MIN = 2
"""So many answers in a row, at least, must break a check: one answer may be one unlucky draw."""

CONFIRMING_RUNS = 2
"""So many more failing runs than its page needs confirm a broken check; then a rollback may be asked for."""

MIXED_REPLACED_RUNS = 2
"""A model that appeared beside known ones, a ticket, is a page when it is alone for so many runs in a row."""

RETURN_RUNS = 12
"""A model that was a page, and went, is one again when it is alone for so many runs in a row: it may come and go."""

REPLACED_RUNS_MIN = 3
"""New fingerprints are a page after so many runs without any old one, at least."""

STREAK_RUNS_MAX = 6
"""While a baseline collects, a new fingerprint is as good as known after so many runs with no other."""

CHANCE_SHOWN_MIN = 1e-9
"""A chance below this is told as this."""

Checks = Mapping[str, Mapping[tuple[str, int], bool]]
"""Of each check, whether each answer passed it."""


class ProofKind(StrEnum):
    """What a proof is about."""

    SERVED_MODEL = "served_model"
    FINGERPRINT = "fingerprint"
    ENDPOINT_DOWN = "endpoint_down"
    VALIDATOR = "validator"


class State(StrEnum):
    """What a run by itself says of a thing; ``UNCLEAR`` is neither wrong enough to tell nor in order."""

    BREACHED = "breached"
    UNCLEAR = "unclear"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Look:
    """What a run says of the thing that ``key`` names; the last fields matter for a breached one only."""

    key: str
    state: State
    summary: str
    evidence: tuple[tuple[str, str], ...] = ()
    is_page: bool = True
    restarts_collection: bool = False
    is_confirmed: bool = False


def chance_unnoticed(passed: int, failed: int) -> float:
    """The most that chance can do: pass ``passed`` times, then fail ``failed`` times in a row, at any failure rate.

    That is the maximum of ``(1 - p)^passed * p^failed`` over ``p``, taken at ``p = failed / (passed + failed)``.
    """
    if passed == 0 or failed == 0:
        return 1.0
    n, m = passed, failed
    return math.exp(m * math.log(m) + n * math.log(n) - (n + m) * math.log(n + m))


def endpoint_down(run: RunFeatures, down_runs: int, down_after: int) -> Look:
    """Whether the endpoint answers, after ``down_runs`` runs in a row without any answer."""
    if not down_runs:
        return _clean(ProofKind.ENDPOINT_DOWN.value, "The endpoint answers")
    outcomes = Counter(answer.outcome for answer in run.answers)
    evidence = [(f"{outcome.value} in the last run", str(n)) for outcome, n in outcomes.most_common()]
    if set(outcomes) == {Outcome.AUTH}:
        what = "The endpoint refuses our credentials"
    elif set(outcomes) == {Outcome.RATE_LIMIT}:
        what = "The endpoint refuses every request for its rate limit"
    else:
        what = "The endpoint does not answer"
    return Look(
        ProofKind.ENDPOINT_DOWN.value,
        State.BREACHED if down_runs >= down_after else State.UNCLEAR,
        f"{what}: {down_runs} runs in a row without any answer",
        (("runs without an answer", str(down_runs)), *evidence),
    )


def served_model(
    run: RunFeatures, reference: Reference, history: ProofHistory, *, is_collecting: bool
) -> tuple[Look | None, ProofHistory]:
    """Whether the run's answers come from models of the reference; none when they do not say.

    An unknown model among known ones is a ticket, and a page where no known one answers. People are told of a model
    once; to be told again it has to replace the known ones for longer.
    """
    seen, known, told = seen_models(run), set(reference.models), history.told_models
    if not seen:
        return None, history
    unknown, is_replaced = seen - known, not seen & known
    if not unknown or not known or reference.has_too_many_models or len(told) >= KNOWN_VALUES_MAX:
        look = _clean(ProofKind.SERVED_MODEL.value, "The served model is a known one")
        return look, replace(history, replaced_runs=0)
    replaced_runs = history.replaced_runs + 1 if is_replaced else 0
    is_page = is_replaced and replaced_runs >= min(_runs_to_page(told.get(model)) for model in unknown)
    is_news = is_page or not unknown <= told.keys()
    if is_news:
        told = {**told, **{model: is_page or told.get(model, False) for model in sorted(unknown)}}
    where = "no known one answers any more" if is_replaced else "beside known ones"
    look = Look(
        ProofKind.SERVED_MODEL.value,
        State.BREACHED if is_news else State.UNCLEAR,
        f"The endpoint serves a model it never served before: {_listed(unknown)}, {where}",
        (("served now", _listed(seen)), ("served before", _listed(reference.models))),
        is_page,
        restarts_collection=is_collecting and is_page,
    )
    return look, replace(history, told_models=told, replaced_runs=replaced_runs)


def _runs_to_page(was_page: bool | None) -> int:
    """The runs in a row that a model must be alone for, by what people were told of it: ``None`` for nothing."""
    return {None: 1, False: MIXED_REPLACED_RUNS, True: RETURN_RUNS}[was_page]


def fingerprint(
    run: RunFeatures, reference: Reference, history: ProofHistory, *, is_collecting: bool
) -> tuple[Look | None, ProofHistory]:
    """Whether the run's answers carry fingerprints that were seen before; none when they carry none.

    A new one is a ticket. It is a page once so many runs in a row carried only new ones that a known pool, whose
    rare members did not show in the quiet runs before, would hardly do so.
    """
    seen, known = seen_fingerprints(run), set(reference.fingerprints)
    if not seen:
        return None, history
    before = history.fingerprints
    if reference.has_random_fingerprints or len(before.noted) >= KNOWN_VALUES_MAX:
        return _clean(
            ProofKind.FINGERPRINT.value, "New fingerprints are too common here to tell anything"
        ), history
    if not known:
        return _clean(ProofKind.FINGERPRINT.value, "The system fingerprint is a known one"), history
    new, news = seen - known - set(before.noted), _streak(seen, before, reference)
    chance = chance_unnoticed(news.quiet_runs or 0, news.streak_runs)
    is_page = news.streak_runs >= REPLACED_RUNS_MIN and chance <= PAGE_CHANCE
    look = _fingerprint_look(seen, new, news, reference, is_page=is_page)
    # What a collection has seen becomes known, so that its incident ends; so does the streak.
    if is_collecting and (is_page or news.streak_runs >= STREAK_RUNS_MAX):
        news = replace(news, streak=(), streak_runs=0, quiet_runs=0)
    return look, replace(history, fingerprints=news)


def _streak(seen: set[str], before: FingerprintNews, reference: Reference) -> FingerprintNews:
    """The news after a run with the fingerprints ``seen``."""
    ever = {*reference.fingerprints, *before.noted}
    quiet_runs = reference.runs_since_new_fingerprint if before.quiet_runs is None else before.quiet_runs
    noted = extended(before.noted, seen - set(reference.fingerprints))
    if seen.isdisjoint(ever - set(before.streak)):
        return FingerprintNews(noted, extended(before.streak, seen), before.streak_runs + 1, quiet_runs)
    has_new = bool(before.streak) or not seen <= ever
    return FingerprintNews(noted, quiet_runs=0 if has_new else quiet_runs + 1)


def _fingerprint_look(
    seen: set[str], new: set[str], news: FingerprintNews, reference: Reference, *, is_page: bool
) -> Look:
    is_clean = seen <= set(reference.fingerprints)
    state = State.BREACHED if is_page or new else State.CLEAN if is_clean else State.UNCLEAR
    runs = "run" if news.streak_runs == 1 else f"{news.streak_runs} runs"
    what = f"replaced all known ones in the last {runs}" if news.streak_runs else "appeared beside known ones"
    return Look(
        ProofKind.FINGERPRINT.value,
        state,
        f"A new system fingerprint {what}: {_listed(new or seen)}",
        (
            ("seen now", _listed(seen)),
            ("seen before", _listed(reference.fingerprints)),
            ("runs before without a new one", str(news.quiet_runs or 0)),
        ),
        is_page,
    )


def validators(
    checks: Checks, reference: Reference, history: ProofHistory
) -> tuple[list[Look], ProofHistory]:
    """A look at each check, and the history that counts those that fail in every sample."""
    failing = {check: n for check, n in history.failing.items() if check not in checks}
    confirming = {check: n for check, n in history.confirming.items() if check not in checks}
    looks = []
    for check, samples in checks.items():
        if not any(samples.values()) and reference.never_fails(check):
            failing[check] = history.failing.get(check, 0) + len(samples)
        # A union over all checks of the run, also those that are known to fail: who never failed is luck, too.
        chance = len(checks) * chance_unnoticed(reference.passing_runs.get(check, 0), failing.get(check, 0))
        is_told = failing.get(check, 0) >= FAILING_ANSWERS_MIN and chance <= TICKET_CHANCE
        # The samples of a run may fail together, for one bad minute of a backend: one run alone is no page.
        if is_told and chance <= PAGE_CHANCE and history.failing.get(check):
            confirming[check] = history.confirming.get(check, -1) + 1
        if is_told:
            looks.append(_broken(check, failing[check], confirming.get(check), chance, reference))
        else:
            looks.append(_unbroken(check, has_passed=all(samples.values())))
    return looks, replace(history, failing=failing, confirming=confirming)


def _broken(check: str, failing: int, confirming: int | None, chance: float, reference: Reference) -> Look:
    runs = reference.passing_runs[check]
    return Look(
        f"{CHECK_PREFIX}{check}",
        State.BREACHED,
        f"Check {check} fails in every sample; it never failed in {runs} runs before",
        (
            ("check", check),
            ("failing answers in a row", str(failing)),
            ("runs that passed", str(runs)),
            ("by chance", f"in less than one of {1 / max(chance, CHANCE_SHOWN_MIN):,.0f} runs"),
        ),
        is_page=confirming is not None,
        is_confirmed=confirming is not None and confirming >= CONFIRMING_RUNS,
    )


def _unbroken(check: str, *, has_passed: bool) -> Look:
    state = State.CLEAN if has_passed else State.UNCLEAR
    return Look(f"{CHECK_PREFIX}{check}", state, f"Check {check} passes, or its failure proves nothing yet")


def _clean(key: str, summary: str) -> Look:
    return Look(key, State.CLEAN, summary)


def _listed(values: set[str] | tuple[str, ...], most: int = 5) -> str:
    names = sorted(values)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
