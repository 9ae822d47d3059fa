from runbookopt.documents.usage import Spent
from runbookopt.engine.progress import FEW, Left, progress_of
from runbookopt.search.asks import SoFar

SPENT = Spent(rollouts=50, cached=10, reflections=5, tokens=1000, usd=2.0, seconds=100.0)


def test_what_is_left_is_expected_to_cost_and_take_what_the_rest_did() -> None:
    done = progress_of("searching", SPENT, Left(100, 50), 210, SoFar(0.5, 0.75))
    assert (done.tokens, done.tokens_at_most, done.usd, done.usd_at_most) == (1000, 4000, 2.0, 8.0)
    assert (done.seconds_left, done.budget, done.scores) == (300.0, 210, SoFar(0.5, 0.75))


def test_limits_of_time_and_dollars_bound_what_is_expected() -> None:
    done = progress_of("searching", SPENT, Left(100, 50, seconds=30.0, usd=1.5), 210, None)
    assert (done.seconds_left, done.usd_at_most) == (130.0, 3.5)
    late = progress_of("searching", SPENT, Left(100, 50, seconds=-5.0, usd=-1.0), 210, None)
    assert (late.seconds_left, late.usd_at_most) == (100.0, 2.0)


def test_what_nobody_knows_is_not_estimated() -> None:
    first = progress_of("searching", Spent(FEW - 1, 0, 0, 9, 9.0, 9.0), Left(100, 50), 210, None)
    assert (first.tokens_at_most, first.usd_at_most, first.seconds_left) == (None, None, None)
    unpriced = progress_of("proving", Spent(50, 0, 0, 1000, None, 100.0), Left(0, 50), 100, None)
    assert (unpriced.tokens_at_most, unpriced.usd, unpriced.usd_at_most) == (2000, None, None)
