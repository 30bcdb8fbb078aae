"""A candidate judged for release: rules, statistics and limits, and how the verdict is told."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError

from canaries import CompletionsError
from canaries.completion import Completion, Outcome, Run
from canaries.config import TargetConfig
from canaries.contract import contract_of
from canaries.gate.config import GateConfig, Limit, cost_limit, time_limit
from canaries.gate.judging import Side, judge
from canaries.gate.junit import to_junit
from canaries.gate.markdown import to_markdown
from canaries.gate.plain import to_plain
from canaries.gate.results import Check, Gate, Kind, Status
from canaries.gate.words import headline
from canaries.suite import Canary, Expectations, Message, Suite

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RUNS = 12


def canary(name: str, **expected: Any) -> Canary:
    return Canary(name, (Message("user", name),), {}, None, Expectations(**expected))


SUITE = Suite("support", (canary("label", labels=("A", "B", "C")), canary("reply", not_empty=True)))

Answer = Callable[[str, random.Random], Completion]


def usual(name: str, rng: random.Random) -> Completion:
    text = rng.choice("AAB") if name == "label" else f"We ship in {rng.randint(2, 9)} days."
    return Completion(
        name,
        text=text,
        finish_reason="stop",
        latency_s=rng.lognormvariate(0, 0.2),
        input_tokens=100,
        output_tokens=10,
    )


def with_text(canary: str, text: str, share: float = 1.0) -> Answer:
    """As usual, but for a share of the answers to one canary."""

    def answer(name: str, rng: random.Random) -> Completion:
        one = usual(name, rng)
        return replace(one, text=text) if name == canary and rng.random() < share else one

    return answer


def times(factor: float) -> Answer:
    """As usual, but slower by a factor, and dearer."""

    def answer(name: str, rng: random.Random) -> Completion:
        one = usual(name, rng)
        tokens = round((one.output_tokens or 0) * factor)
        return replace(one, latency_s=(one.latency_s or 0) * factor, output_tokens=tokens)

    return answer


def failing(canary: str, outcome: Outcome, share: float = 1.0) -> Answer:
    def answer(name: str, rng: random.Random) -> Completion:
        if name == canary and rng.random() < share:
            return Completion(name, outcome=outcome, error="no: it is not to be")
        return usual(name, rng)

    return answer


def runs_of(answer: Answer = usual, runs: int = RUNS, samples: int = 4, seed: int = 1) -> list[Run]:
    rng = random.Random(seed)
    return [
        Run(
            f"r{seed}-{number}",
            "bot",
            "support",
            NOW,
            tuple(
                replace(answer(one.id, rng), sample=sample)
                for one in SUITE.canaries
                for sample in range(samples)
            ),
        )
        for number in range(runs)
    ]


def price(completion: Completion) -> float | None:
    return None if completion.output_tokens is None else completion.output_tokens / 1000


def judged(
    answer: Answer = usual, base: Answer | None = usual, runs: int = RUNS, suite: Suite = SUITE, **config: Any
) -> Gate:
    other = None if base is None else Side("bot-1", runs_of(base, seed=2), price)
    return judge(
        suite, Side("candidate", runs_of(answer, runs), price), other, GateConfig.model_validate(config)
    )


def check_of(gate: Gate, name: str) -> Check:
    return next(check for check in gate.checks if check.name == name)


# --- the verdict

VERDICTS = {
    "the same": (usual, {}, Status.PASS, []),
    "a broken rule": (with_text("label", "X", 0.1), {}, Status.FAIL, ["label"]),
    "other answers that break no rule": (with_text("label", "C"), {}, Status.FAIL, ["answers"]),
    "other answers that are meant": (with_text("label", "C"), {"changes": "warn"}, Status.PASS, []),
    "a difference below the floor": (with_text("label", "C", 0.2), {"floor": 0.9}, Status.PASS, []),
    "slower than allowed": (times(2), {"latency_p50": "1.3s"}, Status.FAIL, ["latency_p50"]),
    "slower than the baseline": (times(2), {"latency_p95": "+20%"}, Status.FAIL, ["latency_p95"]),
    "dearer than the baseline": (times(2), {"cost_per_1000_usd": "+20%"}, Status.FAIL, ["cost_per_1000_usd"]),
    "dearer, as allowed": (times(2), {"cost_per_1000_usd": "+120%"}, Status.PASS, []),
}


@pytest.mark.parametrize(("answer", "config", "verdict", "named"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_names_what_stops_the_candidate(
    answer: Answer, config: dict[str, Any], verdict: Status, named: list[str]
) -> None:
    found = judged(answer, **config)
    failed = {check.name for check in found.of(Status.FAIL)}
    assert found.verdict is verdict
    assert failed >= set(named)
    assert bool(failed) == bool(named)


def test_a_failure_outweighs_what_could_not_be_told() -> None:
    checks = [Check(Kind.LIMIT, status.value, status, "") for status in Status]
    gate = Gate("s", "t", None, tuple(checks), (), None, 1)
    assert gate.verdict is Status.FAIL
    without = replace(gate, checks=tuple(check for check in checks if check.status is not Status.FAIL))
    assert without.verdict is Status.INCONCLUSIVE


def test_too_few_answers_are_inconclusive_unless_a_change_is_meant() -> None:
    few = runs_of(runs=2, samples=1)
    base = Side("b", runs_of(runs=2, samples=1, seed=2), price)
    stops = judge(SUITE, Side("c", few, price), base, GateConfig())
    assert stops.verdict is Status.INCONCLUSIVE
    assert "more runs on each side would decide" in "\n".join(check_of(stops, "answers").details)
    assert judge(SUITE, Side("c", few, price), base, GateConfig(changes="warn")).verdict is Status.PASS


# --- rules


def test_a_broken_expectation_is_told_with_its_share_and_an_excerpt() -> None:
    found = check_of(judged(with_text("label", "It is  a\nbug. " * 100)), "label")
    assert (found.status, found.summary) == (Status.FAIL, "breaks labels")
    (line,) = found.details
    assert line.startswith("labels: 48 of 48 answers; such as: It is a bug. It is a bug.")
    assert line.endswith("…")
    assert len(line) < 300


def test_what_the_baseline_breaks_too_is_a_warning_where_that_is_allowed() -> None:
    odd = with_text("label", "X", 0.3)
    assert check_of(judged(odd, odd), "label").status is Status.FAIL
    warned = check_of(judged(odd, odd, known_failures="warn"), "label")
    assert warned.status is Status.WARN
    assert "as in the baseline" in warned.details[0]
    assert check_of(judged(odd, usual, known_failures="warn"), "label").status is Status.FAIL


def test_broken_more_often_than_by_the_baseline_fails_even_a_meant_change() -> None:
    allowed = {"known_failures": "warn", "changes": "warn"}
    worse = judged(with_text("label", "X", 0.7), with_text("label", "X", 0.1), **allowed)
    assert [check.name for check in worse.of(Status.FAIL)] == ["worse"]
    assert "validator_failures" in check_of(worse, "worse").summary
    better = judged(with_text("label", "X", 0.1), with_text("label", "X", 0.7), **allowed)
    assert better.verdict is Status.PASS


REQUESTS = {
    "refused for good": (Outcome.CONTEXT_LENGTH, 1.0, Status.FAIL),
    "not answered at all": (Outcome.TIMEOUT, 1.0, Status.INCONCLUSIVE),
    "answered most times": (Outcome.TIMEOUT, 0.5, Status.PASS),
}


@pytest.mark.parametrize(("outcome", "share", "status"), REQUESTS.values(), ids=REQUESTS)
def test_a_canary_without_answers_is_judged_by_why(outcome: Outcome, share: float, status: Status) -> None:
    assert check_of(judged(failing("reply", outcome, share)), "reply").status is status


@pytest.mark.parametrize(("share", "status"), [(0.04, Status.WARN), (0.5, Status.INCONCLUSIVE)])
def test_many_failed_requests_leave_the_verdict_open(share: float, status: Status) -> None:
    found = check_of(judged(failing("reply", Outcome.RATE_LIMIT, share)), "requests")
    assert found.status is status
    assert "rate_limit, such as: no: it is not to be" in found.details[0]


def test_a_candidate_that_answers_nothing_cannot_be_judged() -> None:
    silent = [
        replace(run, completions=tuple(replace(c, text=None, outcome=Outcome.AUTH) for c in run.completions))
        for run in runs_of()
    ]
    with pytest.raises(CompletionsError, match="candidate answered none of the requests: auth"):
        judge(SUITE, Side("candidate", silent, price), None, GateConfig())


# --- statistics


def test_equal_candidates_fail_the_statistics_as_seldom_as_alpha_says() -> None:
    failed = 0
    for seed in range(40):
        base = Side("b", runs_of(runs=8, samples=1, seed=2 * seed), price)
        candidate = Side("c", runs_of(runs=8, samples=1, seed=2 * seed + 1), price)
        found = judge(SUITE, candidate, base, GateConfig(alpha=0.2), seed=seed)
        failed += check_of(found, "answers").status is Status.FAIL
    assert failed <= 15  # of 40 at .2: 8 are expected, and more than 15 come once in 300 times


def test_the_strictest_level_can_still_be_reached() -> None:
    assert judged(with_text("label", "C"), alpha=0.0001).verdict is Status.FAIL


# --- limits

LIMITS = {
    "within": ("1.2s", Status.PASS),
    "above beyond chance": ("0.8s", Status.FAIL),
}


@pytest.mark.parametrize(("limit", "status"), LIMITS.values(), ids=LIMITS)
def test_a_limit_fails_only_beyond_chance(limit: str, status: Status) -> None:
    assert check_of(judged(base=None, latency_p50=limit), "latency_p50").status is status


def test_above_a_limit_by_no_more_than_chance_is_inconclusive() -> None:
    value = float(check_of(judged(base=None, latency_p50="9s"), "latency_p50").summary.split()[0])
    found = check_of(judged(base=None, latency_p50=f"{value - 0.01:.3f}s"), "latency_p50")
    assert found.status is Status.INCONCLUSIVE
    assert "more --runs would tell" in found.summary


def test_a_candidate_just_as_fast_is_seldom_failed_by_a_limit_at_its_true_median() -> None:
    failed = sum(
        check_of(
            judge(SUITE, Side("c", runs_of(runs=10, seed=seed), price), None, GateConfig(latency_p50="1s")),
            "latency_p50",
        ).status
        is Status.FAIL
        for seed in range(200)
    )
    assert failed <= 12  # of 200 at .025: 5 are expected, and more than 12 come once in 500 times


def test_sides_are_weighed_by_canary_so_that_another_mix_is_no_other_price() -> None:
    def of_length(name: str, rng: random.Random) -> Completion:
        return replace(usual(name, rng), output_tokens=10 if name == "label" else 90)

    mostly_short = [
        replace(run, completions=(*run.completions[:4], run.completions[-1]))
        for run in runs_of(of_length, seed=2)
    ]
    found = judge(
        SUITE,
        Side("c", runs_of(of_length), price),
        Side("b", mostly_short, price),
        GateConfig.model_validate({"cost_per_1000_usd": "+1%"}),
    )
    assert check_of(found, "cost_per_1000_usd").status is Status.PASS


def test_each_side_is_priced_by_its_own_price() -> None:
    def twice(completion: Completion) -> float | None:
        return 2 * (price(completion) or 0)

    found = judge(
        SUITE,
        Side("c", runs_of(), twice),
        Side("b", runs_of(seed=2), price),
        GateConfig.model_validate({"cost_per_1000_usd": "+20%"}),
    )
    assert check_of(found, "cost_per_1000_usd").status is Status.FAIL
    assert found.comparison is not None
    (cost,) = [one for one in found.comparison.scores if one.score.name == "cost"]
    assert cost.effect is not None
    assert cost.effect.value == pytest.approx(1.0)


def test_canaries_that_the_candidate_is_not_asked_play_no_part() -> None:
    more = [
        replace(run, completions=(*run.completions, *(Completion("old", n, text="x") for n in range(20))))
        for run in runs_of(seed=2)
    ]
    found = judge(SUITE, Side("c", runs_of(), price), Side("b", more, price), GateConfig())
    assert found.comparison is not None
    assert found.comparison.pairing.only_base == ()
    assert found.comparison.pairing.notes == ()


def test_a_limit_on_what_nobody_told_is_inconclusive() -> None:
    def untold(name: str, rng: random.Random) -> Completion:
        return replace(usual(name, rng), latency_s=None)

    found = check_of(judged(untold, latency_p95="3s"), "latency_p95")
    assert (found.status, found.summary) == (
        Status.INCONCLUSIVE,
        "no answer of the candidate tells its latency",
    )


WRITTEN = {
    "3s": Limit(3.0),
    "800ms": Limit(0.8),
    "+20%": Limit(0.2, is_relative=True),
    "-10%": Limit(-0.1, is_relative=True),
}


@pytest.mark.parametrize(("text", "limit"), WRITTEN.items())
def test_limits_are_written_as_people_write_them(text: str, limit: Limit) -> None:
    assert time_limit(text) == limit
    assert limit.most(10.0) == pytest.approx({"3s": 3, "800ms": 0.8, "+20%": 12, "-10%": 9}[text])


@pytest.mark.parametrize("text", ["fast", "0s", "-3s", "20%", "-100%", "", None, True, [1]])
def test_what_is_no_limit_is_refused(text: object) -> None:
    for read in (time_limit, cost_limit):
        with pytest.raises(ValueError, match="must be"):
            read(text)


# --- settings


def test_what_a_suite_asks_of_a_release_is_no_part_of_what_baselines_are_made_of() -> None:
    target = TargetConfig(model="m", suite="s.yaml")
    asking = replace(SUITE, gate=GateConfig(alpha=0.01))
    assert contract_of(asking, target).hash == contract_of(SUITE, target).hash


def test_settings_that_are_not_said_come_from_the_next_layer() -> None:
    option = GateConfig.model_validate({"alpha": 0.01})
    suite = GateConfig.model_validate({"alpha": 0.1, "latency_p95": "3s"})
    config = GateConfig.model_validate({"latency_p95": "+20%", "latency_p50": "+10%"})
    found = option.over(suite).over(config)
    assert (found.alpha, found.latency_p95, found.latency_p50) == (
        0.01,
        Limit(3.0),
        Limit(0.1, is_relative=True),
    )
    assert found.needs_baseline == ("latency_p50",)


@pytest.mark.parametrize(("requests", "runs"), [(1, 20), (10, 10), (50, 3), (1_000, 3)])
def test_so_many_runs_are_made_that_the_answers_can_tell(requests: int, runs: int) -> None:
    assert GateConfig().runs_of(requests) == runs
    assert GateConfig(runs=7).runs_of(requests) == 7


@pytest.mark.parametrize(
    "odd", [{"alpha": 0.00001}, {"floor": 2}, {"runs": 0}, {"changes": "ignore"}, {"limit": 1}]
)
def test_settings_that_make_no_sense_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GateConfig.model_validate(odd)


# --- what is told beside the verdict


def test_a_small_suite_and_canaries_that_expect_nothing_are_told() -> None:
    suite = Suite("support", (*SUITE.canaries, canary("chat")))
    notes = "\n".join(judged(base=None, suite=suite).notes)
    assert "The suite has 3 canaries. About 50" in notes
    assert "No rule can stop the answers to 1 of 3 canaries" in notes
    assert "Nothing to compare with" in notes
    large = Suite("support", tuple(canary(f"c{n}", not_empty=True) for n in range(50)))
    assert not any("The suite has" in note for note in judged(suite=large).notes)


def test_warnings_are_named_beside_a_pass() -> None:
    gate = Gate("s", "bot", None, (Check(Kind.STATISTICS, "answers", Status.WARN, ""),), (), None, 1)
    assert headline(gate) == "bot passes, with warnings: answers."


# --- reports

ODD = "]]> <b>&\x00\x1b\ufffe | `code` @someone ![x](http://x) \N{PILE OF POO}"


def odd_gate() -> Gate:
    return judged(with_text("label", ODD), failing("reply", Outcome.TIMEOUT, 0.5), latency_p95="+20%")


def junit_faults(document: str) -> list[str]:
    """What readers of JUnit XML would not take: the rules that Jenkins, GitLab and GitHub's actions agree on."""
    root = ET.fromstring(document)
    faults = [] if root.tag == "testsuites" else [f"root is {root.tag}"]
    allowed = {"failure": {"message", "type"}, "error": {"message", "type"}, "system-out": set()}
    for suite in root:
        cases = suite.findall("testcase")
        counted = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
        }
        for name, count in counted.items():
            if not suite.get(name) == root.get(name) == str(count):
                faults.append(f"{name} says {suite.get(name)}, and there are {count}")
        for case in cases:
            if not case.get("name") or not case.get("classname") or float(case.get("time", "x")) < 0:
                faults.append(f"a case is without name, class or time: {case.attrib}")
            if len(case) > 1:
                faults.append(f"{case.get('name')} has several outcomes")
            faults += [
                f"{child.tag} of {case.get('name')}"
                for child in case
                if child.tag not in allowed or set(child.attrib) != allowed[child.tag]
            ]
    return faults


def test_junit_is_what_readers_take_whatever_a_model_wrote() -> None:
    gate = odd_gate()
    document = to_junit(gate)
    assert junit_faults(document) == []
    cases = {case.get("name"): case for case in ET.fromstring(document).iter("testcase")}
    assert len(cases) == len(gate.checks)
    failure = cases["label"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("breaks labels", "fail")
    assert "]]> <b>&" in (failure.text or "")


def test_what_could_not_be_judged_is_an_error_and_a_warning_is_output() -> None:
    names = {Status.INCONCLUSIVE: "open", Status.WARN: "odd", Status.PASS: "good"}
    checks = tuple(Check(Kind.LIMIT, name, status, "because") for status, name in names.items())
    document = to_junit(Gate("s", "t", None, checks, (), None, 1))
    assert junit_faults(document) == []
    cases = {
        case.get("name"): [child.tag for child in case] for case in ET.fromstring(document).iter("testcase")
    }
    assert cases == {"open": ["error"], "odd": ["system-out"], "good": []}


def test_the_rules_for_junit_see_what_is_wrong() -> None:
    case = '<testcase name="a" classname="c" time="0"><oops/></testcase>'
    wrong = f'<testsuites tests="2"><testsuite tests="1">{case}</testsuite></testsuites>'
    assert junit_faults(wrong)[0] == "tests says 1, and there are 1"
    assert "oops of a" in junit_faults(wrong)


def test_markdown_shows_answers_as_text() -> None:
    summary = to_markdown(odd_gate())
    assert summary.startswith("## ❌ candidate fails against bot-1")
    row = next(line for line in summary.splitlines() if line.startswith("| ❌ | label"))
    for shown in (r"\`code\`", r"\@someone", r"\!\[x\]", r"\<b\>\&"):
        assert shown in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 4


def test_a_summary_of_many_failures_fits_a_step() -> None:
    line = "breaks it; such as: " + "x" * 200
    checks = tuple(Check(Kind.CANARY, f"c{n}", Status.FAIL, "s", (line,) * 20) for n in range(1_000))
    summary = to_markdown(Gate("s", "t", None, checks, (), None, 1))
    assert len(summary.encode()) < 1 << 20
    assert "And 950 more." in summary


def test_machines_are_told_every_check_and_the_comparison() -> None:
    plain = to_plain(odd_gate())
    assert plain["verdict"] == "fail"
    assert {"kind", "name", "status", "summary", "details"} == plain["checks"][0].keys()
    assert plain["comparison"]["verdict"] == "different"
    assert to_plain(judged(base=None))["comparison"] is None


def names(count: int) -> Sequence[Check]:
    return [Check(Kind.CANARY, f"c{n}", Status.FAIL, "") for n in range(count)]


@pytest.mark.parametrize(("count", "end"), [(1, ": c0."), (7, ": c0, c1, c2, c3, c4 and 2 more.")])
def test_the_headline_names_the_first_few(count: int, end: str) -> None:
    assert (
        headline(Gate("s", "bot", "bot-1", tuple(names(count)), (), None, 1))
        == f"bot fails against bot-1{end}"
    )
