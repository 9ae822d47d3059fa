"""Project of a runbook: the files that a repository declares about it, found and read."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace as with_fields

from runbookopt.calibration.coverage import Coverage, coverage
from runbookopt.calibration.deciding import Standing, aged, decided, standings_of, undecided
from runbookopt.calibration.labels import standing
from runbookopt.calibration.record import Calibration, read_record
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical, digest
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.runbook import Locks, Runbook
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.evidence.library import Evidence, Place, Source, read_evidence
from runbookopt.evidence.split import Split, group_of, split
from runbookopt.evidence.trajectory import OVERALL
from runbookopt.evidence.trust import Given
from runbookopt.project.layout import POLICY, ROOT, Places
from runbookopt.project.places import layout_of, places_of
from runbookopt.project.policy import Policy, read_policy
from runbookopt.verifier.rubric import CalibratedRubric, Rubric, read_rubric, rubric_digest
from runbookopt.verifier.rubric_table import read_rubric_table

T = TypeVar("T")


class Digests(Struct, frozen=True):
    """Digests of the bytes of the three files; `policy` is None where none is declared.

    That of a rubric which runs programs is of all their files as well, and where labels say which criteria
    decide, of these.
    """

    runbook: str
    rubric: str
    policy: str | None


class Project(Struct, frozen=True):
    """All that a repository declares about one runbook.

    `path` is the runbook's file; `files` are runbook, rubric, policy and calibration, the last two also where
    there is none, and `places` where all of it lies. `standings` say of each criterion what labels make of
    it, whatever the time; the rubric is that by which those decide which may at the time `at`. The warnings
    of the evidence include verdicts on criteria that the rubric does not know.
    """

    name: str
    path: str
    runbook: Runbook
    rubric: Rubric
    policy: Policy
    evidence: Evidence
    split: Split
    digests: Digests
    files: tuple[str, str, str, str]
    places: Places
    standings: tuple[Standing, ...] = ()
    at: datetime | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether labels say what decides."""
        return isinstance(self.rubric, CalibratedRubric)

    @property
    def undecided(self) -> str | None:
        """Why nothing is left that decides, and what to do; None where something decides."""
        return undecided(self.rubric, self.standings, self.name)

    def standings_at(self, now: datetime | None = None) -> tuple[Standing, ...]:
        """What labels make of each criterion by now, else at the time `at`: they may be too old."""
        return aged(self.standings, now or self.at, self.policy.longest_uncalibrated)

    def coverage(self, now: datetime | None = None) -> Coverage:
        """Which of the failure modes that people named a criterion notices that decides by now."""
        statuses = {each.criterion: each.status for each in self.standings_at(now)}
        return coverage(standing(self.evidence.labels), statuses)

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


def declared_policy(source: Source, name: str, places: Places | None = None) -> Policy:
    """The declared merge policy, without reading the rest. Raises MalformedFile."""
    places = places or layout_of(source).runbooks.get(name)
    path = places.policy if places else f"{ROOT}/{name}/{POLICY}"
    return read_policy(_there(source, path), path)


def evidence_of(source: Source, name: str, given: Given | None = None) -> Evidence:
    """Read the evidence of a runbook alone, wherever it lies. Raises what `read_evidence` raises."""
    places = layout_of(source).runbooks.get(name)
    if places is None:
        return read_evidence(source, name, given)
    return read_evidence(source, name, given, places.evidence[1:], places.stored)


def read_project(  # noqa: PLR0913 - nobody gives all of them
    source: Source,
    name: str,
    *,
    burnt: Collection[str] = (),
    places: Places | None = None,
    at: datetime | None = None,
    before: Source | None = None,
    parts: bool = True,
) -> Project:
    """Read all that stands about a runbook; `burnt` are ids of tasks that can prove nothing any more.

    `places` are the runbook's, where they are known already. `at` is the time at which labels must not be too
    old for a criterion to decide; without one none is. `before` is a source whose calibration.json must not
    have looks at labels that this one lacks. Without `parts` no task is in any: to find near repeats takes
    its time, and is of no use where nothing is searched or proved. Raises RunbookoptError where there is no
    such runbook, MalformedFile with the problems of all its files.
    """
    places = places or places_of(source, name)
    path = places.file
    files = (path, places.rubric, places.policy, places.calibration)
    text, judging, terms, calibrating = (_there(source, file) for file in files)
    problems: list[Problem] = []
    policy = _tried(lambda: read_policy(terms, files[2]), problems)
    locks = policy.locks if policy else Locks()
    runbook = _tried(lambda: _rewritable(text or b"", locks, path), problems)
    rubric = _tried(lambda: _rubric(judging, runbook, files), problems)
    given = policy.given if policy else None
    evidence = _tried(
        lambda: read_evidence(source, name, given, places.evidence[1:], places.stored), problems
    )
    calibration = (
        None if calibrating is None else _tried(lambda: read_record(calibrating, files[3]), problems)
    )
    if problems or policy is None or rubric is None or runbook is None or evidence is None:
        raise MalformedFile(problems)
    if calibration is not None and not calibration.criteria:
        calibration = None  # what was suggested alone decides nothing
    earlier = record_at(before, files[3]) if before is not None else None
    standings = standings_of(rubric, calibration, evidence.labels, source, earlier)
    own = canonical(rubric) if judging is None else judging
    if calibration is not None:
        rubric = decided(rubric, aged(standings, at, policy.longest_uncalibrated))
    return Project(
        name=name,
        path=path,
        runbook=runbook,
        rubric=rubric,
        policy=policy,
        evidence=with_fields(evidence, warnings=(*evidence.warnings, *_unknown_criteria(rubric, evidence))),
        split=_split(evidence, policy, burnt) if parts else Split((), (), ()),
        digests=Digests(
            digest(text or b""),
            rubric_digest(own, rubric, source),
            None if terms is None else digest(terms),
        ),
        files=files,
        places=places,
        standings=standings,
        at=at,
    )


def record_at(source: Source, path: str) -> Calibration | None:
    """The calibration.json of a source as far as it can be read; None where it cannot."""
    try:
        return read_record(source.read(path), path)
    except (FileNotFoundError, MalformedFile):
        return None


def foreign_criteria(project: Project) -> dict[str, int]:
    """How many trajectories other tools judged by each name that is no criterion of the rubric.

    What an agent says of itself is let be.
    """
    known = {criterion.id for criterion in project.rubric.criteria} | {OVERALL}
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


def _there(source: Source, path: str) -> bytes | None:
    """The bytes of a file, None where there is none."""
    try:
        return source.read(path)
    except FileNotFoundError:
        return None


def _tried(read: Callable[[], T], problems: list[Problem]) -> T | None:
    try:
        return read()
    except MalformedFile as error:
        problems += error.problems
        return None


def _rewritable(data: bytes, locks: Locks, path: str) -> Runbook:
    runbook = runbooks.decode(data, locks=locks, path=path)
    if not any(part.text.strip() for part in runbook.components):
        what = "every part is locked" if data.strip() else "the file is empty"
        message = f"{what}: nothing may be rewritten (see `runbookopt show {path}`)"
        raise MalformedFile([Problem(path, None, message)])
    return runbook


def _rubric(judging: bytes | None, runbook: Runbook | None, files: tuple[str, str, str, str]) -> Rubric:
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
    known = {criterion.id for criterion in rubric.criteria} | {OVERALL}
    named: dict[tuple[str, str], list[Place]] = {}
    for trajectory in evidence.trajectories:
        for verdict in trajectory.verdicts if trajectory.format is None else ():
            if verdict.by is None or verdict.by.kind != "agent":
                named.setdefault(("verdict", verdict.criterion), []).append(evidence.places[trajectory.id])
    for label, place in zip(evidence.labels, evidence.label_places, strict=True):
        if evidence.trajectory(label.trajectory).format is None:
            named.setdefault(("label", label.criterion), []).append(place)
    for (what, criterion), places in named.items():
        if criterion not in known:
            where, at = (places[0].path, places[0].line) if places[0].line else (f"{places[0]}", None)
            more = f", and {len(places) - 1} more" if len(places) > 1 else ""
            unknown = f"'{plain(criterion)}'{nearest(criterion, known)}"
            yield Problem(where, at, f"{what} on an unknown criterion {unknown}{more}; ignored", "warning")
