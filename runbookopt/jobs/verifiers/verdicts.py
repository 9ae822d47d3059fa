"""Verdicts of a rubric on stored outputs: checks are run again, a judge's are known, or it is asked."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Produced
from runbookopt.calibration.agreement import Given
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Spent, Used
from runbookopt.engine.calls import judged
from runbookopt.engine.progress import Progress
from runbookopt.evidence.trajectory import Author, Left, Trajectory
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.journals import open_journal
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.rollouts import Rollouts
from runbookopt.project.project import Project
from runbookopt.search.asks import Attempt, Candidate, NoAnswer, Rollout
from runbookopt.verifier.judge import Judgement, author_of, judge_key, questions
from runbookopt.verifier.rubric import Criterion, Rubric, assess

Item = tuple[str, str]
"""A trajectory and a criterion, by their ids."""

NOTHING_SPENT = Spent(0, 0, 0, tokens=0, usd=0.0)


class StoredAgent:
    """Puts out what is stored, so that a judge is asked, paid and journaled as it is for a rollout."""

    name = "stored outputs"
    key = digest_of(["agent", "stored outputs"])
    deterministic = True

    def __init__(self, stored: Iterable[Trajectory]) -> None:
        self._outputs = {output_key(each): produced(each) for each in stored}

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401, ARG002
        """The stored output whose key is the name of the repeat."""
        return self._outputs[repeat]


class Verdicts(Struct, frozen=True):
    """Verdicts by item; `repeats` are all verdicts on one item, of those that were judged more than once."""

    given: Mapping[Item, Given]
    repeats: Mapping[Item, tuple[str, ...]]
    spent: Spent = NOTHING_SPENT


def output_key(stored: Trajectory) -> str:
    """Digest of all that is judged of a stored trajectory, with its id."""
    return digest_of([stored.id, stored.output, stored.steps])


def produced(stored: Trajectory) -> Produced:
    """A stored output as if an agent had just put it out."""
    return Produced(stored.output, Left(steps=stored.steps or None))


def known_verdicts(project: Project, rubric: Rubric, items: Collection[Item]) -> Verdicts:
    """The verdicts on these items that cost nothing: of checks, and of today's judge where they are stored.

    An attempt that broke down, or left no output, has an error: nothing was judged. A judge whose stored
    verdicts on one output disagree abstains.
    """
    authors = {each.id: author_of(rubric, each) for each in rubric.judged}
    checks = {each.id: each for each in rubric.criteria if each.check is not UNSET}
    given: dict[Item, Given] = {}
    repeats: dict[Item, tuple[str, ...]] = {}
    for id_, names in by_trajectory(items).items():
        stored = project.evidence.trajectory(id_)
        if stored.error is not None or stored.output is None:
            given |= dict.fromkeys(((id_, name) for name in names), "error")
            continue
        to_check = tuple(checks[name] for name in names if name in checks)
        if to_check:
            given |= {(id_, name): said for name, said in _checked(project, to_check, stored)}
        for name, results in _stored_results(stored, authors).items():
            if name in names:
                given[id_, name] = _together(results)
                if len(results) > 1:
                    repeats[id_, name] = tuple(results)
    return Verdicts(given, repeats)


def verdicts_on(
    repository: Repository,
    job: Job,
    project: Project,
    rubric: Rubric,
    items: Sequence[Item],
    progress: Callable[[Progress], None] | None,
) -> Verdicts:
    """The verdicts on these items, those of a judge that are not known asked for and journaled.

    Raises what `Rollouts.answered` raises; the journal keeps what was answered.
    """
    known = known_verdicts(project, rubric, items)
    missing = [item for item in items if item not in known.given]
    given, repeats, spent = dict(known.given), dict(known.repeats), NOTHING_SPENT
    for names, ids in _alike(missing).items():
        asking = Rubric(tuple(each for each in rubric.criteria if each.id in names), rubric.judge)
        stored = [project.evidence.trajectory(id_) for id_ in ids]
        attempts, cost = asked_about(repository, job, replace(project, rubric=asking), stored, progress)
        spent = _sum(spent, cost)
        for id_, attempt in zip(ids, attempts, strict=True):
            given |= {(id_, name): said_by(attempt, name) for name in names}
        repeats |= _votes(repository, project, asking, stored)
    return Verdicts(given, repeats, spent)


def by_trajectory(items: Iterable[Item]) -> dict[str, set[str]]:
    """The criteria of each trajectory."""
    found = defaultdict[str, set[str]](set)
    for trajectory, criterion in items:
        found[trajectory].add(criterion)
    return found


def _checked(
    project: Project, checks: tuple[Criterion, ...], stored: Trajectory
) -> Iterator[tuple[str, Given]]:
    reference = project.evidence.task_of(stored).reference
    left = Left(steps=stored.steps or None)
    for verdict in assess(Rubric(checks), output=stored.output, reference=reference, left=left).verdicts:
        yield verdict.criterion, verdict.result


def _stored_results(stored: Trajectory, authors: Mapping[str, Author]) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for verdict in stored.verdicts:
        if verdict.by is not None and verdict.by == authors.get(verdict.criterion):
            found[verdict.criterion].append(verdict.result)
    return found


def _together(results: Sequence[str]) -> Given:
    if set(results) == {"pass"}:
        return "pass"
    return "fail" if set(results) == {"fail"} else "abstained"


def _sum(one: Spent, other: Spent) -> Spent:
    """Tokens, dollars and time of both; nobody rolled anything out."""
    tokens = None if one.tokens is None or other.tokens is None else one.tokens + other.tokens
    usd = None if one.usd is None or other.usd is None else one.usd + other.usd
    return Spent(0, 0, 0, tokens, usd, one.seconds + other.seconds, _used(one, other))


def _used(one: Spent, other: Spent) -> Used:
    both = [each for each in (one.usage.judge, other.usage.judge) if each is not None]
    return Used(judge=sum(both[1:], both[0])) if both else Used()


def _alike(missing: Iterable[Item]) -> dict[tuple[str, ...], list[str]]:
    """Trajectories by the criteria that they lack."""
    found = defaultdict[tuple[str, ...], list[str]](list)
    for trajectory, criteria in by_trajectory(missing).items():
        found[tuple(sorted(criteria))].append(trajectory)
    return found


def asked_about(
    repository: Repository,
    job: Job,
    project: Project,
    stored: Sequence[Trajectory],
    progress: Callable[[Progress], None] | None,
) -> tuple[list[Attempt | NoAnswer], Spent]:
    """Have the judge look at stored outputs; they are no rollouts that anybody pays for."""
    settings = replace(job.settings, budget=replace(job.settings.budget, rollouts=None))
    job = replace(job, agent=StoredAgent(stored), settings=settings)
    text = Candidate(project.runbook.text)
    asks = [Rollout(text, project.evidence.task_of(each).id, output_key(each)) for each in stored]
    terms = {
        "calibration": [each.id for each in project.rubric.criteria],
        "outputs": digest_of([each.repeat for each in asks]),
    }
    rollouts = Rollouts(repository, job, project, job.hire(project.rubric), progress)
    return rollouts.answered(asks, terms)


def said_by(attempt: Attempt | NoAnswer, criterion: str) -> Given:
    """What a judge that was asked said; no output is one that is too large to be looked at."""
    if isinstance(attempt, NoAnswer) or attempt.output is None:
        return "error"
    result = attempt.verdicts[criterion].result
    return "abstained" if result == "error" else result


def _votes(
    repository: Repository, project: Project, rubric: Rubric, stored: Sequence[Trajectory]
) -> dict[Item, tuple[str, ...]]:
    """All votes on each item, where there is more than one, as the journal has them."""
    if rubric.judge is None or rubric.judge.votes == 1:
        return {}
    key = judge_key(rubric.judge)
    asked = {
        (each.id, question.criterion, question.vote): question.key(key)
        for each in stored
        for question in questions(rubric, project.evidence.task_of(each), each.output)
    }
    with open_journal(repository) as journal:
        answers = journal.given(list(asked.values()))
    found = defaultdict[Item, list[str]](list)
    for (trajectory, criterion_id, _), key in asked.items():
        said = judged(answers[key]) if key in answers else None
        if isinstance(said, Judgement):
            found[trajectory, criterion_id].append("met" if said.met else "not_met")
    return {item: tuple(votes) for item, votes in found.items() if len(votes) > 1}
