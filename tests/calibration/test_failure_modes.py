from hypothesis import given
from hypothesis import strategies as st

from runbookopt.calibration.coverage import coverage
from runbookopt.calibration.failure_modes import about, items, mode_key, modes, speaking, unnamed, unseen
from runbookopt.calibration.labels import Rating, standing
from runbookopt.evidence.trajectory import Label


def failed(
    trajectory: str, mode: str | None, *, by: str = "ana", criterion: str = "tone", **more: str
) -> Label:
    return Label(trajectory, criterion, "fail", failure_mode=mode, by=by, **more)  # type: ignore[arg-type]


def passed(trajectory: str, *, by: str = "ana", criterion: str = "tone", **more: str) -> Label:
    return Label(trajectory, criterion, "pass", by=by, **more)  # type: ignore[arg-type]


def said(*labels: Label) -> tuple[Rating, ...]:
    return standing(labels)


def test_a_mode_is_the_same_in_whatever_capitals_it_is_written() -> None:
    (mode,) = modes(
        said(failed("t1", "No rule"), failed("t2", "no  rule"), failed("t3", "No rule"), passed("t4"))
    )
    assert (mode.key, mode.name, mode.failures, mode.passes) == ("no-rule", "No rule", 3, 1)


def test_every_name_gives_an_id_that_a_criterion_may_have() -> None:
    assert mode_key("Käse, zu spät!") == "kase-zu-spat"
    assert mode_key("日本").startswith("mode-")
    assert mode_key("日本") != mode_key("中国")
    assert len(mode_key("a" * 200)) == 80


def test_who_named_another_mode_or_passed_all_has_not_seen_this_one() -> None:
    ratings = said(
        failed("t1", "rude"),
        failed("t2", "late"),
        passed("t3"),
        failed("t4", None),
        Label("t5", "tone", "unsure", by="ana"),
    )
    assert [(each.trajectory, each.result) for each in about("rude", ratings)] == [
        ("t1", "fail"),
        ("t2", "pass"),
        ("t3", "pass"),
    ]


def test_a_label_on_the_mode_itself_says_more_than_what_else_was_named() -> None:
    ratings = said(failed("t1", "late"), failed("t1", None, criterion="rude"), passed("t2", criterion="rude"))
    assert [(each.trajectory, each.result) for each in about("rude", ratings)] == [
        ("t1", "fail"),
        ("t2", "pass"),
    ]


def test_raters_who_disagree_make_a_disputed_item_that_counts_as_neither() -> None:
    (mode,) = modes(said(failed("t1", "rude"), failed("t2", "rude"), passed("t2", by="ben")))
    assert (mode.failures, mode.passes, mode.disputed) == (1, 0, 1)


def test_a_mode_needs_labels_of_each_class_until_enough_are_held_out() -> None:
    few = said(failed("t1", "rude", split="test"), passed("t2", split="test"))
    (mode,) = modes(few)
    assert (mode.failures_needed, mode.passes_needed, mode.enough) == (20, 20, False)
    many = said(
        *(failed(f"f{n}", "rude", split="test") for n in range(15)),
        *(passed(f"p{n}", split="test") for n in range(15)),
    )
    assert modes(many)[0].enough


def test_a_label_whose_rater_saw_the_verdict_is_kept_for_no_test() -> None:
    label = Label("t1", "tone", "fail", failure_mode="rude", by="ana", split="test", saw_verdict=True)
    assert [item.part for item in items("rude", said(label))] == ["examples"]


def test_unseen_mass_is_good_and_turings_share_of_the_kinds_seen_once() -> None:
    labels = [failed(f"a{n}", "rude") for n in range(16)] + [failed(f"b{n}", "late") for n in range(6)]
    found = unseen(
        said(*labels, failed("c", "wrong name"), failed("d", "no greeting"), failed("e", "two asks"))
    )
    assert found is not None
    assert (found.share, found.once, found.failures) == (3 / 25, 3, 25)
    assert found.low < found.share < found.high
    assert "about 12 % of failures are of kinds nobody has named" in str(found)


def test_of_labels_drawn_as_all_are_the_unseen_mass_is_told_of_those_alone() -> None:
    drawn = [failed(f"a{n}", "rude", frame="representative") for n in range(8)]
    found = unseen(said(*drawn, failed("b", "late", frame="discovery")))
    assert found is not None
    assert (found.failures, found.representative, found.share) == (8, True, 0.0)
    assert 0.3 < found.high < 0.32  # 1 - .05^(1/8): nothing else was seen, and may be all the same
    assert unseen(said(passed("p"))) is None


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40))
def test_the_interval_holds_the_estimate(named: list[str]) -> None:
    found = unseen(said(*(failed(f"t{n}", mode) for n, mode in enumerate(named))))
    assert found is not None
    assert 0 <= found.low <= found.share <= found.high <= 1
    assert found.share == sum(named.count(mode) == 1 for mode in set(named)) / len(named)


def test_a_criterion_named_as_a_mode_is_held_against_the_labels_that_named_it() -> None:
    ratings = said(failed("t1", "Rude"), passed("t2"), failed("t3", None, criterion="rude"))
    more = speaking(["rude", "tone"], ratings)
    of_rude = {(each.trajectory, each.result) for each in more if each.criterion == "rude"}
    assert of_rude == {("t1", "fail"), ("t2", "pass"), ("t3", "fail")}
    assert speaking(["rude"], more) == more


def test_failures_without_a_name_are_told() -> None:
    assert unnamed(said(failed("t1", None), failed("t2", "rude"), failed("t2", None, criterion="facts"))) == (
        "t1",
    )


def test_coverage_counts_modes_and_failures_that_a_deciding_criterion_notices() -> None:
    ratings = said(
        *(failed(f"a{n}", "rude") for n in range(6)),
        *(failed(f"b{n}", "late", criterion="time") for n in range(3)),
        failed("c", None),
    )
    nothing = coverage(ratings, {"tone": "advisory"})
    assert (nothing.count, nothing.volume) == (0, 0)
    half = coverage(ratings, {"tone": "gates"})
    assert (half.count, half.volume) == (0.5, 0.6)
    assert "1 of 2 failure modes (50 %), which make 60 %" in str(half)
    assert "not late" in str(half)
    assert coverage(ratings, {"tone": "gates", "late": "exempt"}).count == 1


def test_a_criterion_that_passes_most_failures_of_a_mode_does_not_cover_it() -> None:
    ratings = said(*(failed(f"a{n}", "rude") for n in range(4)))
    missed = {("tone", f"a{n}"): "pass" for n in range(3)}
    assert coverage(ratings, {"tone": "gates"}, missed).count == 0
    assert coverage(ratings, {"tone": "gates"}, {("tone", "a0"): "pass"}).count == 1


def test_without_a_named_mode_coverage_is_not_known() -> None:
    found = coverage(said(passed("t1")), {"tone": "gates"})
    assert (found.count, found.volume) == (None, None)
    assert "not known" in str(found)


def test_a_check_against_a_reference_covers_no_mode_but_one_that_it_was_written_for() -> None:
    ratings = said(*(failed(f"a{n}", "rude") for n in range(4)))
    assert coverage(ratings, {"tone": "exempt"}).count == 0
    assert coverage(ratings, {"rude": "exempt"}).count == 1
