"""Drift of a runbook in use: pass rates, kinds of failure, judge against labels, window by window (pure).

A nightly job looks 365 times a year, so what is allowed in a year is divided among the looks that there can
be (alpha spending over windows: Lan and DeMets (1983), "Discrete sequential boundaries for clinical trials";
the looks overlap, and Bonferroni's inequality needs no word on how). A look is named by the day at which its
window ends, never by the run that takes it: a night run twice is one look, nothing has to be remembered
between runs, and a run that was missed costs nothing. Half of the allowance goes to whole windows, of which a
year has few, so that a slow change is seen at the end of one; the other half goes to the window up to the
last whole day, so that a collapse is seen the next morning. What people's labels say may change every night,
so there the whole window, too, has a night's part. An e-process (Ramdas and others (2023), "Game-theoretic
statistics and safe anytime-valid inference") needs no such division, but a day from which it counts for good
and a record of its own, which every clone and CI job would have to share; that is why it is not taken.

Each question is a 2 x 2 table, tested by Fisher's exact test, which holds at any size. Attempts at tasks of
one group are no independent draws: of each group the first in a window counts. What is imported long after
its day makes another look of that day, which no rule here knows of.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from msgspec import Struct

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
_NEGLIGIBLE = 1e-17
_A_NIGHT = ALLOWANCE / 2 / (DAYS + 1)
_BY_LABELS = ("failure modes", "judge against labels")


class Seen(Struct, frozen=True):
    """One stored attempt: when it began, the group of its task, and what is known of it.

    `passed` holds the criteria with a verdict. `kind` names the criteria that failed, None where none did.
    `modes` are those that people named in a failure, NOT_NAMED where they named none; None where nobody
    said that it failed. `agreed`, by criterion: whether people said "pass", and whether the verdict did.
    """

    at: datetime
    group: str
    passed: Mapping[str, bool] = {}
    kind: str | None = None
    modes: tuple[str, ...] | None = None
    agreed: Mapping[str, tuple[bool, bool]] = {}


class Window(Struct, frozen=True):
    """The attempts that began at `start` or later, and before `end`."""

    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        """Whether a time lies in it."""
        return self.start <= at < self.end


class Share(Struct, frozen=True):
    """`count` of `of`; the share is None where there is nothing."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """In 0..1."""
        return self.count / self.of if self.of else None


class Shift(Struct, frozen=True):
    """One share in the window before, and in the window after.

    `p` is two-sided and exact; it has moved where p is at most `level`. Below `seen_below`, or above
    `seen_above`, a share of the window after would have been called moved; None: no share would have been.
    """

    question: Question
    subject: str
    before: Share
    after: Share
    p: float
    level: float
    seen_below: float | None
    seen_above: float | None

    @property
    def moved(self) -> Literal["fell", "rose"] | None:
        """The way that it moved, as far as chance does not explain it."""
        before, after = self.before.share, self.after.share
        if before is None or after is None or self.p > self.level:
            return None
        return "fell" if after < before else "rose"


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
        before = [each for each in ordered if look.before.holds(each.at)]
        after = [each for each in ordered if look.after.holds(each.at)]
        shifts = tuple(_shifts(before, after, look.level, criteria, judged))
        new = tuple(
            dict.fromkeys(
                each.subject
                for each in shifts
                if each.question in ("kinds of failure", "failure modes")
                if each.before.of and not each.before.count and each.subject != NOT_NAMED
            )
        )
        looks.append(Look(look.name, look.before, look.after, shifts, new))
    return Drift(tuple(looks), tuple(_advice(looks, judged)))


class _Pair(NamedTuple):
    name: Literal["whole window", "up to now", "since"]
    before: Window
    after: Window
    level: float


def _day_of(at: datetime) -> datetime:
    return _EPOCH + (at - _EPOCH) // _DAY * _DAY


def _looks(end: datetime, days: int, since: datetime | None) -> Iterator[_Pair]:
    """The windows to look at, each with what of a year's allowance it may spend."""
    if since is not None:
        length = end - since
        yield _Pair("since", Window(since - length, since), Window(since, end), _A_NIGHT)
        return
    length = days * _DAY
    last = _EPOCH + (end - _EPOCH) // length * length
    a_year = DAYS // days + 1
    yield _Pair("whole window", *_two(last, length), ALLOWANCE / 2 / a_year)
    if last != end:
        yield _Pair("up to now", *_two(end, length), _A_NIGHT)


def _two(end: datetime, length: timedelta) -> tuple[Window, Window]:
    return Window(end - 2 * length, end - length), Window(end - length, end)


def _shifts(
    before: Sequence[Seen],
    after: Sequence[Seen],
    level: float,
    criteria: Sequence[str],
    judged: Sequence[str],
) -> Iterator[Shift]:
    """Every share that is looked at; those of one question have one part of the level together."""
    for question, asked in _questions((*before, *after), criteria, judged).items():
        may_spend = min(level, _A_NIGHT) if question in _BY_LABELS else level
        part = may_spend * _SHARES[question] / max(1, len(asked))
        for subject, told in asked.items():
            yield _shift(question, subject, _share(before, told), _share(after, told), part)


def _questions(
    seen: Sequence[Seen], criteria: Sequence[str], judged: Sequence[str]
) -> dict[Question, dict[str, Callable[[Seen], bool | None]]]:
    """What is asked of each attempt, by question and subject; the answer is None where it is not known.

    Which kinds and modes there are follows from both windows together, which says nothing of either.
    """
    kinds = sorted({each.kind for each in seen if each.kind is not None})
    modes = sorted({mode for each in seen for mode in each.modes or ()})
    return {
        "pass rate": {each: _passes(each) for each in criteria},
        "kinds of failure": {each: _is_kind(each) for each in kinds if len(kinds) > 1},
        "failure modes": {each: _is_mode(each) for each in modes if len(modes) > 1},
        "judge against labels": {
            f"{each}, where people say {word}": _agrees(each, passes=passes)
            for each in judged
            for word, passes in (("pass", True), ("fail", False))
        },
    }


def _passes(criterion: str) -> Callable[[Seen], bool | None]:
    return lambda seen: seen.passed.get(criterion)


def _is_kind(kind: str) -> Callable[[Seen], bool | None]:
    return lambda seen: None if seen.kind is None else seen.kind == kind


def _is_mode(mode: str) -> Callable[[Seen], bool | None]:
    return lambda seen: None if seen.modes is None else mode in seen.modes


def _agrees(criterion: str, *, passes: bool) -> Callable[[Seen], bool | None]:
    def agrees(seen: Seen) -> bool | None:
        said = seen.agreed.get(criterion)
        return None if said is None or said[0] != passes else said[0] == said[1]

    return agrees


def _share(window: Sequence[Seen], told: Callable[[Seen], bool | None]) -> Share:
    """How many it holds of, among the first attempts of each group of which it is known."""
    first: dict[str, bool] = {}
    for each in window:
        answer = told(each)
        if answer is not None:
            first.setdefault(each.group, answer)
    return Share(Counter(first.values())[True], len(first))


def _shift(question: Question, subject: str, before: Share, after: Share, level: float) -> Shift:
    def p_of(count: int) -> float:
        return fisher_p(before, Share(count, after.of))

    middle = math.floor((before.share or 0.0) * after.of)
    low = _last(range(middle, -1, -1), lambda count: p_of(count) <= level)
    high = _last(range(min(middle + 1, after.of), after.of + 1), lambda count: p_of(count) <= level)
    share = [None if count is None else count / after.of for count in (low, high)]
    return Shift(question, subject, before, after, p_of(after.count), level, share[0], share[1])


def _last(counts: Sequence[int], moved: Callable[[int], bool]) -> int | None:
    """The first count, going outwards, at which all further ones are called moved too."""
    if not counts or not moved(counts[-1]):
        return None
    low, high = 0, len(counts) - 1
    while low < high:
        between = (low + high) // 2
        low, high = (low, between) if moved(counts[between]) else (between + 1, high)
    return counts[low]


def fisher_p(before: Share, after: Share) -> float:
    """Fisher's exact test of two shares, two-sided: twice the tail on the side of the move, at most 1.

    Source: Agresti (2002), "Categorical Data Analysis", 3.5. Twice a tail holds its level, and says which
    way the share moved.
    """
    if before.count * after.of == after.count * before.of:  # also where there is nothing
        return 1.0
    if before.count * after.of < after.count * before.of:
        before, after = _failed(before), _failed(after)
    return min(1.0, 2 * _at_most(before, after))


def _failed(share: Share) -> Share:
    return Share(share.of - share.count, share.of)


def _at_most(before: Share, after: Share) -> float:
    """The chance of so few in the window after, or fewer, where both are of one kind; the fewer of both."""
    others, drawn, successes = before.of, after.of, before.count + after.count
    log = _choices(successes, after.count) + _choices(others + drawn - successes, drawn - after.count)
    term = math.exp(log - _choices(others + drawn, drawn))
    total = 0.0
    for count in range(after.count, max(0, successes - others) - 1, -1):
        total += term
        if term <= total * _NEGLIGIBLE:
            break  # below the mean each is smaller than the one before
        term *= count * (others - successes + count) / ((successes - count + 1) * (drawn - count + 1))
    return min(1.0, total)


def _choices(among: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose."""
    return math.lgamma(among + 1) - math.lgamma(chosen + 1) - math.lgamma(among - chosen + 1)


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
    better = [each for each in of["judge against labels"] if each.moved == "rose"]
    rose = [each for each in of["pass rate"] if each.moved == "rose"] + better
    if rose:
        yield Advice("relabel", f"it looks better than before, and nobody knows why: {_told(rose)}")
    fell = [each for each in of["pass rate"] if each.moved == "fell"]
    asked = [each for each in fell if each.subject in judged]
    doubted = [each for each in asked if not _agreement_is_known(looks, each.subject)]
    sure = [each for each in fell if each not in doubted]
    if doubted:
        why = f"less passes ({_told(doubted)}), and too few labels say whether the judge still agrees"
        yield Advice("relabel", why)
    if sure and not worse:
        judge = ", and the judge still agrees with people" if any(each in asked for each in sure) else ""
        yield Advice("optimize", f"less passes: {_told(sure)}{judge}")


def _agreement_is_known(looks: Sequence[Look], criterion: str) -> bool:
    """Whether a fall of a judge's agreement with people could have been seen."""
    subjects = {f"{criterion}, where people say {word}" for word in ("pass", "fail")}
    return any(
        shift.seen_below is not None
        for look in looks
        for shift in look.shifts
        if shift.question == "judge against labels" and shift.subject in subjects
    )


def _told(shifts: Sequence[Shift]) -> str:
    return "; ".join(
        f"{each.subject} {each.moved} from {each.before.share or 0:.1%} to {each.after.share or 0:.1%}"
        for each in shifts
    )
