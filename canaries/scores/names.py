"""The scores by name: what each sees, in words for people, and its share of what a target may spend."""

from collections.abc import Mapping

SUITE_SURPRISE = "suite_surprise"
SUITE_PEAK = "suite_peak"
TOKEN_SURPRISE = "token_surprise"  # noqa: S105 - a score's name
BIGRAM_SURPRISE = "bigram_surprise"
DIVERGENCE = "divergence"
EDGE_SURPRISE = "edge_surprise"
LAYOUT_SURPRISE = "layout_surprise"
TEXT_DISTANCE = "text_distance"
NEW_WORDS = "new_words"
LOGPROB_SHIFT = "logprob_shift"
MEAN_LOGPROB = "mean_logprob"
SURPRISE_SPREAD = "surprise_spread"
LENGTH = "length"
LENGTH_SPREAD = "length_spread"
VARIETY = "variety"
UNFINISHED = "unfinished"
REFUSALS = "refusals"
VALIDATOR_FAILURES = "validator_failures"
INPUT_TOKENS = "input_tokens"
OUTPUT_TOKENS = "output_tokens"
LATENCY = "latency"
TTFT = "ttft"
CANARY_PREFIX = "canary:"

SHARE_BULK, SHARE_PEAK, SHARE_CANARIES = 0.5, 0.25, 0.25
"""Inner shares of the page budget: many canaries move a little, few move much, exactly one moves."""

SHARE_TICKETS_ONLY = 0.02
"""Share of each score that only opens tickets. What it takes from the pages is next to nothing; and as there are fifty
times more tickets than pages to spend, it is as quick to a ticket as a score with all of the shares is to a page."""

TICKETS_ONLY = (LATENCY, TTFT, OUTPUT_TOKENS)
"""Load, routing and price, which nobody gets up for: they move without the model's behaviour."""

BULK_PARTS: Mapping[str, int] = {
    SUITE_SURPRISE: 2,
    TOKEN_SURPRISE: 2,
    BIGRAM_SURPRISE: 2,
    DIVERGENCE: 2,
    TEXT_DISTANCE: 2,
    LOGPROB_SHIFT: 2,
    MEAN_LOGPROB: 2,
    EDGE_SURPRISE: 1,
    LAYOUT_SURPRISE: 1,
    NEW_WORDS: 1,
    SURPRISE_SPREAD: 1,
    LENGTH: 1,
    LENGTH_SPREAD: 1,
    VARIETY: 1,
    UNFINISHED: 1,
    REFUSALS: 1,
    VALIDATOR_FAILURES: 1,
    INPUT_TOKENS: 1,
}
"""How the scores that exist split ``SHARE_BULK``, in the order to show them. Those that see the whole distribution of
the answers get two parts, since any change of the model moves them; those that see one property of the answers
get one, since what they are for moves them far at once. A share costs its logarithm: half of it is less than one
run."""

WORDY_ONLY = (
    BIGRAM_SURPRISE,
    EDGE_SURPRISE,
    DIVERGENCE,
    TEXT_DISTANCE,
    NEW_WORDS,
    SURPRISE_SPREAD,
    LENGTH_SPREAD,
    VARIETY,
)
"""What says nothing new of answers of a word or two, whose surprise is told as a whole already."""

SENTENCES: Mapping[str, str] = {
    SUITE_SURPRISE: "how rare the answers are among those of the baseline, summed over the canaries",
    SUITE_PEAK: "how far single canaries are above their usual surprise, the farthest counting most",
    TOKEN_SURPRISE: "how rare the words of the answers are among those of the baseline, over all canaries",
    BIGRAM_SURPRISE: "how rare the pairs of neighbouring words are among those of the baseline, over all canaries",
    DIVERGENCE: "how far the frequencies of the words in the whole run are from those in the baseline",
    EDGE_SURPRISE: "how rare the words are, among those of the baseline, that the answers begin and end with",
    LAYOUT_SURPRISE: "how rare the answers' line breaks, blank lines and indents are among those of the baseline",
    TEXT_DISTANCE: "how unlike the baseline's texts the answers are, canary by canary, in words and pairs of words",
    NEW_WORDS: "the share of words that their canary never used in the baseline",
    SURPRISE_SPREAD: "how much rare and usual words alternate: other sampling cuts off or feeds the rare ones",
    LOGPROB_SHIFT: "how far the log-probabilities of the first token are from those of the baseline",
    MEAN_LOGPROB: "how sure the model is of the tokens it wrote, compared with the baseline",
    LENGTH: "how long the answers are, compared with those of the baseline",
    LENGTH_SPREAD: "how much the answers of a run differ in length: a limit makes them alike",
    VARIETY: "how many different words the answers use for their length: loops and templates use few",
    UNFINISHED: "the share of answers that were cut off or filtered, compared with the baseline",
    REFUSALS: "the share of answers that begin like a refusal, by a list of phrases, compared with the baseline",
    VALIDATOR_FAILURES: "the share of answers that break an expectation",
    INPUT_TOKENS: "how many tokens the provider counts in the same prompts: its template or tokens changed",
    OUTPUT_TOKENS: "how many tokens the provider counts, and charges, for the answers",
    LATENCY: "how long the answers of the usual canary take, compared with the baseline",
    TTFT: "how long the first token of the usual canary takes, compared with the baseline",
}
"""What each score tells: the end of a sentence that begins with its name."""

CANARY_SENTENCE = "how rare this canary's {what} are among those of the baseline"
