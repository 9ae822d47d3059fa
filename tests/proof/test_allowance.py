from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.evidence.trajectory import Task
from runbookopt.proof.allowance import (
    BEGINS_AGAIN,
    Look,
    allowance,
    allowances,
    burnt,
    changed_since,
    group_digests,
    look_key,
    looks_before,
    moved_since,
    recorded,
    reference_digest,
    trajectory_names,
    untimely,
)

A = 0.05
START = datetime(2026, 1, 1, tzinfo=UTC)
some_groups = st.sets(st.integers(0, 30), min_size=1).map(lambda keys: group_digests(map(str, keys)))


def look(candidate: str = "c", groups: int = 40, first: int = 0, seed: str = "s", rubric: str = "r") -> Look:
    digests = group_digests(f"customer-{number}" for number in range(first, first + groups))
    key = look_key("triage", seed=seed, candidate=candidate, rubric=rubric, agent="a", groups=digests)
    tasks = {f"task-{number}": "reference" for number in range(first, first + groups)}
    return Look(key, "triage", seed, candidate, rubric, "a", digests, tasks, ())


def spends(earlier: Sequence[Look], now: Look) -> float:
    return allowance(earlier, now.groups, now.tasks, A, now.at).spend


def on(day: float, look: Look) -> Look:
    """Give a look that is taken so many days after the first."""
    return msgspec.structs.replace(look, at=(START + timedelta(days=day)).isoformat())


def test_looks_at_the_same_groups_spend_a_half_a_sixth_and_a_twelfth() -> None:
    looks = [look(f"candidate-{night}") for night in range(30)]
    spent = [spends(looks[:night], looks[night]) for night in range(30)]
    assert spent == pytest.approx([A / (night * (night + 1)) for night in range(1, 31)])


def test_an_allowance_tells_its_place_and_what_is_left() -> None:
    second = allowance([look("one")], look("two").groups, look("two").tasks, A)
    assert second.look == 2
    assert second.left == pytest.approx(A / 3)
    assert second.next_spend == pytest.approx(A / 12)


def test_new_groups_refill_in_proportion_and_never_beyond_the_whole() -> None:
    first = on(0, look("one"))
    half_new = spends([first], on(365, look("two", first=20)))
    assert half_new == pytest.approx(A / 2)
    tenth_new = spends([first], on(365, look("two", first=4)))
    left = A / 2 + A / 10
    assert tenth_new == pytest.approx(left * left / (A + left))
    assert spends([first], on(365, look("two", first=40))) == pytest.approx(A / 2)


def test_new_groups_refill_no_faster_than_one_allowance_a_year() -> None:
    first = on(0, look("one"))
    left = A / 2 + A * 73 / 365
    assert spends([first], on(73, look("two", first=40))) == pytest.approx(left * left / (A + left))
    assert spends([first], on(0, look("two", first=40))) == pytest.approx(A / 6)


@pytest.mark.parametrize("told", ["", "soon", "2031-01-01T00:00:00", "2025-06-01T00:00:00+00:00"])
def test_a_time_that_is_missing_unreadable_or_before_an_earlier_look_refills_nothing(told: str) -> None:
    odd = msgspec.structs.replace(look("two", first=40), at=told)
    assert spends([on(0, look("one"))], odd) == pytest.approx(A / 6)
    after = [on(0, look("one")), odd]
    assert spends(after, on(0, look("three", first=80))) == pytest.approx(A / 12)


def test_no_time_between_two_looks_counts_twice() -> None:
    rolling = [look(f"{n}", first=40 * n) for n in range(4)]
    back = [on(0, rolling[0]), on(200, rolling[1]), on(10, rolling[2])]
    straight = [on(0, rolling[0]), on(200, rolling[1]), on(200, rolling[2])]
    assert spends(back, on(210, rolling[3])) == pytest.approx(spends(straight, on(210, rolling[3])))


@pytest.mark.parametrize(
    ("days", "known", "said"),
    [
        (0, False, None),
        (0.9, False, None),
        (1.1, False, "its look at the held-out tasks says that it was taken at 2026-01-02T02:24:00+00:00,"),
        (1.1, True, "its look at the held-out tasks says that it was taken at 2026-01-02T02:24:00+00:00,"),
        (-29, False, None),
        (-31, False, "its look was taken at 2025-12-01T00:00:00+00:00, more than 30 days before"),
        (-31, True, None),
    ],
)
def test_a_look_that_tells_a_time_to_come_or_long_past_is_not_taken_for_new(
    days: float, known: bool, said: str | None
) -> None:
    why = untimely(on(days, look()), START, known=known)
    assert (why or "").startswith(said or "")
    assert (why is None) == (said is None)


def test_a_time_that_no_look_tells_is_never_untimely() -> None:
    assert untimely(look(), START, known=False) is None


def sets(kind: str, night: int) -> Look:
    """Give the look of a night at a set that stays, grows by a group a night, or is another each week."""
    first, groups = {"static": (0, 72), "growing": (0, 72 + night), "rolling": (10 * night, 72)}[kind]
    return on(night, look(f"{night}", groups=groups, first=first))


@pytest.mark.parametrize("kind", ["static", "growing", "rolling"])
def test_a_year_of_nightly_looks_spends_less_than_two_allowances_whatever_the_set_does(kind: str) -> None:
    told = allowances([sets(kind, night) for night in range(365)], A)
    assert 0.9 * A < told[-1].spent < 2 * A
    assert told[-1].spent == pytest.approx(sum(one.spend for one in told))
    assert [one.look for one in told] == list(range(1, 366))


@given(st.lists(st.tuples(some_groups, st.integers(0, 300)), min_size=2, max_size=20))
def test_looks_within_any_year_spend_at_most_two_allowances(
    seen: list[tuple[tuple[str, ...], int]],
) -> None:
    days = [sum(step for _, step in seen[: at + 1]) for at in range(len(seen))]
    looks = [
        on(day, looking_at(groups, at)) for at, ((groups, _), day) in enumerate(zip(seen, days, strict=True))
    ]
    told = allowances(looks, A)
    for start in days:
        year = (one.spend for one, day in zip(told, days, strict=True) if start <= day < start + 365)
        assert sum(year) <= 2 * A + 1e-12


def test_a_chain_of_looks_says_what_each_of_them_spent() -> None:
    looks = [on(day, look(f"{day}", first=day)) for day in range(6)]
    one_by_one = [allowance(looks[:at], each.groups, each.tasks, A, each.at) for at, each in enumerate(looks)]
    assert allowances(looks, A) == tuple(one_by_one)
    assert allowances([], A) == ()


def looking_at(groups: tuple[str, ...], night: int) -> Look:
    """Give a look at groups of one task each."""
    return msgspec.structs.replace(look(f"{night}"), groups=groups, tasks=dict.fromkeys(groups, "reference"))


@given(st.lists(some_groups, max_size=12), some_groups)
def test_all_looks_together_spend_no_more_than_the_allowance_and_what_new_groups_refill(
    earlier: list[tuple[str, ...]], groups: tuple[str, ...]
) -> None:
    looks = [looking_at(seen, at) for at, seen in enumerate([*earlier, groups])]
    spent = [spends(looks[:at], looks[at]) for at in range(len(looks))]
    seen: set[str] = set()
    refilled = 0.0
    for at in looks:
        refilled += A * len(set(at.groups) - seen) / len(at.groups)
        seen.update(at.groups)
    assert sum(spent) <= refilled + 1e-12
    assert all(0 < spend <= A / 2 + 1e-12 for spend in spent)


@given(st.lists(some_groups, min_size=1, max_size=8))
def test_one_more_look_never_raises_what_the_next_may_spend(groups: list[tuple[str, ...]]) -> None:
    looks = [looking_at(seen, at) for at, seen in enumerate(groups)]
    assert spends(looks, looks[-1]) <= spends(looks[:-1], looks[-1])


def test_groups_under_new_names_refill_nothing_unless_their_tasks_are_new() -> None:
    renamed = msgspec.structs.replace(look(first=40), tasks=look().tasks)
    assert spends([look()], renamed) == pytest.approx(A / 6)
    regrouped = msgspec.structs.replace(look(), tasks=look(first=40).tasks)
    assert spends([look()], regrouped) == pytest.approx(A / 6)
    half = msgspec.structs.replace(renamed, tasks=look(first=20).tasks)
    assert spends([on(0, look())], on(365, half)) == pytest.approx(A / 2)


def test_the_answers_of_earlier_looks_spend_and_refill_nothing() -> None:
    settled = [msgspec.structs.replace(look(), answer=answer) for answer in (None, "accepted", "rejected")]
    assert len({spends([earlier], earlier) for earlier in settled}) == 1


def test_an_entry_that_begins_again_spends_all_and_new_groups_refill_it() -> None:
    begins = msgspec.structs.replace(look(), answer=BEGINS_AGAIN)
    assert allowance([begins], look().groups, look().tasks, A).spend == 0
    new = look(first=20)
    assert allowance([look(), begins], new.groups, new.tasks, A).spend == pytest.approx(A / 6)


def test_that_a_ledger_began_again_is_said_until_a_change_was_accepted_and_merged() -> None:
    begins, accepted = (
        msgspec.structs.replace(look(), answer=answer) for answer in (BEGINS_AGAIN, "accepted")
    )
    for earlier, seed in (([begins], "s"), ([begins, accepted], "s"), ([begins], "edited by hand")):
        assert any("the ledger began again" in told for told in changed_since(earlier, [], "r", seed=seed))
    merged = changed_since([begins, accepted], [], "r", seed="merged")
    assert not any("the ledger began again" in told for told in merged)


def test_a_key_is_the_question_whatever_the_order_of_its_groups() -> None:
    key = look_key("triage", seed="s", candidate="c", rubric="r", agent="a", groups=["x", "y"])
    assert key == look_key("triage", seed="s", candidate="c", rubric="r", agent="a", groups=["y", "x"])
    assert key != look_key("refund", seed="s", candidate="c", rubric="r", agent="a", groups=["x", "y"])
    assert key != look_key("triage", seed="s", candidate="c", rubric="r", agent="a", groups=["x"])


def test_the_same_question_is_answered_from_the_record() -> None:
    earlier = [look("other"), look(), look("third")]
    assert recorded(earlier, look()) is earlier[1]
    assert recorded(earlier, look("new")) is None


def test_the_same_candidate_is_looked_at_again_only_where_the_groups_grew_by_a_quarter() -> None:
    assert recorded([look(groups=40)], look(groups=49)) is not None
    assert recorded([look(groups=40)], look(groups=50)) is None
    assert recorded([look(groups=40)], look(groups=30)) is not None
    assert recorded([look(groups=40)], look(groups=40, first=10)) is None
    assert recorded([look(groups=40)], look(groups=41, seed="edited")) is None


def test_a_look_finds_its_own_place_in_the_ledger() -> None:
    looks = [look("one"), look("two"), look("three")]
    assert looks_before(looks, looks[1].key) == (looks[0],)
    assert looks_before(looks, "unknown") == tuple(looks)


def test_what_a_search_has_used_is_burnt() -> None:
    looks = [msgspec.structs.replace(look(), searched=tasks) for tasks in (("a", "b"), ("b", "c"))]
    assert burnt(looks) == {"a", "b", "c"}
    assert burnt([]) == frozenset()


def looked_at(seed: str, tasks: list[Task], answer: str = "rejected") -> Look:
    references = {task.id: reference_digest(task) for task in tasks}
    return msgspec.structs.replace(look(seed=seed), tasks=references, answer=answer)


def test_whatever_was_moved_under_the_proof_is_named() -> None:
    kept, moved, gone = (Task(name, name, {"queue": "cards"}) for name in ("kept", "moved", "gone"))
    today = [kept, Task("moved", "moved", {"queue": "loans"}), Task("new", "new", None)]
    assert changed_since([looked_at("s", [kept, moved, gone])], today, "other") == (
        "the rubric is another than at earlier looks",
        "tasks that were looked at are gone: gone",
        "tasks had another reference when they were looked at: moved",
    )
    assert changed_since([looked_at("s", [kept])], today, "r") == ()
    assert changed_since([], today, "r") == ()


def test_moved_tasks_are_named_by_trajectories_and_not_all_of_them() -> None:
    tasks = [Task("sha256:" + f"{n}" * 64, n, trajectories=(f"t-{n}",) if n else ()) for n in range(6)]
    moved = moved_since([looked_at("s", tasks)], [])
    told = "tasks that were looked at are gone: 000000000000, t-1, t-2 and 3 more"
    assert moved.told(trajectory_names(tasks)) == (told,)
    assert moved.less(moved).told({}) == ()


def test_a_moved_task_is_named_until_the_runbook_has_changed_and_no_sooner() -> None:
    old, new = Task("t", "t", "old"), Task("t", "t", "new")
    waiting = [looked_at("first", [old]), looked_at("second", [new], "accepted")]
    assert changed_since(waiting, [new], "r", seed="second") != ()
    assert changed_since(waiting, [new], "r", seed="third") == ()
    assert changed_since(waiting, [new], "r") != ()
    assert changed_since(waiting[:1], [new], "r", seed="second") != ()
