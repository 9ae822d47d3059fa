"""Feasibility of a proof: the obstacles that it has whoever wins, before the first rollout (pure)."""

from collections.abc import Collection, Iterator, Sequence

from msgspec import UNSET

from runbookopt.errors import RunbookoptError
from runbookopt.evidence.split import group_of
from runbookopt.jobs.first_outputs import in_common
from runbookopt.landing.bundle_limits import LEAST_SHARE, MOST_BYTES, MOST_OUTPUT, MOST_TEXT, share
from runbookopt.project.project import Project
from runbookopt.proof.allowance import Allowance, Look, allowance, group_digests, looks_before
from runbookopt.proof.comparison import MINIMUM_GROUPS, MOST_ERRORS, can_pass, fewest_to_gain
from runbookopt.proof.power import UNKNOWN_SCORE, provable_gain
from runbookopt.search.problem import Problem
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Rubric, assess
from runbookopt.verifier.trace_checks import TraceCheck

ANY_OUTPUTS = (None, "{}")
"""What the verifier fails to judge here, it fails to judge whatever an agent puts out."""

CROWDED = 2
"""Tasks a group, on average, from which on it is groups that are lacking and not tasks."""


def next_look(project: Project, earlier: Sequence[Look] = (), at: str = "") -> Allowance:
    """What the look after the looks `earlier` may spend, `at` a time (ISO 8601) or as soon as it can be."""
    groups = group_digests(project.held_out_groups)
    return allowance(earlier, groups, project.split.held_out, project.policy.proof.allowance, at)


def allowance_of(project: Project, looks: Sequence[Look], look: Look) -> Allowance:
    """What `look` may spend, or did, after those of all `looks` that came before it."""
    earlier = looks_before(looks, look.key)
    return allowance(earlier, look.groups, look.tasks, project.policy.proof.allowance, look.at)


def obstacles(project: Project, earlier: Sequence[Look] = (), at: str = "") -> tuple[str, ...]:
    """The reasons, one sentence each, why no winner could be proved at the next look, and what would help."""
    return (*_on_groups(project, earlier, at), *_on_judging(project), *_on_validation(project))


def provable(
    project: Project,
    earlier: Sequence[Look] = (),
    at: str = "",
    *,
    base: float = UNKNOWN_SCORE,
    repeats: int | None = None,
) -> float | None:
    """The smallest gain that the held-out set proves at its next look, as the policy asks for it.

    A gain of the mean score, with a power of .8, where the seed's mean score is `base` and each task is tried
    `repeats` times by an agent that errs by chance; see `provable_gain` for all that is assumed. None where
    it proves none.
    """
    if obstacles(project, earlier, at):
        return None
    spend = next_look(project, earlier, at).spend
    return gain_at(project, spend, len(project.held_out_groups), base=base, repeats=repeats)


def gain_at(project: Project, spend: float, groups: int, *, base: float, repeats: int | None) -> float | None:
    """The same for any number of held-out groups, at a level to `spend`."""
    margin, graded = project.policy.proof.margin, is_graded(project)
    return provable_gain(groups, spend, base=base, margin=margin, repeats=repeats, graded=graded)


def is_graded(project: Project) -> bool:
    """Whether the score of a held-out group may lie between 0 and 1 where each task is tried once."""
    criteria = project.rubric.deciding
    by_weight = len(criteria) > 1 and not all(criterion.gate for criterion in criteria)
    return by_weight or len(project.split.held_out) > len(project.held_out_groups)


def more_tasks(project: Project, groups: int, share: float) -> str:
    """What would bring `groups` more groups into a part that gets `share` of them."""
    tasks = project.evidence.tasks
    there = len({group_of(task) for task in tasks})
    if len(tasks) >= CROWDED * there:
        of = "one group" if there == 1 else f"{there} groups"
        return f"tasks of one group count once, and all {len(tasks)} are of {of}: add tasks of other groups"
    return f"about {-(-groups // share):.0f} more tasks would bring them"


def on_room(project: Project, problem: Problem) -> tuple[str, ...]:
    """What a bundle has less room for than usual. Raises RunbookoptError where it has not enough to prove."""
    attempts = 2 * project.policy.proof.repeats * (len(project.split.held_out) + len(project.split.red_team))
    each, notes = share(attempts), list[str]()
    if each < LEAST_SHARE:
        raise RunbookoptError(
            f"{project.name}: {attempts:,} held-out attempts do not fit into a bundle of {MOST_BYTES:,}"
            " bytes: lower proof.repeats in policy.yaml"
        )
    if each < MOST_OUTPUT:
        notes.append(f"an output of more than {each:,} bytes fails: {attempts:,} of them share one bundle")
    longest = len(problem.seed.text.encode()) * (1 + problem.options.share)
    if max(longest, len(problem.seed.text.encode()) + problem.options.characters) > MOST_TEXT:
        notes.append(f"no look is spent on a runbook, or a diff, of more than {MOST_TEXT:,} bytes")
    too_large = [
        name for name, stored in problem.free.items() if len((stored.output or "").encode()) > MOST_OUTPUT
    ]
    if too_large:
        notes.append(
            f"{len(too_large)} stored outputs have more than {MOST_OUTPUT:,} bytes, and no new attempt may"
        )
    return tuple(notes)


def unjudged(project: Project, tasks: Collection[str]) -> str | None:
    """How many of these tasks the rubric can judge no output of, why, and where the first is."""
    why = {task: reason for task in tasks if (reason := _error(project, task)) is not None}
    if not why:
        return None
    first, reason = next(iter(why.items()))
    place = project.evidence.where(project.evidence.task(first).trajectories[0])
    return f"{len(why)} of {len(tasks)}: {reason}, first in {place}"


def _on_validation(project: Project) -> Iterator[str]:
    groups = len({group_of(project.evidence.task(task)) for task in project.split.validation})
    needed = fewest_to_gain()
    if 0 < groups < needed:  # without one nothing is searched, and that is told elsewhere
        more = more_tasks(project, needed - groups, project.policy.proof.split.validation)
        yield f"{groups} validation groups, and no gain shows on fewer than {needed}; {more}"


def _on_groups(project: Project, earlier: Sequence[Look], at: str) -> Iterator[str]:
    groups = len(project.held_out_groups)
    if groups < MINIMUM_GROUPS:
        yield (
            f"{groups} held-out groups{_left_out(project)}: a proof needs at least {MINIMUM_GROUPS};"
            f" {_more_held_out(project, MINIMUM_GROUPS - groups)}"
        )
        return
    may, margin = next_look(project, earlier, at), project.policy.proof.margin
    if not can_pass(groups, may.spend, margin):
        with_margin = f", with a margin of {margin:g}" if margin else ""
        yield (
            f"winning all {groups} held-out groups would prove nothing (look {may.look} at them may spend"
            f" {may.spend:.2g}{with_margin}): add tasks with references"
        )


def _left_out(project: Project) -> str:
    """How many more there would be, had nothing been left out, and why it was."""
    alike = len(project.split.near_repeats) if project.policy.proof.near_repeats == "refuse" else 0
    used = len(project.split.left_out) - alike
    counts = {"nearly repeat what a search uses": alike, "were used by a search, or belong to what was": used}
    told = " and ".join(f"{count} that {why}" for why, count in counts.items() if count)
    return f", without {told}" if told else ""


def _more_held_out(project: Project, groups: int) -> str:
    """What would bring so many more held-out groups, where as many of them are left out as today."""
    terms, split = project.policy.proof.split, project.split
    if terms.since is not None:
        return f"{groups} more tasks of other groups would bring them that begin on {terms.from_} or later"
    kept = len(split.held_out) / (len(split.held_out) + len(split.left_out) or 1) or 1.0
    share = float(terms.held_out)
    return f"{more_tasks(project, groups, share * kept)} (a share of {share:g} is held out)"


def _on_judging(project: Project) -> Iterator[str]:
    tasks = project.split.held_out
    errors = [task for task in tasks if _error(project, task) is not None]
    if len(errors) > MOST_ERRORS * len(tasks):
        there = in_common("references", [project.evidence.task(task).reference for task in tasks])
        yield (
            f"held-out tasks that the rubric cannot judge are {unjudged(project, tasks)}{there}; above"
            f" {MOST_ERRORS:.0%} nothing is proved: mend their references, or {project.files[1]}, where a"
            " criterion with `judge: question` needs none"
        )


def _error(project: Project, task: str) -> str | None:
    """The first thing that keeps the verifier from judging any output of a task; None is nothing.

    What a judge, a program or what an attempt leaves decides, nobody knows before a call.
    """
    decided = tuple(
        criterion
        for criterion in project.rubric.deciding
        if criterion.check is not UNSET and not isinstance(criterion.check, ProgramCheck | TraceCheck)
    )
    if not decided:
        return None
    rubric, reference = Rubric(decided), project.evidence.task(task).reference
    for output in ANY_OUTPUTS:
        for verdict in assess(rubric, output=output, reference=reference).verdicts:
            if verdict.result == "error":
                return f"{verdict.criterion}: {verdict.explanation}"
    return None
