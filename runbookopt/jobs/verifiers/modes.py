"""Failure modes of a runbook: those that people named, and a grouping of what has no name yet.

A grouping is a proposal: a person names it, and the name goes into labels lines that take the place of those
without one, or that say of a failure which nobody has labelled that a person has named it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from runbookopt.calibration.failure_modes import Mode, Unseen, modes, names_of, unnamed, unseen
from runbookopt.calibration.labels import Rating, standing
from runbookopt.calibration.writing import Grouping, again, code_in, groups_prompt, read_groups
from runbookopt.documents.digest import digest_of
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.usage import Usage
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.labels.appending import opened
from runbookopt.evidence.privacy import Redaction
from runbookopt.evidence.split import part_of_task
from runbookopt.evidence.trajectory import Label, Trajectory
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.verifiers.asking import Request, written
from runbookopt.jobs.verifiers.text_groups import MOST_TEXTS, NoLibrary, grouped
from runbookopt.project.project import Project
from runbookopt.search.asks import ReflectionFailure
from runbookopt.verifier.isolated_checks import examine
from runbookopt.verifier.program_checks import ProgramCheck

By = Literal["text", "model"]
BY: tuple[By, ...] = ("text", "model")
_ID = 6  # hexadecimal digits by which a person names a group
_NOTE = 400  # characters of a note by which it is grouped
_LONGEST_NAME = 80


class Note(Struct, frozen=True):
    """Why a trajectory failed, in words: a person's note, or what checks and judges say where nobody did.

    `criterion` is what failed. `rating` is None where nobody has labelled it.
    """

    trajectory: str
    criterion: str
    text: str
    rating: Rating | None = None


class Group(Struct, frozen=True):
    """Notes that are alike, the most typical first, and a name that might do; `id` is what a person says."""

    id: str
    name: str
    notes: tuple[Note, ...]


class FailureModes(Struct, frozen=True):
    """The modes of a runbook, how much is not named yet, and a proposed grouping of that.

    `alone` are notes that are in no group, `withheld` failures of held-out tasks, which nobody is shown.
    `not_grouped` says why nothing could be grouped: modes are counted all the same.
    """

    runbook: str
    modes: tuple[Mode, ...]
    unseen: Unseen | None
    unnamed: int
    groups: tuple[Group, ...]
    alone: int
    withheld: int
    by: By
    used: Usage = Usage()
    not_grouped: str | None = None


def failure_modes(
    project: Project, by: By, ask: Callable[[Sequence[str]], tuple[Grouping, Usage]] | None = None
) -> FailureModes:
    """The modes of a runbook, and groups of notes without a name: by their words, or as `ask` groups them."""
    ratings = standing(project.evidence.labels)
    notes, withheld = _notes(project, ratings)
    notes = notes[:MOST_TEXTS]
    texts = [note.text for note in notes]
    used, why = Usage(), None
    named: list[tuple[str, tuple[int, ...]]] = []
    if ask is not None and notes:
        grouping, used = ask(texts)
        named = list(grouping.groups)
    else:
        try:
            named = [(" ".join(each.terms), each.places) for each in grouped(texts)]
        except NoLibrary as error:
            why = f"{error}"
    groups = tuple(_group(name, [notes[place] for place in places]) for name, places in named)
    return FailureModes(
        runbook=project.name,
        modes=modes(ratings),
        unseen=unseen(ratings),
        unnamed=len(unnamed(ratings)),
        groups=groups,
        alone=0 if why else len(notes) - sum(len(group.notes) for group in groups),
        withheld=withheld,
        by=by,
        used=used,
        not_grouped=why,
    )


def asked(repository: Repository, job: Job) -> Callable[[Sequence[str]], tuple[Grouping, Usage]]:
    """A grouping by the reflector: a model, or somebody at hand."""

    def ask(texts: Sequence[str]) -> tuple[Grouping, Usage]:
        messages = groups_prompt(texts)
        read = partial(read_groups, code_in(messages), len(texts))
        request = Request(messages, read, partial(again, messages), Grouping)
        (grouping,), used = written(repository, job, [request])
        if isinstance(grouping, ReflectionFailure):
            raise RunbookoptError(f"no grouping came of it: {grouping.kind}: {grouping.message}")
        return grouping, used

    return ask


def _group(name: str, notes: Sequence[Note]) -> Group:
    members = sorted((note.trajectory, note.criterion, note.text) for note in notes)
    return Group(digest_of(members).removeprefix("sha256:")[:_ID], plain(name), tuple(notes))


def _notes(project: Project, ratings: Sequence[Rating]) -> tuple[list[Note], int]:
    """What has no name yet, people's notes first, and how many of held-out tasks are not shown."""
    nameless, labelled = set(unnamed(ratings)), {rating.trajectory for rating in ratings}
    notes, withheld = [], 0
    by_people: dict[str, list[Rating]] = defaultdict(list)
    for rating in ratings:
        if rating.trajectory in nameless and rating.result == "fail":
            by_people[rating.trajectory].append(rating)
    for failed in by_people.values():
        worded = next((each for each in failed if each.explanation), failed[0])
        text = worded.explanation or f"{worded.criterion} failed, without a word"
        notes.append(Note(worded.trajectory, worded.criterion, _short(text), worded))
    for stored in project.evidence.trajectories:
        if stored.id in labelled or stored.output is None or stored.error is not None:
            continue
        why = _why(project, stored)
        if not why:
            continue
        task = project.evidence.task_of(stored)
        if part_of_task(task, project.policy.proof.split) == "held-out":
            withheld += 1
        else:
            criterion, text = next(iter(why.items()))
            notes.append(Note(stored.id, criterion, _short("; ".join(why.values()) or text)))
    return notes, withheld


def _why(project: Project, stored: Trajectory) -> dict[str, str]:
    """Why a stored output fails, by criterion: by today's checks, and by verdicts that came with it."""
    task = project.evidence.task_of(stored)
    why: dict[str, str] = {}
    for criterion in project.rubric.criteria:
        if isinstance(criterion.check, ProgramCheck):
            continue
        verdict = next((each for each in stored.verdicts if each.criterion == criterion.id), None)
        if isinstance(criterion.judge, str):
            if verdict is not None and verdict.result == "fail":
                why[criterion.id] = f"{criterion.id}: {verdict.explanation or 'failed'}"
            continue
        found = examine(criterion.check, output=stored.output, reference=task.reference)  # type: ignore[arg-type]
        if found.result == "fail":
            why[criterion.id] = f"{criterion.id}: {found.explanation}"
    return why


def _short(text: str) -> str:
    return plain(" ".join(text.split())[:_NOTE])


# Naming -------------------------------------------------------------------------------------------------


class Namer(Struct, frozen=True):
    """Who names, into which file, what is taken out before it is written, and what time it is (ISO 8601)."""

    login: str
    file: Path
    redaction: Redaction
    now: str


def name_groups(
    project: Project, found: FailureModes, names: Mapping[str, str], namer: Namer
) -> dict[str, int]:
    """Write the names of groups, by their ids, into labels; how many lines each made.

    A note's new line says all that the old one said, of the same rater, and the name: what somebody judged
    stays theirs. Who names failures that nobody labelled has seen verdicts, and the lines say so. Raises
    RunbookoptError where there is no such group, as where labels have come since it was shown.
    """
    known = {group.id: group for group in found.groups}
    for id_ in names:
        if id_ not in known:
            raise RunbookoptError(
                f"--name: no group {id_!r}{nearest(id_, known)}: groups are made anew where labels have come;"
                f" run `runbookopt modes {project.name}` again"
            )
    spelled = names_of(standing(project.evidence.labels))
    made: dict[str, int] = {}
    lines: list[Label] = []
    for id_, name in names.items():
        mode = _spelled(name, spelled)
        new = [namer.redaction.label(label)[0] for label in _lines(project, known[id_], mode, namer)]
        made[mode] = made.get(mode, 0) + len(new)
        lines += new
    with opened(namer.file, namer.redaction) as file:
        file.append(lines)
    return made


def _spelled(name: str, spelled: Mapping[str, str]) -> str:
    """A name as it is written already, in whatever capitals it is given. Raises RunbookoptError."""
    bare = " ".join(name.split())
    if not bare or len(bare) > _LONGEST_NAME or not bare.isprintable():
        raise RunbookoptError(
            f"--name: expected a name of 1 to {_LONGEST_NAME} visible characters, got {bare!r}"
        )
    same = (known for known in spelled.values() if known.casefold() == bare.casefold())
    return next(same, bare)


def _lines(project: Project, group: Group, mode: str, namer: Namer) -> Iterator[Label]:
    codebook = len({*names_of(standing(project.evidence.labels)), mode})
    for note in group.notes:
        stored, rating = project.evidence.trajectory(note.trajectory), note.rating
        if rating is None:
            yield Label(
                note.trajectory,
                note.criterion,
                "fail",
                failure_mode=mode,
                explanation=note.text,
                by=namer.login,
                at=namer.now,
                codebook=codebook,
                frame="discovery",
                saw_verdict=True,
                runbook=stored.runbook_digest,
            )
            continue
        yield Label(
            rating.trajectory,
            rating.criterion,
            rating.result,
            failure_mode=mode,
            explanation=rating.explanation,
            by=rating.by or None,
            at=rating.at,
            codebook=codebook,
            frame=rating.frame,
            split=rating.split,
            saw_verdict=rating.saw_verdict,
            runbook=stored.runbook_digest,
            supersedes=rating.digest,
        )
