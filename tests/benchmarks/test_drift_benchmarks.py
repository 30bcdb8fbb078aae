"""The benchmarks measure what they say; their figures are made by hand, as they take minutes."""

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from alerts.evidence import Budgets, Kind
from benchmarks import peers
from benchmarks.canary_arm import HOUR_S, CanaryArm
from benchmarks.detection_delay import FIFTH, Cadence, Summary, delays, ours_at
from benchmarks.detection_delay import Case as Change
from benchmarks.false_pages import FORGETFUL, Case, Found, Quarter, is_reached, pages_at, quarters_of
from benchmarks.ledgers_together import Raised, alarms_together
from benchmarks.recovery import steady_by
from benchmarks.streams import Scenario, draw_scenario

ANY, BH, E_DETECTOR = (
    "any prompt p < 0.05",
    "Benjamini-Hochberg over the prompts, each run",
    "e-detector on the samples' p-values",
)


def test_a_quarter_without_change_pages_seldom_where_single_looks_page_all_the_time() -> None:
    [quarter] = quarters_of(Case(Scenario.IID, (0,), peers=1, baseline_runs=168, budgets=(1.0, 0.1)))
    counts = quarter.alarms
    assert counts[pages_at(0.1)] <= counts[pages_at(1.0)] <= 3
    assert counts[FORGETFUL] > counts[pages_at(1.0)]
    assert counts[ANY] > 500


def test_two_backends_make_tests_of_samples_page_and_not_the_ledger_of_runs() -> None:
    [quarter] = quarters_of(Case(Scenario.MIX, (1,), peers=1, baseline_runs=168, budgets=(1.0,)))
    assert quarter.alarms[E_DETECTOR] > 10
    assert quarter.alarms[pages_at(1.0)] <= 3


@pytest.mark.parametrize(
    ("scenarios", "varying"),
    [
        pytest.param([Scenario.IID, Scenario.DIURNAL], 1, id="one of two has labels"),
        pytest.param([Scenario.DIURNAL], 1, id="all have labels"),
        pytest.param([Scenario.IID, Scenario.IID], 0, id="none has labels"),
    ],
)
def test_ledgers_that_are_updated_together_raise_the_alarms_of_single_ones(
    scenarios: list[Scenario], varying: int
) -> None:
    watched = []
    for seed, scenario in enumerate(scenarios):
        baseline, later = draw_scenario(np.random.default_rng(seed), scenario, 168, 300)
        arm = CanaryArm(baseline)
        watched.append((arm, arm.follow(later)))
    # A large budget, so that there are alarms to compare.
    budgets = [Budgets(pages_per_quarter=200.0), Budgets(pages_per_quarter=2.0)]
    single = {
        Raised(run, number, scope, alarm.kind)
        for number, one in enumerate(budgets)
        for scope, (arm, seen) in enumerate(watched)
        for run, alarm in arm.alarms(seen, one)
    }
    together = alarms_together([arm.scope(seen) for arm, seen in watched], budgets, HOUR_S)
    assert set(together) == single
    assert sum(len({one.label for one in seen}) > 1 for _, seen in watched) == varying
    assert any(one.kind is Kind.PAGE for one in single)


def quarter_with(pages: int, is_in_force: bool) -> Quarter:
    return Quarter({pages_at(1.0): pages}, is_in_force, labels=1, block=1)


@pytest.mark.parametrize(
    ("quarters", "keeps"),
    [
        pytest.param([quarter_with(1, True), quarter_with(1, True)], True, id="as many as the budget"),
        pytest.param([quarter_with(2, True), quarter_with(1, True)], False, id="more than the budget"),
        pytest.param([quarter_with(2, True), quarter_with(0, False)], False, id="more where it is green"),
        pytest.param([quarter_with(2, False), quarter_with(0, True)], True, id="more where it is red"),
    ],
)
def test_a_budget_is_kept_in_the_mean_and_where_the_monitor_is_green(
    quarters: list[Quarter], keeps: bool
) -> None:
    assert Found.of(quarters, (1.0,)).keeps((1.0,)) is keeps


def test_a_monitor_that_overlooks_sticky_backends_fails_although_the_budget_is_kept() -> None:
    kept = [quarter_with(0, is_in_force=False)] * 19
    one_green = Found.of([*kept, quarter_with(0, is_in_force=True)], (1.0,))
    assert is_reached({Scenario.STICKY: one_green}, (1.0,))
    two_green = Found.of([*kept[1:], *[quarter_with(0, is_in_force=True)] * 2], (1.0,))
    assert not is_reached({Scenario.STICKY: two_green}, (1.0,))
    assert is_reached({Scenario.MIX: two_green}, (1.0,))


def test_a_fifth_of_the_answers_changing_pages_within_four_runs() -> None:
    found = delays(Change(Scenario.IID, FIFTH, seed=1))
    assert max(found[ours_at(1.0)], found[ours_at(0.25)], found[BH]) <= 4


def test_sharpening_is_found_by_the_ledger_and_by_no_one_sided_test() -> None:
    found = delays(Change(Scenario.IID, "sharpening (p^1.5)", seed=1))
    assert found[BH] > 100
    assert max(found[ours_at(1.0)], found[ours_at(0.25)]) <= 6


def test_thin_runs_find_it_with_fewer_samples() -> None:
    thin = delays(Change(Scenario.IID, FIFTH, 1, 168, Cadence(1, 15), with_peers=False))
    thick = delays(Change(Scenario.IID, FIFTH, 1, 168, Cadence(8, 15), with_peers=False))
    assert thin[ours_at(1.0)] < 8 * thick[ours_at(1.0)]


def test_a_change_that_some_never_find_has_an_infinite_tail_and_a_finite_median() -> None:
    summary = Summary.of([2.0, 3.0, 4.0, np.inf, np.inf])
    assert (summary.median, summary.q90, summary.found) == (4.0, np.inf, 0.6)
    assert not summary.meets((4, 8))
    assert Summary.of([3.0] * 9 + [5.0]).meets((3, 4))


def looks_of(scenario: Scenario, seed: int, later_runs: int = 300) -> peers.Looks:
    rng = np.random.default_rng(seed)
    return peers.look(rng, *draw_scenario(rng, scenario, 168, later_runs))


def test_the_peers_p_values_are_honest_at_one_look() -> None:
    looks = [looks_of(Scenario.IID, seed, 100) for seed in range(10)]
    assert 0.02 < np.mean([(one.prompt_p < 0.05).mean() for one in looks]) < 0.055
    assert 0.02 < np.mean([(one.suite_p < 0.05).mean() for one in looks]) < 0.09


def test_mmd_of_ten_runs_is_honest_at_looks_that_do_not_overlap() -> None:
    looks = [looks_of(Scenario.IID, seed, 200).mmd_p[9::10] for seed in range(12)]
    assert 0.01 < np.mean(np.concatenate(looks) < 0.05) < 0.1


def with_p(prompt_p: list[list[float]]) -> peers.Looks:
    p, none = np.array(prompt_p), np.zeros(len(prompt_p))
    return peers.Looks(p, none, none, none, none, none)


def test_benjamini_hochberg_finds_what_its_definition_says() -> None:
    looks = with_p(
        [[0.02, 0.02, 0.9, 0.9], [0.02, 0.9, 0.9, 0.9], [0.05, 0.05, 0.05, 0.05], [0.0125, 1, 1, 1]]
    )
    assert peers.benjamini_hochberg(looks).tolist() == [True, False, True, True]
    assert peers.bonferroni(looks).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("then", "alarmed"), [([0.9, 0.9, 0.3], []), ([0.9, 0.9, 0.9], [22]), ([0.45, 0.45, 0.45], [])]
)
def test_b3its_rule_wants_three_in_a_row_far_from_the_trailing_mean(
    then: list[float], alarmed: list[int]
) -> None:
    distance = np.array([0.3] * 20 + then)
    none = np.zeros(len(distance))
    looks = peers.Looks(none[:, None], none, none, none, distance, none)
    assert np.flatnonzero(peers.b3it(looks)).tolist() == alarmed


def test_the_distance_between_a_run_and_the_baseline_is_total_variation() -> None:
    baseline, later = np.array([[0, 1], [0, 2]]), np.array([[0, 0], [1, 7], [7, 7]])
    # Shares 1/2, 1/4, 1/4 against all of answer 0; half of 1 and half unseen; all unseen.
    assert peers.Column.of(baseline, later).distance().tolist() == [0.5, 0.75, 1.0]


def test_kayentas_judge_sees_a_shift_and_not_noise() -> None:
    rng = np.random.default_rng(4)
    control, rare = rng.normal(100, 5, 168), np.concatenate([rng.normal(100, 5, 60), rng.normal(115, 5, 40)])
    none = np.zeros(len(rare))
    alarmed = peers.kayenta(peers.Looks(none[:, None], none, rare, control, none, none))
    assert alarmed[70:].all()
    assert alarmed[:60].mean() < 0.2


def test_the_chance_of_recovery_is_that_of_simulated_runs() -> None:
    exact = [chance for chance, _ in zip(steady_by(6, 2, beyond_share=0.5), range(12), strict=False)]
    rng = np.random.default_rng(2)
    runs = rng.normal(0.6745, size=(20_000, 12))
    by_12 = np.zeros(len(runs), dtype=bool)
    for end in range(6, 13):
        window = runs[:, end - 6 : end]
        high, low = (window > 0.6745).sum(axis=1), (window < -0.6745).sum(axis=1)
        by_12 |= (high <= 2) & (low <= 2) & (np.abs(window[:, -1]) < 1.6449)
    assert exact[4] == 0.0
    assert exact[11] == pytest.approx(by_12.mean(), abs=0.015)
