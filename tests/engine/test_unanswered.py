"""Calls that come to nothing by nobody's fail: no score follows, and the run goes on later."""

import tempfile
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.agents.protocol import AgentFailure, Judged, Produced, Reflected
from runbookopt.documents.usage import Usage
from runbookopt.engine.calls import Caller, Verdicts
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.engine.unanswered import TooManyUnanswered
from runbookopt.errors import Invalid
from runbookopt.evidence.trajectory import Left, Task
from runbookopt.search.asks import (
    Ask,
    Attempt,
    Candidate,
    NoAnswer,
    Reflection,
    ReflectionFailure,
    Reply,
    Rollout,
)
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question
from runbookopt.verifier.rubric import Assessment, Verdict

SEED = Candidate("seed")
TASKS = [f"t{number}" for number in range(40)]
WIDTHS = st.sampled_from([1, 3, 16])


class World:
    """Agent, reflector and judge; the calls in `lost`, by what they are about, come to nothing."""

    name = key = "world"
    deterministic = True

    def __init__(self, lost: set[str]) -> None:
        self.lost = lost
        self.answered: Counter[str] = Counter()
        self.cut = False

    async def rollout(self, runbook: str, task_input: str, repeat: str) -> Produced:
        if self.cut:
            return Produced(None, Left(reason="truncated: the reply was cut"))
        if self._is_lost(f"{runbook} {task_input} {repeat}"):
            raise AgentFailure("server", "busy", Usage(failures={"server": 1}))
        return Produced(f"{runbook} {task_input}")

    async def reflect(self, ask: Reflection) -> Reflected:
        lost = self._is_lost(f"reflection {ask.length_budget}")
        return Reflected(ReflectionFailure("server" if lost else "refused", "no", unanswered=lost))

    async def judge(self, question: Question) -> Judged:
        lost = self._is_lost(f"judge {question.output}")
        return Judged(
            JudgeFailure("server", "busy", unanswered=True) if lost else Judgement("well", met=True)
        )

    def _is_lost(self, call: str) -> bool:
        if call in self.lost:
            return True
        self.answered[call] += 1
        return False


def assessed(_: str, made: Produced, verdicts: Verdicts) -> Assessment:
    errors = sum(isinstance(said, JudgeFailure) for _, said in verdicts)
    result = "error" if errors else "fail" if made.output is None else "pass"
    score = float(result == "pass")
    return Assessment(score, {"good": score}, (), errors, (Verdict("good", result, score, result),))


def driver(
    journal: Journal, world: World, *, width: int = 4, reserved: int = 0, judge: bool = False
) -> Driver:
    tasks = {task: Task(task, task) for task in TASKS}
    asked = (
        (lambda _, said: () if said is None else (Question("good", "Is it?", "", said),)) if judge else None
    )
    more: dict[str, Any] = {"judge": world, "questions": asked} if asked else {}
    caller = Caller(world, world, tasks, assessed, **more)
    return Driver(caller, journal.run("run", {}), rollouts=1000, reserved=reserved, width=width)


def in_turn(asks: list[Ask]) -> Generator[Ask, Reply, list[Reply]]:
    """Ask, and ask of another candidate on where a score is lacking: what is asked hangs on what was told."""
    replies = []
    for ask in asks:
        replies.append((yield ask))
        lacking = sum(isinstance(each, NoAnswer) for each in replies[-1].rollouts)
        if lacking:
            replies.append((yield asking(TASKS[:20], f"after {lacking}")))
    return replies


def asking(tasks: list[str], text: str = "seed", *reflections: int) -> Ask:
    candidate = Candidate(text)
    taught = tuple(Reflection(SEED, (), (), (), (), number) for number in reflections)
    return Ask(tuple(Rollout(candidate, task) for task in tasks), taught)


ASKS = [asking(TASKS), asking(TASKS[:20], "draft", 1, 2), asking(TASKS, "draft")]
CALLS = [f"{rollout.candidate.text} {rollout.task} 0" for ask in ASKS for rollout in ask.rollouts]


@given(
    lost=st.lists(st.sets(st.sampled_from([*CALLS, "reflection 1"])), max_size=3),
    widths=st.tuples(WIDTHS, WIDTHS),
)
def test_a_run_goes_on_after_each_outage_and_ends_as_one_without_and_pays_no_answer_twice(
    lost: list[set[str]], widths: tuple[int, int]
) -> None:
    world = World(set())
    with tempfile.TemporaryDirectory() as name:
        with Journal.open(Path(name) / "uncut.sqlite3") as journal:
            wanted = driver(journal, World(set())).drive(in_turn(ASKS))
        with Journal.open(Path(name) / "journal.sqlite3") as journal:
            borne = None
            for world.lost in lost:
                try:
                    borne = driver(journal, world, width=widths[0]).drive(in_turn(ASKS))
                    break
                except Invalid:
                    continue
            before = world.answered.copy()
            world.lost = set()
            ended = driver(journal, world, width=widths[1])
            assert ended.drive(in_turn(ASKS)) == (wanted if borne is None else borne)
            assert set(world.answered.values()) <= {1}
            assert borne is None or world.answered == before
            (record,) = journal.runs()
    assert (record.id, record.state) == ("run", "open")


@pytest.mark.parametrize(("few", "judge"), [(True, False), (False, False), (True, True), (False, True)])
def test_a_share_of_five_percent_lacks_a_score_and_more_are_no_result(
    tmp_path: Path, few: bool, judge: bool
) -> None:
    about = "judge seed {}" if judge else "seed {} 0"
    world = World({about.format(task) for task in TASKS[: 2 if few else 3]})
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        searching = driver(journal, world, judge=judge)
        if not few:
            with pytest.raises(TooManyUnanswered, match=r"3 of 40 attempts came to nothing.*server: .*busy"):
                searching.drive(in_turn([asking(TASKS)]))
            return
        told = searching.drive(in_turn([asking(TASKS)]))[0].rollouts
        why = "the judge: busy" if judge else "busy"
        assert told[:2] == (NoAnswer("server", why),) * 2
        assert {each.score for each in told[2:] if isinstance(each, Attempt)} == {1.0}
        world.lost = set()  # what was told is told again while the run is open, also when it could be had
        assert driver(journal, world, judge=judge).drive(in_turn([asking(TASKS)]))[0].rollouts == told


def test_the_share_is_that_of_the_whole_proof_and_its_trouble_leaves_the_search_as_it_was(
    tmp_path: Path,
) -> None:
    proof = [Rollout(Candidate(text), task, "look/0") for text in ("seed", "draft") for task in TASKS]
    world = World({"seed t0 0", *(f"draft {task} look/0" for task in TASKS[:5])})
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        first = driver(journal, world, reserved=80)
        told = first.drive(in_turn([asking(TASKS)]))
        assert len(first.rollouts(proof[:44])) == 44  # 4 of 44 would be too many, 4 of 80 are not
        with pytest.raises(Invalid, match="5 of 80 attempts"):
            first.rollouts(proof[44:])
        world.lost = set()
        again = driver(journal, world, reserved=80)
        assert again.drive(in_turn([asking(TASKS)])) == told
        proved = again.rollouts(proof)
        assert not any(isinstance(each, NoAnswer) for each in proved)
    assert set(world.answered.values()) == {1}


def test_outputs_that_are_all_cut_are_no_result_also_where_the_journal_has_them(tmp_path: Path) -> None:
    world = World(set())
    world.cut = True
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        assert driver(journal, world).drive(in_turn([asking(TASKS[:9])]))[0].stopped is None
        for _ in range(2):
            with pytest.raises(
                TooManyUnanswered, match=r"first 10 outputs were cut: raise max_tokens \(trunc"
            ):
                driver(journal, world).drive(in_turn([asking(TASKS[:9]), asking(TASKS)]))


def test_a_reflection_without_a_reply_is_counted_and_is_no_attempt(tmp_path: Path) -> None:
    world = World({"reflection 1"})
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        searching = driver(journal, world)
        (told,) = searching.drive(in_turn([asking([], "seed", 1, 2)]))
    assert [each.unanswered for each in told.reflections if isinstance(each, ReflectionFailure)] == [
        True,
        False,
    ]
    assert (searching.reflections.asked, searching.reflections.unanswered) == (2, 1)
