from collections.abc import Sequence

import msgspec
import pytest

from runbookopt.evidence.library import Evidence, task_id
from runbookopt.evidence.trajectory import AgentRecord, Task, TaskRecord, Trajectory
from runbookopt.landing.bundle import Change
from runbookopt.landing.sources.history import Brought
from runbookopt.landing.sources.leave_one_out import leaning
from runbookopt.project.policy import Facts, Policy, decide
from runbookopt.proof.comparison import Outcome, Pair

Row = tuple[str, str | None, str]
"""A trajectory's id and input in one, its group, and its agent's name."""


def evidence(rows: Sequence[Row]) -> Evidence:
    trajectories = tuple(
        Trajectory(name, TaskRecord(name, group=group), agent=AgentRecord(name=agent), trust="internal")
        for name, group, agent in rows
    )
    tasks = tuple(Task(task_id(name), name, group=group, trajectories=(name,)) for name, group, _ in rows)
    return Evidence(tasks, trajectories)


def pairs(gains: dict[str, float]) -> list[Pair]:
    return [
        Pair(task_id(name), f"of {name}", (Outcome(max(0.0, -gain), {}),), (Outcome(max(0.0, gain), {}),))
        for name, gain in gains.items()
    ]


def edit(*cites: str) -> Change:
    return Change("rules", "because", cites)


SEEN = [("a", "ann", "bot"), ("b", "bob", "bot"), ("c", "cy", "bot"), ("d", "dee", "bot"), ("e", None, "bot")]
EVEN = {"a": 1.0, "b": 1.0, "c": 1.0}


def test_a_gain_that_many_share_leans_on_nobody() -> None:
    assert leaning(pairs(EVEN), [edit("d", "e")], evidence(SEEN), {}) == ()


def test_a_gain_that_is_mostly_one_groups_names_it() -> None:
    told = leaning(pairs({"a": 1.0, "b": 0.2, "c": 0.2}), [edit("d", "e")], evidence(SEEN), {})
    assert told == ("without the group ann 29% of the gain is left",)


def test_edits_that_cite_one_group_alone_count_as_that_groups() -> None:
    told = leaning(pairs(EVEN), [edit("d")], evidence(SEEN), {})
    assert told == ("without the group dee 0% of the gain is left",)
    assert leaning(pairs(EVEN), [edit("d"), edit("d", "e")], evidence(SEEN), {}) == ()


def test_a_way_that_brought_most_of_the_gain_is_named() -> None:
    seen = [("a", None, "bot"), ("b", None, "bot"), ("c", None, "bot"), ("d", None, "mail")]
    told = leaning(pairs({**EVEN, "d": 1.0}), [edit("a", "d")], evidence(seen), {})
    assert told == ("without what is internal of bot 25% of the gain is left",)


def test_half_of_the_gain_is_enough_and_a_loss_elsewhere_counts() -> None:
    assert leaning(pairs({"a": 1.0, "b": 1.0}), [], evidence(SEEN), {}) == ()
    assert leaning(pairs({"a": 1.0, "b": 1.0, "c": -0.1}), [], evidence(SEEN), {}) != ()


def test_where_all_came_one_way_from_nobody_named_there_is_nothing_to_leave_out() -> None:
    assert leaning(pairs(EVEN), [edit("a")], evidence([(name, None, "bot") for name in "abc"]), {}) == ()


def test_repeats_of_one_group_on_several_held_out_tasks_count_once() -> None:
    seen = [*SEEN, ("f", "ann", "bot"), ("g", "ann", "bot")]
    found = [msgspec.structs.replace(pair, group="ann") for pair in pairs({"a": 1.0, "f": 1.0, "g": 1.0})]
    assert leaning([*found, *pairs({"b": 1.0, "c": 1.0})], [], evidence(seen), {}) == ()


def came(**ways: tuple[str, int]) -> dict[str, Brought]:
    """Give the file and the place of the commit that brought each task."""
    return {task_id(name): Brought(f"{file}.jsonl", f"{at}" * 40, at) for name, (file, at) in ways.items()}


def test_a_commit_that_brought_most_of_the_gain_is_named_whatever_its_lines_say_of_themselves() -> None:
    found = pairs({"a": 0.2, "b": 1.0, "c": 1.0})
    brought = came(a=("old", 1), b=("old", 2), c=("old", 2), d=("old", 1), e=("old", 1))
    told = leaning(found, [edit("d", "e")], evidence(SEEN), brought)
    assert told == ("without what commit 222222222222 brought 9% of the gain is left",)


def test_a_file_that_brought_most_of_the_gain_is_named() -> None:
    found = pairs({"a": 0.2, "b": 1.0, "c": 1.0})
    brought = came(a=("old", 1), b=("new", 2), c=("new", 3), d=("old", 1), e=("old", 1))
    told = leaning(found, [edit("d", "e")], evidence(SEEN), brought)
    assert told == ("without the file new.jsonl 9% of the gain is left",)


def test_what_was_there_first_is_what_others_are_held_against() -> None:
    brought = came(a=("old", 1), b=("old", 1), c=("new", 2), d=("old", 1), e=("old", 1))
    assert leaning(pairs(EVEN), [edit("d", "e")], evidence(SEEN), brought) == ()


def test_edits_that_cite_what_one_commit_brought_count_as_that_commits() -> None:
    brought = came(a=("old", 1), b=("old", 1), c=("old", 1), d=("old", 2), e=("old", 2))
    told = leaning(pairs(EVEN), [edit("d", "e")], evidence(SEEN), brought)
    assert told == ("without what commit 222222222222 brought 0% of the gain is left",)


@pytest.mark.parametrize("gains", [{}, {"a": 0.0}, {"a": -1.0, "b": 0.5}])
def test_without_a_gain_nothing_leans(gains: dict[str, float]) -> None:
    assert leaning(pairs(gains), [edit("d")], evidence(SEEN), {}) == ()


def test_a_gain_that_leans_goes_to_review_and_says_on_whom() -> None:
    told = "without the group ann 29% of the gain is left"
    reasons = decide(Policy(merge="auto"), Facts(None, leaning=(told,))).reasons
    assert [r.told for r in reasons if r.condition == "leave_one_source_out"] == [f"no: {told}"]
