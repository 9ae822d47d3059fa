"""Allowance of looks at held-out tasks: a fold over the ledger's entries (pure)."""

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

from msgspec import Struct

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.trajectory import Task

ENOUGH_GROWTH = 0.25  # a candidate gets another look where its held-out groups have grown by this share

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

    `next_spend` is the level of the next one if no group is new by then.
    """

    look: int
    spend: float
    next_spend: float
    left: float


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
    earlier: Sequence[Look], groups: Collection[str], tasks: Collection[str], total: float
) -> Allowance:
    """The part of `total` that a look at `groups`, with `tasks` by id, may spend after `earlier` looks.

    W, what is left, starts as `total`. Each look spends W*W/(total + W), so that looks at the same groups
    spend total/2, total/6, total/12, ... and `total` altogether (alpha spending: Foster and Stine (2008),
    "Alpha-investing", without its rewards). Before each look, W regains `total` times the share of its
    groups that no look has seen, up to `total`; groups are new only as far as there are tasks that no look
    has seen, since a group's name is free to choose. Looks that never settled have spent. Only groups, tasks
    and the order of the looks matter, never their answers; but an entry that begins again spends all of W.
    """
    left, spend = 0.0, 0.0
    seen_groups, seen_tasks = set[str](), set[str]()
    looks = [(set(look.groups), set(look.tasks), look.answer == BEGINS_AGAIN) for look in earlier]
    for at_groups, at_tasks, begins_again in (*looks, (set(groups), set(tasks), False)):
        fresh = min(len(at_groups - seen_groups), len(at_tasks - seen_tasks))
        left = min(total, left + total * fresh / max(1, len(at_groups)))
        spend = left if begins_again else _spend(left, total)
        left -= spend
        seen_groups |= at_groups
        seen_tasks |= at_tasks
    return Allowance(look=len(earlier) + 1, spend=spend, next_spend=_spend(left, total), left=left)


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


def _spend(left: float, total: float) -> float:
    return left * left / (total + left)
