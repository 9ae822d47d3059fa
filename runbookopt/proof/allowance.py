"""Allowance of looks at held-out tasks: a fold over the ledger's entries (pure)."""

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from msgspec import Struct

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.trajectory import Task

ENOUGH_GROWTH = 0.25  # a candidate gets another look where its held-out groups have grown by this share
YEAR = timedelta(days=365)
"""What the groups of a set refill is at most one allowance in so long, however fast the set turns over."""


AHEAD, BEHIND = timedelta(days=1), timedelta(days=30)
"""How far the time of a look may lie ahead of a clock, and behind it if the look is new."""

BEGINS_AGAIN = "begins_again"
"""The answer of an entry that is no look: earlier ones are lost, and all that was left counts as spent."""


class Look(Struct, frozen=True):
    """One look at the held-out tasks, as the ledger keeps it.

    `seed`, `candidate`, `rubric` and `agent` are digests; `groups` are the digests of the held-out group
    keys, sorted; `tasks` maps each held-out task's id to the digest of its reference; `searched` are the
    ids of the train and validation tasks. A look is registered before the first held-out rollout, without
    `bundle` and `answer`; one that never settles stays spent. `at` is ISO 8601. Where a ledger begins again
    an entry with the answer BEGINS_AGAIN stands for the looks that are lost.
    """

    key: str
    runbook: str
    seed: str
    candidate: str
    rubric: str
    agent: str
    groups: tuple[str, ...]
    tasks: dict[str, str]
    searched: tuple[str, ...]
    bundle: str | None = None
    answer: str | None = None
    at: str = ""

    @classmethod
    def of(
        cls,
        runbook: str,
        question: Mapping[str, str],
        *,
        groups: Iterable[str],
        tasks: Iterable[Task],
        searched: tuple[str, ...],
        at: str,
    ) -> Self:
        """The look that asks `question` of the held-out `tasks`, whose group keys are `groups`.

        `question` holds the digests of seed, candidate, rubric and agent, by these names.
        """
        digests = group_digests(groups)
        return cls(
            key=look_key(runbook, **question, groups=digests),
            runbook=runbook,
            **question,
            groups=digests,
            tasks={task.id: reference_digest(task) for task in tasks},
            searched=searched,
            at=at,
        )


class Allowance(Struct, frozen=True):
    """The significance level that look number `look`, from 1, may `spend`, and what is `left` after it.

    `next_spend` is the level of the next one if no group is new by then, and `renewed_spend` if so many are
    that the set holds nothing back: how many more tasks would settle it is told by that. `spent` is the
    chance of a false acceptance that all looks so far have spent, this one included.
    """

    look: int
    spend: float
    next_spend: float
    renewed_spend: float
    left: float
    spent: float


class Moved(Struct, frozen=True):
    """Ids of looked-at tasks that are gone, and of those whose reference is another."""

    gone: frozenset[str]
    changed: frozenset[str]

    def less(self, known: "Moved") -> "Moved":
        """All that is not in `known` already."""
        return Moved(self.gone - known.gone, self.changed - known.changed)

    def told(self, names: Mapping[str, str]) -> tuple[str, ...]:
        """Say it, one sentence a kind; a task that `names` lacks goes by the first digits of its digest."""
        sentences = {
            "tasks that were looked at are gone": self.gone,
            "tasks had another reference when they were looked at": self.changed,
        }
        return tuple(f"{what}: {_few(tasks, names)}" for what, tasks in sentences.items() if tasks)


def group_digests(keys: Iterable[str]) -> tuple[str, ...]:
    """The digests of held-out group keys as a look holds them: each once, sorted."""
    return tuple(sorted({digest_of(key) for key in keys}))


def reference_digest(task: Task) -> str:
    """The digest of a task's reference as a look holds it."""
    return digest_of(task.reference)


def look_key(
    runbook: str, *, seed: str, candidate: str, rubric: str, agent: str, groups: Collection[str]
) -> str:
    """The key of a look: digests but for `runbook`, the name, as two that ask the same share no entry."""
    return digest_of([runbook, seed, candidate, rubric, agent, sorted(groups)])


def allowance(
    earlier: Sequence[Look], groups: Collection[str], tasks: Collection[str], total: float, at: str = ""
) -> Allowance:
    """The part of `total` that a look at `groups`, with `tasks` by id, may spend `at` a time after `earlier`.

    Two stocks start as `total`, and a look spends W*W/(total + W) of both, where W is the smaller one: so
    looks at the same groups spend total/2, total/6, total/12, ... and `total` altogether (alpha spending:
    Foster and Stine (2008), "Alpha-investing", without its rewards). Neither ever holds more than `total`.

    Before each look, the stock of the set regains `total` times the share of its groups that no look has
    seen; groups are new only as far as there are tasks that no look has seen, since a group's name is free to
    choose. The stock of time regains `total` in the course of a `YEAR`. So whatever a set does, the looks of
    any 365 days spend at most what the second stock held and what it regains, which is less than 2 * `total`.

    Time is what the looks tell (`Look.at`, ISO 8601 with its zone), in the order of the ledger: one that
    cannot be read, or lies before that of an earlier look, regains nothing. Looks that never settled have
    spent. Only groups, tasks, times and the order of the looks matter, never their answers; but an entry that
    begins again spends all that is left.
    """
    now = _Taken(set(groups), set(tasks), at, begins_again=False)
    *_, last = _fold((*map(_taken, earlier), now), total)
    return last


def allowances(looks: Sequence[Look], total: float) -> tuple[Allowance, ...]:
    """What each of the looks of a runbook, oldest first, spent of `total`."""
    return tuple(_fold(map(_taken, looks), total))


def untimely(look: Look, now: datetime, *, known: bool) -> str | None:
    """Say why the time of a look cannot be right `now`; None where it can, or where it tells none.

    One to come would refill the allowance before it is due. So would one long past, where a chain of looks
    begins with it: the ledger must not take it, unless it is `known` there already.
    """
    at = _time(look.at)
    if at is not None and at > now + AHEAD:
        return f"its look at the held-out tasks says that it was taken at {look.at}, which is yet to come"
    if at is not None and not known and at < now - BEHIND:
        return f"its look was taken at {look.at}, more than {BEHIND.days} days before it came to the ledger"
    return None


def looks_before(looks: Sequence[Look], key: str) -> tuple[Look, ...]:
    """The looks that came before the one with this key; all of them where it is not there."""
    keys = [look.key for look in looks]
    return tuple(looks[: keys.index(key)] if key in keys else looks)


def recorded(earlier: Sequence[Look], look: Look) -> Look | None:
    """Find the look whose record answers `look`, so that it need not spend; None if it has to be taken.

    That is a look at the same question, else the last one at the same candidate under the same terms, if the
    groups that are new since are less than a quarter of those it saw. It may be one that never settled.
    `earlier` are looks at one runbook, whatever it was called when they were taken.
    """
    terms = operator.attrgetter("seed", "candidate", "rubric", "agent")
    same_key = [seen for seen in earlier if terms(seen) == terms(look) and seen.groups == look.groups]
    same_candidate = [
        seen
        for seen in earlier
        if terms(seen) == terms(look)
        and len(set(look.groups) - set(seen.groups)) < ENOUGH_GROWTH * len(seen.groups)
    ]
    return next(reversed(same_key or same_candidate), None)


def burnt(earlier: Sequence[Look]) -> frozenset[str]:
    """The ids of the tasks that a search has used, so that no later proof may."""
    return frozenset(task for look in earlier for task in look.searched)


def changed_since(
    earlier: Sequence[Look], tasks: Sequence[Task], rubric: str, *, seed: str | None = None
) -> tuple[str, ...]:
    """Say, one sentence a kind, what was moved under the proof since the looks `earlier`.

    That is what `moved_since` finds, and a rubric that is another. With `seed`, the digest of today's
    runbook, the comparison reaches back to the last look at another seed: since then somebody has changed
    the runbook, by a merge whose report named what was moved, or by hand. A winner that still waits for its
    reviewers clears nothing. Without `seed` every look counts.
    """
    merged = [at for at, look in enumerate(earlier) if seed is not None and look.seed != seed]
    since = earlier[merged[-1] :] if merged else earlier
    begun = [look.at for look in since if look.answer == BEGINS_AGAIN]
    again = [f"the ledger began again ({begun[-1]}): earlier looks at it are lost"] if begun else []
    other = any(look.rubric != rubric for look in since)
    rubrics = ["the rubric is another than at earlier looks"] if other else []
    return (*again, *rubrics, *moved_since(since, tasks).told(trajectory_names(tasks)))


def moved_since(earlier: Sequence[Look], tasks: Sequence[Task]) -> Moved:
    """Find the looked-at tasks that `tasks`, all there are, lack or have with another reference than then."""
    today = {task.id: reference_digest(task) for task in tasks}
    then: dict[str, str] = {}
    for look in reversed(earlier):
        then.update(look.tasks)
    changed = {task for task in then.keys() & today.keys() if then[task] != today[task]}
    return Moved(frozenset(then.keys() - today.keys()), frozenset(changed))


def trajectory_names(tasks: Iterable[Task]) -> dict[str, str]:
    """A stored trajectory for each task's id that has one: people can look that up."""
    return {task.id: task.trajectories[0] for task in tasks if task.trajectories}


def _few(tasks: Collection[str], names: Mapping[str, str], most: int = 3) -> str:
    shown = sorted(names.get(task, task.removeprefix("sha256:")[:12]) for task in tasks)
    more = f" and {len(tasks) - most} more" if len(tasks) > most else ""
    return ", ".join(shown[:most]) + more


class _Taken(NamedTuple):
    """What of a look its chance follows from."""

    groups: set[str]
    tasks: set[str]
    at: str
    begins_again: bool


def _taken(look: Look) -> _Taken:
    return _Taken(set(look.groups), set(look.tasks), look.at, look.answer == BEGINS_AGAIN)


def _fold(looks: Iterable[_Taken], total: float) -> Iterator[Allowance]:
    """The allowance of each look."""
    of_the_set, of_time, spent = 0.0, total, 0.0
    seen_groups, seen_tasks = set[str](), set[str]()
    latest: datetime | None = None
    for number, look in enumerate(looks, 1):
        fresh = min(len(look.groups - seen_groups), len(look.tasks - seen_tasks)) / max(1, len(look.groups))
        of_the_set = min(total, of_the_set + total * fresh)
        at = _time(look.at)
        if at is not None:
            passed = max(at, latest) - latest if latest else timedelta()
            of_time = min(total, of_time + total * (passed / YEAR))
            latest = max(at, latest) if latest else at
        left = min(of_the_set, of_time)
        spend = left if look.begins_again else _spend(left, total)
        of_the_set, of_time, spent, left = of_the_set - spend, of_time - spend, spent + spend, left - spend
        seen_groups |= look.groups
        seen_tasks |= look.tasks
        yield Allowance(
            look=number,
            spend=spend,
            next_spend=_spend(left, total),
            renewed_spend=_spend(of_time, total),
            left=left,
            spent=spent,
        )


def _spend(left: float, total: float) -> float:
    return left * left / (total + left)


def _time(told: str) -> datetime | None:
    """The time that a look tells, None where it tells none or not in which zone."""
    try:
        at = datetime.fromisoformat(told)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None
