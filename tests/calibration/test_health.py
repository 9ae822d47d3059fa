from hypothesis import given
from hypothesis import strategies as st

from runbookopt.calibration.deciding import Standing
from runbookopt.calibration.health import Health, failed_calls, noise_of, spread
from runbookopt.documents.usage import Usage, Used
from runbookopt.proof.comparison import Outcome, Pair

SOUND = Health(0.05, 1, 3, 0.25, 0, (Standing("kind", "gates"), Standing("tone", "advisory")))


def test_a_measurement_is_broken_above_the_errors_that_a_proof_bears() -> None:
    assert SOUND.broken is None
    assert SOUND.line == (
        "sound; 5.0% not judged; 1 without a score; failed calls 3; noise"
        " 0.250; suspect references 0; criteria: kind gates, tone advisory"
    )
    broken = Health(0.06, 0, None, None, None, ())
    assert broken.line.startswith(
        "INVALID, the measurement is broken: 6% of the attempts could not be judged"
    )
    assert "failed calls unknown; noise unknown" in broken.line
    assert (broken.as_record()["valid"], SOUND.as_record()["valid"]) == (False, True)


def pair(*before: float) -> Pair:
    seed = tuple(Outcome(score, {}) for score in before)
    return Pair("t", "g", seed, (Outcome(1.0, {}),) * len(seed))


def test_noise_is_of_today_s_runbook_alone_and_unknown_where_each_task_was_tried_once() -> None:
    assert noise_of([pair(0.0, 1.0), pair(0.5, 0.5)], alike=False) == 0.5
    assert noise_of([pair(0.0), pair(1.0)], alike=False) is None
    assert noise_of([pair(0.0), pair(1.0)], alike=True) == 0.0


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=4), min_size=1, max_size=6))
def test_there_is_no_noise_where_all_attempts_come_out_alike(
    scores: list[list[float]],
) -> None:
    value = spread(scores)
    assert value is not None
    assert 0 <= value <= 1
    assert (value == 0) == all(len({*same}) == 1 for same in scores)


def test_failed_calls_are_unknown_where_no_role_says_how_it_fared() -> None:
    assert failed_calls(Used()) is None
    assert failed_calls(Used(agent=Usage(failures={"timeout": 2}), judge=Usage(failures={"server": 1}))) == 3
