"""Split of tasks into train, validation and held-out: a function of the tasks alone (pure)."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, get_args

from msgspec import Meta, Struct

from runbookopt.documents.digest import as_text
from runbookopt.evidence.trajectory import Part, Task

Share = Annotated[float, Meta(gt=0.0, lt=1.0)]

DRAWN: Mapping[Part, int] = {"train": 100, "validation": 100, "held-out": 200}
"""At most so many tasks of each part are used, lowest ids first."""

REPEATED_WORDS = 8  # two inputs that share a run of this many words nearly repeat each other

COMMON_GROUPS, COMMON_SHARE = 10, 0.1
"""A run of words found in so many groups, and in so large a share of them, is a form letter."""


class Shares(Struct, frozen=True, forbid_unknown_fields=True):
    """The shares of train and validation, each in (0, 1) with a sum below 1; the rest is held-out."""

    train: Share = 0.35
    validation: Share = 0.25

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing for the proof."""
        if not (0 < self.train < 1 and 0 < self.validation < 1 and self.train + self.validation < 1):
            raise ValueError("expected shares of train and validation above 0 that leave some for held-out")

    @property
    def held_out(self) -> Fraction:
        """What is left for held-out, exact for shares as they are written."""
        return 1 - Fraction(str(self.train)) - Fraction(str(self.validation))


class LeftOut(Struct, frozen=True):
    """A held-out task that the proof may not use, and why."""

    task: str
    reason: str


class Split(Struct, frozen=True):
    """The tasks of each part as drawn, by id in ascending order, and what the proof must do without."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()


def split(tasks: Sequence[Task], shares: Shares, *, burnt: Collection[str] = ()) -> Split:
    """Split tasks by the digest of their group, so that adding a task never moves another.

    `burnt` are the ids of tasks that a search has used, whatever the shares were then: neither they nor
    their groups are proof of anything any more. A held-out task is also left out where its group reaches
    into train or validation (by an explicit `split`) and where its input nearly repeats one of theirs.
    """
    parts: dict[Part, list[Task]] = {part: [] for part in get_args(Part)}
    for task in sorted(tasks, key=lambda task: task.id):
        parts[task.split or part_of(group_of(task), shares)].append(task)
    held_out = parts.pop("held-out")
    used = [task for part in parts.values() for task in part]
    used += [task for task in held_out if task.id in burnt]
    left_out = _left_out(held_out, used, burnt)
    gone = {left.task for left in left_out}
    return Split(
        train=_drawn("train", parts["train"]),
        validation=_drawn("validation", parts["validation"]),
        held_out=_drawn("held-out", (task for task in held_out if task.id not in gone)),
        left_out=left_out,
    )


def group_of(task: Task) -> str:
    """The key of the split and the unit of the proof: the task's group, else its normalised input."""
    return task.group or normalised(task.input)


def part_of(key: str, shares: Shares) -> Part:
    """The part of a key: [0, h) is held-out, [h, h + v) validation, the rest train."""
    number = int.from_bytes(hashlib.sha256(f"split:{key}".encode()).digest()[:8], "big")
    place = Fraction(number, 2**64)
    if place < shares.held_out:
        return "held-out"
    return "validation" if place < 1 - Fraction(str(shares.train)) else "train"


def normalised(value: Any) -> str:  # noqa: ANN401 - an input may be any JSON
    """A text, or canonical JSON, without differences of form (NFKC), case, white space and punctuation."""
    text = as_text(value)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_SPACED).split()) or text


def runs_of_words(value: Any, length: int) -> frozenset[tuple[str, ...]]:  # noqa: ANN401 - see above
    """Every run of `length` words of a normalised input or text; none where it is shorter."""
    return runs(words_of(value), length)


def words_of(value: Any) -> list[str]:  # noqa: ANN401 - see above
    """The words of a normalised input or text."""
    return normalised(value).split()


def runs(words: Sequence[str], length: int) -> frozenset[tuple[str, ...]]:
    """Every run of `length` of these words; none where there are fewer."""
    return frozenset(zip(*(words[start:] for start in range(length)), strict=False))


class _Spaced(dict[int, int]):
    """A table for `str.translate`: a space for each character that is no letter, mark, number or symbol."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(" ") if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_SPACED = _Spaced()


def _drawn(part: Part, tasks: Iterable[Task]) -> tuple[str, ...]:
    return tuple(task.id for task in tasks)[: DRAWN[part]]


def _left_out(held_out: Sequence[Task], used: Sequence[Task], burnt: Collection[str]) -> tuple[LeftOut, ...]:
    """Say of each held-out task that can prove nothing why; `held_out` is in the order of ids."""
    groups = {group_of(task): task.id for task in used}
    runs = {
        task.id: runs_of_words(task.input, REPEATED_WORDS) or frozenset([tuple(words_of(task.input))])
        for task in (*held_out, *used)
    }
    common = _common((*held_out, *used), runs)
    seen = {run: task.id for task in used for run in runs[task.id] - common}
    left = []
    for task in held_out:
        repeated = sorted({seen[run] for run in runs[task.id] if run in seen} - {task.id})
        related = groups.get(group_of(task))
        if task.id in burnt:
            left.append(LeftOut(task.id, "burnt: a search has used it"))
        elif task.group and related:
            left.append(LeftOut(task.id, f"burnt: a search uses {related} of its group"))
        elif related or repeated:
            left.append(LeftOut(task.id, f"near repeat of {related or repeated[0]}"))
    return tuple(left)


def _common(tasks: Sequence[Task], runs: Mapping[str, frozenset[tuple[str, ...]]]) -> set[tuple[str, ...]]:
    """The runs of words that so many groups share that they say nothing of any one task."""
    by_group: dict[str, set[tuple[str, ...]]] = {}
    for task in tasks:
        by_group.setdefault(group_of(task), set()).update(runs[task.id])
    counts = Counter(run for group in by_group.values() for run in group)
    enough = max(COMMON_GROUPS, COMMON_SHARE * len(by_group))
    return {run for run, count in counts.items() if count >= enough}
