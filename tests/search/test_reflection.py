from collections.abc import Mapping
from random import Random
from types import ModuleType

import pytest
from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import Attempt, Kind, Rollout
from runbookopt.search.changes import difference
from runbookopt.search.minibatches import Minibatch, minibatches
from runbookopt.search.pool import lineage
from runbookopt.search.problem import Problem
from runbookopt.search.validating import BEST, NO_BETTER

OWN = "## Lessons\n\n- Be kind to {{customer}}.\n\n"
LONG = "my neighbour took the parcel in and has now gone on holiday"

# What a reflector is shown ----------------------------------------------------------------------------------


def test_reflections_are_asked_about_train_tasks_alone(lessons: ModuleType) -> None:
    shown = [one for asked in lessons.run().reflections for one in (*asked.failing, *asked.passing)]
    assert {one.task for one in shown} <= set(lessons.TRAIN)
    assert all(one.input == lessons.TRAIN[one.task] for one in shown)


def test_a_reflection_shows_failures_of_one_kind_and_some_that_pass(lessons: ModuleType) -> None:
    reflections = lessons.run().reflections
    for asked in reflections:
        assert len({one.feedback for one in asked.failing}) == 1
        assert not any(one.feedback for one in asked.passing)
        assert (0 < len(asked.failing) <= 2, len(asked.passing) <= 2) == (True, True)
    assert max(len(asked.passing) for asked in reflections) == 2


def test_a_reflection_shows_what_this_candidate_did_and_all_that_may_be_rewritten(
    lessons: ModuleType,
) -> None:
    for asked in lessons.run().reflections:
        mark = asked.candidate.digest[-6:]
        assert all(one.trajectory.endswith(mark) for one in (*asked.failing, *asked.passing))
        parts = runbooks.reparse(lessons.PROBLEM.seed, asked.candidate.text).components
        assert [one.text for one in asked.components] == [part.text for part in parts]
        assert {one.id for one in asked.components} == {"preamble", "lessons"}


def test_a_reflection_tells_what_fails_in_all_and_what_each_reviewer_of_the_wave_looks_at(
    lessons: ModuleType,
) -> None:
    problem = replace(lessons.of_train((0, 2, 4, 6, 1, 3), minibatch=2, wave=3), agent="A model.")
    first = next(ask.reflections for ask in lessons.run(problem=problem).asks if ask.reflections)
    even, odd = (f"right: expected {number}, got nothing" for number in (0, 1))
    wave = ((Kind(even, 2),), (Kind(odd, 2),), (Kind(even, 2),))
    for number, asked in enumerate(first):
        assert (asked.agent, asked.tasks, asked.failed, asked.reviewer) == ("A model.", 6, 6, number)
        assert (asked.kinds, asked.wave) == ((Kind(even, 4), Kind(odd, 2)), wave)


def test_what_came_instead_is_told_where_it_came_several_times(lessons: ModuleType) -> None:
    def judge(rollout: Rollout) -> Attempt:
        number = lessons.number(rollout.task)
        got = f"right: expected {number % 2}, got {'late' if number < 4 else number}"
        return Attempt(rollout.task, "", 0.0, {}, (got,))

    heard = lessons.run(judge=judge, problem=lessons.of_train(range(0, 12, 2)))
    assert heard.reflections[0].kinds == (Kind("right: expected 0, got late (2)", 6),)


def test_what_decides_nothing_is_shown_apart_and_makes_no_failure(lessons: ModuleType) -> None:
    advice = ("kind: it is curt",)

    def judge(rollout: Rollout) -> Attempt:
        fails = lessons.number(rollout.task) % 2
        told = ("right: expected 0, got 1",) if fails else ()
        return Attempt(rollout.task, "", 1.0 - fails, {}, told, advice=advice)

    (asked, *_) = lessons.run(judge=judge).reflections
    assert {one.advice for one in (*asked.failing, *asked.passing)} == {advice}
    assert {one.feedback for one in asked.failing} == {("right: expected 0, got 1",)}
    assert {lessons.number(one.task) % 2 for one in asked.passing} == {0}
    assert [kind.feedback.partition(":")[0] for kind in asked.kinds] == ["right"]


def test_each_kind_has_its_turn_and_the_one_with_most_failures_comes_first(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train((0, 2, 4, 6, 1, 3), minibatch=2, wave=3))
    first = next(ask.reflections for ask in heard.asks if ask.reflections)
    kinds = [lessons.number(asked.failing[0].task) % 2 for asked in first]
    assert kinds == [0, 1, 0]


def test_a_failure_mode_that_a_person_named_sets_the_kinds(lessons: ModuleType) -> None:
    modes = {task: "late" if lessons.number(task) < 4 else "lost" for task in lessons.TRAIN}
    heard = lessons.run(problem=replace(lessons.PROBLEM, modes=modes))
    assert [len({modes[one.task] for one in asked.failing}) for asked in heard.reflections[:3]] == [1, 1, 1]
    assert any(len({one.feedback for one in asked.failing}) == 2 for asked in heard.reflections)


def test_where_kinds_are_not_grouped_failures_come_as_they_fall(lessons: ModuleType) -> None:
    modes = {task: task for task in lessons.TRAIN}
    problem = lessons.optioned(grouped=False, minibatch=9)
    (first, *_) = lessons.run(problem=replace(problem, modes=modes)).reflections
    assert {one.task for one in first.failing} == set(lessons.TRAIN)


def batches_of(problem: Problem, attempts: Mapping[str, Attempt]) -> list[Minibatch]:
    return minibatches(problem, attempts, {}, Random(0))


def failing(told: str) -> Attempt:
    return Attempt("t", "", 0.0, {"accuracy": 0.0}, (f"right: expected {told}",))


def test_feedback_that_nobody_shares_joins_what_expected_the_same(lessons: ModuleType) -> None:
    told = ["a, got x", "a, got x", "a, got y", "a, got z", "b, got x"]
    problem = lessons.optioned(minibatch=9)
    batches = batches_of(problem, {f"t-{number}": failing(each) for number, each in enumerate(told)})
    assert [sorted(batch.failing) for batch in batches] == [["t-0", "t-1"], ["t-2", "t-3"], ["t-4"]]


def test_what_fails_several_criteria_is_of_several_kinds(lessons: ModuleType) -> None:
    told = {"t-0": ("a", "b"), "t-1": ("a", "c"), "t-2": ("b",), "t-3": ("b", "a"), "t-4": ("b",)}
    for every, kinds in ((True, ["0123"[:2] + "3", "0234"]), (False, ["01", "234"])):
        problem = lessons.optioned(minibatch=9, every=every, apart=1)
        batches = batches_of(problem, {task: failing_in(*of) for task, of in told.items()})
        assert sorted("".join(sorted(one[-1] for one in batch.failing)) for batch in batches) == kinds


def test_a_criterion_that_fails_only_behind_another_makes_no_kind(lessons: ModuleType) -> None:
    problem = lessons.optioned(minibatch=9)
    batches = batches_of(problem, {f"t-{number}": failing_in("a", "b") for number in range(4)})
    assert [sorted(batch.failing) for batch in batches] == [["t-0", "t-1", "t-2", "t-3"]]


@pytest.mark.parametrize(("waits", "small"), [(0.0, True), (0.5, False)])
@pytest.mark.parametrize("alone", [False, True])
def test_a_small_kind_waits_where_larger_ones_have_all_of_its_failures(
    lessons: ModuleType, waits: float, *, small: bool, alone: bool
) -> None:
    attempts = {f"t-{number}": failing_in("a") for number in range(6)} | {"t-6": failing_in("b", "a")}
    if alone:
        attempts["t-7"] = failing_in("b")
    problem = lessons.optioned(minibatch=9, waits=waits, apart=1)
    first, *rest = batches_of(problem, attempts)
    assert len(first.failing) == 7
    assert [len(batch.failing) for batch in rest] == ([1 + alone] if small or alone else [])


@pytest.mark.parametrize("contrast", [0, 1, 4])
def test_beside_a_kind_stand_failures_that_meet_its_criterion(lessons: ModuleType, contrast: int) -> None:
    attempts = {f"a-{number}": failing_in("a") for number in range(3)}
    attempts |= {f"b-{number}": failing_in("b") for number in range(5)}
    attempts |= {f"c-{number}": failing_in("c", "a") for number in range(5)}
    problem = lessons.optioned(minibatch=9, contrast=contrast)
    (drawn,) = (batch.contrast for batch in batches_of(problem, attempts) if "a-0" in batch.failing)
    assert {task[0] for task in drawn} <= {"b"}  # c fails it too
    assert len(set(drawn)) == contrast


def test_nothing_is_expected_as_often_in_contrast_as_in_the_kind(lessons: ModuleType) -> None:
    attempts = {f"a-{number}": failing_in("a") for number in range(3)}
    attempts |= {f"b-{number}": failing_in("b") for number in range(5)}
    batches = batches_of(lessons.optioned(minibatch=9, contrast=12), attempts)
    assert [len(batch.contrast) for batch in batches] == [3, 2]


def test_of_reasons_in_other_words_no_criterion_stands_as_often_in_contrast(lessons: ModuleType) -> None:
    def judged(criterion: str, number: int) -> Attempt:
        return Attempt("t", "", 0.0, {"accuracy": 0.0}, (f"{criterion}: reason {number}",))

    attempts = {f"a-{number}": failing_in("a") for number in range(3)}
    attempts |= {f"b-{number}": judged("b", number) for number in range(8)}
    (drawn,) = (
        batch.contrast
        for batch in batches_of(lessons.optioned(minibatch=9), attempts)
        if "a-0" in batch.failing
    )
    assert len(drawn) == 2


def test_a_reflector_is_shown_the_contrast_behind_the_failures_of_its_kind(lessons: ModuleType) -> None:
    def judge(rollout: Rollout) -> Attempt:
        criterion = "ab"[lessons.number(rollout.task) % 2]
        return replace(lessons.scored(rollout, 0.0), feedback=(f"{criterion}: expected x, got y",))

    heard = lessons.run(problem=lessons.optioned(contrast=1), judge=judge)
    for asked in heard.asks[2].reflections:
        *own, other = (one.feedback for one in asked.failing)
        assert len(own) == 2
        assert set(own) != {other}
    assert heard.asks[2].reflections


def failing_in(*criteria: str) -> Attempt:
    return Attempt("t", "", 0.0, {"accuracy": 0.0}, tuple(f"{one}: expected x, got y" for one in criteria))


def test_where_all_is_too_much_the_edits_that_are_needed_least_go(lessons: ModuleType) -> None:
    """Of three kinds the second has no failure of its own."""

    def judge(rollout: Rollout) -> Attempt:
        criteria = {"t0": "a", "t1": "ab", "t2": "ba", "t3": "a", "t4": "c", "v0": "a"}[rollout.task]
        lines = tuple(f"{one}: expected x, got y" for one in criteria)
        return replace(lessons.scored(rollout, 0.0), feedback=lines)

    room = 2 * len("- This is lesson 0.\n")
    told = lessons.of_train(range(5), minibatch=9, wave=4, patience=1, characters=room, share=0, contrast=0)
    reflect = lessons.for_all(lessons.teaching)
    heard = lessons.run(reflect, replace(told, validation=("v0",)), judge)
    assert [len(asked.failing) for asked in heard.asks[2].reflections] == [4, 2, 1]
    assert sorted(len(edit.shown) for edit in heard.found.pool[1].edits) == [1, 4]


def test_what_the_verifier_could_not_judge_is_not_reflected_on(lessons: ModuleType) -> None:
    unjudged = Attempt("t-7", "", 0.0, {"accuracy": 0.0}, ("right: no reference",), errors=1)
    assert (unjudged.passed, unjudged.failed) == (False, False)
    for free, reflected in (({}, True), ({"t7": unjudged}, False)):
        heard = lessons.run(problem=replace(lessons.optioned(wave=9), free=free))
        asked = [ask for ask in heard.reflections if ask.candidate == lessons.SEED]
        failing = {shown.task for ask in asked for shown in ask.failing}
        passing = {shown.task for ask in asked for shown in ask.passing}
        assert ("t7" in failing, "t7" in passing, "t6" in failing) == (reflected, False, True)


@pytest.mark.parametrize(("share", "characters", "more"), [(0.5, 10, len(OWN)), (0.1, 77, 77), (0.0, 0, 0)])
def test_a_reflector_is_told_how_long_the_whole_may_grow(
    lessons: ModuleType, share: float, characters: int, more: int
) -> None:
    heard = lessons.run(problem=lessons.optioned(share=share, characters=characters))
    expected = len(lessons.TEXT) + (len(lessons.TEXT) // 2 if share == 0.5 else more)
    assert {asked.length_budget for asked in heard.reflections} == {expected}


def test_of_a_lineage_no_more_is_shown_than_is_asked_for(lessons: ModuleType) -> None:
    heard = lessons.run(lessons.saying("lessons", OWN), lessons.optioned(remembered=4, patience=5))
    assert max(len(asked.lineage) for asked in heard.reflections) == 4
    learning = lessons.run(problem=lessons.of_train(range(30), remembered=4))
    assert max(len(asked.lineage) for asked in learning.reflections) == 4


def test_nothing_is_remembered_where_nothing_is_asked_for(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.optioned(remembered=0))
    assert all(asked.lineage == () for asked in heard.reflections)


def test_a_later_wave_is_told_what_became_of_the_edits_of_its_lineage(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30), doubt=1.0, random_seed=2))
    child = heard.found.pool[2]
    (first, *_) = [asked for asked in heard.reflections if asked.candidate == child.candidate]
    made = [*heard.found.pool[1].edits, *child.edits]
    assert [one.diagnosis for one in first.lineage] == [edit.diagnosis for edit in made]
    assert {one.outcome for one in first.lineage} == {BEST}


def test_edits_of_another_line_are_not_shown(lessons: ModuleType) -> None:
    for seed in range(5):
        heard = lessons.run(problem=lessons.of_train(range(30), random_seed=seed))
        pool = heard.found.pool
        for asked in heard.reflections:
            line = lineage(pool, next(n for n, one in enumerate(pool) if one.candidate == asked.candidate))
            texts = {pool[number].candidate for number in line}
            tried = {edit.diagnosis for candidate, edit in heard.proposed if candidate in texts}
            assert {one.diagnosis for one in asked.lineage} <= tried


# What is rejected without a rollout -------------------------------------------------------------------------

REJECTED = {
    "no such part": ("nonsense", "x", "'nonsense' is not a component that may be rewritten"),
    "locked": ("evaluation", "## Evaluation\n\nAlways.\n", "'evaluation' is not a component"),
    "front matter": ("front-matter", "---\nname: x\n---\n", "'front-matter' is not a component"),
    "echo but for blank lines": ("lessons", f"\n{OWN}\n\n", "it repeats the component as it is"),
    "copy": ("lessons", f"{OWN}- {LONG.upper()}!\n", "it copies 8 or more words of a single task"),
    "growth": ("lessons", OWN + "- More.\n" * 400, "characters, 31"),
    "token": ("lessons", "## Lessons\n\n- Be kind.\n", "template token"),
    "renamed": ("lessons", OWN.replace("Lessons", "Rules"), "is renamed"),
    "emptied": ("lessons", "", "part 'lessons' is gone"),
    "lock": ("lessons", OWN + "<!-- runbookopt: lock -->\n", "part 'lessons-2' is new"),
    "unlock": ("lessons", OWN + "<!-- runbookopt: unlock -->\n", "cannot be read"),
    "hidden": ("lessons", OWN + "- \u202etxet\n", "hidden text is brought in"),
    "half a character": ("lessons", OWN + "- \ud800\n", "half a character"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_may_not_be_tried_costs_no_rollout_and_is_remembered_with_the_reason(
    lessons: ModuleType, name: str
) -> None:
    component, text, reason = REJECTED[name]
    heard = lessons.run(lessons.saying(component, text))
    assert all(rollout.candidate == lessons.SEED for rollout in heard.rollouts)
    assert all(outcome.startswith("rejected without a rollout: ") for outcome in heard.outcomes)
    assert reason in heard.outcomes[0]
    assert heard.reflections[-1].lineage == heard.found.tried[: len(heard.reflections[-1].lineage)] != ()
    assert heard.found.chosen == 0


def test_a_repeat_of_an_earlier_attempt_or_of_a_sibling_is_rejected_unpaid(lessons: ModuleType) -> None:
    heard = lessons.run(lessons.saying("lessons", OWN.rstrip() + "\n- Be quick.\n"))
    repeat = "rejected without a rollout: it repeats an earlier attempt"
    assert heard.outcomes[:2] == [repeat, repeat]  # the siblings of the one that is tried
    assert heard.outcomes.count(NO_BETTER) == 1
    assert all("it repeats" in outcome for outcome in heard.outcomes if outcome != NO_BETTER)
    assert len({rollout.candidate for rollout in heard.rollouts}) == 2


def test_words_that_three_tasks_share_are_no_copy(lessons: ModuleType) -> None:
    said = "thank you very much for all of your kind help"

    def outcomes(sharing: int) -> list[str]:
        train = {**lessons.TRAIN, **{f"t{n}": f"{said} with parcel {n}" for n in range(sharing)}}
        problem = replace(lessons.PROBLEM, train=train)
        return lessons.run(lambda asked: lessons.teach(asked, 1, more=f" {said}"), problem).outcomes

    assert "it copies" not in str(outcomes(3))
    assert BEST in outcomes(3)
    assert BEST not in outcomes(2)
    assert "it copies 8 or more words" in outcomes(2)[0]


def test_words_of_a_task_that_stand_in_the_runbook_already_are_no_copy(lessons: ModuleType) -> None:
    seed = runbooks.parse(lessons.TEXT.replace("- Be kind", f"- {LONG}\n- Be kind"))
    heard = lessons.run(problem=replace(lessons.PROBLEM, seed=seed))
    assert "it copies" not in str(heard.outcomes)
    assert heard.found.ended == "every task is solved"


# What an edit changes ---------------------------------------------------------------------------------------


def test_an_edit_is_told_as_a_diff_with_a_line_around_each_change() -> None:
    before = "".join(f"line {number}\n" for number in range(9))
    after = before.replace("line 2\n", "").replace("line 7", "line seven")
    assert difference(before, after) == (
        "@@\n line 1\n-line 2\n line 3\n@@\n line 6\n-line 7\n+line seven\n line 8"
    )
    assert difference(before, before.replace("\n", "\r\n")) == difference(before, before) == ""
    assert difference("a\na\n", "a\na\na\n") == "@@\n a\n+a"
    assert difference("", "new\n") == "@@\n+new\n "
