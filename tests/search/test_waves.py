"""What happens within a wave: rounds, the check on train, the sample, crossover, and parents."""

from types import ModuleType

import pytest
from msgspec.structs import replace

from runbookopt import runbook as runbooks
from runbookopt.search.asks import Attempt, Proposal, Reflection, Rollout
from runbookopt.search.reflection import difference

BEST = "kept: new best somewhere on validation"

# Rounds -----------------------------------------------------------------------------------------------------


def test_the_second_round_reflects_on_what_the_draft_of_the_first_still_fails(lessons: ModuleType) -> None:
    heard = lessons.run()
    first, second = [ask for ask in heard.asks if ask.reflections][:2]
    draft = second.reflections[0].candidate
    learnt = [lessons.number(asked.failing[0].task) for asked in first.reflections]
    assert all(f"lesson {number}." in draft.text for number in learnt)
    for asked in second.reflections:
        assert asked.candidate == draft
        assert all(one.trajectory.endswith(draft.digest[-6:]) for one in (*asked.failing, *asked.passing))
        assert not {lessons.number(one.task) for one in asked.failing} & set(learnt)


def test_the_second_round_is_told_the_edits_of_the_first_as_part_of_the_text(lessons: ModuleType) -> None:
    heard = lessons.run()
    first, second = [ask for ask in heard.asks if ask.reflections][:2]
    assert {asked.lineage for asked in first.reflections} == {()}
    told = {(one.diagnosis, one.outcome) for asked in second.reflections for one in asked.lineage}
    learnt = [f"lesson {lessons.number(asked.failing[0].task)}." for asked in first.reflections]
    assert told == {(lesson, "part of the text as it stands") for lesson in learnt}


def test_what_is_rejected_in_the_first_round_is_told_in_the_second(lessons: ModuleType) -> None:
    def reflect(asked: Reflection) -> Proposal:
        return lessons.teach(asked, 3 if asked.candidate == lessons.SEED else 5)

    _, second = [ask for ask in lessons.run(reflect).asks if ask.reflections][:2]
    repeat = "rejected without a rollout: it repeats an earlier attempt"
    outcomes = [one.outcome for one in second.reflections[0].lineage]
    assert outcomes == [repeat, repeat, "part of the text as it stands"]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_candidate_carries_the_edits_of_so_many_rounds(lessons: ModuleType, rounds: int) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30), rounds=rounds))
    _, first, second, *_ = heard.found.pool
    assert (len(first.edits), len(second.edits)) == (3 * rounds, 3 * rounds)
    assert all(edit.diagnosis in first.candidate.text for edit in first.edits)
    assert (first.parents, first.wave) == ((0,), 1)


def test_a_first_round_alone_is_validated_without_a_rollout_on_train(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.optioned(rounds=1))
    validated = [ask.rollouts[0].task[0] for ask in heard.asks[:4] if ask.rollouts]
    assert validated == ["v", "t", "v"]


def test_a_second_round_that_proposes_nothing_leaves_the_draft_of_the_first(lessons: ModuleType) -> None:
    heard = lessons.run(
        lambda asked: lessons.teaching(asked) if asked.candidate == lessons.SEED else lessons.REFUSED
    )
    assert [len(member.edits) for member in heard.found.pool] == [0, 3]


def test_a_draft_that_solves_its_whole_sample_is_validated(lessons: ModuleType) -> None:
    problem = lessons.of_train(range(30), sample=4, learned=4, minibatch=4, patience=1)
    heard = lessons.run(lessons.teaching_all, problem)
    assert len(heard.found.pool) > 1
    assert heard.on("t", heard.found.pool[1].candidate)


def test_a_draft_that_solves_all_of_train_is_validated_though_validation_was_solved(
    lessons: ModuleType,
) -> None:
    def judge(rollout: Rollout) -> Attempt:
        return lessons.scored(rollout, 1.0) if rollout.task[0] == "v" else lessons.attempt(rollout)

    heard = lessons.run(lessons.teaching_all, lessons.optioned(wave=9), judge)
    assert all(f"lesson {number}." in heard.found.pool[1].candidate.text for number in range(9))


# The sample -------------------------------------------------------------------------------------------------


def test_no_candidate_with_failures_is_tried_on_more_train_tasks_than_the_sample(
    lessons: ModuleType,
) -> None:
    for seed in range(5):
        heard = lessons.run(problem=lessons.of_train(range(20, 60), sample=7, learned=7, random_seed=seed))
        candidates = {one.candidate for one in heard.rollouts}
        assert {len(heard.on("t", one)) for one in candidates} <= {0, 7}
        assert len(heard.on("t", lessons.SEED)) == 7


def test_a_draft_is_tried_on_what_its_parent_was_tried_on(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30), sample=7, learned=7, patience=1))
    draft = [ask for ask in heard.asks if ask.reflections][1].reflections[0].candidate
    assert sorted(heard.on("t", draft)) == sorted(heard.on("t", lessons.SEED))


@pytest.mark.parametrize(("known", "asked"), [(0, 8), (5, 3), (8, 0), (20, 0)])
def test_known_train_tasks_count_as_part_of_the_sample(lessons: ModuleType, known: int, asked: int) -> None:
    problem = lessons.of_train(range(30), sample=8, learned=8, patience=1)
    free = {f"t{n}": lessons.attempt(Rollout(lessons.SEED, f"t{n}")) for n in range(known)}
    heard = lessons.run(problem=replace(problem, free=free))
    assert len(heard.on("t", lessons.SEED)) == asked
    draft = [ask for ask in heard.asks if ask.reflections][1].reflections[0].candidate
    assert len(heard.on("t", draft)) == 8


def test_the_sample_is_widened_step_by_step_until_something_fails(lessons: ModuleType) -> None:
    def judge(rollout: Rollout) -> Attempt:
        return lessons.scored(rollout, float(rollout.task != "t29"))

    heard = lessons.run(problem=lessons.of_train(range(30), sample=4, learned=4), judge=judge)
    first = next(number for number, ask in enumerate(heard.asks) if ask.reflections)
    tried = [[one.task for one in ask.rollouts] for ask in heard.asks[1:first]]
    assert {len(tasks) for tasks in tried[:-1]} == {4}
    assert len(tried[-1]) <= 4
    assert ["t29" in tasks for tasks in tried] == [False] * (len(tried) - 1) + [True]
    assert [one.task for one in heard.asks[first].reflections[0].failing] == ["t29"]


def test_a_candidate_that_fails_nowhere_is_tried_on_all_of_train(lessons: ModuleType) -> None:
    heard = lessons.run(
        problem=lessons.of_train(range(30), sample=4, learned=4),
        judge=lambda rollout: lessons.scored(rollout, 1.0),
    )
    assert sorted(heard.on("t", lessons.SEED)) == sorted(f"t{n}" for n in range(30))


def test_tasks_whose_inputs_are_objects_are_searched_as_well(lessons: ModuleType) -> None:
    train = {task: {"message": [told]} for task, told in lessons.TRAIN.items()}
    heard = lessons.run(problem=replace(lessons.PROBLEM, train=train))
    assert heard.found.ended == "every task is solved"


# Crossover --------------------------------------------------------------------------------------------------


def test_a_round_that_would_outgrow_the_cap_drops_the_edits_from_fewest_failures(lessons: ModuleType) -> None:
    problem = lessons.of_train((0, 2, 4, 6, 8, 10, 1), minibatch=3, rounds=1, patience=1)
    line = len("\n- This is lesson 0.")
    heard = lessons.run(problem=lessons.optioned(problem, share=0.0, characters=2 * line + 4))
    assert [len(asked.failing) for asked in heard.reflections[:3]] == [3, 1, 3]
    assert (heard.found.tried[0].diagnosis, heard.outcomes[0]) == (
        "lesson 1.",
        "dropped: with the others it was too much",
    )
    assert len(heard.found.pool[1].edits) == 2


def test_edits_that_are_allowed_alone_and_not_together_are_not_tried_together(lessons: ModuleType) -> None:
    def text(*lines: str) -> str:
        return "## Lessons\n\n" + "".join(f"- {line}\n" for line in lines) + "\n"

    before = text("Ask {{customer}}.", "Be kind.", "Be quick.")
    moving = text("Ask.", "Be kind.", "Be quick with {{customer}}.")  # its last line loses to the other's
    other = text("Ask {{customer}}.", "Be kind.", "Be very quick.")
    seed = runbooks.parse(lessons.TEXT.replace(lessons.OWN, before))
    problem = replace(lessons.of_train((0, 2, 1), rounds=1, patience=1), seed=seed)
    heard = lessons.run(
        lambda asked: Proposal("x", "lessons", other if len(asked.failing) == 2 else moving), problem
    )
    assert (heard.found.tried[0].change, heard.outcomes[0]) == (
        difference(before, moving),
        "dropped: with the others it was too much",
    )
    assert heard.found.pool[1].candidate.text == lessons.TEXT.replace(lessons.OWN, other)


@pytest.mark.parametrize(("taken", "left"), [("kinder", "quicker"), ("quicker", "kinder")])
def test_of_two_edits_of_one_line_the_one_from_more_failures_is_taken(
    lessons: ModuleType, taken: str, left: str
) -> None:
    def reflect(asked: Reflection) -> Proposal:
        word = taken if len(asked.failing) == 2 else left
        return Proposal(word, "lessons", lessons.OWN.replace("kind", word))

    heard = lessons.run(reflect, lessons.of_train((0, 2, 1), rounds=1, patience=1))
    assert heard.found.pool[1].candidate.text == lessons.TEXT.replace("kind", taken)


def test_uncrossed_the_edit_from_most_failures_is_taken_alone(lessons: ModuleType) -> None:
    problem = lessons.of_train((0, 2, 4, 6, 1, 3), minibatch=4, rounds=1, crossed=False)
    pool = lessons.run(problem=problem).found.pool
    assert {len(member.edits) for member in pool[1:]} == {1}
    assert pool[1].edits[0].diagnosis in {"lesson 0.", "lesson 2.", "lesson 4.", "lesson 6."}


def test_an_edit_back_to_a_member_of_the_pool_is_remembered_and_not_validated_again(
    lessons: ModuleType,
) -> None:
    def reflect(asked: Reflection) -> Proposal:
        back = Proposal("back", "lessons", lessons.OWN)
        return lessons.teach(asked, 3) if asked.candidate == lessons.SEED else back

    problem = lessons.optioned(rounds=1, wave=1, patience=3)
    heard = lessons.run(reflect, problem)
    assert len(heard.found.pool) == 2
    proposed = sum(len(reply.reflections) for reply in heard.replies)
    assert len(heard.found.tried) == proposed


# Parents ----------------------------------------------------------------------------------------------------


def test_the_best_of_the_pool_is_always_the_parent(lessons: ModuleType) -> None:
    for seed in range(5):
        heard = lessons.run(problem=lessons.of_train(range(20), random_seed=seed))
        pool = heard.found.pool
        assert len(pool) > 2
        for size, made in enumerate(pool[1:], 1):
            assert made.parents == (max(range(size), key=lambda one: (pool[one].score, one)),)


def test_a_parent_is_tried_on_more_train_tasks_than_a_draft(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(40), learned=20, sample=6, patience=1, wave=2))
    tried = {len(heard.on("t", candidate)) for candidate in {one.candidate for one in heard.rollouts}}
    assert len(heard.on("t", lessons.SEED)) == 20
    assert {6, 20} <= tried
