"""Preparation of a run: evidence, terms and obstacles, all read and settled before the first rollout."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Agent, Judge, OpenAsks, Reflector, edits_of
from runbookopt.agents.roles import agent_in_words
from runbookopt.documents.digest import digest_of
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.settings import Settings
from runbookopt.errors import RunbookoptError, Waiting
from runbookopt.evidence.library import Folder
from runbookopt.evidence.privacy import told
from runbookopt.evidence.trajectory import Task, time_of
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.claims import TRIED, Claims, claims_of
from runbookopt.jobs.feasibility import more_tasks, obstacles, on_room, unjudged
from runbookopt.jobs.first_outputs import FIRST, must_be_followed, must_learn
from runbookopt.jobs.planning.allotment import Allotment, allot, must_afford
from runbookopt.jobs.preflight import must_be_set_up
from runbookopt.jobs.stored_outputs import (
    StoredOutputs,
    believed,
    borrowed,
    counts,
    evidence,
    on_stored,
    scored,
    stored_outputs,
)
from runbookopt.landing.ledger.identity import Identity, begin_again, identity_of
from runbookopt.landing.paired_outputs import held_out_digest
from runbookopt.project.local_state import must_be_own
from runbookopt.project.project import Project, read_project
from runbookopt.project.versions import versions
from runbookopt.proof.allowance import Look
from runbookopt.proof.binding import Unbound, must_be_bound
from runbookopt.proof.ledger import Ledger
from runbookopt.search.asks import Attempt
from runbookopt.search.loop import VERSION
from runbookopt.search.problem import Options, Problem, of_replies
from runbookopt.verifier.program_files import belongs
from runbookopt.verifier.rubric import Rubric, programs

SURE = 1.0
"""A `doubt` at which any best candidate may be returned."""


def no_judge(rubric: Rubric) -> Judge | None:
    """No judge; raises RunbookoptError where a criterion asks one."""
    if rubric.judged:
        raise RunbookoptError(f"{rubric.judged[0].id}: asks a judge, and there is none here")
    return None


class Job(Struct, frozen=True):
    """One runbook to optimize: how to run it, who attempts tasks, who reflects, and at what time (ISO 8601).

    `propose`: the result will be proposed at origin, so the working tree must equal the base there and a
    look is registered there. `look`: whether the held-out tasks may be opened at all. `show_figures`: whether
    somebody is to see what they say of a winner that is not accepted. `hire` gives the judge
    of a rubric, None where no criterion asks one. `models` names the model of each part that is one, and
    `notes` say what is not promised of agent and reflector. `begin_again`: a ledger that lacks what the
    default branch rests on begins again, with all of the allowance spent. `handoff` holds the asks that are
    handed off to whoever answers; None where nobody is asked so. `asks_origin`: whether origin is asked for
    the ledger, where there is one.
    """

    name: str
    settings: Settings
    agent: Agent
    reflector: Reflector
    at: str
    propose: bool = True
    look: bool = True
    show_figures: bool = False
    hire: Callable[[Rubric], Judge | None] = no_judge
    models: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    begin_again: bool = False
    handoff: OpenAsks | None = None
    asks_origin: bool = True

    def by_itself(self, why: str) -> "Job":
        """The same job for which origin is asked nothing, with a note that says why."""
        note = f"planned by what this clone knows: {why}"
        return replace(self, propose=False, asks_origin=False, notes=(*self.notes, note))


class Prepared(Struct, frozen=True):
    """A job with all that it rests on.

    `held_out` are the tasks of the proof, each tried `repeats` times by either side, both anew: a stored
    output is anybody's word, and must not be what a winner is measured against. So are those of the
    `red_team`, which count by themselves. The `allotment` keeps
    rollouts for that, and the search may use the rest of it. It begins by trying what is claimed of the agent
    and of stored verdicts (`claims`). `terms` is what decides the path of the run, and `run_id` its digest;
    `names` are those by which the ledger knows the runbook, today's first, and `looks` all looks at it;
    `notes` say what of the working tree counts, and which tasks cannot be judged.
    """

    job: Job
    base: str
    project: Project
    judge: Judge | None
    ledger: Ledger
    names: tuple[str, ...]
    looks: tuple[Look, ...]
    held_out: tuple[Task, ...]
    red_team: tuple[Task, ...]
    problem: Problem
    claims: Claims
    repeats: int
    allotment: Allotment
    terms: Mapping[str, object]
    run_id: str
    notes: tuple[str, ...]


def prepare(repository: Repository, job: Job) -> Prepared:
    """Read everything, and refuse what cannot end well.

    Raises RunbookoptError: a working tree that is not the base, no evidence, too few tasks to ever prove
    anything, a budget that does not cover the proof, a ledger that lacks what the default branch rests on.
    """
    must_be_set_up(repository, job.name, propose=job.propose)
    must_learn(job.name, job.settings)
    fetches = job.look and job.asks_origin and repository.has_origin()
    ledger = Ledger.open(repository, push=job.propose, fetch=fetches)
    base = repository.base() if job.propose else repository.resolve("HEAD")
    must_be_own(repository, base)
    source = repository.revision(base) if job.propose else Folder(repository.root)
    identity = identity_of(repository, ledger, job.name, source, base)
    begun = _bound(repository, ledger, job, base, identity) if job.look else ()
    looks = ledger.looks(*identity.names)
    project, notes = _read(repository, job, base, ledger.burnt(*identity.names))
    must_decide(project)
    must_be_followed(job.agent, project.runbook.text, project.path)
    held_out = tuple(project.evidence.task(task) for task in project.split.held_out)
    red_team = tuple(project.evidence.task(task) for task in project.split.red_team)
    _must_be_provable(job, project, looks, begun)
    judge = job.hire(project.rubric)
    said, doubts = believed(repository.revision(base), job.name, job.settings.stored_as_today)
    stored = stored_outputs(project, job.agent.key, versions(repository, base, project.path), said)
    as_today, lacking = borrowed(project, stored, _free_parts(job, project), TRIED)
    repeats = 1 if job.agent.deterministic else project.policy.proof.repeats
    given = allot(
        job.settings.budget,
        tasks=len(project.split.train) + len(project.split.validation),
        reserved=repeats
        * (len(held_out) + len(red_team))
        * 2,  # also for a dry run, which must walk the path of the real one
        least_reflections=Options().wave * (1 + job.settings.patience),
        borrowed=len({name for name, _ in as_today.values()}),
    )
    problem = _problem(job, project, stored, as_today, given.reflections)
    claims = claims_of(
        job.agent, problem, project.evidence, job.at, {task: name for task, (name, _) in as_today.items()}
    )
    must_afford(job.name, given, problem, claims)
    tight = on_room(project, problem)
    terms = _terms(job, project, problem)
    terms |= {"rollouts": given.rollouts, "reflections": given.reflections, "first": FIRST}
    terms |= {"claims": [claims.twice, claims.checked, claims.old, claims.period]} if claims.first else {}
    terms |= {"personal_data": "removed"} if problem.impersonal else {}
    terms |= {"prefer": job.settings.prefer} if job.settings.prefer is not None else {}
    terms |= {"red_team": held_out_digest(red_team)} if red_team else {}
    terms |= {"judge": judge.key} if judge else {}
    usd = job.settings.budget.usd
    terms |= {} if usd is None else {"usd": usd}
    parts = {"train": project.split.train, "validation": project.split.validation}
    why = {part: unjudged(project, tasks) for part, tasks in parts.items()}
    hopeless = (f"{part} tasks that the rubric cannot judge are {each}" for part, each in why.items() if each)
    return Prepared(
        job=job,
        base=base,
        project=project,
        judge=judge,
        ledger=ledger,
        names=identity.names,
        looks=looks,
        held_out=held_out,
        red_team=red_team,
        problem=problem,
        claims=claims,
        repeats=repeats,
        allotment=given,
        terms=terms,
        run_id=digest_of(terms).removeprefix("sha256:")[:12],
        notes=(
            *(*job.notes, *begun, *notes, *tight, *hopeless, *_removed(project), *identity.told()),
            *(*doubts, *lacking, *on_stored(counts(project, stored))),
        ),
    )


def _bound(
    repository: Repository, ledger: Ledger, job: Job, base: str, identity: Identity
) -> tuple[str, ...]:
    """Refuse a ledger that lacks what the base rests on, or begin it again where that is asked for."""
    try:
        must_be_bound(repository, ledger, base, identity.names)
    except Unbound:
        if not job.begin_again:
            raise
        project = _read(repository, job, base, ledger.burnt(*identity.names))[0]
        begin_again(ledger, project, base, job.at)
        spent = "all of the allowance counts as spent, and the next change that is accepted goes to review"
        where = "" if job.propose else ", so far in this clone alone"
        return (f"the ledger began again{where}: {spent}",)
    if job.begin_again:
        return ("--begin-again changed nothing: the ledger holds all that the default branch rests on",)
    return ()


def _read(
    repository: Repository, job: Job, base: str, used: frozenset[str]
) -> tuple[Project, tuple[str, ...]]:
    """What is declared at the base, and what differs in the working tree and does no harm.

    What is proved must be what the pull request will be made against, so a proposal is made from the base:
    origin's default branch. Without one the base is HEAD, and the working tree is taken as it is.
    """
    at = time_of(job.at)
    here = read_project(Folder(repository.root), job.name, burnt=used, at=at)
    judging, own = _programs(repository, here), here.places
    differing = [
        path
        for path in repository.working_tree_differs(base, [*here.files, *judging, *own.evidence_roots])
        if "__pycache__" not in path.split("/")
        and (path in here.files or belongs(path, judging) or own.is_evidence(path))
    ]
    if differing and not job.propose:
        note = f"differs from HEAD, so commit it before you propose the bundle: {few(differing)}"
        return here, (note,)
    declared = [path for path in differing if path in here.files or belongs(path, judging)]
    if declared:
        raise RunbookoptError(_not_the_base(few(declared), base))
    try:
        there = read_project(repository.revision(base), job.name, burnt=used, at=at)
    except MalformedFile as error:
        if not differing:
            raise
        raise RunbookoptError(f"{error}\n{_not_the_base(few(differing), base)}") from None
    if there.places != own:
        raise RunbookoptError(
            _not_the_base(f"where {job.name} lies (by {own.settings} and what is beside it)", base)
        )
    if differing and _held_out(there) != _held_out(here):
        raise RunbookoptError(_not_the_base(f"held-out tasks in {few(differing)}", base))
    note = f"not read, since origin's default branch has it otherwise: {few(differing)}"
    return there, (note,) if differing else ()


def must_decide(project: Project) -> None:
    """Refuse a rubric of which no criterion may decide. Raises RunbookoptError."""
    if project.undecided:
        raise RunbookoptError(project.undecided)


def _programs(repository: Repository, here: Project) -> tuple[str, ...]:
    """The programs of the rubric as they are in the working tree; raises RunbookoptError for a link."""
    folder = Folder(repository.root)
    paths = programs(here.rubric, folder)
    links = (link for path in paths for link in folder.links(path.strip("/")) if belongs(link, paths))
    link = next(links, None)
    if link is not None:
        raise RunbookoptError(
            f"{link}: a link, or no file, in a program of the rubric of {here.name}: git does not hold what"
            " it leads to, so put the file itself there"
        )
    return paths


def _not_the_base(what: str, base: str) -> str:
    return (
        f"{what}: other than on origin's default branch ({base[:12]}); git pull, or commit and push what"
        " you changed, or use --no-propose"
    )


def few(paths: Sequence[str], most: int = 3) -> str:
    """The first of these paths, and how many more there are."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more


def _held_out(project: Project) -> str:
    return held_out_digest([project.evidence.task(task) for task in project.split.held_out])


def _must_be_provable(job: Job, project: Project, looks: tuple[Look, ...], begun: tuple[str, ...]) -> None:
    """Refuse what no search could make good: everything paid for it would be paid for nothing.

    Raises Waiting where earlier looks have used up what was there to prove on: more evidence will come.
    """
    split, shares = project.split, project.policy.proof.split
    against = obstacles(project, looks, job.at) if job.look else ()
    if not split.train or not split.validation:
        share = shares.validation if split.train else shares.train
        raise RunbookoptError(
            f"{project.places.stored}: {len(split.train)} train and {len(split.validation)} validation"
            f" tasks: both are needed to search; {'; '.join((more_tasks(project, 1, share), *against))}"
        )
    if against and looks and not begun and not obstacles(project):  # a first look could prove something
        raise Waiting(
            f"nothing is new to prove a winner on, so nothing was searched and no look was taken:"
            f" {'; '.join(against)}, or wait for what time gives back; or use --dry-run"
        )
    if against:
        raise RunbookoptError(
            f"{project.name}: {'; '.join((*begun, *against))}; or use --dry-run to search without a proof"
        )


def _removed(project: Project) -> tuple[str, ...]:
    """What was taken out of the evidence, which no model, program or report is shown."""
    evidence = project.evidence
    live = f"; {len(evidence.live)} keys look alive: see `runbookopt check`" if evidence.live else ""
    words = told(evidence.removed)
    said = f"taken out of stored trajectories before anybody is shown them: {words}{live}"
    return (said,) if evidence.removed else ()


def _free_parts(job: Job, project: Project) -> tuple[str, ...]:
    """The tasks whose stored attempts may stand for rollouts.

    A random agent's are free on train alone: on validation they may be a selection of failures, and a
    candidate would look better than it is by regression to the mean.
    """
    split = project.split
    return (*split.train, *split.validation) if job.agent.deterministic else split.train


def _problem(
    job: Job,
    project: Project,
    stored: StoredOutputs,
    as_today: Mapping[str, tuple[str, Attempt]],
    reflections: int,
) -> Problem:
    """The search's problem.

    What a deterministic agent scores is no luck of one attempt, so that the best may be returned in any case.
    A round asks for at most two thirds of all reflections, so that a run which they end has used a third.
    """
    split, settings = project.split, job.settings
    if settings.prefer is not None and settings.prefer not in project.rubric.objectives:
        known = project.rubric.objectives
        raise RunbookoptError(
            f"prefer: expected an objective of {project.files[1]} ({', '.join(known)}), got"
            f" '{plain(settings.prefer)}'{nearest(settings.prefer, known)}"
        )
    attempts = {task: attempt for task, (_, attempt) in as_today.items()} | scored(project, stored.of_today)
    modes = {
        project.evidence.trajectory(label.trajectory).id: label.failure_mode
        for label in project.evidence.labels
        if label.failure_mode
    }
    by_task = {
        task: modes[trajectory]
        for task in split.train
        for trajectory in project.evidence.task(task).trajectories
        if trajectory in modes
    }
    options = Options(
        random_seed=settings.random_seed,
        wave=min(Options().wave, max(1, 2 * reflections // 3)),
        patience=settings.patience,
        max_failures=settings.max_failures,
        doubt=SURE if job.agent.deterministic else Options().doubt,
        share=settings.growth.share,
        characters=settings.growth.characters,
    )
    tasks = [project.evidence.task(task) for task in split.train]
    groups = {task.id: task.group for task in tasks if task.group}
    return Problem(
        seed=project.runbook,
        train={task: project.evidence.task(task).input for task in split.train},
        validation=split.validation,
        free={task: attempts[task] for task in _free_parts(job, project) if task in attempts},
        modes=by_task,
        evidence=evidence(project, stored),
        groups=groups,
        options=of_replies(options, edits_of(job.reflector)),
        impersonal=project.policy.given.personal,
        agent=agent_in_words(settings.agent),
        prefer=settings.prefer,
    )


def _terms(job: Job, project: Project, problem: Problem) -> dict[str, object]:
    """All that decides the path of a run; width and time do not."""
    return {
        "runbook": job.name,
        "version": VERSION,
        "seed": project.runbook.digest,
        "rubric": project.digests.rubric,
        "train": digest_of([problem.train, problem.modes, problem.groups]),
        "validation": digest_of(problem.validation),
        "free": digest_of(problem.free),
        **({"evidence": digest_of(problem.evidence)} if problem.evidence else {}),
        "held_out": _held_out(project),
        "locked": project.policy.locked,
        **({"unlocked": project.policy.unlocked} if project.policy.unlocked else {}),
        "proof": project.policy.proof,
        "options": problem.options,
        "agent": job.agent.key,
        "reflector": job.reflector.key,
    }
