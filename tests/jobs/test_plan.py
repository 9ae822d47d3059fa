import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from msgspec.structs import replace

from benchmarks.e86100d import ReflectorOfE86100d
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.protocol import Produced, Reflected
from runbookopt.documents.settings import AgentSettings, Budget, Settings
from runbookopt.documents.usage import Usage
from runbookopt.engine.journal import Calls
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.claims import CHECKED, MOST_TO_TRY, TWICE
from runbookopt.jobs.optimize import optimize
from runbookopt.jobs.planning.forecast import Earlier, KnownCalls, earlier_calls
from runbookopt.jobs.planning.plan import Plan, Rollouts, Tasks, plan
from runbookopt.jobs.prepare import Job, Prepared, prepare
from runbookopt.jobs.result import Result
from runbookopt.proof.power import provable_gain
from runbookopt.search.asks import Reflection
from tests.virtual_time import virtual_time

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

KEPT = 120  # two rollouts for each of the planted runbook's 60 held-out tasks
PART = 24  # its train tasks, and its validation tasks
FIRST = 3 * PART  # rollouts until its first candidate is validated: the seed on all of both, then it
USUAL = KEPT + MOST_TO_TRY + 11 * 2 * PART
DEFAULT = 168  # reflections: a wave of 24 that improves, and six that do not
NIGHTLY = pytest.mark.nightly
SAMPLED = {1, 3, 4, 6, 12, 17}
"""Seeds that differ in kind: with and without noise, known verdicts, a limit of reflections, and patience."""


class Metered(OfflineAgent):
    """Says what each of its calls used, as a model does, and takes `wait` seconds for it."""

    name = "metered"
    used = Usage(calls=1, prompt=1000, completion=200, usd=0.25)

    def __init__(self, given: Settings, wait: float) -> None:
        super().__init__(given.agent.field, given.agent.noise, given.random_seed)
        self.key = "sha256:metered"
        self._wait = wait

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        await asyncio.sleep(self._wait)
        return replace(await super().rollout(runbook, task_input, repeat), usage=self.used)


class MeteredReflector(ReflectorOfE86100d):
    """Says what each of its calls used, as a model does, and takes `wait` seconds for it."""

    name = "metered"
    used = Usage(calls=1, prompt=3000, completion=500, usd=1.5)

    def __init__(self, given: Settings, wait: float) -> None:
        super().__init__(given.random_seed)
        self.key = "sha256:metered"
        self._wait = wait

    async def reflect(self, ask: Reflection) -> Reflected:
        await asyncio.sleep(self._wait)
        return replace(await super().reflect(ask), usage=self.used)


Pair = Callable[[Settings], tuple[OfflineAgent, ReflectorOfE86100d]]


def offline(given: Settings) -> tuple[OfflineAgent, ReflectorOfE86100d]:
    agent = OfflineAgent(given.agent.field, given.agent.noise, given.random_seed)
    return agent, ReflectorOfE86100d(given.random_seed)


def metered(given: Settings) -> tuple[OfflineAgent, ReflectorOfE86100d]:
    return Metered(given, 0.0), MeteredReflector(given, 0.0)


SLOW = (0.3, 1.0)
"""Seconds that a rollout and a reflection take."""


def slow(given: Settings) -> tuple[OfflineAgent, ReflectorOfE86100d]:
    return Metered(given, SLOW[0]), MeteredReflector(given, SLOW[1])


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


def settings(
    rollouts: int = 600,
    reflections: int | None = None,
    *,
    usd: float | None = None,
    minutes: float | None = None,
    **more: Any,  # noqa: ANN401
) -> Settings:
    return Settings(budget=Budget(rollouts, reflections, usd, minutes), **more)


@contextmanager
def desk(
    clone: "Clone", given: Settings, *, look: bool = True, pair: Pair = offline
) -> Iterator[tuple[Repository, Job]]:
    with Repository.open(clone.root) as repository:
        yield repository, Job("desk", given, *pair(given), "2026-01-01", propose=False, look=look)


def planned(
    clone: "Clone",
    given: Settings,
    *,
    look: bool = True,
    pair: Pair = offline,
    known: "Clone | Earlier | None" = None,
) -> Plan:
    """Give the plan; `known` are earlier calls, or where the journal of them is."""
    with desk(clone, given, look=look, pair=pair) as (repository, job):
        ready = prepare(repository, job)
        return plan(ready, known if isinstance(known, Earlier) else told_by(known or clone, ready))


def told_by(clone: "Clone", ready: Prepared) -> Earlier:
    with Repository.open(clone.root) as repository:
        return earlier_calls(repository, ready)


def run(
    clone: "Clone", given: Settings, *, pair: Pair = offline, known: "Clone | Earlier | None" = None
) -> Said:
    said = planned(clone, given, pair=pair, known=known)
    with desk(clone, given, pair=pair) as (repository, job):
        return Said(said, optimize(repository, job))


def keeps_its_word(said: Said) -> None:
    plan, rollouts = said.plan, said.plan.rollouts
    spent = said.result.spent
    assert said.search <= rollouts.search
    assert said.proof in {0, rollouts.proof}
    assert rollouts.most == rollouts.search + rollouts.proof
    assert spent.reflections <= plan.reflections
    if said.ended == "rollouts":
        assert rollouts.search + rollouts.free < 2 * (said.search + rollouts.free)
        assert rollouts.search <= 3 * said.search or (rollouts.free and rollouts.search < 1.5 * PART)
    if said.ended == "reflections":
        assert plan.reflections <= 3 * spent.reflections
    if plan.usd is not None:
        assert (spent.tokens or 0) <= (plan.tokens or math.inf)
        assert (spent.usd or 0) <= plan.usd
    if said.ended == "usd":
        search = (spent.usd or 0) - said.proof * (Metered.used.usd or 0)
        assert (plan.usd or 0) - (plan.usd_proof or 0) <= 3 * search


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [seed if seed in SAMPLED else pytest.param(seed, marks=NIGHTLY) for seed in range(32)]
)
def test_no_run_spends_more_than_planned_and_one_that_the_budget_ends_a_third(
    repo: Make, planted: ModuleType, seed: int
) -> None:
    rng = Random(seed)
    noise = rng.choice([0.0, 0.0, 0.2])
    known = {"trajectories": stored(planted)} if not noise and rng.random() < 0.5 else {}
    given = settings(
        (3 * KEPT if noise else KEPT)
        + (CHECKED if known else 2 * PART)
        + PART
        + int(rng.choice([50, 300]) * rng.random()),
        rng.choice([None, 1 + int(30 * rng.random())]),
        agent=AgentSettings(noise=noise),
        width=rng.choice([1, 3, 16]),
        random_seed=seed,
        patience=rng.choice([1, 3, 20]),
    )
    keeps_its_word(run(repo(planted.files(**known)), given))


def test_a_run_that_rollouts_end_has_used_most_of_what_was_planned(repo: Make, planted: ModuleType) -> None:
    said = run(repo(planted.files()), settings(KEPT + FIRST + 20))
    assert said.ended == "rollouts"
    keeps_its_word(said)
    assert (said.plan.rollouts.search, said.search) == (FIRST + 20, FIRST)


@pytest.mark.parametrize("most", [1, *(pytest.param(most, marks=NIGHTLY) for most in (2, 3, 5, 8)), 20])
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
    said = planned(repo(planted.files()), settings(), pair=metered)
    assert said.tasks == Tasks(PART, PART, 60)
    assert (said.tokens, said.usd, said.usd_proof, said.seconds) == (None, None, None, None)
    assert (said.known_calls, said.calls_models) == (KnownCalls(), True)
    assert (said.provable.base, said.provable.known) == (0.5, 0)


def test_stored_verdicts_are_free_and_say_what_today_scores(repo: Make, planted: ModuleType) -> None:
    said = planned(repo(planted.files(trajectories=stored(planted))), settings())
    assert said.rollouts == Rollouts(most=600, search=480, proof=KEPT, free=2 * PART, claims=CHECKED)
    assert (said.provable.base, said.provable.known) == (0.25, 2 * PART)
    assert said.provable.gain == provable_gain(60, said.provable.allowance, base=said.provable.base)


def test_a_stored_output_of_an_attempt_that_broke_down_is_no_answer(repo: Make, planted: ModuleType) -> None:
    records = [json.loads(line) for line in stored(planted).splitlines()]
    for record in records[::2]:
        record["error"] = "TimeoutError: after 600 s"
    sound = sum("output" in record and "error" not in record for record in records)
    said = planned(repo(planted.files(trajectories=planted.lines(records))), settings())
    assert (said.rollouts.free, said.provable.known) == (sound, sound)
    assert 0 < sound < 2 * PART


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


def test_the_least_budget_covers_one_draft_and_one_rollout_less_is_refused_with_the_number(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    said = run(clone, settings(KEPT + FIRST))
    assert (said.plan.notes, said.search, said.result.candidates) == ((), FIRST, 2)
    keeps_its_word(said)
    for budget in (1, 119, 143, KEPT + FIRST - 1):
        with pytest.raises(RunbookoptError) as refused:
            planned(clone, settings(budget))
        assert str(refused.value) == (
            f"desk: {budget} rollouts do not cover one draft: 120 are kept for the proof, 48 try today's"
            " runbook, 24 try a draft on validation: raise budget.rollouts to 192 at least, or take it away"
            f" for {USUAL}, which cover 10 drafts"
        )


def test_the_seed_on_all_of_train_is_planned(repo: Make, planted: ModuleType) -> None:
    train = [planted.task(number, "train") for number in range(1000, 1076 - PART)]
    more = [{"id": f"m-{number}", "task": task, "trust": "internal"} for number, task in enumerate(train)]
    clone = repo(planted.files(trajectories=planted.lines([*planted.trajectories(), *more])))
    needed = KEPT + 2 * PART + 76
    with pytest.raises(RunbookoptError, match=f"raise budget.rollouts to {needed} at least"):
        planned(clone, settings(needed - 1))
    said = run(clone, settings(needed))
    assert (said.plan.tasks.train, said.plan.notes, said.result.candidates) == (76, (), 2)
    keeps_its_word(said)


@pytest.mark.parametrize(("noise", "kept"), [(0.0, KEPT), (0.2, 3 * KEPT)])
def test_without_a_number_the_budget_follows_from_tasks_repeats_and_agent(
    repo: Make, planted: ModuleType, noise: float, kept: int
) -> None:
    given = replace(settings(agent=AgentSettings(noise=noise)), budget=Budget())
    rollouts = planned(repo(planted.files()), given).rollouts
    assert (rollouts.proof, rollouts.search) == (kept, MOST_TO_TRY + 11 * 2 * PART)


def test_a_plan_writes_no_journal_and_takes_from_one_what_it_costs_and_what_today_scores(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    before = planned(clone, settings(), look=False)
    assert not (clone.root / ".runbookopt").exists()
    with desk(clone, settings(), look=False) as (repository, job):
        optimize(repository, job)
    after = planned(clone, settings(), look=False)
    assert after.seconds is not None
    assert (after.rollouts.known, after.provable.known, after.provable.base) == (2 * PART, 2 * PART, 0.25)
    same = replace(after, seconds=None, known_calls=KnownCalls(), rollouts=before.rollouts)
    assert replace(same, provable=before.provable) == before


# What earlier calls say -------------------------------------------------------------------------------------


ERRING = AgentSettings(noise=0.2)
KEPT_ERRING = 3 * KEPT  # rollouts for the proof of an agent that errs
PRICES = (Metered.used.usd or 0, MeteredReflector.used.usd or 0)


@pytest.fixture(scope="module")
def taught(clones: Make, planted: ModuleType) -> "Clone":
    """Give a clone whose journal knows the metered pair."""
    clone = clones(planted.files())
    run(clone, settings(agent=ERRING, random_seed=5), pair=metered)
    return clone


def test_all_planned_calls_cost_what_earlier_ones_of_their_role_cost_in_the_mean(
    repo: Make, planted: ModuleType, taught: "Clone"
) -> None:
    said = planned(repo(planted.files()), settings(), pair=metered, known=taught)
    new = 600 - (2 * PART - TWICE)  # the others are answered there, but for what tries the agent
    assert said.tokens == new * 1200 + DEFAULT * 3500
    assert said.usd == pytest.approx(new * PRICES[0] + DEFAULT * PRICES[1])
    assert said.usd_proof == pytest.approx(KEPT * PRICES[0])
    known = said.known_calls
    assert known.tokens == known.usd == known.seconds > KEPT
    dry = planned(repo(planted.files(), "dry"), settings(), look=False, pair=metered, known=taught)
    assert (dry.tokens, dry.usd_proof) == ((new - KEPT) * 1200 + DEFAULT * 3500, 0)


def test_where_no_model_is_called_nothing_is_said_of_tokens_and_dollars(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    run(clone, settings())
    said = planned(clone, settings(usd=5.0))
    assert (said.tokens, said.usd, said.usd_proof, said.calls_models) == (None, None, None, False)
    assert said.known_calls == KnownCalls(seconds=said.known_calls.seconds)
    assert said.known_calls.seconds > KEPT


def test_a_role_that_was_never_called_makes_all_unknown_but_for_the_budget(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    said = run(clone, settings(usd=41.0), pair=metered)  # too little for today's runbook on train
    assert (said.result.spent.reflections, said.result.outcome) == (0, "no_candidate")
    assert said.result.unknown == (
        "no draft was tried: its budget of usd is used up: raise budget.usd to 49.25 at least"
    )
    said = planned(clone, settings(), pair=metered)
    assert (said.tokens, said.usd, said.seconds, said.known_calls) == (None, None, None, KnownCalls())
    assert 0 < said.rollouts.known <= PART
    new = 600 - said.rollouts.known
    assert (said.tokens_rollouts, said.usd_rollouts) == (new * 1200, new * PRICES[0])
    bounded = planned(clone, settings(usd=50.0), pair=metered)
    assert (bounded.tokens, bounded.usd, bounded.known_calls.usd) == (None, 50, 0)
    assert bounded.usd_proof == KEPT * PRICES[0]
    assert planned(repo(planted.files(), "new"), settings(usd=50.0), pair=metered).usd == 50


@pytest.mark.parametrize("usd", [110, *(pytest.param(usd, marks=NIGHTLY) for usd in (130, 150)), 300, 2000])
def test_no_run_spends_more_dollars_than_planned_and_a_search_that_they_end_a_third(
    repo: Make, planted: ModuleType, taught: "Clone", usd: float
) -> None:
    given = settings(2000, usd=usd, patience=20, agent=ERRING)
    said = run(repo(planted.files()), given, pair=metered, known=taught)
    assert said.plan.usd is not None
    assert (said.ended == "usd", said.plan.usd == usd) == ((usd < 2000),) * 2
    told = (
        f"{usd:g} dollars do not cover one draft and its proof, as earlier calls came to: raise budget.usd to"
    )
    needed = (KEPT_ERRING + FIRST) * PRICES[0] + PRICES[1]
    assert said.plan.notes == ((f"{told} {needed:.2f} at least",) if usd < needed else ())
    keeps_its_word(said)


def test_dollars_that_cover_no_draft_are_refused_as_soon_as_anything_is_known_of_them(
    repo: Make, planted: ModuleType
) -> None:
    """Of 20 dollars the search gets none, since 90 are kept for the proof; 12 were paid by then."""
    clone, given = repo(planted.files()), settings(2000, usd=20, agent=ERRING)
    with pytest.raises(
        RunbookoptError, match=r"raise budget.usd to 108.00 at least; what was answered is kept"
    ):
        run(clone, given, pair=metered)
    run(clone, settings(2000, usd=2000, agent=ERRING), pair=metered)
    with pytest.raises(RunbookoptError) as refused:
        run(clone, replace(given, random_seed=1), pair=metered)
    assert str(refused.value) == (
        "desk: 20 dollars do not cover one draft and its proof, as earlier calls came to: raise budget.usd to"
        " 97.50 at least"
    )


@pytest.mark.parametrize(("width", "seconds"), [(1, 600 * 2 + 168 * 10), (8, (60 + 15) * 2 + 26 * 10)])
def test_asks_go_one_after_the_other_and_as_many_calls_at_once_as_the_width_allows(
    repo: Make, planted: ModuleType, width: int, seconds: float
) -> None:
    """20 asks of 24 rollouts, 120 of the proof, and 168 reflections in 9 waves, of 19 at most."""
    known = Earlier(agent=Calls(timed=10, seconds=20.0), reflector=Calls(timed=3, seconds=30.0))
    clone = repo(planted.files())
    assert planned(clone, settings(width=width), pair=metered, known=known).seconds == seconds
    assert planned(clone, settings(width=width), known=known).seconds == 600 * 2 + 168 * 10, "one by one"


def test_a_reflector_of_several_edits_is_planned_with_the_waves_whose_drafts_fell(
    repo: Make, planted: ModuleType
) -> None:
    """Between two drafts that are kept five may fall at their first look: 18 waves, of 10 reflections."""

    def several(given: Settings) -> tuple[OfflineAgent, ReflectorOfE86100d]:
        agent, reflector = metered(given)
        reflector.edits = 4  # type: ignore[attr-defined]
        return agent, reflector

    known = Earlier(agent=Calls(timed=10, seconds=20.0), reflector=Calls(timed=3, seconds=30.0))
    said = planned(repo(planted.files()), settings(width=8), pair=several, known=known)
    assert said.seconds == (60 + 15) * 2 + (16 * 2 + 1) * 10


def test_minutes_bound_the_search_and_not_the_proof(repo: Make, planted: ModuleType) -> None:
    known = Earlier(agent=Calls(timed=10, seconds=20.0), reflector=Calls(timed=3, seconds=30.0))
    clone = repo(planted.files())
    times = [planned(clone, settings(minutes=m), pair=metered, known=known).seconds for m in (1, 6, 6.5)]
    assert times == [60 + 30, 360 + 30, 380 + 30]
    assert planned(clone, settings(minutes=1.0), pair=metered).seconds is None


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 32])
def test_a_run_that_the_budget_ends_takes_about_as_long_as_planned(
    repo: Make, planted: ModuleType, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    passed = virtual_time(monkeypatch)
    known = Earlier(agent=Calls(timed=1, seconds=SLOW[0]), reflector=Calls(timed=1, seconds=SLOW[1]))
    given = settings(700, agent=ERRING, width=width, patience=20)
    said = run(repo(planted.files()), given, pair=slow, known=known)
    assert said.ended == "rollouts"
    assert said.plan.seconds is not None
    assert passed.seconds / 2 < said.plan.seconds < 3 * passed.seconds
