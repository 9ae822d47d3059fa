"""What happens within a wave: the parent on train, reflection, crossover, and parents."""

from types import ModuleType

import pytest
from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import Proposal, Reflection, Rollout
from runbookopt.search.changes import difference
from runbookopt.search.edits import LOST

BEST = "kept: new best somewhere on validation"

# Reflection -------------------------------------------------------------------------------------------------


def test_a_wave_reflects_on_what_its_parent_fails_on_train(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30)))
    first, second = [ask for ask in heard.asks if ask.reflections][:2]
    parent = heard.found.pool[1]
    assert {asked.candidate for asked in first.reflections} == {lessons.SEED}
    learnt = {lessons.number(asked.failing[0].task) for asked in first.reflections}
    assert all(f"lesson {number}." in parent.candidate.text for number in learnt)
    for asked in second.reflections:
        assert asked.candidate == parent.candidate
        assert all(
            one.trajectory.endswith(parent.candidate.digest[-6:]) for one in (*asked.failing, *asked.passing)
        )
        assert not {lessons.number(one.task) for one in asked.failing} & learnt


def test_what_came_of_the_edits_of_a_wave_is_told_in_the_next(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30)))
    first, second = [ask for ask in heard.asks if ask.reflections][:2]
    assert {asked.lineage for asked in first.reflections} == {()}
    told = {(one.diagnosis, one.outcome) for asked in second.reflections for one in asked.lineage}
    assert told == {(edit.diagnosis, BEST) for edit in heard.found.pool[1].edits}
    assert len(told) == 3


def test_what_is_rejected_in_a_wave_is_told_in_the_next(lessons: ModuleType) -> None:
    def reflect(asked: Reflection) -> Proposal:
        return lessons.teach(asked, 3 if asked.candidate == lessons.SEED else 5)

    _, second = [ask for ask in lessons.run(reflect).asks if ask.reflections][:2]
    repeat = "rejected without a rollout: it repeats an earlier attempt"
    assert [one.outcome for one in second.reflections[0].lineage] == [repeat, repeat, BEST]


def test_a_candidate_carries_the_edits_of_its_wave(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30)))
    _, first, second, *_ = heard.found.pool
    assert (len(first.edits), len(second.edits)) == (3, 3)
    assert all(edit.diagnosis in first.candidate.text for edit in first.edits)
    assert (first.parents, first.wave) == ((0,), 1)


def test_a_draft_is_validated_before_it_is_tried_on_train(lessons: ModuleType) -> None:
    validated = [ask.rollouts[0].task[0] for ask in lessons.run().asks[:5] if ask.rollouts]
    assert validated == ["v", "t", "v", "t"]


def test_a_parent_is_tried_on_all_of_train_and_another_candidate_on_none(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30), patience=1))
    parents = {member.parents[0] for member in heard.found.pool[1:]}
    for number, member in enumerate(heard.found.pool):
        tried = heard.on("t", member.candidate)
        assert sorted(tried) == (sorted(f"t{n}" for n in range(30)) if number in parents else [])


@pytest.mark.parametrize("known", [0, 5, 30])
def test_known_train_tasks_are_not_rolled_out_again(lessons: ModuleType, known: int) -> None:
    free = {f"t{n}": lessons.attempt(Rollout(lessons.SEED, f"t{n}")) for n in range(known)}
    heard = lessons.run(problem=replace(lessons.of_train(range(30), patience=1), free=free))
    assert len(heard.on("t", lessons.SEED)) == 30 - known


def test_tasks_whose_inputs_are_objects_are_searched_as_well(lessons: ModuleType) -> None:
    train = {task: {"message": [told]} for task, told in lessons.TRAIN.items()}
    heard = lessons.run(problem=replace(lessons.PROBLEM, train=train))
    assert heard.found.ended == "every task is solved"


# Crossover --------------------------------------------------------------------------------------------------


def test_a_wave_that_would_outgrow_the_cap_drops_the_edits_from_fewest_failures(lessons: ModuleType) -> None:
    problem = lessons.of_train((0, 2, 4, 6, 8, 10, 1), minibatch=3, patience=1)
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

    before = text("Ask {{customer}}.", "Be kind.", "Be quick with {{customer}}.")
    moving = text("Ask.", "Be kind.", "Be quick with {{customer}}.")  # the one may go where the other stays
    other = text("Ask {{customer}}.", "Be kind.", "Be very quick.")
    seed = runbooks.parse(lessons.TEXT.replace(lessons.OWN, before))
    problem = replace(lessons.of_train((0, 2, 1), patience=1), seed=seed)
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

    heard = lessons.run(reflect, lessons.of_train((0, 2, 1), patience=1))
    assert heard.found.pool[1].candidate.text == lessons.TEXT.replace("kind", taken)
    assert [edit.diagnosis for edit in heard.found.pool[1].edits] == [taken]
    assert [(one.diagnosis, one.outcome) for one in heard.found.tried if one.diagnosis == left] == [
        (left, LOST)
    ]


def test_uncrossed_the_edit_from_most_failures_is_taken_alone(lessons: ModuleType) -> None:
    problem = lessons.of_train((0, 2, 4, 6, 1, 3), minibatch=4, crossed=False)
    pool = lessons.run(problem=problem).found.pool
    assert {len(member.edits) for member in pool[1:]} == {1}
    assert pool[1].edits[0].diagnosis in {"lesson 0.", "lesson 2.", "lesson 4.", "lesson 6."}


def test_an_edit_back_to_a_member_of_the_pool_is_remembered_and_not_validated_again(
    lessons: ModuleType,
) -> None:
    def reflect(asked: Reflection) -> Proposal:
        back = Proposal("back", "lessons", lessons.OWN)
        return lessons.teach(asked, 3) if asked.candidate == lessons.SEED else back

    problem = lessons.optioned(wave=1, patience=3)
    heard = lessons.run(reflect, problem)
    assert len(heard.found.pool) == 2
    proposed = sum(len(reply.reflections) for reply in heard.replies)
    assert len(heard.found.tried) == proposed


def test_what_is_tried_and_returned_has_the_next_version_and_the_runbook_of_today_its_own(
    lessons: ModuleType,
) -> None:
    heard = lessons.run(problem=replace(lessons.PROBLEM, seed=lessons.VERSIONED))
    tried = {rollout.candidate.text for rollout in heard.rollouts}
    versions = [lessons.runbooks.parse(text).version for text in tried - {lessons.VERSIONED.text}]
    assert len(heard.found.pool) > 2
    assert set(versions) == {"1.0.10"}
    assert heard.found.pool[0].candidate.text == lessons.VERSIONED.text
    assert {part.id for part in heard.reflections[-1].components} == {"lessons", "preamble"}


def test_an_edit_back_to_the_runbook_of_today_is_not_taken_for_its_next_version(lessons: ModuleType) -> None:
    def reflect(asked: Reflection) -> Proposal:
        back = Proposal("back", "lessons", lessons.OWN)
        return lessons.teach(asked, 3) if asked.candidate.text == lessons.VERSIONED.text else back

    problem = replace(lessons.optioned(wave=1, patience=3), seed=lessons.VERSIONED)
    heard = lessons.run(reflect, problem)
    assert len(heard.found.pool) == 2
    assert "dropped: it came out as a candidate that was tried before" in heard.outcomes


# Parents ----------------------------------------------------------------------------------------------------


def test_the_best_of_the_pool_is_always_the_parent(lessons: ModuleType) -> None:
    for seed in range(5):
        heard = lessons.run(problem=lessons.of_train(range(20), random_seed=seed))
        pool = heard.found.pool
        assert len(pool) > 2
        for size, made in enumerate(pool[1:], 1):
            assert made.parents == (max(range(size), key=lambda one: (pool[one].score, one)),)
