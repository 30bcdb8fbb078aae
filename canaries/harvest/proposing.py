"""From gathered requests to a proposal: clusters, picks, redaction, expectations, and an account of all of it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .carrying import Asked
from .clusters import NONE, cluster
from .exchange import Exchange, key_of
from .gathering import Gathered, Prompt
from .language import COMMON_WORDS
from .near_duplicates import near_duplicates
from .picking import CHARS_MAX, Landscape, Pick, coverage, is_short, pick
from .proposal import ProposalDocument, ProposedDocument
from .redaction import OwnPattern, redact
from .suggestions import LABEL_CHARS_MAX, suggested
from .words import directions, words_of
from .writing import to_yaml

FILE_CHARS_MAX = 1_200_000
"""How much text a proposal holds; picks that come after it are left out, and told."""

REDACTED_ADDRESS = "picked, but the address of a picture holds what is redacted"

ANSWER_SHOWN = 2_000
"""How much of a recorded answer is shown beside its canary."""

ANSWER_READ = 50_000
"""How much of a recorded answer is read."""

CLUSTER_ANSWERS = 200
"""How many answers of a cluster are looked at for what they have in common."""

_ID_WORDS, _ID_CHARS = 4, 48
_NAMED_BY = 20_000
"""On so many prompts it is seen which words are rare."""

_WORD = re.compile(r"(?<=<)[a-z][a-z0-9-]*-\d+(?=>)|[a-z]{2,}")

Progress = Callable[[str], None]
"""Is told what is done next."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """One cluster: its share of all requests, its different prompts, and the canaries of it."""

    share: float
    prompts: int
    canaries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What was found, picked, left out and redacted.

    ``coverage`` is the share of requests that the first so many canaries stand for, ``share`` that of the different
    prompts that were looked at. ``redacted`` counts values of each kind, ``redacted_canaries`` the canaries with any.
    """

    requests: int
    prompts: int
    share: float
    near_duplicates: int
    in_no_cluster: float
    clusters: Sequence[ClusterFacts]
    coverage: Sequence[float]
    edges: Mapping[str, int]
    redacted: Mapping[str, int]
    redacted_canaries: int
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Harvest:
    """A proposal, and how it came about."""

    proposal: ProposalDocument
    account: Account


def propose(
    gathered: Gathered,
    wanted: int,
    name: str | None = None,
    own: Sequence[OwnPattern] = (),
    seed: int = 0,
    progress: Progress = lambda _: None,
    known: Mapping[str, str] | None = None,
) -> Harvest | None:
    """A suite of so many canaries at most; ``None`` where there is nothing to propose.

    ``known`` are the questions of a suite by their ids: nothing is proposed that is nearly the same as one of them.
    """
    if not gathered.prompts:
        return None
    known = known or {}
    landscape, taken = _landscape(gathered, list(known.values()), seed, progress)
    progress("picking")
    picks = pick(landscape, wanted, taken)
    if not picks:
        return None
    progress("redacting")
    beside = {number: _cluster_answers(landscape, number, own) for number in {one.cluster for one in picks}}
    drawn = [(one, _draft(landscape, one, own, beside[one.cluster])) for one in picks]
    sound = [(one, draft) for one, draft in drawn if draft is not None]
    if not sound:
        return None
    fitting = _fitting(sound)
    drafts = [draft for _, draft in fitting]
    systems = {one.system for one in drafts}
    shared = next(iter(systems)) if len(systems) == 1 else None
    rarity = Counter(word for one in gathered.prompts[:_NAMED_BY] for word in set(_named_words(one.key)))
    proposed = _documents(drafts, shared, rarity, set(known))
    proposal = ProposalDocument(name=name, system=shared, proposed=proposed)
    too_long = sum(prompt.requests for prompt in gathered.prompts if not is_short(prompt))
    left_out = +Counter(
        {
            **gathered.left_out,
            f"longer than {CHARS_MAX:,} characters": too_long,
            REDACTED_ADDRESS: len(drawn) - len(sound),
            "picked, but the proposal is full": len(sound) - len(drafts),
        }
    )
    return Harvest(proposal, _account(landscape, gathered, [one for one, _ in fitting], proposed, left_out))


def _fitting(drafts: Sequence[tuple[Pick, "_Draft"]]) -> list[tuple[Pick, "_Draft"]]:
    """As many drafts as a proposal holds, the first ones first; one with a large picture may leave room for others."""
    found, chars = [], 0
    for one, draft in drafts:
        if chars + draft.chars <= FILE_CHARS_MAX:
            chars += draft.chars
            found.append((one, draft))
    return found


def _landscape(
    gathered: Gathered, known: Sequence[str], seed: int, progress: Progress
) -> tuple[Landscape, set[int]]:
    """The landscape of the prompts, and the groups of near-duplicates that known questions are in."""
    prompts = gathered.prompts
    weights = np.array([one.requests for one in prompts], float)
    progress("reading words")
    keys = [one.key for one in prompts]
    words = words_of(keys)
    progress("finding near-duplicates")
    groups = near_duplicates(words_of([*keys, *map(key_of, known)]) if known else words, seed)
    progress("comparing prompts")
    rows = directions(words, weights, seed)
    progress("finding clusters")
    clusters = cluster(words, rows, weights, seed)
    landscape = Landscape(prompts, weights, groups[: len(prompts)], clusters, rows)
    return landscape, set(groups[len(prompts) :].tolist())


@dataclass(frozen=True, slots=True)
class _Draft:
    """A picked prompt without what was redacted."""

    asked: Asked
    question: str
    answer: str | None
    expect: Mapping[str, object]
    why: str
    values: Mapping[str, int]

    @property
    def system(self) -> str | None:
        """The system prompt, where it stands first and alone."""
        messages = self.asked.messages
        roles = [one.role for one in messages]
        is_alone = roles[:1] == ["system"] and not {"system", "developer"} & set(roles[1:])
        return messages[0].content if is_alone else None

    @property
    def chars(self) -> int:
        """How much of the file it takes."""
        return len(to_yaml([self.asked.tree(), _cut(self.answer), dict(self.expect)]))


def _draft(
    landscape: Landscape, one: Pick, own: Sequence[OwnPattern], beside: Sequence[str]
) -> _Draft | None:
    """The draft of a pick; ``None`` where the address of a picture would have to be redacted, and it with it."""
    prompt = landscape.prompts[one.prompt]
    shown = _shown(prompt, one)
    # Answers to prompts that differ in numbers only may name these numbers: only those to the very same prompt count.
    same = [e.answer for e in prompt.exchanges if e.answer is not None and e.messages == shown.messages]
    answers = [answer[:ANSWER_READ] for answer in same]
    answers.sort(key=lambda answer: answer != (shown.answer or "")[:ANSWER_READ])
    asked = Asked(shown.messages, shown.tools, shown.tool_choice)
    texts = asked.texts
    done = redact([*texts, *answers], own)
    redacted, answers = asked.with_texts(done.texts[: len(texts)]), list(done.texts[len(texts) :])
    if redacted.addresses != asked.addresses:
        return None
    question = Exchange(redacted.messages).question
    return _Draft(
        redacted,
        question,
        answers[0] if answers else None,
        suggested(question, answers, beside),
        _why(landscape, one),
        done.values,
    )


def _shown(prompt: Prompt, one: Pick) -> Exchange:
    """The exchange that stands for its prompt: one of the edge case, or one with an answer."""
    if one.edge is not None:
        found = (e for e in prompt.exchanges if one.edge in e.edges())
        if (exchange := next(found, None)) is not None:
            return exchange
    return next((e for e in prompt.exchanges if e.answer), prompt.first)


def _cluster_answers(landscape: Landscape, cluster: int, own: Sequence[OwnPattern]) -> list[str]:
    """Some of the answers in a cluster, redacted. Of a longer one only its length is looked at: it is no label."""
    if cluster == NONE:
        return []
    members = np.flatnonzero(landscape.clusters.of == cluster)[:CLUSTER_ANSWERS]
    found = [landscape.prompts[int(number)].exchanges[0].answer for number in members]
    return [one if len(one) > LABEL_CHARS_MAX else redact([one], own).texts[0] for one in found if one]


def _why(landscape: Landscape, one: Pick) -> str:
    if one.cluster == NONE:
        about = "few requests are like it"
    else:
        about = f"{landscape.share(one.cluster):.1%} of the requests are about the same"
    return f"common: {about}" if one.edge is None else f"edge case: {one.edge.value}; {about}"


def _documents(
    drafts: Sequence[_Draft], shared: str | None, rarity: Mapping[str, int], ids: set[str]
) -> list[ProposedDocument]:
    documents = []
    for draft in drafts:
        asked = draft.asked.tree(without=int(shared is not None))
        documents.append(
            ProposedDocument.model_validate(
                {"id": _id(draft.question, rarity, ids), **asked, "expect": draft.expect}
                | {"why": draft.why, "answer": _cut(draft.answer), "redacted": draft.values}
            )
        )
    return documents


def _cut(answer: str | None) -> str | None:
    return answer if answer is None or len(answer) <= ANSWER_SHOWN else f"{answer[:ANSWER_SHOWN]} ..."


def _id(question: str, rarity: Mapping[str, int], taken: set[str]) -> str:
    """A name made of its rarest words that other prompts have too, another one each time."""
    words = list(dict.fromkeys(_named_words(question)))
    words = [word for word in words if word not in COMMON_WORDS] or words
    telling = sorted(words, key=lambda word: (rarity[word] < 2, rarity[word], words.index(word)))[:_ID_WORDS]
    name = "-".join(word for word in words if word in telling)[:_ID_CHARS].rstrip("-") or "canary"
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found


def _named_words(text: str) -> list[str]:
    """The words of the text that can stand in a name: without accents, in small letters."""
    plain = unicodedata.normalize("NFKD", text[:2_000]).encode("ascii", "ignore").decode().lower()
    return _WORD.findall(plain)


def _account(
    landscape: Landscape,
    gathered: Gathered,
    picks: Sequence[Pick],
    proposed: Sequence[ProposedDocument],
    left_out: Mapping[str, int],
) -> Account:
    of = landscape.clusters.of
    by_cluster: dict[int, list[str]] = {}
    for one, document in zip(picks, proposed, strict=True):
        by_cluster.setdefault(one.cluster, []).append(document.id)
    facts = [
        ClusterFacts(landscape.share(number), int((of == number).sum()), tuple(by_cluster.get(number, ())))
        for number in range(len(landscape.clusters.centres))
    ]
    values: Counter[str] = Counter()
    for document in proposed:
        values.update(document.redacted)
    return Account(
        requests=gathered.requests,
        prompts=len(gathered.prompts),
        share=gathered.share,
        near_duplicates=len(gathered.prompts) - len(np.unique(landscape.groups)),
        in_no_cluster=landscape.share(NONE),
        clusters=facts,
        coverage=coverage(landscape, picks),
        edges=dict(Counter(one.edge.value for one in picks if one.edge is not None)),
        redacted=dict(sorted(values.items())),
        redacted_canaries=sum(bool(one.redacted) for one in proposed),
        left_out=left_out,
    )
