"""Labelling: trajectories shown to one person in turn, whose answers stand in a file as soon as given.

A verdict of a judge or a check is not shown until it is asked for, and a label that comes after says so.
Taken back is taken over: lines are only ever added.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from runbookopt.calibration.agreement import ac1, table_of
from runbookopt.calibration.labels import Rating, between_raters, disagreements, standing
from runbookopt.documents.digest import as_text
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.labels.appending import LabelFile, labels_at, opened
from runbookopt.evidence.privacy import Redaction, told
from runbookopt.evidence.split import part_of_task
from runbookopt.evidence.trajectory import OVERALL, Author, Label, Trajectory
from runbookopt.jobs.verifiers.labelling_order import Order, Wanted, given_to, order_of
from runbookopt.jobs.verifiers.labelling_shown import (
    About,
    Given,
    Mode,
    Saved,
    Shown,
    given_before,
    is_taken_back,
    step_of,
)
from runbookopt.project.project import Project

LONGEST_MODE = 80


class Verdict(Struct, frozen=True):
    """What somebody else said of a criterion, and who."""

    criterion: str
    result: str
    by: str
    explanation: str


class Desk(Struct, frozen=True):
    """Who labels, into which file, what is taken out before it is written, and what time it is (ISO 8601)."""

    rater: str
    file: Path
    redaction: Redaction
    now: Callable[[], str]


class Sitting:
    """One person's sitting over the trajectories of one runbook."""

    def __init__(self, project: Project, desk: Desk, wanted: Wanted) -> None:
        self.project, self.desk, self.wanted = project, desk, wanted
        self.ratings = standing(project.evidence.labels)
        self.order: Order = order_of(project, self.ratings, desk.rater, wanted)
        self.saved: set[str] = set()
        self._modes: dict[str, set[str]] = {}
        self._seen: set[tuple[str, str]] = set()
        for label in project.evidence.labels:
            self._note_mode(label)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The codebook: all names that labels have given, the most frequent first."""
        counts = Counter({name: len(ids) for name, ids in self._modes.items()})
        ordered = sorted(counts.items(), key=lambda named: (-named[1], named[0]))
        return tuple(Mode(name, count) for name, count in ordered)

    def start(self) -> dict[str, Any]:
        """All that a page has to know before the first trajectory."""
        return {
            "runbook": self.project.name,
            "rater": self.desk.rater,
            "frame": self.wanted.frame,
            "failure_mode": self.wanted.failure_mode,
            "again": self.wanted.disputed,
            "criteria": [
                {
                    "id": criterion.id,
                    "statement": criterion.statement or "",
                    "judge": "" if criterion.judge is UNSET else criterion.judge,
                    "gate": criterion.gate,
                }
                for criterion in self.project.rubric.criteria
            ],
            "modes": self.modes,
            "ids": self.order.ids,
            "done": self.order.done,
        }

    def item(self, about: About) -> Shown:
        """A trajectory as a person reads it. Raises RunbookoptError where there is no such one."""
        trajectory = self._trajectory(about.trajectory)
        own = self._own(self._there(trajectory.id), trajectory.id)
        task = self.project.evidence.task_of(trajectory)
        return Shown(
            id=trajectory.id,
            task=as_text(task.input),
            expected=task.reference is not None,
            output=trajectory.output or "",
            steps=tuple(map(step_of, trajectory.steps)),
            about=tuple(self._about(trajectory)),
            given=given_before(trajectory.id, own),
        )

    def save(self, given: Given) -> Saved:
        """Write what a person says, over what the same person said before. Raises RunbookoptError."""
        trajectory = self._trajectory(given.trajectory)
        mode = self._mode(given.failure_mode)
        lines = self._lines(trajectory, given, mode)
        labels, removed = [], Counter[str]()
        for label in lines:
            clean, taken = self.desk.redaction.label(label)
            labels.append(clean)
            removed.update(taken.counts if taken else {})
        with self._open() as file:
            own = self._own(file.labels_of(trajectory.id), trajectory.id)
            gone = [each for each in own if each.criterion not in {label.criterion for label in labels}]
            before = {each.criterion: each for each in own}
            new = [self._over(label, before.get(label.criterion)) for label in labels]
            new += [self._taken_back(each) for each in gone if not is_taken_back(each)]
            file.append(new)
        self.saved.add(trajectory.id)
        for label in labels:
            self._note_mode(label)
        return Saved(len(new), self.modes, told(removed))

    def withdraw(self, about: About) -> Saved:
        """Take back what the same person said of a trajectory."""
        trajectory = self._trajectory(about.trajectory)
        self.saved.discard(trajectory.id)
        own = self._own(self._there(trajectory.id), trajectory.id)
        if all(map(is_taken_back, own)):
            return Saved(0, self.modes)
        with self._open() as file:
            own = self._own(file.labels_of(trajectory.id), trajectory.id)
            lines = [self._taken_back(each) for each in own if not is_taken_back(each)]
            file.append(lines)
        return Saved(len(lines), self.modes)

    def verdicts(self, about: About) -> tuple[Verdict, ...]:
        """What judges, checks and other people say of it; who labels it from now on has seen that."""
        trajectory = self._trajectory(about.trajectory)
        stored = [
            Verdict(each.criterion, each.result, _author(each.by), each.explanation or "")
            for each in trajectory.verdicts
        ]
        now = [
            Verdict(criterion, result, "a check, today", "")
            for criterion, results in given_to(self.project, trajectory).items()
            for result in sorted(results)
            if (criterion, result) not in {(each.criterion, each.result) for each in stored}
        ]
        people = [
            Verdict(each.criterion, each.result, each.by or "a person", each.explanation or "")
            for each in self.ratings
            if each.trajectory == trajectory.id and each.by != self.desk.rater
        ]
        self._seen |= {(trajectory.id, each.criterion) for each in (*stored, *now, *people)}
        return (*stored, *now, *people)

    def expected(self, about: About) -> str:
        """The answer that the task's reference states, from which some checks' verdicts follow."""
        trajectory = self._trajectory(about.trajectory)
        compared = (each.id for each in self.project.rubric.criteria if each.looks_at_reference)
        self._seen |= {(trajectory.id, criterion) for criterion in compared}
        return as_text(self.project.evidence.task_of(trajectory).reference)

    def draw(self) -> int:
        """Count what was labelled before and is drawn now as drawn; how many trajectories those are."""
        if self.wanted.frame != "representative":
            return 0
        drawn = order_of(self.project, (), self.desk.rater, self.wanted).ids
        adopted = 0
        for id_ in sorted(set(drawn) - set(self.order.ids)):
            with self._open() as file:
                own = self._own(file.labels_of(id_), id_)
                own = [each for each in own if each.frame != "representative"]
                if own:
                    file.append([replace(self._label(each), frame="representative") for each in own])
                    adopted += 1
        return adopted

    def _trajectory(self, id_: str) -> Trajectory:
        try:
            return self.project.evidence.trajectory(id_)
        except KeyError:
            raise RunbookoptError(f"no trajectory {id_!r} of {self.project.name}") from None

    def _open(self) -> AbstractContextManager[LabelFile]:
        return opened(self.desk.file, self.desk.redaction)

    def _there(self, id_: str) -> tuple[Label, ...]:
        return labels_at(self.desk.file, id_, self.desk.redaction)

    def _own(self, there: Sequence[Label], id_: str) -> list[Rating]:
        """What the same person says of a trajectory as it stands, in their file and in others."""
        elsewhere = [label for label in self.project.evidence.labels if label.trajectory == id_]
        ratings = standing([*elsewhere, *there])
        return [each for each in ratings if each.by == self.desk.rater]

    def _lines(self, trajectory: Trajectory, given: Given, mode: str | None) -> list[Label]:
        """The labels that say this; note and failure mode stand with what failed, else with the whole."""
        criteria = [criterion.id for criterion in self.project.rubric.criteria]
        if unknown := sorted(given.results.keys() - set(criteria)):
            raise RunbookoptError(f"no criterion {unknown[0]!r}: expected {', '.join(criteria)}")
        if not given.results:
            raise RunbookoptError("expected pass, fail or unsure for a criterion at least")
        results = {name: given.results[name] for name in criteria if name in given.results}
        note = given.note.strip() or None
        if mode is not None and "fail" not in results.values():
            results[OVERALL] = "fail"
        marked = [name for name, result in results.items() if result == "fail"] or [next(iter(results))]
        task = self.project.evidence.task_of(trajectory)
        held_out = part_of_task(task, self.project.policy.proof.split) == "held-out"
        codebook = len(self._modes.keys() | ({mode} if mode else set()))
        return [
            Label(
                trajectory=trajectory.id,
                criterion=name,
                result=result,
                failure_mode=mode if result == "fail" else None,
                explanation=note if name in marked else None,
                by=self.desk.rater,
                at=self.desk.now(),
                codebook=codebook,
                frame=self.wanted.frame,
                split="test" if held_out else None,  # what a proof is about is shown to no judge
                saw_verdict=(trajectory.id, name) in self._seen,
                runbook=trajectory.runbook_digest,
            )
            for name, result in results.items()
        ]

    def _mode(self, name: str | None) -> str | None:
        """A failure mode as it is spelled already; raises RunbookoptError for what is no name."""
        bare = " ".join(unicodedata.normalize("NFC", name or "").split())
        if not bare:
            return None
        if len(bare) > LONGEST_MODE or not bare.isprintable() or re.search("[\ud800-\udfff]", bare):
            raise RunbookoptError(f"a failure mode is a name of at most {LONGEST_MODE} visible characters")
        return next((known for known in self._modes if known.casefold() == bare.casefold()), bare)

    def _note_mode(self, label: Label) -> None:
        if label.failure_mode:
            self._modes.setdefault(label.failure_mode, set()).add(label.trajectory)

    def _over(self, label: Label, before: Rating | None) -> Label:
        """A label that takes the place of an earlier one, if there is one."""
        if before is None:
            return label
        saw = bool(label.saw_verdict) or before.saw_verdict
        return replace(label, supersedes=before.digest, saw_verdict=saw)

    def _taken_back(self, rating: Rating) -> Label:
        """A line that says nothing in the place of one that did."""
        nothing = replace(self._label(rating), result="unsure", failure_mode=None, explanation=None)
        return replace(nothing, at=self.desk.now())

    def _label(self, rating: Rating) -> Label:
        """A rating as a line that takes its place and says the same."""
        trajectory = self._trajectory(rating.trajectory)
        return Label(
            trajectory=rating.trajectory,
            criterion=rating.criterion,
            result=rating.result,
            failure_mode=rating.failure_mode,
            explanation=rating.explanation,
            by=rating.by,
            at=rating.at,
            codebook=len(self._modes),
            frame=rating.frame,
            split=rating.split,
            saw_verdict=rating.saw_verdict,
            runbook=trajectory.runbook_digest,
            supersedes=rating.digest,
        )

    def _about(self, trajectory: Trajectory) -> Iterator[tuple[str, str]]:
        yield "from", self.project.evidence.where(trajectory.id)
        agent = trajectory.agent
        if agent is not None and (agent.name or agent.model):
            yield "agent", ", ".join(filter(None, (agent.name, agent.model)))
        if trajectory.runbook_version:
            yield "runbook", trajectory.runbook_version
        if trajectory.started_at:
            yield "began", trajectory.started_at
        task = self.project.evidence.task_of(trajectory)
        if part_of_task(task, self.project.policy.proof.split) == "held-out":
            yield "held-out", "this task proves nothing from now on: write neither runbook nor rubric by it"


def agreement(ratings: Sequence[Rating]) -> Iterator[str]:
    """How far people agree, criterion by criterion, and what they disagree on: none agrees with them more."""
    for criterion in dict.fromkeys(each.criterion for each in ratings):
        own = [each for each in ratings if each.criterion == criterion]
        table = table_of(between_raters(own))
        if table.judged:
            chance, alike = ac1(table), table.tp + table.tn
            more = "" if chance is None else f", AC1 {chance:.2f}"
            yield f"{criterion}: people agree on {alike} of {table.judged} pairs of labels{more}"
        for each in disagreements(own):
            said = sorted(
                f"{rating.by or 'somebody'} {rating.result}" for rating in own if rating.item == each.item
            )
            yield f"{criterion}: {each.trajectory} is disputed ({', '.join(said)}): what does it ask for?"


def answers(sitting: Sitting) -> Mapping[str, Callable[[Any], object]]:
    """What a page may ask by name, with what it sends as JSON."""

    def of(record: type[Struct], answer: Callable[[Any], object]) -> Callable[[Any], object]:
        return lambda asked: answer(msgspec.convert(asked, record))

    return {
        "start": lambda _: sitting.start(),
        "item": of(About, sitting.item),
        "save": of(Given, sitting.save),
        "withdraw": of(About, sitting.withdraw),
        "verdicts": of(About, sitting.verdicts),
        "expected": of(About, sitting.expected),
    }


def label_file_name(rater: str) -> str:
    """The name of a person's file."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', rater).strip('.-') or 'somebody'}.labels.jsonl"


def login_of(identity: str) -> str:
    """Who somebody is among raters: a login as it is, or the name in an address of mail.

    GitHub's addresses that reach nobody have the login behind a number: 123+octocat@users.noreply.github.com.
    """
    name, at, host = identity.strip().partition("@")
    return name.rpartition("+")[2] if at and host.startswith("users.noreply.") else name


def _author(by: Author | None) -> str:
    """Who gave a verdict, in few words: a digest says nothing to people."""
    if by is None:
        return "somebody"
    kind = {"code": "a check", "llm": "a judge", "human": "a person", "agent": "the agent itself"}[by.kind]
    return kind if by.id is None or by.id.startswith("sha256:") else f"{kind}, {by.id}"
