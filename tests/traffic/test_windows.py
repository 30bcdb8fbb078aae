import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.traffic.calls import Call, CostBasis, ErrorClass
from monitor.traffic.windows.exemplars import Kind
from monitor.traffic.windows.series import OVERFLOW, Admission, Series, minute_of, series_of
from monitor.traffic.windows.tallies import OTHER_VALUES, VALUES_MAX
from monitor.traffic.windows.window import (
    Window,
    window_from_bytes,
    window_from_json,
    window_to_bytes,
    window_to_json,
)
from monitor.traffic.windows.window_book import WindowBook

from .conftest import CALL, NOON, MakeCall


def place_of(call: Call) -> tuple[Series, int]:
    return series_of(call), minute_of(call.ended_at)


def window_of(*calls: Call) -> Window:
    window = Window(minute_of(NOON), series_of(CALL))
    for call in calls:
        window.add(call)
    return window


def test_a_failed_call_counts_by_its_class_and_not_in_the_latency(make_call: MakeCall) -> None:
    window = window_of(make_call(error=True, error_class=ErrorClass.RATE_LIMIT, duration_s=0.02), make_call())
    assert (window.calls, window.failed, window.errors) == (2, 1, {"rate_limit": 1})
    assert window.latency_s.n == 1


def test_a_timeout_is_both_an_error_and_a_latency(make_call: MakeCall) -> None:
    window = window_of(make_call(error=True, error_class=ErrorClass.TIMEOUT, duration_s=60.0))
    assert window.failed == 1
    assert window.latency_s.quantile(1.0).value == pytest.approx(60.0, rel=0.01)


def test_a_failed_call_of_no_known_class_still_counts_as_failed(make_call: MakeCall) -> None:
    assert window_of(make_call(error=True)).errors == {"other": 1}


def test_calls_without_a_price_are_counted_and_never_cost_nothing(make_call: MakeCall) -> None:
    window = window_of(make_call(), make_call(cost_usd=0.25, cost_basis=CostBasis.EXACT))
    assert (window.unpriced, window.cost_usd.n, window.cost_usd.mean) == (1, 1, 0.25)
    assert window.cost_bases == {"unpriced": 1, "exact": 1}


def test_a_failed_call_without_a_price_does_not_count_as_unpriced(make_call: MakeCall) -> None:
    assert window_of(make_call(error=True, error_class=ErrorClass.AUTH)).unpriced == 0


calls = st.builds(
    lambda duration_s, cost, tokens, error, second: Call(
        **{name: getattr(CALL, name) for name in CALL.__slots__}
        | {
            "duration_s": duration_s,
            "cost_usd": cost,
            "cost_basis": CostBasis.UNPRICED if cost is None else CostBasis.EXACT,
            "input_tokens": tokens,
            "error": error is not None,
            "error_class": error,
            "ended_at": NOON + second,
        }
    ),
    st.floats(0, 1e5),
    st.none() | st.floats(1e-6, 100),
    st.none() | st.integers(0, 10**9),
    st.none() | st.sampled_from(ErrorClass),
    st.floats(-200, 200),
)


@given(st.lists(calls, max_size=30), st.randoms(use_true_random=False))
def test_windows_do_not_depend_on_the_order_of_the_calls_nor_on_where_they_were_counted(
    batch, random
) -> None:
    whole, one, other = WindowBook(), WindowBook(), WindowBook()
    for call in batch:
        whole.add(call, series_of(call))
    random.shuffle(batch)
    for call in batch:
        random.choice([one, other]).add(call, series_of(call))
    other.merge(one)
    key = lambda window: window.minute  # noqa: E731
    assert sorted(whole, key=key) == sorted(other, key=key)


@given(st.lists(calls, max_size=10))
def test_a_window_survives_its_bytes(batch) -> None:
    window = window_of(*batch)
    assert window_from_bytes(window.minute, window.series, window_to_bytes(window)) == window


STORED_EARLIER = b"""{"calls": 3, "cached_tokens": 5, "checked": 0, "unsound": 0, "errors": {"timeout": 1},
    "cost_bases": {"exact": 2}, "finish_reasons": {"stop": 2}, "matched": {}, "failed_checks": {}, "chosen": {},
    "exemplars": {"slowest": [[2.0, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]]},
    "latency_s": {"zeros": 1, "total_nano": "3000000000", "buckets": [[0, 1], [36, 1]]}}"""


def test_a_window_that_an_earlier_version_stored_is_read() -> None:
    window = window_from_bytes(minute_of(NOON), series_of(CALL), STORED_EARLIER)
    assert (window.calls, window.failed, window.cached_tokens) == (3, 1, 5)
    assert (window.latency_s.n, window.latency_s.total) == (3, 3.0)
    assert window.latency_s.quantile(1.0).value == pytest.approx(2.0, rel=0.02)
    assert [one.value for one in window.exemplars.of(Kind.SLOWEST)] == [2.0]
    assert window_from_bytes(window.minute, window.series, window_to_bytes(window)) == window


@pytest.mark.parametrize(
    ("at", "minute"),
    [(NOON, NOON), (NOON + 59.999, NOON), (NOON + 60, NOON + 60), (NOON - 0.001, NOON - 60)],
    ids=["start", "end", "next", "before"],
)
def test_a_call_belongs_to_the_minute_in_which_it_ended(at: float, minute: float) -> None:
    assert minute_of(at) == minute


def test_series_beyond_the_bound_are_counted_together_and_the_known_ones_go_on(make_call: MakeCall) -> None:
    admission = Admission(series_max=2)
    names = ["a", "b", "c", "a"]
    admitted = [admission.admit(*place_of(make_call(service_name=name))) for name in names]
    assert [series.service for series in admitted] == ["a", "b", OVERFLOW.service, "a"]


def test_who_makes_up_series_without_end_has_the_known_ones_looked_through_once_a_minute() -> None:
    hashed = 0

    class Counted(Series):
        def __hash__(self) -> int:
            nonlocal hashed
            hashed += 1
            return super().__hash__()

    admission = Admission(series_max=500)
    made_up = [Counted(f"s{number}", "", "", "", "", "", "") for number in range(2_000)]
    found = [admission.admit(one, NOON) for one in made_up]
    assert found.count(OVERFLOW) == 1_500
    assert hashed < 4 * len(made_up)
    assert admission.admit(made_up[-1], NOON + 3_660) is made_up[-1]


def test_an_idle_series_makes_room_for_a_new_one(make_call: MakeCall) -> None:
    admission = Admission(series_max=2)
    admission.admit(*place_of(make_call(service_name="idle")))
    admission.admit(*place_of(make_call(service_name="busy", ended_at=NOON + 3_600)))
    late = make_call(service_name="new", ended_at=NOON + 3_700)
    assert admission.admit(*place_of(late)).service == "new"
    assert admission.admit(*place_of(make_call(service_name="idle", ended_at=NOON + 3_700))) == OVERFLOW


def test_a_call_that_is_taken_back_leaves_the_window_as_it_was(make_call: MakeCall) -> None:
    kept = make_call(cost_usd=0.25, cost_basis=CostBasis.EXACT, chosen=(("user.id", "ann"),))
    gone = make_call(duration_s=70.0, output_tokens=9, matched=("truncated",), checks_failed=("format",))
    window = window_of(kept, gone)
    window.take_back(gone)
    assert window_to_json(window) | {"exemplars": {}} == window_to_json(window_of(kept)) | {"exemplars": {}}


def test_what_is_taken_back_of_a_stored_window_is_gone_once_both_are_added_up(make_call: MakeCall) -> None:
    stored, since = window_of(make_call(), make_call(duration_s=2.0)), window_of()
    since.take_back(make_call(duration_s=2.0))
    stored.merge(since)
    assert (stored.calls, stored.latency_s) == (1, window_of(make_call()).latency_s)


def test_the_speed_of_an_answer_is_counted_from_its_first_token(make_call: MakeCall) -> None:
    window = window_of(make_call(output_tokens=100, ttft_s=1.0, duration_s=3.0))
    assert window.tokens_per_s.quantile(0.5).value == pytest.approx(50.0, rel=0.01)


def test_a_window_links_to_its_slowest_its_dearest_and_its_latest_failed_calls(make_call: MakeCall) -> None:
    slow = [make_call(duration_s=float(n), span_ids=(f"{n:016x}",)) for n in range(1, 6)]
    dear = make_call(cost_usd=3.0, cost_basis=CostBasis.EXACT, duration_s=0.1, span_ids=("d" * 16,))
    failed = make_call(error=True, span_ids=("f" * 16,))
    exemplars = window_from_json(0, series_of(CALL), window_to_json(window_of(*slow, dear, failed))).exemplars
    assert [one.value for one in exemplars.of(Kind.SLOWEST)] == [5.0, 4.0, 3.0]
    assert [one.span_id for one in exemplars.of(Kind.DEAREST)] == ["d" * 16]
    assert [one.span_id for one in exemplars.of(Kind.FAILED)] == ["f" * 16]


def test_values_of_a_chosen_attribute_beyond_the_limit_are_counted_together(make_call: MakeCall) -> None:
    users = [make_call(chosen=(("user.id", f"u{n}"),)) for n in range(VALUES_MAX + 5)]
    by_user = window_of(*users).chosen.of("user.id")
    assert (len(by_user), by_user[OTHER_VALUES].calls) == (VALUES_MAX + 1, 5)


def test_fewer_values_are_told_apart_where_asked_for_and_those_that_cost_most_stay(
    make_call: MakeCall,
) -> None:
    calls = [
        make_call(chosen=(("user.id", f"u{n}"),), cost_usd=float(n), cost_basis=CostBasis.EXACT)
        for n in range(10)
    ]
    tallies = window_of(*calls).chosen
    assert tallies.cut(3) == 7
    by_user = tallies.of("user.id")
    assert {value: tally.calls for value, tally in by_user.items()} == {
        "u9": 1,
        "u8": 1,
        "u7": 1,
        OTHER_VALUES: 7,
    }
    assert by_user[OTHER_VALUES].cost_usd == sum(range(7))
