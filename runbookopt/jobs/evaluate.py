"""Scores one version of a runbook on one part of its tasks: no search, no proof, and nothing is proposed."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from runbookopt.agents.protocol import Judge
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import digest, digest_of
from runbookopt.documents.parse import Problem
from runbookopt.documents.runbook import Runbook
from runbookopt.documents.usage import Spent
from runbookopt.engine.driver import Progress
from runbookopt.errors import RunbookoptError, WrongUsage
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Part, Task
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.feasibility import next_look, unjudged
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.rollouts import Rollouts
from runbookopt.jobs.scorecard import Scorecard, Tried, judged_again, scorecard
from runbookopt.landing.bundle import Beside, Bundle, HeldOutOutputs, recorded_bundle
from runbookopt.project.project import Project, read_project, runbook_file
from runbookopt.proof.allowance import (
    ENOUGH_GROWTH,
    Allowance,
    Look,
    allowance,
    burnt,
    group_digests,
    looks_before,
    reference_digest,
)
from runbookopt.proof.ledger import Ledger
from runbookopt.search.asks import Candidate, Rollout
from runbookopt.verifier.judge import self_judged

VERSION = 1
"""Of what is asked: another one is another run in the journal."""

_FEW = 3  # names in one note


class LookTaken(Struct, frozen=True):
    """The look at the held-out tasks that an evaluation rests on, and what it spends of the allowance.

    `look` counts from 1; `left` is what remained after it, and `next_spend` what the look after it may spend.
    `known`: it had been taken before, so that nothing was spent now.
    """

    look: int
    spend: float
    next_spend: float
    left: float
    key: str
    known: bool


class Evaluation(Struct, frozen=True):
    """How good one version of a runbook is on one part of its tasks.

    `revision` is the commit that it was read at, None for the working tree; `version` is what its front
    matter says. `models` names those that were called, by role. `look` is None but for held-out tasks.
    """

    runbook: str
    revision: str | None
    digest: str
    version: str | None
    split: Part
    agent: str
    models: Mapping[str, str]
    scores: Scorecard
    look: LookTaken | None
    spent: Spent
    notes: tuple[str, ...]
    warnings: tuple[Problem, ...]


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
    rollout. Raises WrongUsage where they may not be opened, RunbookoptError for all that a user can mend, and
    KeyboardInterrupt; the journal keeps what was answered, and the same call goes on from there.
    """
    held_out = part == "held-out"
    shared = held_out and job.look
    ledger = Ledger.open(repository, push=shared and job.propose, fetch=shared and repository.has_origin())
    looks = ledger.looks(job.name)
    project = read_project(Folder(repository.root), job.name, burnt=burnt(looks))
    commit = None if revision is None else repository.resolve(revision)
    text = project.runbook if commit is None else _at(repository, commit, job.name)
    found = _Evaluating(
        repository=repository,
        job=job,
        ledger=ledger,
        looks=looks,
        project=project,
        part=part,
        commit=commit,
        version=text,
        judge=job.hire(project.rubric),
        progress=progress,
    )
    found.must_have_tasks()
    return found.on_held_out() if held_out else found.on_part()


def _at(repository: Repository, commit: str, name: str) -> Runbook:
    source = repository.revision(commit)
    try:
        path = runbook_file(source, name)
    except RunbookoptError as error:
        raise RunbookoptError(f"at commit {commit[:12]}: {error}") from error
    return runbooks.decode(source.read(path), path=f"{path} of {commit[:12]}")


class _Evaluating(Struct, frozen=True):
    """From what is asked to what is said of it."""

    repository: Repository
    job: Job
    ledger: Ledger
    looks: tuple[Look, ...]
    project: Project
    part: Part
    commit: str | None
    version: Runbook
    judge: Judge | None
    progress: Callable[[Progress], None] | None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the part that is asked for."""
        split = self.project.split
        ids = {"train": split.train, "validation": split.validation, "held-out": split.held_out}[self.part]
        return tuple(self.project.evidence.task(task) for task in ids)

    def must_have_tasks(self) -> None:
        """Refuse a part without tasks."""
        if not self.tasks:
            raise RunbookoptError(
                f"trajectories/{self.project.name}: no task is in {self.part}: add tasks, or choose another"
                " --split (`runbookopt check` counts them)"
            )

    def on_part(self) -> Evaluation:
        """Score on train or validation tasks, with the same attempts as a search makes."""
        tried, spent = self._rolled_out(self.tasks, ["0"])
        return self._evaluation(tried, spent, None)

    # Held-out tasks -------------------------------------------------------------------------------------

    def on_held_out(self) -> Evaluation:
        """Score on held-out tasks: from the record of a look that showed the same, else by a new look."""
        known = self._known()
        if not self.job.look:
            raise WrongUsage(self._what_it_costs(known))
        if known is not None and known.bundle is not None:
            return self._evaluation(self._recorded(known.bundle), Spent(0, 0, 0), self._taken(known, True))
        look = known or self._look()
        tasks = tuple(task for task in self.tasks if task.id in look.tasks)
        deterministic, repeats = self.job.agent.deterministic, self.project.policy.proof.repeats
        names = ["0"] if deterministic else [f"{look.key}/{n}" for n in range(repeats)]
        self._rollouts.must_afford(len(tasks) * len(names))
        self.ledger.register(look)  # before the first rollout, as a proof does; a known one is there already
        tried, spent = self._rolled_out(tasks, names)
        return self._evaluation(tried, spent, self._taken(look, known is not None))

    def _known(self) -> Look | None:
        """Find the last look that showed what this version does on these tasks.

        Which runbook it was compared with then makes no difference. A look at fewer groups answers until a
        quarter of them is new.
        """
        rubric, agent = self.project.digests.rubric, self.job.agent.key
        groups = set(group_digests(self.project.held_out_groups))
        fitting = (
            look
            for look in reversed(self.looks)
            if (look.rubric, look.agent) == (rubric, agent)
            and len(groups - set(look.groups)) < ENOUGH_GROWTH * len(look.groups)
            and self._was_shown(look)
        )
        return next(fitting, None)

    def _was_shown(self, look: Look) -> bool:
        """Whether a look is one at this version; once settled, also as the runbook of its day.

        What was proved is committed with another version in its front matter: that makes no other question.
        """
        asked = self.version.digest
        if look.candidate == asked or look.bundle is None:
            return look.candidate == asked
        return look.seed == asked or digest(_committed(self._bundle(look.bundle))) == asked

    def _look(self) -> Look:
        """Give the look of an evaluation: the version beside the runbook that is declared today."""
        project = self.project
        asked = {
            "seed": self._declared(),
            "candidate": self.version.digest,
            "rubric": project.digests.rubric,
            "agent": self.job.agent.key,
        }
        return Look.of(
            project.name,
            asked,
            groups=project.held_out_groups,
            tasks=self.tasks,
            searched=(),  # an evaluation reflects on nothing
            at=self.job.at,
        )

    def _declared(self) -> str:
        """Give the digest of the runbook that a winner would be measured against: the default branch's."""
        try:
            return digest(self.repository.revision(self.repository.base()).read(self.project.path))
        except FileNotFoundError:
            return self.version.digest

    def _what_it_costs(self, known: Look | None) -> str:
        may = next_look(self.project, self.looks)
        asked = f"{self.project.name}: held-out tasks are kept for proofs, so add --spend-look to open them"
        if known is not None:
            return f"{asked}; it costs nothing: the ledger has a look at this version already"
        return (
            f"{asked}; it would be look {may.look}, written into the ledger for good, and of the allowance"
            f" that all looks share the next proof could then spend {may.next_spend:.2g} instead of"
            f" {may.spend:.2g}"
        )

    def _taken(self, look: Look, known: bool) -> LookTaken:
        may = self._allowance(look)
        return LookTaken(may.look, may.spend, may.next_spend, may.left, look.key, known)

    def _allowance(self, look: Look) -> Allowance:
        earlier = looks_before(self.ledger.looks(look.runbook), look.key)
        return allowance(earlier, look.groups, look.tasks, self.project.policy.proof.allowance)

    def _recorded(self, name: str) -> list[Tried]:
        """Judge the outputs of a settled look again, those on tasks that are still there."""
        bundle = self._bundle(name)
        there = {task.id: task for task in self.tasks}
        as_it_was = bundle.digests.runbook == self.version.digest
        return [
            judged_again(self.project.rubric, there[each.task], *_side(each, as_it_was=as_it_was))
            for each in bundle.outputs
            if each.task in there
        ]

    def _bundle(self, name: str) -> Bundle:
        bundle = recorded_bundle(self.ledger, name)
        if bundle is None:
            raise RunbookoptError(f"the ledger lacks bundle {name}: git fetch origin, then run this again")
        return bundle

    # Rollouts -------------------------------------------------------------------------------------------

    @property
    def _rollouts(self) -> Rollouts:
        return Rollouts(self.repository, self.job, self.project, self.judge, self.progress)

    def _rolled_out(self, tasks: Sequence[Task], names: Sequence[str]) -> tuple[list[Tried], Spent]:
        candidate = Candidate(self.version.text)
        wanted = [Rollout(candidate, task.id, name) for task in tasks for name in names]
        found = self._rollouts.answered(wanted, self._terms(tasks, names))
        attempts = iter(found.attempts)
        tried = [Tried(task, tuple(next(attempts) for _ in names)) for task in tasks]
        return tried, found.spent

    def _terms(self, tasks: Sequence[Task], names: Sequence[str]) -> dict[str, object]:
        return {
            "evaluation": VERSION,
            "runbook": self.project.name,
            "candidate": self.version.digest,
            "rubric": self.project.digests.rubric,
            "tasks": digest_of([(task.id, reference_digest(task)) for task in tasks]),
            "repeats": list(names),
            "agent": self.job.agent.key,
            "judge": self.judge.key if self.judge else None,
        }

    # What is said of it ---------------------------------------------------------------------------------

    def _evaluation(self, tried: Sequence[Tried], spent: Spent, look: LookTaken | None) -> Evaluation:
        if not tried:
            raise RunbookoptError(
                f"{self.project.name}: none of the tasks that were looked at is held out any more:"
                " evaluate on --split validation"
            )
        return Evaluation(
            runbook=self.project.name,
            revision=self.commit,
            digest=self.version.digest,
            version=self.version.version,
            split=self.part,
            agent=self.job.agent.name,
            models=self._models(),
            scores=scorecard(self.project, self.part, tried),
            look=look,
            spent=spent,
            notes=tuple(self._notes(look)),
            warnings=self.project.warnings,
        )

    def _models(self) -> dict[str, str]:
        judge = self.project.rubric.judge if self.judge else None
        asked = {role: model for role, model in self.job.models.items() if role == "agent"}
        return asked | ({"judge": judge.model} if judge else {})

    def _notes(self, look: LookTaken | None) -> Iterable[str]:
        project, tasks = self.project, [task.id for task in self.tasks]
        yield from self.job.notes
        yield "rubric, policy and tasks are those of the working tree"
        paths = [*project.files, f"trajectories/{project.name}"]
        differing = self.repository.working_tree_differs(self.repository.resolve("HEAD"), paths)
        if differing:
            more = f" and {len(differing) - _FEW} more" if differing[_FEW:] else ""
            yield f"other than in HEAD: {', '.join(differing[:_FEW])}{more}"
        judge = project.rubric.judge if self.judge else None
        own = self_judged(judge.model, self.job.models.get("agent"), None) if judge else None
        if own is not None:
            yield f"{own}, as the rubric allows, and a judge is lenient with its own words"
        why = unjudged(project, tasks)
        if why:
            yield f"tasks that the rubric cannot judge are {why}"
        if look is not None:
            yield (
                "which held-out tasks fail is not listed: what is written after reading them could not be"
                " proved on them"
            )


def _committed(bundle: Bundle) -> bytes:
    return runbooks.bump_version(bundle.candidate).encode()


def _side(said: HeldOutOutputs, *, as_it_was: bool) -> tuple[tuple[str | None, ...], tuple[Beside, ...]]:
    return (said.before, said.beside_before) if as_it_was else (said.after, said.beside_after)
