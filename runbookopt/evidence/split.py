"""Split of tasks into train, validation and held-out: a function of the tasks alone (pure)."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from runbookopt.documents.schema_errors import InconsistentValues, shown
from runbookopt.evidence.boilerplate import Boilerplate
from runbookopt.evidence.near_repeats import NearRepeat, Text, near_repeats
from runbookopt.evidence.trajectory import Part, Task, time_of
from runbookopt.evidence.words import normalised

Share = Annotated[float, Meta(gt=0.0, lt=1.0)]

DRAWN: Mapping[Part, int] = {"train": 100, "validation": 100, "held-out": 200}
"""At most so many tasks of each part are used, lowest ids first."""

MOST_RED_TEAM = 100
"""At most so many tasks of a red team are used, lowest ids first."""

NearRepeats = Literal["refuse", "allow"]
"""Whether held-out tasks that nearly repeat what a search uses are left out of the proof, or stay in it."""


class Shares(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How tasks are split.

    By digest: the shares of train and validation, each in (0, 1) with a sum below 1; the rest is held-out.
    By time: tasks whose first trajectory began at `from` or later are held-out (a date, or a date and a time,
    in UTC where it names no other zone); train and validation share the earlier ones as they would by digest.
    """

    train: Share = 0.35
    validation: Share = 0.25
    by: Literal["digest", "time"] = "digest"
    from_: str | None = msgspec.field(name="from", default=None)

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing for the proof, and a time that is none."""
        if not (0 < self.train < 1 and 0 < self.validation < 1 and self.train + self.validation < 1):
            raise ValueError("expected shares of train and validation above 0 that leave some for held-out")
        if self.by == "digest" and self.from_ is not None:
            raise InconsistentValues("from", "expected it beside `by: time` only")
        if self.by == "time" and time_of(self.from_) is None:
            given = "" if self.from_ is None else f", got {shown(self.from_)}"
            raise InconsistentValues("from", f"expected a date like 2026-11-01 beside `by: time`{given}")

    @property
    def held_out(self) -> Fraction:
        """What is left for held-out, exact for shares as they are written."""
        return 1 - Fraction(str(self.train)) - Fraction(str(self.validation))

    @property
    def since(self) -> datetime | None:
        """From when on tasks are held-out; None where time does not decide."""
        return time_of(self.from_) if self.by == "time" else None


class LeftOut(Struct, frozen=True):
    """A held-out task that the proof may not use, and why."""

    task: str
    reason: str


class Split(Struct, frozen=True):
    """The tasks of each part as drawn, by id in ascending order, and what the proof must do without.

    `near_repeats` are the held-out tasks that are alike to one of train or validation, or to a burnt one,
    whether they are left out or not; `boilerplate` is what was taken away from inputs to tell. Tasks after
    the last one that is drawn are not compared: they are not used. `red_team` tasks are of no part: they are
    tried wherever held-out tasks are, and count by themselves.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    near_repeats: tuple[NearRepeat, ...] = ()
    boilerplate: tuple[Boilerplate, ...] = ()
    red_team: tuple[str, ...] = ()


def split(
    tasks: Sequence[Task], shares: Shares, *, burnt: Collection[str] = (), repeats: NearRepeats = "refuse"
) -> Split:
    """Split tasks by the digest of their group or by time, so that adding a task never moves another.

    `burnt` are the ids of tasks that a search has used, whatever the shares were then: neither they nor
    their groups are proof of anything any more. A held-out task is also left out where its group reaches
    into train or validation (by an explicit `split`, or by time) and, unless `repeats` are allowed, where
    its input nearly repeats one of theirs. What a red team made is in none of these parts.
    """
    parts: dict[Part, list[Task]] = {part: [] for part in get_args(Part)}
    ordered = sorted(tasks, key=lambda task: task.id)
    for task in ordered:
        if not task.red_team:
            parts[part_of_task(task, shares)].append(task)
    held_out = parts.pop("held-out")
    used = [task for part in parts.values() for task in part]
    used += [task for task in held_out if task.id in burnt]
    spent = _spent(held_out, used, burnt)
    asked = _texts(task for task in held_out if task.id not in spent)
    found = near_repeats(asked, _texts(used), DRAWN["held-out"])
    alike = {} if repeats == "allow" else {each.task: f"near repeat of {each.of}" for each in found.repeats}
    gone = spent | alike
    drawn = _drawn("held-out", (task for task in held_out if task.id not in gone))
    return Split(
        train=_drawn("train", parts["train"]),
        validation=_drawn("validation", parts["validation"]),
        held_out=drawn,
        left_out=tuple(LeftOut(task.id, gone[task.id]) for task in held_out if task.id in gone),
        near_repeats=tuple(each for each in found.repeats if each.task in gone or each.task in drawn),
        boilerplate=found.boilerplate,
        red_team=tuple(task.id for task in ordered if task.red_team)[:MOST_RED_TEAM],
    )


def group_of(task: Task) -> str:
    """The key of the split and the unit of the proof: the task's group, else its normalised input."""
    return task.group or normalised(task.input)


def part_of(key: str, shares: Shares) -> Part:
    """The part of a key: [0, h) is held-out, [h, h + v) validation, the rest train."""
    place = _place(key)
    if place < shares.held_out:
        return "held-out"
    return "validation" if place < 1 - Fraction(str(shares.train)) else "train"


def part_of_task(task: Task, shares: Shares) -> Part:
    """The part of a task, drawn or not: what it states, else by its group, or by time."""
    return task.split or _derived(task, shares)


def _derived(task: Task, shares: Shares) -> Part:
    """The part of a task that states none; by time, one whose time is not known is never held-out."""
    part = part_of(group_of(task), shares)
    if shares.since is None:
        return part
    if task.began is not None and task.began >= shares.since:
        return "held-out"
    if part != "held-out":
        return part
    place = _place(group_of(task)) / shares.held_out
    kept = Fraction(str(shares.validation)) / (1 - shares.held_out)
    return "validation" if place < kept else "train"


def _place(key: str) -> Fraction:
    return Fraction(int.from_bytes(hashlib.sha256(f"split:{key}".encode()).digest()[:8], "big"), 2**64)


def _texts(tasks: Iterable[Task]) -> tuple[Text, ...]:
    return tuple(Text(task.id, group_of(task), task.input) for task in tasks)


def _drawn(part: Part, tasks: Iterable[Task]) -> tuple[str, ...]:
    return tuple(task.id for task in tasks)[: DRAWN[part]]


def _spent(held_out: Sequence[Task], used: Sequence[Task], burnt: Collection[str]) -> dict[str, str]:
    """Why held-out tasks prove nothing that are of a group which is used, by id."""
    groups = {group_of(task): task.id for task in used}
    why = {}
    for task in held_out:
        related = groups.get(group_of(task))
        if task.id in burnt:
            why[task.id] = "burnt: a search has used it, or an audit has shown it"
        elif related is not None:
            why[task.id] = (
                f"burnt: a search uses {related} of its group" if task.group else f"near repeat of {related}"
            )
    return why
