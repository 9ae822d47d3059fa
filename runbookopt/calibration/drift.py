"""Drift of a runbook in use: pass rates, kinds of failure, judge against labels, window by window (pure).

A nightly job looks 365 times a year, so what is allowed in a year is divided among the looks that there can
be (alpha spending over windows: Lan and DeMets (1983), "Discrete sequential boundaries for clinical trials";
the looks overlap, and Bonferroni's inequality needs no word on how). A look is named by its days, never by
the run that takes it: a night run twice is one look, nothing has to be remembered between runs, and a run
that was missed costs nothing. Half of the allowance goes to whole windows, of which a year has few, so that a
slow change is seen at the end of one; the other half goes to the window up to the last whole day, so that a
collapse is seen the next morning. From a day on (`since`), there is a look at 1, 2, 3, 5, 7, 10, ... days.
Labels come after what they are of, so those known 0, 1, 2, 4, 8, ... days after a window each make a look.
An e-process (Ramdas and others (2023), "Game-theoretic statistics and safe anytime-valid inference") needs no
such division, but a day from which it counts for good and a record of its own, which every clone and CI job
would have to share; that is why it is not taken.

A rate or a mix is a 2 x 2 table, tested by Fisher's exact test, which holds at any size; a judge is tested
within those that people pass and those that they fail, since how common either is says nothing of it, and
only for a fall. Attempts at tasks of one group are no independent draws: of each group the first in a window
counts. What is imported long after its day makes another look of that day, which no rule here knows of.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.calibration.exact_test import Share, fall_p, move_p

ALLOWANCE = 0.05
"""The most that false alarms of one runbook may come to in a year, whatever is looked at how often."""

DAYS = 365
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Question = Literal["pass rate", "kinds of failure", "failure modes", "judge against labels"]
_SHARES: dict[Question, float] = {
    "pass rate": 1 / 3,
    "kinds of failure": 1 / 6,
    "failure modes": 1 / 6,
    "judge against labels": 1 / 3,
}
NOT_NAMED = "(not named)"
_A_NIGHT = ALLOWANCE / 2 / (DAYS + 1)
_BY_LABELS = ("failure modes", "judge against labels")
_LENGTHS = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 270, DAYS)
"""Days after `since` at which there is a look; from then on one each further year."""


class Seen(Struct, frozen=True):
    """One stored attempt: when it began, the group of its task, and what is known of it.

    `passed` holds the criteria with a verdict. `kind` names the criteria that failed, None where none did.
    `modes` are those that people named in a failure, NOT_NAMED where they named none; None where nobody
    said that it failed. `agreed`, by criterion: whether people said "pass", and whether the verdict did.
    `labelled` is when people last said something of it, None where they did not say when.
    """

    at: datetime
    group: str
    passed: Mapping[str, bool] = {}
    kind: str | None = None
    modes: tuple[str, ...] | None = None
    agreed: Mapping[str, tuple[bool, bool]] = {}
    labelled: datetime | None = None

    def known_at(self, at: datetime) -> "Seen":
        """The same less what people said later, or at that time."""
        late = self.labelled is not None and self.labelled >= at
        return replace(self, modes=None, agreed={}) if late else self


class Window(Struct, frozen=True):
    """The attempts that began at `start` or later, and before `end`."""

    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        """Whether a time lies in it."""
        return self.start <= at < self.end


class Shift(Struct, frozen=True):
    """One share in the window before, and in the window after.

    `p` is exact, and two-sided but for a judge, which may only fall; it has moved where p is at most `level`.
    At `seen_below` or less, or `seen_above` or more, a share of the window after would have been called
    moved; None: none would have been. `classes` are the parts within which it is compared, in words.
    """

    question: Question
    subject: str
    before: Share
    after: Share
    p: float
    level: float
    seen_below: float | None
    seen_above: float | None
    classes: tuple[tuple[str, Share, Share], ...] = ()

    @property
    def moved(self) -> Literal["fell", "rose"] | None:
        """The way that it moved, as far as chance does not explain it."""
        before, after = self.before.share, self.after.share
        if before is None or after is None or self.p > self.level:
            return None
        return "fell" if self.classes or after < before else "rose"


class Look(Struct, frozen=True):
    """A window against the one before; `unseen` are kinds and modes of the window after alone."""

    name: Literal["whole window", "up to now", "since"]
    before: Window
    after: Window
    shifts: tuple[Shift, ...]
    unseen: tuple[str, ...]

    @property
    def moved(self) -> tuple[Shift, ...]:
        """What has moved."""
        return tuple(shift for shift in self.shifts if shift.moved)


class Advice(Struct, frozen=True):
    """What to do next, and why, in a sentence."""

    todo: Literal["optimize", "relabel", "recalibrate"]
    why: str


class Drift(Struct, frozen=True):
    """What moved, in looks at windows of whole days; without any, `advice` is empty."""

    looks: tuple[Look, ...]
    advice: tuple[Advice, ...]

    @property
    def moved(self) -> bool:
        """Whether anything has."""
        return any(look.moved for look in self.looks)


def drift(
    seen: Sequence[Seen],
    *,
    criteria: Sequence[str],
    judged: Sequence[str],
    now: datetime,
    days: int = 30,
    since: datetime | None = None,
) -> Drift:
    """What has moved in windows of `days` days, as far as it is known at a time.

    The newest window ends with the day of the newest attempt, at the latest with yesterday. `criteria` are
    the ids of the rubric's, of which a judge decides `judged`. With `since` there is one look: from that day
    on, against as many days before. There is none where no whole day is over. Raises ValueError for windows
    of fewer than one day.
    """
    if days < 1:
        raise ValueError("a window has at least a day")
    today = _day_of(now)
    times = [each.at for each in seen if each.at < today]
    if not times:
        return Drift((), ())
    ordered = sorted(seen, key=lambda each: (each.at, each.group))
    looks = []
    for look in _looks(_day_of(max(times)) + _DAY, days, since):
        # the time up to which labels count in a look that is taken today
        known_by = look.after.end + _delays((today - look.after.end) // _DAY + 1)[-1] * _DAY
        ordered = [each.known_at(known_by) for each in ordered]
        before = [each for each in ordered if look.before.holds(each.at)]
        after = [each for each in ordered if look.after.holds(each.at)]
        shifts = tuple(_shifts(before, after, look, criteria, judged))
        looks.append(Look(look.name, look.before, look.after, shifts, tuple(_unseen(shifts))))
    return Drift(tuple(looks), tuple(_advice(looks, judged)))


class _Pair(NamedTuple):
    """Two windows, and what of a year's allowance may be spent at them, and on what labels say of them."""

    name: Literal["whole window", "up to now", "since"]
    before: Window
    after: Window
    level: float
    by_labels: float


def _day_of(at: datetime) -> datetime:
    return _EPOCH + (at - _EPOCH) // _DAY * _DAY


def _looks(end: datetime, days: int, since: datetime | None) -> Iterator[_Pair]:
    """The windows to look at."""
    if since is not None:
        passed = (end - since) // _DAY
        lengths = [each for each in (*_LENGTHS, *range(2 * DAYS, passed + 1, DAYS)) if each <= passed]
        if lengths:
            length, level = lengths[-1] * _DAY, ALLOWANCE / len(_LENGTHS)
            two = Window(since - length, since), Window(since, since + length)
            yield _Pair("since", *two, level, level / len(_delays(_LENGTHS[-1] - _LENGTHS[-2])))
        return
    length = days * _DAY
    last = _EPOCH + (end - _EPOCH) // length * length
    level = ALLOWANCE / 2 / (DAYS // days + 1)
    yield _Pair("whole window", *_two(last, length), level, max(_A_NIGHT, level / len(_delays(days))))
    if last != end:
        yield _Pair("up to now", *_two(end, length), _A_NIGHT, _A_NIGHT)


def _two(end: datetime, length: timedelta) -> tuple[Window, Window]:
    return Window(end - 2 * length, end - length), Window(end - length, end)


def _delays(days: int) -> tuple[int, ...]:
    """So many days after a window its labels are looked at, until the next one is over: 0, 1, 2, 4, ..."""
    return (0, *(1 << power for power in range((days - 1).bit_length())))


def _shifts(
    before: Sequence[Seen], after: Sequence[Seen], look: _Pair, criteria: Sequence[str], judged: Sequence[str]
) -> Iterator[Shift]:
    """Every share that is looked at; those of one question that is asked have one part of the level."""
    questions = _questions((*before, *after), criteria, judged)
    asked_at_all = sum(_SHARES[question] for question, asked in questions.items() if asked)
    for question, asked in questions.items():
        may_spend = look.by_labels if question in _BY_LABELS else look.level
        part = may_spend * _SHARES[question] / asked_at_all / max(1, len(asked))
        for subject, told in asked.items():
            shares = [(_share(before, each), _share(after, each)) for each in told]
            yield (
                _judge_shift(subject, shares, part)
                if told[1:]
                else _shift(question, subject, *shares[0], part)
            )


def _unseen(shifts: Sequence[Shift]) -> Iterator[str]:
    """The kinds and modes that the window before has none of."""
    for each in shifts:
        mix = each.question in ("kinds of failure", "failure modes") and each.subject != NOT_NAMED
        if mix and each.before.of and not each.before.count:
            yield each.subject


_Told = Callable[[Seen], bool | None]


def _questions(
    seen: Sequence[Seen], criteria: Sequence[str], judged: Sequence[str]
) -> dict[Question, dict[str, tuple[_Told, ...]]]:
    """What is asked of each attempt, by question and subject; the answer is None where it is not known.

    Which kinds and modes there are follows from both windows together, which says nothing of either.
    """
    kinds = {each.kind for each in seen if each.kind is not None}
    modes = {mode for each in seen for mode in each.modes or ()}
    told: dict[Question, tuple[Sequence[str], Callable[[str, Seen], bool | None]]] = {
        "pass rate": (criteria, lambda name, seen: seen.passed.get(name)),
        "kinds of failure": (
            sorted(kinds) if len(kinds) > 1 else (),
            lambda kind, seen: None if seen.kind is None else seen.kind == kind,
        ),
        "failure modes": (
            sorted(modes) if len(modes) > 1 else (),
            lambda mode, seen: None if seen.modes is None else mode in seen.modes,
        ),
    }
    asked: dict[Question, dict[str, tuple[_Told, ...]]] = {
        question: {each: (partial(tell, each),) for each in of} for question, (of, tell) in told.items()
    }
    asked["judge against labels"] = {
        each: (_agrees(each, passes=True), _agrees(each, passes=False)) for each in judged
    }
    return asked


def _agrees(criterion: str, *, passes: bool) -> _Told:
    def agrees(seen: Seen) -> bool | None:
        said = seen.agreed.get(criterion)
        return None if said is None or said[0] != passes else said[0] == said[1]

    return agrees


def _share(window: Sequence[Seen], told: _Told) -> Share:
    """How many it holds of, among the first attempts of each group of which it is known."""
    first: dict[str, bool] = {}
    for each in window:
        answer = told(each)
        if answer is not None:
            first.setdefault(each.group, answer)
    return Share(Counter(first.values())[True], len(first))


def _shift(question: Question, subject: str, before: Share, after: Share, level: float) -> Shift:
    def p_of(count: int) -> float:
        return move_p(before, Share(count, after.of))

    middle = math.floor((before.share or 0.0) * after.of)
    low = _last(range(middle, -1, -1), lambda count: p_of(count) <= level)
    high = _last(range(min(middle + 1, after.of), after.of + 1), lambda count: p_of(count) <= level)
    share = [None if count is None else count / after.of for count in (low, high)]
    return Shift(question, subject, before, after, p_of(after.count), level, share[0], share[1])


def _judge_shift(criterion: str, shares: Sequence[tuple[Share, Share]], level: float) -> Shift:
    """How far a judge agrees with people, within what they pass and what they fail."""
    before, after = (
        Share(sum(each[at].count for each in shares), sum(each[at].of for each in shares)) for at in (0, 1)
    )

    def p_of(count: int) -> float:
        spread = [(one, Share(count * other.of // max(1, after.of), other.of)) for one, other in shares]
        return fall_p(spread)

    middle = math.floor((before.share or 0.0) * after.of)
    low = _last(range(middle, -1, -1), lambda count: p_of(count) <= level)
    seen_below = None if low is None else low / after.of
    words = ("where people say pass", "where people say fail")
    classes = tuple((word, *pair) for word, pair in zip(words, shares, strict=True))
    p = fall_p(shares)
    return Shift("judge against labels", criterion, before, after, p, level, seen_below, None, classes)


def _last(counts: Sequence[int], moved: Callable[[int], bool]) -> int | None:
    """The first count, going outwards, at which all further ones are called moved too."""
    if not counts or not moved(counts[-1]):
        return None
    low, high = 0, len(counts) - 1
    while low < high:
        between = (low + high) // 2
        low, high = (low, between) if moved(counts[between]) else (between + 1, high)
    return counts[low]


def _advice(looks: Sequence[Look], judged: Sequence[str]) -> Iterator[Advice]:
    """What each kind of move asks for; several may."""
    moved = {(shift.question, shift.subject, shift.moved): shift for look in looks for shift in look.moved}
    of = {question: [shift for shift in moved.values() if shift.question == question] for question in _SHARES}
    worse = [each for each in of["judge against labels"] if each.moved == "fell"]
    if worse:
        why = f"the judge agrees less with people's labels: {_told(worse)}"
        yield Advice("recalibrate", f"{why}; until it is, what it says of the agent is no evidence")
    mix = [*of["kinds of failure"], *of["failure modes"]]
    if mix:
        yield Advice("relabel", f"failures are of other kinds than before: {_told(mix)}")
    rose, fell = ([each for each in of["pass rate"] if each.moved == way] for way in ("rose", "fell"))
    if rose:
        yield Advice("relabel", f"it looks better than before, and nobody knows why: {_told(rose)}")
    said = [each for look in looks for each in look.shifts if each.question == "judge against labels"]
    known = {each.subject for each in said if each.seen_below is not None}
    asked = [each for each in fell if each.subject in judged]
    doubted = [each for each in asked if each.subject not in known]
    sure = [each for each in fell if each not in doubted]
    if doubted:
        why = f"less passes ({_told(doubted)}), and too few labels say whether the judge still agrees"
        yield Advice("relabel", why)
    if sure and not worse:
        judge = ", and the judge still agrees with people" if any(each in asked for each in sure) else ""
        yield Advice("optimize", f"less passes: {_told(sure)}{judge}")


def _told(shifts: Sequence[Shift]) -> str:
    return "; ".join(
        f"{each.subject} {each.moved} from {each.before.share or 0:.1%} to {each.after.share or 0:.1%}"
        for each in shifts
    )
