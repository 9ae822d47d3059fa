"""Bundle of a run: what the search and the proof came to, as the second half reads it (pure)."""

from operator import attrgetter

from runbookopt import __version__
from runbookopt.documents.digest import canonical
from runbookopt.documents.runbook import reparse
from runbookopt.documents.settings import Settings, setting_types
from runbookopt.jobs.prepare import Prepared
from runbookopt.jobs.result import Result
from runbookopt.jobs.suspects import outputs_of, outputs_of_proof, suspects
from runbookopt.landing.bundle import (
    AgentUsed,
    Bundle,
    Change,
    Digests,
    HeldOutOutputs,
    MemberSummary,
    StoredVerdicts,
    Suspect,
)
from runbookopt.landing.paired_outputs import held_out_digest
from runbookopt.proof.allowance import Look
from runbookopt.proof.comparison import Comparison
from runbookopt.search.changes import contributes, difference
from runbookopt.search.loop import SearchResult
from runbookopt.search.pool import Edit, Member, lineage, places
from runbookopt.search.selection import mean_of


def bundle_of_run(
    ready: Prepared,
    searched: SearchResult,
    result: Result,
    look: Look,
    outputs: tuple[HeldOutOutputs, ...],
    comparison: Comparison,
) -> Bundle:
    """The bundle of a run that looked, not yet sealed."""
    project, job, candidate = ready.project, ready.job, searched.pool[searched.chosen].candidate
    judge = project.rubric.judge if ready.judge else None
    models = dict(job.models) | ({"judge": judge.model} if judge else {})
    models |= {role: f"{models[role]} ({', '.join(names)})" for role, names in result.repliers.items()}
    return Bundle(
        run=result.run,
        version=__version__,
        runbook=project.name,
        path=project.path,
        base=ready.base,
        patch=result.patch,
        candidate=candidate.text,
        digests=Digests(
            runbook=project.digests.runbook,
            candidate=candidate.digest,
            rubric=project.digests.rubric,
            policy=project.digests.policy,
            held_out=held_out_digest(ready.held_out),
        ),
        agent=AgentUsed(job.agent.name, job.agent.key, job.agent.deterministic),
        models=tuple(f"{role}: {model}" for role, model in models.items()),
        offline="offline" in {job.agent.name, job.reflector.name},
        random_seed=job.settings.random_seed,
        changes=result.changes,
        replaced=result.replaced,
        members=members_of(searched),
        chosen=candidate.digest,
        validation=result.validation,
        candidates=result.candidates,
        reflected_on=tuple(sorted({shown for edit in edits_of(searched) for shown in edit.shown})),
        look=look,
        outputs=outputs,
        outcome=comparison.answer,
        comparison=comparison,
        spent=result.spent,
        settings=_differing(job.settings),
        figures_shown=job.show_figures,
        stored=result.stored if result.stored != StoredVerdicts() else None,
        suspects=suspects_in(ready, searched, outputs if comparison.answer == "accepted" else ()),
    )


def members_of(searched: SearchResult) -> tuple[MemberSummary, ...]:
    """The frontier, and whatever its members were made from."""
    pool, held = searched.pool, places(searched.pool)
    frontier = {place for place, count in enumerate(held) if count} | {0, searched.chosen}
    kept = sorted({ancestor for place in frontier for ancestor in lineage(pool, place)})
    return tuple(
        MemberSummary(
            digest=pool[place].candidate.digest,
            parents=tuple(pool[parent].candidate.digest for parent in pool[place].parents),
            wave=pool[place].wave,
            validation=pool[place].score,
            characters=len(pool[place].candidate.text),
            places=held[place],
            note="today's runbook" if place == 0 else f"{len(pool[place].edits)} edits",
            objectives=_means(pool[place]),
        )
        for place in kept
    )


def _means(member: Member) -> dict[str, float]:
    """A member's mean on each objective; none where one objective is the score."""
    names = {name: None for attempt in member.validation.values() for name in attempt.objectives}
    return {name: mean_of(member, name) for name in names} if len(names) > 1 else {}


def _differing(settings: Settings) -> dict[str, bool | str | int | float | None]:
    """The settings that are not as built in, by dotted key, lists and mappings as JSON; no random seed."""
    differing: dict[str, bool | str | int | float | None] = {}
    for key in setting_types():
        value, built_in = attrgetter(key)(settings), attrgetter(key)(Settings())
        if key != "random_seed" and value != built_in:
            plain = value is None or isinstance(value, str | int | float)
            differing[key] = value if plain else canonical(value).decode()
    return differing


def edits_of(searched: SearchResult) -> list[Edit]:
    """The edits of the winner and of the members that it was made through, oldest first."""
    line = sorted(lineage(searched.pool, searched.chosen))
    return [edit for place in line for edit in searched.pool[place].edits]


def reasons_of(ready: Prepared, searched: SearchResult) -> tuple[tuple[Change, ...], int]:
    """The reasons of what stands in the winner's diff, and how many more edits led to it."""
    seed, edits = ready.project.runbook, edits_of(searched)
    winner = reparse(seed, searched.pool[searched.chosen].candidate.text)
    before, after = ({part.id: part.text for part in each.parts} for each in (seed, winner))
    whole = {part: difference(before.get(part, ""), text) for part, text in after.items()}
    standing = [edit for edit in edits if contributes(edit.change, whole.get(edit.component, ""))]
    reasons = (Change(edit.component, edit.diagnosis, edit.cites) for edit in standing)
    return tuple(dict.fromkeys(reasons)), len(edits) - len(standing)


def suspects_in(
    ready: Prepared, searched: SearchResult, proof: tuple[HeldOutOutputs, ...] = ()
) -> tuple[Suspect, ...]:
    """Suspect references of what was searched, and of an accepted `proof`."""
    project, problem = ready.project, ready.problem
    return suspects(
        project.rubric,
        project.evidence,
        {
            "train": outputs_of(searched, tuple(problem.train)),
            "validation": outputs_of(searched, problem.validation),
            "held-out": outputs_of_proof(proof, project.split.held_out),
        },
    )
