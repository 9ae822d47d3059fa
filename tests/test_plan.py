import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from runbookopt.agents.offline import OfflineAgent
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.errors import RunbookoptError
from runbookopt.optimization import Result, optimize
from runbookopt.plan import Plan, Rollouts, Tasks, plan
from runbookopt.preparation import Job, prepare
from runbookopt.proof.power import provable_gain
from runbookopt.repository import Repository
from runbookopt.settings import AgentSettings, Budget, Settings

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

KEPT = 120  # two rollouts for each of the planted runbook's 60 held-out tasks
PART = 24  # its train tasks, and its validation tasks
FIRST = 4 * PART  # rollouts until its first candidate is validated: the seed and then it, on all of both
TOO_FEW = "too few rollouts to try one candidate: raise budget.rollouts well above"
DEFAULT = 150  # reflections: a quarter of the rollouts of `settings()`


class Said(NamedTuple):
    """What was planned, and what became of it."""

    plan: Plan
    result: Result

    @property
    def ended(self) -> str:
        """What of the budget ended the search; nothing where it was something else."""
        told = "the search ended: its budget of "
        found = (note.removeprefix(told) for note in self.result.notes if note.startswith(told))
        return next(found, "").removesuffix(" is used up")

    @property
    def proof(self) -> int:
        """The rollouts of the proof, each of them in the bundle."""
        outputs = self.result.bundle.outputs if self.result.bundle else ()
        return sum(len(found.before) + len(found.after) for found in outputs)

    @property
    def search(self) -> int:
        return self.result.spent.rollouts + self.result.spent.cached - self.proof


def stored(planted: ModuleType) -> str:
    """Give the planted tasks with today's outputs for all that is not held out."""
    digest = f"sha256:{hashlib.sha256(planted.RUNBOOK.encode()).hexdigest()}"
    agent, records = OfflineAgent(), planted.trajectories()
    for record in records:
        if record["task"]["split"] != "held-out":
            output = asyncio.run(agent.rollout(planted.RUNBOOK, record["task"]["input"], "0")).output
            record |= {"output": output, "runbook_digest": digest, "agent": {"key": agent.key}}
    return str(planted.lines(records))


def settings(rollouts: int = 600, reflections: int | None = None, **more: Any) -> Settings:  # noqa: ANN401
    return Settings(budget=Budget(rollouts=rollouts, reflections=reflections), **more)


@contextmanager
def desk(clone: "Clone", given: Settings, *, look: bool = True) -> Iterator[tuple[Repository, Job]]:
    agent = OfflineAgent(given.agent.field, given.agent.noise, given.random_seed)
    reflector = OfflineReflector(given.random_seed)
    with Repository.open(clone.root) as repository:
        yield repository, Job("desk", given, agent, reflector, "2026-01-01", propose=False, look=look)


def planned(clone: "Clone", given: Settings, *, look: bool = True) -> Plan:
    with desk(clone, given, look=look) as (repository, job):
        return plan(prepare(repository, job))


def run(clone: "Clone", given: Settings) -> Said:
    said = planned(clone, given)
    with desk(clone, given) as (repository, job):
        return Said(said, optimize(repository, job))


def keeps_its_word(said: Said) -> None:
    plan, rollouts = said.plan, said.plan.rollouts
    reflections = said.result.spent.reflections
    assert said.search <= rollouts.search
    assert said.proof in {0, rollouts.proof}
    assert rollouts.most == rollouts.search + rollouts.proof
    assert reflections <= plan.reflections
    if said.ended == "rollouts":
        assert rollouts.search + rollouts.free < 2 * (said.search + rollouts.free)
        assert rollouts.search <= 3 * said.search or (rollouts.free and rollouts.search < 1.5 * PART)
    if said.ended == "reflections":
        assert plan.reflections <= 3 * reflections


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(32))
def test_no_run_spends_more_than_planned_and_one_that_the_budget_ends_a_third(
    repo: Make, planted: ModuleType, seed: int
) -> None:
    rng = Random(seed)
    noise = rng.choice([0.0, 0.0, 0.2])
    known = {"trajectories": stored(planted)} if not noise and rng.random() < 0.5 else {}
    given = settings(
        (3 * KEPT if noise else KEPT) + (0 if known else PART) + int(rng.choice([50, 300]) * rng.random()),
        rng.choice([None, 1 + int(30 * rng.random())]),
        agent=AgentSettings(noise=noise),
        width=rng.choice([1, 3, 16]),
        random_seed=seed,
        patience=rng.choice([1, 3, 20]),
    )
    keeps_its_word(run(repo(planted.files(**known)), given))


def test_a_run_that_rollouts_end_has_used_most_of_what_was_planned(repo: Make, planted: ModuleType) -> None:
    said = run(repo(planted.files()), settings(KEPT + 2 * PART + 15))
    assert said.ended == "rollouts"
    keeps_its_word(said)
    assert (said.plan.rollouts.search, said.search) == (2 * PART + 15, 2 * PART)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 20])
def test_a_run_that_reflections_end_has_made_a_third_of_them(
    repo: Make, planted: ModuleType, most: int
) -> None:
    noisy = AgentSettings(noise=0.2)  # so that not every task is ever solved
    said = run(repo(planted.files()), settings(2000, most, patience=50, agent=noisy))
    assert (said.ended, said.plan.reflections) == ("reflections", most)
    assert 0 < said.result.spent.reflections <= most
    keeps_its_word(said)


def test_the_same_plan_holds_at_any_width(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    plans = [planned(clone, settings(width=width)) for width in (1, 16)]
    assert [(said.rollouts, said.reflections, said.run) for said in plans] == [
        (Rollouts(most=600, search=480, proof=KEPT, free=0), DEFAULT, plans[0].run)
    ] * 2


def test_what_nobody_has_recorded_is_unknown(repo: Make, planted: ModuleType) -> None:
    said = planned(repo(planted.files()), settings())
    assert said.tasks == Tasks(PART, PART, 60)
    assert (said.tokens, said.usd, said.seconds) == (None, None, None)
    assert (said.provable.base, said.provable.known) == (0.5, 0)


def test_stored_verdicts_are_free_and_say_what_today_scores(repo: Make, planted: ModuleType) -> None:
    said = planned(repo(planted.files(trajectories=stored(planted))), settings())
    assert said.rollouts == Rollouts(most=600, search=480, proof=KEPT, free=2 * PART)
    assert (said.provable.base, said.provable.known) == (0.25, 2 * PART)
    assert said.provable.gain == provable_gain(60, said.provable.allowance, base=said.provable.base)


def test_a_look_that_was_taken_makes_the_next_prove_less(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    said = run(clone, settings())
    after = planned(clone, settings()).provable
    assert (said.plan.provable.look, after.look, said.proof) == (1, 2, KEPT)
    assert after.allowance < said.plan.provable.allowance
    assert after.gain is not None
    assert said.plan.provable.gain is not None
    assert after.gain > said.plan.provable.gain


def test_a_dry_run_proves_nothing_and_keeps_as_much(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    dry, real = (planned(clone, settings(), look=look) for look in (False, True))
    assert dry.rollouts == Rollouts(most=480, search=480, proof=0, free=0)
    assert (dry.run, dry.reflections, dry.provable) == (real.run, real.reflections, real.provable)


def test_a_budget_that_ends_before_the_first_reflection_is_planned_as_it_is(
    repo: Make, planted: ModuleType
) -> None:
    said = run(repo(planted.files()), settings(KEPT + 2 * PART - 1))
    assert said.plan.rollouts == Rollouts(most=PART, search=PART, proof=0, free=0)
    assert (said.search, said.plan.reflections, said.result.spent.reflections) == (PART, 0, 0)
    assert said.plan.notes == (f"{TOO_FEW} {KEPT + FIRST}",)


@pytest.mark.parametrize("missing", [0, 1])
def test_the_plan_warns_where_no_candidate_would_reach_validation(
    repo: Make, planted: ModuleType, missing: int
) -> None:
    said = run(repo(planted.files()), settings(KEPT + FIRST - missing))
    assert said.plan.notes == ((f"{TOO_FEW} {KEPT + FIRST}",) if missing else ())
    assert (said.search == FIRST) == (not missing)
    keeps_its_word(said)


def test_of_many_train_tasks_a_sample_is_planned(repo: Make, planted: ModuleType) -> None:
    train = [planted.task(number, "train") for number in range(1000, 1076 - PART)]
    more = [{"id": f"m-{number}", "task": task, "trust": "internal"} for number, task in enumerate(train)]
    clone = repo(planted.files(trajectories=planted.lines([*planted.trajectories(), *more])))
    (note,) = planned(clone, settings(KEPT + PART)).notes
    needed = int(note.removeprefix(TOO_FEW))
    assert KEPT + 2 * PART < needed < KEPT + 2 * (PART + 76)
    said = run(clone, settings(needed - 1))
    assert (said.plan.tasks.train, said.plan.notes, said.result.candidates) == (76, (note,), 1)
    assert planned(clone, settings(needed)).notes == ()
    keeps_its_word(said)


def test_what_a_run_would_refuse_the_plan_refuses(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    for budget, why in ((119, "the proof alone needs 120"), (143, "do not cover today's runbook")):
        with pytest.raises(RunbookoptError, match=why):
            planned(clone, settings(budget))


def test_a_plan_writes_no_journal_and_is_the_same_whatever_one_holds(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    with desk(clone, settings(), look=False) as (repository, job):
        before = plan(prepare(repository, job))
        assert not (clone.root / ".runbookopt").exists()
        optimize(repository, job)
        assert plan(prepare(repository, job)) == before
