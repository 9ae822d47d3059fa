from dataclasses import dataclass
from functools import partial

import pytest
from msgspec.structs import replace

from benchmarks import clocked, loopback
from benchmarks.clocked import Calls, Timed
from benchmarks.course import Course, Step, mean_curve, reached
from benchmarks.frozen import pair_digest
from benchmarks.loopback import Counts, Delays
from benchmarks.ours import run
from benchmarks.pair import LOSSY, WRONG, reflector_named
from benchmarks.quality import pure_noise
from benchmarks.stored import of_another
from benchmarks.tasks.desks import desks
from benchmarks.tasks.extraction import extraction
from benchmarks.work import Counted, Work, answer_of
from runbookopt.agents.protocol import Reflector
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection, Shown, Tried
from runbookopt.search.problem import Options

WORKS = {"desks": desks, "extraction": extraction}


@dataclass(frozen=True)
class Told:
    """How many of 200 reflections a reflector answers otherwise than the offline one does."""

    differing: int
    asked: int = 200


def reflection(number: int) -> Reflection:
    def shown(task: str, expected: str) -> Shown:
        line = f"right: expected {expected}, got other"
        return Shown(task, task, f"my parcel{number} is {task}", "", 0.0, (line,))

    text = '## Rules\n\n- If the message mentions "late", answer `post`.\n- Otherwise answer `other`.\n'
    failing = (shown("wet", "damage"), shown("broken", "damage"), shown("dear", "money"))
    return Reflection(Candidate(text), (Component("rules", "Rules", text),), failing, (), (), 9000)


def told(name: str) -> Told:
    asks = [reflection(number) for number in range(200)]
    straight, other = reflector_named("offline", 0), reflector_named(name, 0)
    pairs = [(answer_of(straight.reflect(ask)).said, answer_of(other.reflect(ask)).said) for ask in asks]
    assert all(isinstance(answer, Proposal) for pair in pairs for answer in pair)
    return Told(sum(one != another for one, another in pairs))


def test_the_wrong_reflector_errs_at_times_and_the_lossy_one_loses_a_line_in_one_of_ten() -> None:
    wrong, lossy = told("wrong"), told("lossy")
    assert 0.05 * wrong.asked < wrong.differing < (WRONG + 0.1) * wrong.asked
    assert 0.3 * LOSSY * lossy.asked < lossy.differing < 2 * LOSSY * lossy.asked


def test_the_guessing_reflector_makes_no_guess_that_it_sees_among_the_earlier_edits() -> None:
    def guesses(reflector: Reflector, ask: Reflection) -> bool:
        said = answer_of(reflector.reflect(ask)).said
        return isinstance(said, Proposal) and said.diagnosis.startswith(guess)

    guess, ask = "a guess at damage: ", reflection(0)
    reflectors = [reflector_named("guessing", seed) for seed in range(40)]
    assert 10 < sum(guesses(reflector, ask) for reflector in reflectors) < 30
    earlier = Tried("rules", f"{guess}so it was", "", "kept: no better")
    assert not any(guesses(reflector, replace(ask, lineage=(earlier,))) for reflector in reflectors)


@pytest.mark.parametrize("name", WORKS)
def test_a_generated_work_is_a_function_of_its_seed_and_big_enough_to_prove_on(name: str) -> None:
    one, again, other = (WORKS[name](seed) for seed in (0, 0, 1))
    assert (one.seed.text, one.train, one.held_out) == (again.seed.text, again.train, again.held_out)
    assert one.held_out != other.held_out
    assert (len(one.train), len(one.validation), len(one.held_out)) == (60, 40, 400)
    inputs = [case.input for case in (*one.train, *one.validation, *one.held_out)]
    assert len(inputs) == len(set(inputs))


def test_the_generated_works_have_several_components_and_objectives_in_conflict() -> None:
    assert len(desks(0).seed.components) >= 4
    work = extraction(0)
    counted = Counted(work)
    attempts = [counted.attempt(work.seed.text, case) for case in work.train]
    assert {name for attempt in attempts for name in attempt.objectives} == {
        "completeness",
        "brevity",
        "format",
    }
    assert any(one.objectives["completeness"] == 1 > one.objectives["brevity"] for one in attempts)
    assert any(one.objectives["brevity"] == 1 > one.objectives["completeness"] for one in attempts)


def course(work: Work, *, free: bool) -> Course:
    return run(work, Options(doubt=1.0), 260, free=free)


@pytest.mark.parametrize("name", WORKS)
def test_our_search_gains_on_a_generated_work_and_every_call_is_counted(name: str) -> None:
    work = WORKS[name](0)
    free, paid = course(work, free=True), course(work, free=False)
    counted = Counted(work)
    for made in (free, paid):
        assert made.rollouts <= 260
        assert counted.true_score(made.at(260).text) > counted.true_score(work.seed.text) + 0.05
    assert free.steps[1].rollouts < paid.steps[-1].rollouts


def test_what_would_be_returned_at_a_budget_is_what_a_search_with_that_budget_returns() -> None:
    work = desks(1)
    whole = course(work, free=True)
    for budget in (99, 100, 199, 200):
        assert run(work, Options(doubt=1.0), budget, free=True).steps[-1] == whole.at(budget)


def test_a_course_gives_what_was_returned_at_a_budget() -> None:
    made = Course((Step(0, 0, "seed", 0.1), Step(50, 4, "better", 0.5)), 60, 4)
    assert [made.at(budget).text for budget in (0, 49, 50, 99)] == ["seed", "seed", "better", "better"]
    assert (reached([(0, 0.1), (50, 0.5)], 0.5), reached([(0, 0.1)], 0.5)) == (50, None)


def test_the_mean_of_curves_steps_wherever_one_of_them_does() -> None:
    curves = [[(0, 0.0), (50, 1.0)], [(0, 0.5), (20, 0.25), (60, 0.5)]]
    assert mean_curve(curves) == [(0, 0.25), (20, 0.125), (50, 0.625), (60, 0.75)]


def test_a_run_on_the_clock_tells_what_the_server_had_heard_by_a_second_and_before_so_many_rollouts() -> None:
    used = Counts(rollouts=[10.0, 10.2, 10.4], reflections=[10.1, 10.3, 10.5])
    made = Timed(((0.0, "seed"),), began=10.0, seconds=0.6, used=used)
    assert [made.heard_by(now) for now in (0.25, 0.6)] == [Calls(2, 1), Calls(3, 3)]
    assert [made.reflections_by(rollouts) for rollouts in (0, 1, 2, 3, 4)] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("free", [True, False])
def test_our_search_on_the_clock_goes_as_it_does_in_process_and_pays_the_same_calls(*, free: bool) -> None:
    work, options = desks(1), Options(doubt=1.0)
    course = run(work, options, 400, free=free)
    with loopback.serving(partial(desks, 1), Delays(0.001, 0.005, heavy=True)) as port:
        made = clocked.run(work, port, options, 400, free=free)
    assert made.heard_by(made.seconds) == Calls(course.rollouts, course.reflections)
    steps = {text: made.rollouts_by(seconds) for seconds, text in made.steps}
    assert len(steps) > 1
    assert all(course.at(rollouts).text == text for text, rollouts in steps.items())
    assert all(course.at(rollouts - 1).text != text for text, rollouts in steps.items() if rollouts)


def test_the_pair_answers_as_it_did_when_the_first_figures_were_measured() -> None:
    assert pair_digest() == "sha256:c71af723af495a23021ef9a4f69eb4e5a2d66f172b8554d4ef130317152bdf53"


def test_with_stored_outputs_the_first_draft_comes_before_train_is_paid_for() -> None:
    work = desks(0)
    train, validation = len(work.train), len(work.validation)
    courses = [
        run(work, Options(doubt=1.0), 2 * validation + train, free=False, evidence=evidence)
        for evidence in ({}, of_another(work, 0))
    ]
    first = [
        next(step.rollouts for step in course.steps if step.text != work.seed.text) for course in courses
    ]
    assert first == [2 * validation + train, 2 * validation]


def test_todays_search_validates_every_candidate_of_pure_noise_and_the_bar_is_what_keeps_the_seed() -> None:
    found = pure_noise(1, 0.3, 1, doubt=0.09)
    assert (found.changed, pure_noise(1, 0.3, 1, doubt=0.99).changed) == (0, 1)
