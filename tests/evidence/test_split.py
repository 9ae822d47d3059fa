import hashlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.parse import MalformedFile, read_yaml
from runbookopt.evidence.library import task_id
from runbookopt.evidence.split import LeftOut, Shares, group_of, part_of, split
from runbookopt.evidence.trajectory import Part, Task, time_of
from runbookopt.evidence.words import normalised, runs_of_words
from runbookopt.proof.comparison import Terms


def task(value: object, group: str | None = None, part: Part | None = None) -> Task:
    return Task(id=task_id(value), input=value, group=group, split=part)


WORDS = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=12).map(" ".join)
INPUTS = WORDS | st.text() | st.integers() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
GROUPS = st.none() | st.sampled_from(["g1", "g2", "g3"])
TASKS = st.lists(st.builds(task, INPUTS, GROUPS), max_size=30, unique_by=lambda task: task.id)
SHARES = st.builds(Shares, st.floats(0.05, 0.45), st.floats(0.05, 0.45))


def parts(tasks: list[Task], shares: Shares) -> dict[str, str]:
    """Give where each task stands; one that the proof leaves out stands in held-out all the same."""
    found = split(tasks, shares)
    held_out = (*found.held_out, *(left.task for left in found.left_out))
    named = {"train": found.train, "validation": found.validation, "held-out": held_out}
    return {task: name for name, ids in named.items() for task in ids}


def in_part(part: Part) -> list[str]:
    """Give ten inputs of a part, by trying."""
    numbered = (f"message {number}" for number in itertools.count())
    return list(itertools.islice((text for text in numbered if part_of(text, Shares()) == part), 10))


@given(TASKS, INPUTS, SHARES)
def test_adding_a_task_moves_no_other(tasks: list[Task], value: object, shares: Shares) -> None:
    before = parts(tasks, shares)
    after = parts([*(known for known in tasks if known.id != task_id(value)), task(value)], shares)
    assert all(after[id_] == part for id_, part in before.items() if id_ != task_id(value))


@given(TASKS, SHARES)
def test_a_group_is_never_divided(tasks: list[Task], shares: Shares) -> None:
    where = parts(tasks, shares)
    for one, other in itertools.combinations(tasks, 2):
        if group_of(one) == group_of(other):
            assert where[one.id] == where[other.id]


@given(TASKS, SHARES)
def test_the_order_of_tasks_does_not_matter(tasks: list[Task], shares: Shares) -> None:
    assert split(tasks, shares) == split(list(reversed(tasks)), shares)


@given(TASKS, SHARES)
def test_every_task_is_somewhere_once(tasks: list[Task], shares: Shares) -> None:
    found = split(tasks, shares)
    everywhere = [*found.train, *found.validation, *found.held_out, *(left.task for left in found.left_out)]
    assert sorted(everywhere) == sorted(task.id for task in tasks)


@given(st.text(), st.floats(0.01, 0.5), st.floats(0.01, 0.45), st.floats(0.0, 0.3))
def test_thresholds_are_nested(key: str, train: float, validation: float, more: float) -> None:
    before = part_of(key, Shares(train, validation))
    if before == "held-out":
        smaller = Shares(train * (1 - more), validation)
        assert part_of(key, smaller) == "held-out"
    if before == "train":
        assert part_of(key, Shares(train, validation * (1 - more))) == "train"


@pytest.mark.parametrize("key", ["customer-17", "the machine ate my card", "", "é"])
def test_the_place_of_a_key_is_its_digest(key: str) -> None:
    place = int.from_bytes(hashlib.sha256(f"split:{key}".encode()).digest()[:8], "big") / 2**64
    expected = "held-out" if place < 0.4 else "validation" if place < 0.65 else "train"
    assert part_of(key, Shares()) == expected


def test_shares_come_out_as_asked_for() -> None:
    found = [part_of(str(number), Shares()) for number in range(4000)]
    assert found.count("train") / 4000 == pytest.approx(0.35, abs=0.03)
    assert found.count("validation") / 4000 == pytest.approx(0.25, abs=0.03)


def test_held_out_is_what_exactly_remains() -> None:
    assert Shares().held_out == Fraction(2, 5)
    assert Shares(0.1, 0.2).held_out == Fraction(7, 10)


@pytest.mark.parametrize(
    ("train", "validation"), [(0, 0.5), (0.5, 0.5), (0.7, 0.7), (float("nan"), 0.1), (-1, 0.5)]
)
def test_shares_that_leave_nothing_are_refused(train: float, validation: float) -> None:
    with pytest.raises(ValueError, match="expected shares"):
        Shares(train, validation)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"train": train, "validation": validation}, Shares)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The machine ATE my card!", "the machine ate my card"),
        ("caf\u00e9\u00a0\uff21", "cafe\u0301 a"),
        ("Straße -- x", "strasse x"),
        ({"a": "X"}, {"a": "x"}),
    ],
)
def test_inputs_that_differ_in_form_alone_share_a_group(one: object, other: object) -> None:
    assert group_of(task(one)) == group_of(task(other))


@pytest.mark.parametrize(("one", "other"), [("???", "!!!"), ("card lost", "card last"), ("£5", "$5"), (1, 2)])
def test_inputs_that_differ_in_content_do_not(one: object, other: object) -> None:
    assert normalised(one) != normalised(other)


def test_a_declared_group_is_the_key_and_an_empty_one_is_none() -> None:
    assert group_of(task("hello", "customer-17")) == "customer-17"
    assert group_of(task("Hello", "")) == "hello"


def test_an_explicit_split_wins() -> None:
    tasks = [task(f"message {number}", "one group", "validation") for number in range(20)]
    found = split([*tasks, task("x", None, "held-out"), task("y", None, "train")], Shares())
    assert len(found.validation) == 20
    assert found.held_out == (task_id("x"),)
    assert found.train == (task_id("y"),)


def test_at_most_so_many_are_drawn_lowest_ids_first() -> None:
    tasks = [
        task(f"{part} {n}", None, part) for part in ("train", "validation", "held-out") for n in range(250)
    ]
    found = split(tasks, Shares())
    ids = sorted(task.id for task in tasks if task.split == "train")
    assert (len(found.train), len(found.validation), len(found.held_out)) == (100, 100, 200)
    assert list(found.train) == ids[:100]


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("please note the machine at the corner ate my only card", True),
        ("A machine at the corner ate my only purse!", True),
        ("A machine near the corner has my purse!", False),
        ("lost: my card", True),
        ("lost my card today", False),
    ],
)
def test_a_held_out_task_that_nearly_repeats_a_used_one_is_left_out(text: str, repeats: bool) -> None:
    used = [
        task("hello, the MACHINE at the corner ate my only card again", None, "train"),
        task("Lost my card", None, "validation"),
    ]
    found = split([*used, task(text, None, "held-out")], Shares())
    assert bool(found.left_out) == repeats
    if repeats:
        assert found.left_out[0].reason in {f"near repeat of {task.id}" for task in used}


def test_a_form_letter_is_no_repetition() -> None:
    letter = "dear sir or madam I am writing to you today about my {}"
    tasks = [task(letter.format(n), None, "train" if n % 2 else "held-out") for n in range(40)]
    assert split(tasks, Shares()).left_out == ()
    assert split(tasks[:6], Shares()).left_out == ()
    assert len(split(tasks[:2], Shares()).left_out) == 1


def test_what_a_search_has_used_stays_burnt_with_its_group() -> None:
    held_out = in_part("held-out")
    tasks = [task(text) for text in held_out]
    grouped = [task("one of a group", "g", "held-out"), task("another one", "g", "held-out")]
    found = split([*tasks, *grouped], Shares(), burnt={tasks[0].id, grouped[0].id, "sha256:gone"})
    left = {left.task: left.reason for left in found.left_out}
    assert left[tasks[0].id] == "burnt: a search has used it, or an audit has shown it"
    assert left[grouped[1].id] == f"burnt: a search uses {grouped[0].id} of its group"
    assert len(left) == 3
    assert len(found.held_out) == len(tasks) - 1


def test_a_group_that_reaches_into_train_proves_nothing() -> None:
    tasks = [task("one", "g", "held-out"), task("two", "g", "train")]
    assert split(tasks, Shares()).left_out == (
        LeftOut(task_id("one"), f"burnt: a search uses {task_id('two')} of its group"),
    )


# By time ----------------------------------------------------------------------------------------------------

NOVEMBER = Shares(by="time", from_="2026-11-01")
TIMES = st.none() | st.datetimes(
    datetime(2026, 9, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2026, 12, 31),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.just(UTC),
)


def timed(value: object, began: datetime | None, group: str | None = None, part: Part | None = None) -> Task:
    return Task(id=task_id(value), input=value, group=group, split=part, began=began)


TIMED = st.lists(st.builds(timed, INPUTS, TIMES, GROUPS), max_size=20, unique_by=lambda task: task.id)


@given(TIMED, INPUTS, TIMES)
def test_adding_a_task_moves_no_other_by_time(
    tasks: list[Task], value: object, began: datetime | None
) -> None:
    before = parts(tasks, NOVEMBER)
    after = parts([*(known for known in tasks if known.id != task_id(value)), timed(value, began)], NOVEMBER)
    assert all(after[id_] == part for id_, part in before.items() if id_ != task_id(value))


@given(TIMED)
def test_by_time_no_group_is_on_both_sides_of_the_proof(tasks: list[Task]) -> None:
    found, by_id = split(tasks, NOVEMBER), {task.id: task for task in tasks}
    used = {group_of(by_id[id_]) for id_ in (*found.train, *found.validation)}
    assert not used.intersection(group_of(by_id[id_]) for id_ in found.held_out)
    assert all(by_id[id_].began >= datetime(2026, 11, 1, tzinfo=UTC) for id_ in found.held_out)  # type: ignore[operator]


def test_what_began_on_the_day_or_later_is_held_out_and_the_rest_is_shared_as_before() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    old = [timed(f"message {n}", day - timedelta(seconds=1 + n)) for n in range(100)]
    new = [timed(f"ticket {n}", day + timedelta(days=n)) for n in range(30)]
    unknown = [timed(f"letter {n}", None) for n in range(60)]
    found = split([*old, *new, *unknown], NOVEMBER)
    assert set(found.held_out) == {task.id for task in new}
    for each in (*old, *unknown):
        by_digest = part_of(group_of(each), Shares())
        assert by_digest == "held-out" or each.id in getattr(found, by_digest)
    assert len(found.validation) == pytest.approx(160 * 0.25 / 0.6, abs=12)


def test_by_time_an_explicit_split_wins_and_a_group_that_began_before_proves_nothing() -> None:
    early, late = datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    said = timed("said to be train", late, None, "train")
    tasks = [timed("first of a group", early, "g"), timed("second of a group", late, "g"), said]
    found = split(tasks, NOVEMBER)
    assert (found.held_out, said.id in found.train) == ((), True)
    assert [left.reason for left in found.left_out] == [f"burnt: a search uses {tasks[0].id} of its group"]


@pytest.mark.parametrize(
    ("text", "hours"),
    [("2026-11-01", 0), ("2026-11-01T02:00:00+02:00", 0), ("2026-11-01T09:00:00Z", 9), ("20261101T09", 9)],
)
def test_a_time_is_of_the_zone_that_it_names(text: str, hours: int) -> None:
    assert time_of(text) == datetime(2026, 11, 1, hours, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "2026-13-01", "0001-01-01T00:00:00+14:00", "1767225600"]
)
def test_what_is_no_time_is_unknown(text: str | None) -> None:
    assert time_of(text) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"by": "time"}, "from: expected a date like 2026-11-01 beside `by: time`"),
        ({"by": "time", "from": "soon"}, 'beside `by: time`, got "soon"'),
        ({"from": "2026-11-01"}, "from: expected it beside `by: time` only"),
        ({"by": "tiem", "from": "2026-11-01"}, "by"),
    ],
)
def test_a_split_by_time_names_its_date(given: dict[str, object], words: str) -> None:
    with pytest.raises(MalformedFile) as refused:
        read_yaml(json.dumps({"split": given}).encode(), Terms, "policy.yaml")
    assert words in str(refused.value)


def test_runs_of_words_are_those_of_the_normalised_text() -> None:
    assert runs_of_words("One, two: THREE", 2) == {("one", "two"), ("two", "three")}
    assert runs_of_words("one", 2) == frozenset()
