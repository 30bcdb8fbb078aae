"""Two files of completions compared once: do they come from the same model, prompts and settings?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .. import CompletionsError
from ..completion import Run
from ..suite import Suite
from .effects import RESAMPLES, Effects, Resamples
from .evidence import adjusted, p_values
from .examples import Example, example_of
from .failures import failures
from .features import Corpus, Price
from .pairing import Pairing, pair_up
from .reach import Reach, reach_of
from .results import CanaryResult, Comparison, ScoreResult, Settings, Verdict
from .scores import SCORES
from .shuffles import Shuffles
from .statistics import Gathering, Statistics
from .words import listed

EXAMPLES = 8
"""Of how many canaries, those that moved most, an answer of each side is shown."""


def compare(
    base: Sequence[Run],
    current: Sequence[Run],
    settings: Settings | None = None,
    *,
    suite: Suite | None = None,
    price: Price | None = None,
    base_price: Price | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Whether the answers of ``current`` come from the same model, prompts and settings as those of ``base``.

    ``base_price`` tells what an answer of the base cost where that is not ``price``; ``progress`` is told how many
    canaries are done, and of how many. Raises CompletionsError when no canary was
    answered on both sides.
    """
    settings = settings or Settings()
    pairing = pair_up(base, current)
    if not pairing.canaries_shared:
        raise CompletionsError(_nothing_shared(pairing))
    if suite is not None:
        pairing = replace(pairing, notes=(*pairing.notes, *_not_in(suite, pairing)))
    rng = np.random.default_rng(settings.seed)
    shuffles = Shuffles(pairing.groups, settings.permutations, rng)
    corpus = Corpus(pairing.pairs, suite, price, base_price)

    def decides(name: str) -> bool:
        return SCORES[name].is_of_answers or settings.performance_decides

    gathering = Gathering(shuffles, decides, rng)
    examples: list[Example] = []
    effects = Effects(Resamples(pairing.groups, RESAMPLES, rng))
    for number, pair in enumerate(pairing.pairs):
        features = corpus.of(number)
        gathering.add(pair, features)
        effects.add(pair, features)
        examples.append(example_of(pair, features))
        if progress is not None:
            progress(number + 1, len(pairing.pairs))
    found = gathering.statistics()
    scores = _scores(found, effects, decides)
    failed = failures(base, current, settings.permutations, rng)
    p_value = float(p_values(found.omnibus[None])[0])
    reach = reach_of(pairing, shuffles, found.design_effect, settings.alpha, settings.detect)
    is_negligible = p_value <= settings.alpha and _is_negligible(scores, settings.alpha)
    return Comparison(
        verdict=_verdict(p_value, is_negligible, reach, settings.alpha),
        p_value=p_value,
        is_negligible=is_negligible,
        settings=settings,
        scores=scores if failed is None else (*scores, failed),
        canaries=_canaries(pairing, found, examples),
        pairing=pairing,
        permutations=shuffles.count,
        is_exact=shuffles.is_exact,
        reach=reach,
    )


def _verdict(p_value: float, is_negligible: bool, reach: Reach, alpha: float) -> Verdict:
    if p_value <= alpha and not is_negligible:
        return Verdict.DIFFERENT
    return Verdict.SAME if reach.can_decide else Verdict.INCONCLUSIVE


def _is_negligible(scores: Sequence[ScoreResult], alpha: float) -> bool:
    """Whether every score that is out, and the one that is farthest out, is too small to mean anything."""
    deciding = sorted((r for r in scores if r.decides), key=lambda r: (r.p_value, r.p_value_alone))
    out = [result for result in deciding if result.p_value <= alpha] or deciding[:1]
    return bool(out) and all(result.is_negligible for result in out)


def _scores(found: Statistics, effects: Effects, decides: Callable[[str], bool]) -> tuple[ScoreResult, ...]:
    results: dict[str, ScoreResult] = {}
    for side in (True, False):
        rows = [row for row, name in enumerate(found.scores) if decides(name) is side]
        if not rows:
            continue
        together, alone = adjusted(found.by_score[rows]), p_values(found.by_score[rows])
        for row, p_value, p_alone in zip(rows, together, alone, strict=True):
            name = found.scores[row]
            results[name] = ScoreResult(
                SCORES[name], float(p_value), float(p_alone), effects.of(name), decides=side
            )
    return tuple(results[name] for name in found.scores)


def _canaries(pairing: Pairing, found: Statistics, examples: Sequence[Example]) -> tuple[CanaryResult, ...]:
    """The canaries, those that moved most first."""
    count = len(pairing.pairs)
    out, together, alone = np.zeros(count), np.ones(count), np.ones(count)
    if found.canaries:
        rows = list(found.canaries)
        out[rows], together[rows] = found.by_canary[:, 0], adjusted(found.by_canary)
        alone[rows] = p_values(found.by_canary)
    results = []
    apart = np.array([example.apart for example in examples])
    for rank, number in enumerate(np.lexsort((-apart, -out))):
        pair = pairing.pairs[number]
        results.append(
            CanaryResult(
                canary=pair.canary,
                p_value=float(together[number]),
                p_value_alone=float(alone[number]),
                base=pair.base,
                current=pair.current,
                example=examples[number] if rank < EXAMPLES else None,
            )
        )
    return tuple(results)


def _not_in(suite: Suite, pairing: Pairing) -> Iterator[str]:
    known = {canary.id for canary in suite.canaries}
    unknown = [pair.canary for pair in pairing.pairs if pair.canary not in known]
    if unknown:
        yield f"Not in suite {suite.name}, and without expectations: {listed(unknown)}."


def _nothing_shared(pairing: Pairing) -> str:
    base, current = (", ".join(names[:3]) for names in (pairing.only_base, pairing.only_current))
    return (
        f"no canary is in both files: the one has {base}, the other {current}. "
        "Rows that answer the same prompt need the same `canary`."
    )
