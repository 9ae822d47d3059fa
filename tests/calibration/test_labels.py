from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.calibration.labels import (
    between_raters,
    disagreements,
    for_testing,
    gold,
    label_digest,
    part_of,
    standing,
)
from runbookopt.evidence.trajectory import Label

ONE = Label("t1", "polite", "pass", by="mara", at="2026-11-01", split="test")


def test_what_is_said_twice_counts_once() -> None:
    assert len(standing([ONE, ONE, replace(ONE, explanation="other words")])) == 1


def test_a_label_takes_the_place_of_the_one_that_it_supersedes() -> None:
    changed = replace(ONE, result="fail", at=None, supersedes=label_digest(ONE))
    for order in ([ONE, changed], [changed, ONE]):
        assert [each.result for each in standing(order)] == ["fail"]


def test_nobody_takes_back_what_another_one_said() -> None:
    other = replace(ONE, result="fail", by="omar", supersedes=label_digest(ONE))
    elsewhere = replace(ONE, trajectory="t2", supersedes=label_digest(ONE))
    assert len(standing([ONE, other, elsewhere])) == 3


def test_the_later_word_of_one_person_counts() -> None:
    later = replace(ONE, result="fail", at="2026-11-02T08:00:00Z")
    for order in ([ONE, later], [later, ONE]):
        assert [each.result for each in standing(order)] == ["fail"]


def test_people_without_a_name_are_not_told_apart() -> None:
    lines = [replace(ONE, by=None), replace(ONE, by=None, result="fail")]
    assert [each.result for each in standing(lines)] == ["pass", "fail"]
    assert len(disagreements(standing(lines))) == 1


def test_two_people_who_disagree_give_no_gold_and_one_who_is_unsure_takes_nothing_away() -> None:
    unsure = replace(ONE, by="lena", result="unsure")
    (agreed,) = gold(standing([ONE, unsure]))
    assert (agreed.result, agreed.raters, agreed.disputed) == ("pass", ("mara",), False)
    ratings = standing([ONE, unsure, replace(ONE, by="omar", result="fail")])
    (disputed,) = gold(ratings)
    assert (disputed.result, disputed.disputed) == (None, True)
    assert for_testing(ratings) == ()
    assert [set(pair) for pair in between_raters(ratings)] == [{"pass", "fail"}]


def test_an_example_is_never_tested_on_and_nor_is_a_label_given_after_the_verdict() -> None:
    shown = replace(ONE, trajectory="t2", split="examples")
    again = replace(shown, by="omar", split="test")
    after = replace(ONE, trajectory="t3", saw_verdict=True)
    blind = replace(after, by="omar", saw_verdict=False)
    ratings = standing([ONE, shown, again, after])
    assert [each.trajectory for each in for_testing(ratings)] == ["t1"]
    assert [each.trajectory for each in for_testing(standing([after, blind]))] == ["t3"]


def test_what_was_drawn_to_teach_is_no_sample_of_all() -> None:
    drawn = [replace(ONE, frame="representative"), replace(ONE, by="omar", frame="discovery")]
    assert [each.frame for each in gold(standing(drawn))] == ["discovery"]


def test_about_three_of_ten_are_examples_and_no_other_label_moves_one() -> None:
    parts = [part_of(f"t{number}", "polite", None) for number in range(2000)]
    assert 520 < parts.count("examples") < 680
    assert part_of("t1", "polite", "examples") == "examples"


@given(st.lists(st.sampled_from(["pass", "fail", "unsure"]), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_lines_of_named_people_does_not_matter(results: list[str], rng) -> None:  # noqa: ANN001
    lines = [
        replace(ONE, result=result, by=f"rater {number % 3}", at=f"2026-11-0{number + 1}")
        for number, result in enumerate(results)
    ]
    shuffled = [*lines]
    rng.shuffle(shuffled)
    assert {each.digest for each in standing(shuffled)} == {each.digest for each in standing(lines)}
    assert {each.result for each in gold(standing(shuffled))} == {
        each.result for each in gold(standing(lines))
    }
