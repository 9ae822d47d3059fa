"""Score of one version of a runbook on one part of its tasks: no search, no proof, nothing is proposed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import asdict

from runbookopt.calibration.health import Health, failed_calls, spread
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import digest, digest_of
from runbookopt.documents.parse import Problem
from runbookopt.documents.runbook import Runbook
from runbookopt.documents.usage import Spent
from runbookopt.engine.progress import Progress
from runbookopt.errors import RunbookoptError, WrongUsage
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Part, Task, time_of
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.feasibility import allowance_of, next_look, unjudged
from runbookopt.jobs.preflight import must_be_set_up
from runbookopt.jobs.prepare import Job, few, must_decide
from runbookopt.jobs.rollouts import Rollouts, bundle_of, leaving, look_of
from runbookopt.jobs.scorecard import Scorecard, Tried, judged_again, scorecard
from runbookopt.landing.bundle import Bundle, text_of
from runbookopt.landing.ledger.identity import identity_of
from runbookopt.project.places import runbook_file
from runbookopt.project.project import Project, read_project
from runbookopt.proof.allowance import ENOUGH_GROWTH, Allowance, Look, group_digests, reference_digest
from runbookopt.proof.binding import must_be_bound
from runbookopt.proof.ledger import Ledger
from runbookopt.proof.records import keep_shown
from runbookopt.search.asks import Attempt, Candidate, Rollout
from runbookopt.verifier.judge import self_judged

VERSION = 1
"""Of what is asked: another one is another run in the journal."""


class LookTaken(Allowance, frozen=True):
    """The look at the held-out tasks that an evaluation rests on, by its key, and what it spends.

    `known`: it had been taken before, so that nothing was spent now.
    """

    key: str
    known: bool


class Evaluation(Struct, frozen=True):
    """How good one version of a runbook is on one part of its tasks.

    `revision` is the commit that it was read at, None for the working tree; `version` is what its front
    matter says. `models` names those that were called, by role. `look` is None but for held-out tasks, of
    which `scores` are None unless the look was accepted by a proof, or somebody asked to see them.
    `red_team` is of the red team's tasks, which no other score counts; None without any, and beside held-out
    tasks.
    """

    runbook: str
    revision: str | None
    digest: str
    version: str | None
    split: Part
    agent: str
    models: Mapping[str, str]
    scores: Scorecard | None
    red_team: Scorecard | None
    look: LookTaken | None
    spent: Spent
    notes: tuple[str, ...]
    warnings: tuple[Problem, ...]
    health: Health


def evaluate(
    repository: Repository,
    job: Job,
    *,
    part: Part = "validation",
    revision: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Evaluation:
    """Score a version of a runbook: the working tree's, or the one at a git revision.

    Rubric, policy and tasks are those of the working tree. Held-out tasks are opened only where the job says
    `look`, and that look stands in the ledger (at origin, where the job says `propose`) before the first
    rollout. That their figures are shown stands there too, where the job says `show_figures`. Raises
    WrongUsage where they may not be opened, Invalid where too many attempts have no score, RunbookoptError
    for all that a user can mend, and KeyboardInterrupt; the journal keeps what was answered, and the same
    call goes on from there.
    """
    held_out = part == "held-out"
    shared = held_out and job.look
    must_be_set_up(repository, job.name, propose=False)
    ledger = Ledger.open(repository, push=shared and job.propose, fetch=shared and repository.has_origin())
    source, tip = Folder(repository.root), repository.resolve("HEAD")
    names = identity_of(repository, ledger, job.name, source, tip).names
    if shared:
        must_be_bound(repository, ledger, tip, names)
    project = read_project(source, job.name, burnt=ledger.burnt(*names), at=time_of(job.at))
    must_decide(project)
    commit = None if revision is None else repository.resolve(revision)
    version = project.runbook if commit is None else _at(repository, commit, job.name)
    rollouts = Rollouts(repository, job, project, job.hire(project.rubric), progress)
    tasks = _tasks(project, part)
    look, told, red_team = None, True, list[Tried]()
    if held_out:
        looks = ledger.looks(*names)
        tried, spent, taken = _on_held_out(rollouts, ledger, names, version, tasks)
        may = allowance_of(project, ledger.looks(*names), taken)
        look = LookTaken(**asdict(may), key=taken.key, known=taken in looks)
        told = _may_tell(job, ledger, taken)
    else:  # with the same attempts as a search makes
        against = [project.evidence.task(task) for task in project.split.red_team]
        tried, spent = _rolled_out(rollouts, version, (*tasks, *against), ["0"])
        tried, red_team = tried[: len(tasks)], [each for each in tried[len(tasks) :] if each.attempts]
    if not any(each.attempts for each in tried):
        raise RunbookoptError(
            f"{project.name}: none of the tasks that were looked at is held out any more:"
            " evaluate on --split validation"
        )
    judge = project.rubric.judge if rollouts.judge else None
    models = {role: model for role, model in job.models.items() if role == "agent"}
    return Evaluation(
        runbook=project.name,
        revision=commit,
        digest=version.digest,
        version=version.version,
        split=part,
        agent=job.agent.name,
        models=models | ({"judge": judge.model} if judge else {}),
        scores=scorecard(project, part, tried) if told else None,
        red_team=scorecard(project, "held-out", red_team) if red_team else None,
        look=look,
        spent=spent,
        notes=tuple(_notes(rollouts, tasks, look, told=told)),
        warnings=project.warnings,
        health=_health(job, project, tried, spent),
    )


def _health(job: Job, project: Project, tried: Sequence[Tried], spent: Spent) -> Health:
    """The health of the measurement; which references may be wrong one version alone does not tell."""
    scores = [tuple(attempt.score for attempt in each.attempts) for each in tried]
    repeats = max(map(len, scores))
    missing = sum(repeats - len(each) for each in scores)
    unjudged = sum(attempt.errors > 0 for each in tried for attempt in each.attempts)
    return Health(
        errors=(unjudged + missing) / (repeats * len(scores)),
        missing=missing,
        failed_calls=failed_calls(spent.usage),
        noise=0.0 if job.agent.deterministic else spread(scores),
        suspects=None,
        standings=project.standings_at(),
    )


def look_price(repository: Repository, job: Job, revision: str | None = None) -> str | None:
    """What it would spend to look at a version on held-out tasks, in a sentence; None where it is known.

    Raises what `evaluate` raises before it asks anybody.
    """
    ledger = Ledger.open(repository, push=False, fetch=repository.has_origin())
    source, tip = Folder(repository.root), repository.resolve("HEAD")
    names = identity_of(repository, ledger, job.name, source, tip).names
    must_be_bound(repository, ledger, tip, names)
    project = read_project(source, job.name, burnt=ledger.burnt(*names), at=time_of(job.at))
    looks = ledger.looks(*names)
    version = project.runbook if revision is None else _at(repository, repository.resolve(revision), job.name)
    _tasks(project, "held-out")
    known = _showing(job, project, ledger, looks, version) is not None
    return None if known else _price(project, looks, job.at)


def _at(repository: Repository, commit: str, name: str) -> Runbook:
    source = repository.revision(commit)
    try:
        path = runbook_file(source, name)
    except RunbookoptError as error:
        raise RunbookoptError(f"at commit {commit[:12]}: {error}") from error
    return runbooks.decode(source.read(path), path=f"{path} of {commit[:12]}")


def _tasks(project: Project, part: Part) -> tuple[Task, ...]:
    """The tasks of a part; a part without any is refused."""
    split = project.split
    ids = {"train": split.train, "validation": split.validation, "held-out": split.held_out}[part]
    if not ids:
        raise RunbookoptError(
            f"{project.places.stored}: no task is in {part}: add tasks, or choose another"
            " --split (`runbookopt check` counts them)"
        )
    return tuple(project.evidence.task(task) for task in ids)


def _rolled_out(
    rollouts: Rollouts, version: Runbook, tasks: Sequence[Task], names: Sequence[str]
) -> tuple[list[Tried], Spent]:
    terms = {
        "evaluation": VERSION,
        "runbook": rollouts.project.name,
        "candidate": version.digest,
        "tasks": digest_of([(task.id, reference_digest(task)) for task in tasks]),
        "repeats": names,
    }
    candidate = Candidate(version.text)
    asks = [Rollout(candidate, task.id, name) for task in tasks for name in names]
    answered, spent = rollouts.answered(asks, terms)
    attempts = iter(answered)
    return [
        Tried(task, tuple(each for each in islice(attempts, len(names)) if isinstance(each, Attempt)))
        for task in tasks
    ], spent


# Held-out tasks -----------------------------------------------------------------------------------------


def _on_held_out(
    rollouts: Rollouts, ledger: Ledger, known_as: Sequence[str], version: Runbook, tasks: Sequence[Task]
) -> tuple[list[Tried], Spent, Look]:
    """Score on held-out tasks: from the record of a look that showed the same, else by a new look."""
    job, project, looks = rollouts.job, rollouts.project, ledger.looks(*known_as)
    earlier = _showing(job, project, ledger, looks, version)
    if not job.look:
        kept = f"{project.name}: held-out tasks are kept for proofs, so add --spend-look to open them"
        known = "it costs nothing: the ledger has a look at this version already"
        raise WrongUsage(f"{kept}; {known if earlier else _price(project, looks, job.at)}")
    if earlier is not None and earlier.bundle is not None:
        tried = _recorded(project, bundle_of(ledger, earlier.bundle), version, tasks)
        return tried, Spent(0, 0, 0), earlier
    look = earlier or look_of(  # which reflects on nothing
        job, project, tasks, seed=_declared(rollouts, version), candidate=version.digest
    )
    looked_at = [task for task in tasks if task.id in look.tasks]
    repeats = range(project.policy.proof.repeats)
    names = ["0"] if job.agent.deterministic else [f"{look.key}/{number}" for number in repeats]
    rollouts.must_afford(len(looked_at) * len(names))
    ledger.register(look)  # before the first rollout, as a proof does; a known one is there already
    with leaving(allowance_of(project, ledger.looks(*known_as), look).look):
        tried, spent = _rolled_out(rollouts, version, looked_at, names)
    return tried, spent, look


def _may_tell(job: Job, ledger: Ledger, look: Look) -> bool:
    """Whether the figures of a look are told: those of what was accepted, and others if it is noted."""
    if look.answer == "accepted":
        return True
    if job.show_figures:
        keep_shown(ledger, look)
    return job.show_figures


def _showing(
    job: Job, project: Project, ledger: Ledger, looks: Sequence[Look], version: Runbook
) -> Look | None:
    """The last look that showed what this version does on these tasks.

    Which runbook it was compared with then makes no difference. A look at fewer groups answers until a
    quarter of them is new.
    """
    groups = set(group_digests(project.held_out_groups))
    fitting = (
        look
        for look in reversed(looks)
        if (look.rubric, look.agent) == (project.digests.rubric, job.agent.key)
        and len(groups - set(look.groups)) < ENOUGH_GROWTH * len(look.groups)
        and _showed(look, ledger, version.digest)
    )
    return next(fitting, None)


def _showed(look: Look, ledger: Ledger, version: str) -> bool:
    """Whether a look is one at this version; once settled, also as the runbook of its day.

    What was proved before the version bump was a part of it was committed with another version in its front
    matter: that makes no other question.
    """
    if look.candidate == version or look.bundle is None:
        return look.candidate == version
    if look.seed == version:
        return True
    return digest(text_of(bundle_of(ledger, look.bundle)).encode()) == version


def _declared(rollouts: Rollouts, version: Runbook) -> str:
    """The digest of the runbook that a winner would be measured against: the default branch's."""
    repository = rollouts.repository
    try:
        return digest(repository.revision(repository.base()).read(rollouts.project.path))
    except FileNotFoundError:
        return version.digest


def _price(project: Project, looks: Sequence[Look], at: str) -> str:
    may = next_look(project, looks, at)
    return (
        f"it would be look {may.look}, written into the ledger for good: it spends {may.spend:.2g} of the"
        f" {may.left + may.spend:.2g} that is left of the allowance that all looks share, and the next proof"
        f" could then spend {may.next_spend:.2g} instead of {may.spend:.2g}"
    )


def _recorded(project: Project, bundle: Bundle, version: Runbook, tasks: Sequence[Task]) -> list[Tried]:
    """Outputs of a settled look, judged again, those on tasks that are still there."""
    there = {task.id: task for task in tasks}
    as_it_was = bundle.digests.runbook == version.digest
    return [
        judged_again(
            project.rubric,
            there[each.task],
            each.before if as_it_was else each.after,
            each.beside_before if as_it_was else each.beside_after,
        )
        for each in bundle.outputs
        if each.task in there
    ]


def _notes(rollouts: Rollouts, tasks: Sequence[Task], look: LookTaken | None, *, told: bool) -> Iterator[str]:
    repository, job, project = rollouts.repository, rollouts.job, rollouts.project
    yield from job.notes
    yield "rubric, policy and tasks are those of the working tree"
    places = project.places
    paths = [*project.files, *places.evidence_roots]
    differing = [
        path
        for path in repository.working_tree_differs(repository.resolve("HEAD"), paths)
        if path in project.files or places.is_evidence(path)
    ]
    if differing:
        yield f"other than in HEAD: {few(differing)}"
    judge = project.rubric.judge if rollouts.judge else None
    own = self_judged(judge.model, job.models.get("agent"), None) if judge else None
    if own is not None:
        yield f"{own}, as the rubric allows, and a judge is lenient with its own words"
    if why := unjudged(project, [task.id for task in tasks]):
        yield f"tasks that the rubric cannot judge are {why}"
    if look is not None:
        yield (
            "which held-out tasks fail is not listed: what is written after reading them could not be"
            " proved on them"
        )
    if look is not None and not told:
        yield (
            "its figures are told with --show-figures alone, at no further spending: whoever keeps the edits"
            " after which they rose climbs on luck. It is recorded, and the next change then goes to review"
        )
