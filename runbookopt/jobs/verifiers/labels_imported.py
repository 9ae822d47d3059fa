"""Import of labels from tables and from annotations of other tools: the same when it is done again."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.parse import Problem
from runbookopt.documents.schema_errors import shown
from runbookopt.evidence.labels.annotations import read_annotations
from runbookopt.evidence.labels.appending import opened
from runbookopt.evidence.labels.table import read_table
from runbookopt.evidence.privacy import Redaction, told
from runbookopt.evidence.trajectory import Label
from runbookopt.project.project import Project

FILE = "imported.labels.jsonl"


class ImportedLabels(Struct, frozen=True):
    """Labels by what became of them; `problems` has those that are `left_out`, and more."""

    new: int
    unchanged: int
    left_out: int
    problems: tuple[Problem, ...]
    removed: str = ""


def import_labels(
    project: Project, folder: Path, data: bytes, path: str, redaction: Redaction
) -> ImportedLabels:
    """Add the labels of a file to those of a runbook. What begins as JSON has annotations, else it is CSV.

    Raises MalformedFile where it is neither, RunbookoptError where nothing can be written.
    """
    ids = {trajectory.id for trajectory in project.evidence.trajectories}
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        found, problems = read_annotations(data, path, ids)
    else:
        rows, problems = read_table(data, path)
        found = []
        for label, line in rows:
            if label.trajectory in ids:
                found.append(label)
            else:
                why = f"left out: there is no trajectory {shown(label.trajectory)}"
                problems.append(Problem(path, line, why, "warning"))
    known = {canonical(label) for label in project.evidence.labels}
    removed, new = Counter[str](), list[Label]()
    for label in found:
        clean, taken = redaction.label(label)
        if canonical(clean) not in known:
            known.add(canonical(clean))
            new.append(clean)
            removed.update(taken.counts if taken else {})
    if new:
        with opened(folder / FILE, redaction) as file:
            file.append(new)
    left_out = sum(problem.message.startswith("left out") for problem in problems)
    return ImportedLabels(len(new), len(found) - len(new), left_out, tuple(problems), told(removed))
