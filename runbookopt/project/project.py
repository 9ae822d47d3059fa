"""Project of a runbook: the files that a repository declares about it, found and read."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace as with_fields

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical, digest
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.runbook import Runbook
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Evidence, Place, Source, read_evidence
from runbookopt.evidence.split import Split, group_of, split
from runbookopt.project.policy import Policy, read_policy
from runbookopt.verifier.rubric import Rubric, read_rubric, rubric_digest
from runbookopt.verifier.rubric_table import read_rubric_table

T = TypeVar("T")

ROOT = "runbooks"
NAMES = ("RUNBOOK.md", "SKILL.md", "AGENTS.md", "CLAUDE.md")
"""A runbook's file, the first that is there; else the only *.md of its folder."""

LONGEST = 200
"""Bytes of one part of a runbook's name: git keeps a branch as a file, and adds to its name."""


class Digests(Struct, frozen=True):
    """Digests of the bytes of the three files; `policy` is None where none is declared.

    That of a rubric which runs programs is of all their files as well.
    """

    runbook: str
    rubric: str
    policy: str | None


class Project(Struct, frozen=True):
    """All that a repository declares about one runbook.

    `path` is the runbook's file; `files` are runbook, rubric and policy, the last one also where there is
    none. The warnings of the evidence include verdicts on criteria that the rubric does not know.
    """

    name: str
    path: str
    runbook: Runbook
    rubric: Rubric
    policy: Policy
    evidence: Evidence
    split: Split
    digests: Digests
    files: tuple[str, str, str]

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems of single records, which are no reason to stop."""
        return self.evidence.warnings

    @property
    def held_out_groups(self) -> tuple[str, ...]:
        """The keys of the groups that the proof may look at, sorted."""
        return tuple(sorted({group_of(self.evidence.task(task)) for task in self.split.held_out}))

    def with_burnt(self, burnt: Collection[str]) -> "Project":
        """The same, where other tasks can prove nothing any more."""
        return with_fields(self, split=_split(self.evidence, self.policy, burnt))


def runbook_names(source: Source) -> list[str]:
    """The names of all runbooks: the paths of their folders under runbooks/, sorted.

    A folder is one if RUNBOOK.md (or SKILL.md, ...) or a rubric.yaml stands in it, or else if it holds one
    *.md alone and no runbook lies above or below it: so a README beside runbooks is none.
    """
    files = _by_folder(source)
    files.pop("", None)
    runbooks = {folder for folder, names in files.items() if not names.isdisjoint({*NAMES, "rubric.yaml"})}
    for folder in sorted(files.keys() - runbooks):
        apart = not any(_inside(folder, other) or _inside(other, folder) for other in runbooks)
        if apart and _lone(files[folder]):
            runbooks.add(folder)
    return sorted(runbooks)


def runbook_file(source: Source, name: str) -> str:
    """The path of a runbook's file; raises RunbookoptError where there is no such runbook or file."""
    names = runbook_names(source)
    if name not in names:
        raise RunbookoptError(_unknown(name, names))
    unsafe = _unsafe(name)
    if unsafe:
        raise _unusable(name, f"{unsafe}, and a runbook's name becomes a branch's: rename the folder")
    around = [other for other in names if _inside(name, other)]
    if around:
        raise _unusable(name, f"lies inside {ROOT}/{around[0]}, which is a runbook itself")
    here = _by_folder(source)[name]
    file = next((file for file in NAMES if file in here), None) or _lone(here)
    if file is None:
        expected = f"expected a file {', '.join(NAMES[:-1])} or {NAMES[-1]}, or one other *.md alone"
        folder = next((file for file in NAMES if source.files(f"{ROOT}/{name}/{file}")), None)
        raise _unusable(name, f"{expected}; {folder} is a folder" if folder else expected)
    return f"{ROOT}/{name}/{file}"


def declared_policy(source: Source, name: str) -> Policy:
    """The declared merge policy, without reading the rest. Raises MalformedFile."""
    path = _policy_file(name)
    return read_policy(source.read(path) if path in source.files(f"{ROOT}/{name}") else None, path)


def read_project(source: Source, name: str, *, burnt: Collection[str] = ()) -> Project:
    """Read all that stands about a runbook; `burnt` are ids of tasks that can prove nothing any more.

    Raises RunbookoptError where there is no such runbook, MalformedFile with the problems of all its files.
    """
    path = runbook_file(source, name)
    files = (path, f"{ROOT}/{name}/rubric.yaml", _policy_file(name))
    present = set(source.files(f"{ROOT}/{name}"))
    text, judging, terms = (source.read(file) if file in present else None for file in files)
    problems: list[Problem] = []
    policy = _tried(lambda: read_policy(terms, files[2]), problems)
    locked = policy.locked if policy else ()
    runbook = _tried(lambda: _rewritable(text or b"", locked, path), problems)
    rubric = _tried(lambda: _rubric(judging, runbook, files), problems)
    evidence = _tried(lambda: read_evidence(source, name, policy.given if policy else None), problems)
    if policy is None or rubric is None or runbook is None or evidence is None:
        raise MalformedFile(problems)
    return Project(
        name=name,
        path=path,
        runbook=runbook,
        rubric=rubric,
        policy=policy,
        evidence=with_fields(evidence, warnings=(*evidence.warnings, *_unknown_criteria(rubric, evidence))),
        split=_split(evidence, policy, burnt),
        digests=Digests(
            digest(text or b""),
            rubric_digest(canonical(rubric) if judging is None else judging, rubric, source),
            None if terms is None else digest(terms),
        ),
        files=files,
    )


def foreign_criteria(project: Project) -> dict[str, int]:
    """How many trajectories other tools judged by each name that is no criterion of the rubric.

    What an agent says of itself is let be.
    """
    known = {criterion.id for criterion in project.rubric.criteria}
    foreign = {each.id: each for each in project.evidence.trajectories if each.format is not None}
    given = {
        (trajectory.id, verdict.criterion)
        for trajectory in foreign.values()
        for verdict in trajectory.verdicts
        if verdict.by is None or verdict.by.kind != "agent"
    }
    given |= {(label.trajectory, label.criterion) for label in project.evidence.labels}
    names = (name for id_, name in given if id_ in foreign and name not in known)
    return dict(sorted(Counter(names).items()))


def _split(evidence: Evidence, policy: Policy, burnt: Collection[str]) -> Split:
    terms = policy.proof
    return split(evidence.tasks, terms.split, burnt=burnt, repeats=terms.near_repeats)


def _policy_file(name: str) -> str:
    return f"{ROOT}/{name}/policy.yaml"


def _by_folder(source: Source) -> dict[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for path in source.files(ROOT):
        folder, _, file = path.removeprefix(f"{ROOT}/").rpartition("/")
        folders.setdefault(folder, set()).add(file)
    return folders


def _lone(files: Collection[str]) -> str | None:
    pages = [file for file in files if file.endswith(".md")]
    return pages[0] if len(pages) == 1 else None


def _inside(folder: str, other: str) -> bool:
    return folder.startswith(f"{other}/")


def _unusable(name: str, message: str) -> MalformedFile:
    return MalformedFile([Problem(f"{ROOT}/{name}", None, message)])


def _unknown(name: str, names: Collection[str]) -> str:
    bare = str(PurePosixPath(name)).removeprefix(f"{ROOT}/")
    within = [other for other in names if _inside(other, bare)]
    shown = f"'{plain(name)}'"
    if bare in names:
        return f"no runbook {shown} (did you mean '{bare}'?)"
    if within:
        return f"{shown} is a folder of runbooks, not one: {', '.join(within)}"
    if not names:
        return f"no runbook {shown}: there is none in {ROOT}/; expected {ROOT}/{plain(bare)}/{NAMES[0]}"
    return f"no runbook {shown} in {ROOT}/{nearest(bare, names) or ': ' + ', '.join(names)}"


def _tried(read: Callable[[], T], problems: list[Problem]) -> T | None:
    try:
        return read()
    except MalformedFile as error:
        problems += error.problems
        return None


def _unsafe(name: str) -> str | None:
    """The reason why a name cannot be an argument, a path and a branch alike; None where it can."""
    for part in name.split("/"):
        if not part.isprintable():
            return f"'{plain(part)}' holds control characters or others that cannot be seen"
        if part.startswith(("-", " ")):
            return f"'{part}' begins with '{part[0]}'"
        if part.endswith((".", " ", ".lock")):
            return f"'{part}' ends with '{'.lock' if part.endswith('.lock') else part[-1]}'"
        if not part or ".." in part or "\\" in part:
            return f"'{part}' is empty or holds '..' or a backslash"
        if len(part.encode()) > LONGEST:
            return f"'{part[:20]}...' is longer than {LONGEST} bytes"
    return None


def _rewritable(data: bytes, locked: Sequence[str], path: str) -> Runbook:
    runbook = runbooks.decode(data, locked=locked, path=path)
    if not any(part.text.strip() for part in runbook.components):
        what = "every part is locked" if data.strip() else "the file is empty"
        message = f"{what}: nothing may be rewritten (see `runbookopt show {path}`)"
        raise MalformedFile([Problem(path, None, message)])
    return runbook


def _rubric(judging: bytes | None, runbook: Runbook | None, files: tuple[str, str, str]) -> Rubric:
    """rubric.yaml, or the table of criteria in the runbook where there is none."""
    if judging is not None:
        return read_rubric(judging, files[1])
    rubric = read_rubric_table(runbook, files[0]) if runbook else None
    if rubric is None:
        message = "not found: a rubric says how outputs are judged (see `runbookopt schema rubric`)"
        raise MalformedFile([Problem(files[1], None, message)])
    return rubric


def _unknown_criteria(rubric: Rubric, evidence: Evidence) -> Iterator[Problem]:
    """Warn once of each criterion that verdicts know and the rubric does not; an agent's own are let be.

    So are those of other tools, whose names nobody chose after the rubric's: `foreign_criteria` has them.
    """
    known = {criterion.id for criterion in rubric.criteria}
    named: dict[tuple[str, str], list[Place]] = {}
    for trajectory in evidence.trajectories:
        for verdict in trajectory.verdicts if trajectory.format is None else ():
            if verdict.by is None or verdict.by.kind != "agent":
                named.setdefault(("verdict", verdict.criterion), []).append(evidence.places[trajectory.id])
    for label in evidence.labels:
        if evidence.trajectory(label.trajectory).format is None:
            named.setdefault(("label", label.criterion), []).append(evidence.places[label.trajectory])
    for (what, criterion), places in named.items():
        if criterion not in known:
            where, at = (places[0].path, places[0].line) if places[0].line else (f"{places[0]}", None)
            more = f", and {len(places) - 1} more" if len(places) > 1 else ""
            unknown = f"'{plain(criterion)}'{nearest(criterion, known)}"
            yield Problem(where, at, f"{what} on an unknown criterion {unknown}{more}; ignored", "warning")
