"""Claims that are tried before they are believed: which tasks, what is found, and what is then used."""

from collections.abc import Callable, Sequence

import pytest

from runbookopt.documents.runbook import parse
from runbookopt.engine.calls import attempt_of
from runbookopt.evidence.library import Evidence
from runbookopt.evidence.trajectory import Task, TaskRecord, Trajectory
from runbookopt.jobs.claims import CHECKED, TWICE, Believed, BrokenClaim, Claims, claims_of, trying
from runbookopt.search.asks import AGAIN, Ask, Attempt, NoAnswer, Reply, Rollout
from runbookopt.search.problem import Problem
from runbookopt.verifier.rubric import Assessment

AT = "2026-11-30T12:00:00Z"
OLD, YOUNG = "2026-11-16T12:00:00Z", "2026-11-16T12:00:01Z"
TASKS = tuple(f"task-{number:02}" for number in range(40))

Answering = Callable[[Rollout], Attempt | NoAnswer]


class Agent:
    """An agent by its name; it is never asked here."""

    key = "sha256:agent"

    def __init__(self, name: str = "chat", *, deterministic: bool = True) -> None:
        self.name, self.deterministic = name, deterministic

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> None:
        raise NotImplementedError


def attempt(score: float = 1.0, output: str = "front", name: str = "r-new") -> Attempt:
    return attempt_of(name, output, Assessment(score, {"desk": score}, (), 0, ()), {})


def evidence_of(dates: Sequence[str | None]) -> Evidence:
    """Give evidence with a trajectory for each task; the first ones began at these times."""
    times = [*dates, *[None] * (len(TASKS) - len(dates))]
    return Evidence(
        tasks=tuple(Task(task, task, trajectories=(f"t-{task}",)) for task in TASKS),
        trajectories=tuple(
            Trajectory(f"t-{task}", TaskRecord(task), started_at=time)
            for task, time in zip(TASKS, times, strict=True)
        ),
        places={f"t-{task}": f"all.jsonl:{number}" for number, task in enumerate(TASKS, 1)},
    )


def tried(
    dates: Sequence[str | None], answer: Answering, agent: Agent | None = None
) -> tuple[Claims, Believed | str, list[Rollout]]:
    """Try the claims of a problem of which the first tasks have stored verdicts with these dates."""
    evidence = evidence_of(dates)
    free = {task: attempt(name=f"t-{task}") for task in TASKS[: len(dates)]}
    train = dict.fromkeys(TASKS[:20], "x")
    problem = Problem(parse("# Desk\n\nAnswer.\n"), train, TASKS[20:], free)
    claims = claims_of(agent or Agent(), problem, evidence, AT)
    asked: list[Rollout] = []
    asking = trying(problem, claims, evidence)
    try:
        ask: Ask = next(asking)
        while True:
            asked += ask.rollouts
            ask = asking.send(Reply(tuple(map(answer, ask.rollouts))))
    except StopIteration as end:
        return claims, end.value, asked


def believed(told: Believed | str) -> Believed:
    assert isinstance(told, Believed)
    return told


def test_what_nobody_claims_costs_nothing() -> None:
    for agent in (Agent("offline"), Agent(deterministic=False)):
        claims, told, asked = tried([YOUNG] * 30, lambda _: attempt(), agent)
        assert (claims.rollouts, asked) == (0, [])
        stored = believed(told).stored
        assert (stored.used, stored.oldest_days, stored.undated, stored.checked) == (30, 13, 0, 0)


def test_five_tasks_are_tried_twice_where_they_cost_least() -> None:
    claims, told, asked = tried([YOUNG] * 30, lambda _: attempt())
    assert claims.twice == TASKS[30:35]
    assert (len(asked), claims.rollouts) == (2 * TWICE, 2 * TWICE)
    assert {rollout.repeat.partition(AGAIN)[0] for rollout in asked} == {"0"}
    assert len({(rollout.task, rollout.repeat) for rollout in asked}) == 2 * TWICE
    assert set(believed(told).problem.free) == set(TASKS[:35])
    assert believed(told).stored.used == 30


@pytest.mark.parametrize("change", [{"output": "cards"}, {"score": 0.5}])
def test_two_answers_to_one_task_end_the_run(change: dict[str, float | str]) -> None:
    def answer(rollout: Rollout) -> Attempt:
        differs = rollout.task == TASKS[32] and rollout.repeat.endswith("/2")
        return attempt(**change) if differs else attempt()

    with pytest.raises(BrokenClaim, match=r'agent chat .* "t-task-32" \(all.jsonl:33\): "front" and'):
        tried([YOUNG] * 30, answer)


def test_an_answer_that_is_lacking_is_no_other_answer() -> None:
    told = tried([YOUNG] * 30, lambda r: NoAnswer("server", "") if r.task == TASKS[30] else attempt())[1]
    assert TASKS[30] not in believed(told).problem.free


@pytest.mark.parametrize(
    ("date", "is_old"),
    [(OLD, True), (YOUNG, False), (None, True), ("soon", True), ("2026-12-01", False), ("2027-01-01", True)],
)
def test_a_verdict_is_old_after_fourteen_days_and_without_a_date(date: str | None, is_old: bool) -> None:
    claims, _, _ = tried([YOUNG, date], lambda _: attempt(), Agent("offline"))
    assert claims.old == ((TASKS[1],) if is_old else ())


@pytest.mark.parametrize(("old", "needed"), [(1, 1), (5, 5), (10, 9), (19, 18), (20, 18), (30, 18)])
def test_old_verdicts_stand_where_nine_of_ten_score_as_they_did(old: int, needed: int) -> None:
    dates = [OLD] * old + [YOUNG] * (35 - old)
    checked = min(old, CHECKED)
    for alike in (needed, needed - 1):
        other = TASKS[alike:checked]
        _, told, asked = tried(
            dates,
            lambda r, other=other: attempt(0.0 if r.task in other else 1.0),
            Agent("offline"),
        )
        assert len(asked) == checked
        stored, free, notes = believed(told).stored, believed(told).problem.free, believed(told).notes
        stands = alike == needed
        assert (stored.old, stored.checked, stored.alike) == (old, checked, alike)
        assert stored.used == 35 - (checked if stands else old)
        assert set(free) == set(TASKS[:checked]) | set(TASKS[checked if stands else old : 35])
        assert [free[task].score for task in other] == [0.0] * len(other)
        assert ("so they stand" in notes[0]) == stands
        assert ("none of them is used" in notes[0]) != stands


def test_a_fresh_attempt_keeps_the_name_of_a_stored_one_that_says_the_same() -> None:
    old = [OLD] * 20
    told = tried(old, lambda r: attempt(output="front" if r.task < TASKS[10] else "Front"), Agent("offline"))[
        1
    ]
    names = [believed(told).problem.free[task].trajectory for task in TASKS[:20]]
    assert names == [*(f"t-{task}" for task in TASKS[:10]), *["r-new"] * 10]


def test_both_claims_share_their_first_attempts() -> None:
    claims, _, asked = tried([OLD] * 30, lambda _: attempt())
    assert set(claims.twice) < set(claims.checked)
    assert len(asked) == claims.rollouts == CHECKED + TWICE


def test_the_oldest_that_is_used_is_told() -> None:
    dates = ["2026-09-01", None, YOUNG] + [OLD] * 18 + ["2026-06-03T12:00:00Z"] * 2
    told = believed(tried(dates, lambda _: attempt(), Agent("offline"))[1])
    assert (told.stored.used, told.stored.oldest_days, told.stored.undated) == (3, 180, 0)


def test_an_answer_stands_for_fourteen_days() -> None:
    evidence, problem = evidence_of([]), Problem(parse("# Desk\n"), {}, TASKS)
    days = [f"2026-11-{day:02}T00:00:00Z" for day in range(1, 29)]
    periods = [claims_of(Agent(), problem, evidence, day).period for day in days]
    assert len(set(periods)) in {2, 3}
    assert max(map(periods.count, periods)) == 14
