"""What the page says of the daemon's own problems, and what the log hears of them."""

from datetime import UTC, datetime, timedelta

from monitor.problems import KEPT, LOGGED_AGAIN, PROBLEMS_MAX, Problems

LATE = "canaries/bot did not start when it was due: still running."


def test_a_problem_of_every_second_is_one_line_and_seldom_a_log_line(clock) -> None:
    problems, logged = Problems(), 0
    for _ in range(3600):
        logged += problems.report(LATE, clock.now())
        clock.advance(1)
    assert logged == 6
    assert problems.shown(clock.now()) == (
        f"2026-03-02 12:59:59 UTC: {LATE} (3,600 times since 2026-03-02 12:00:00 UTC)",
    )


def test_the_newest_problem_stands_first(clock) -> None:
    problems = Problems()
    for sentence in ("a.", "b.", "a."):
        problems.report(sentence, clock.now())
        clock.advance(1)
    assert [line.split("UTC: ")[1][:2] for line in problems.shown(clock.now())] == ["a.", "b."]


def test_a_problem_that_is_over_leaves_the_page_and_is_news_when_it_comes_back(clock) -> None:
    problems = Problems()
    problems.report(LATE, clock.now())
    clock.advance(KEPT.total_seconds())
    assert problems.shown(clock.now())
    clock.advance(1)
    assert problems.shown(clock.now()) == ()
    assert problems.report(LATE, clock.now())


def test_many_different_problems_are_bounded(clock) -> None:
    problems = Problems()
    for number in range(10 * PROBLEMS_MAX):
        problems.report(f"problem {number}.", clock.now())
    shown = problems.shown(clock.now())
    assert len(shown) == PROBLEMS_MAX
    assert shown[0].endswith(f"problem {10 * PROBLEMS_MAX - 1}.")


def test_a_clock_that_goes_back_silences_no_problem(clock) -> None:
    problems = Problems()
    problems.report(LATE, clock.now())
    clock.advance(-86_400)
    assert problems.report(LATE, clock.now())
    assert not problems.report(LATE, clock.now() + LOGGED_AGAIN - timedelta(seconds=1))
    assert problems.shown(clock.now()) == (
        f"2026-03-01 12:09:59 UTC: {LATE} (3 times since 2026-03-02 12:00:00 UTC)",
    )


def test_the_page_may_look_from_another_thread_while_problems_are_reported(clock) -> None:
    problems = Problems()

    class Interrupted(datetime):
        """A time whose comparison lets another thread have its turn."""

        def __sub__(self, other):
            problems.report(f"problem {len(problems.shown(clock.now()))}.", clock.now())
            return clock.now() - other

    for sentence in ("a.", "b."):
        problems.report(sentence, clock.now())
    assert len(problems.shown(Interrupted.fromtimestamp(0, UTC))) == 2
    assert len(problems.shown(clock.now())) == 4
