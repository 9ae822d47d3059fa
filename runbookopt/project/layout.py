"""Places of one runbook, and of all: where page, rubric, policy and evidence of each lie (pure)."""

from collections.abc import Collection
from pathlib import PurePosixPath

from msgspec import Struct

from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.path_patterns import covers
from runbookopt.documents.repository_paths import fixed_folder, is_glob
from runbookopt.documents.runbook import IN_YAML
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.settings import FILE
from runbookopt.errors import RunbookoptError

ROOT = "runbooks"
EVIDENCE = "trajectories"
NAMES = ("RUNBOOK.md", "SKILL.md", "AGENTS.md", "CLAUDE.md")
"""A runbook's file, the first that is there; else the only page of its folder."""

WITH_FOLDERS = ("RUNBOOK.md", "SKILL.md")
"""Pages whose folder is theirs: what lies in it (scripts, references) tells agents something, too."""

RUBRIC, POLICY, CALIBRATION = "rubric.yaml", "policy.yaml", "calibration.json"
JUDGING = (RUBRIC, POLICY, CALIBRATION)
"""What judges a runbook, besides its evidence, and lies in its folder or beside its page."""

PAGES = (".md", ".prompt", ".prompty", *IN_YAML)
"""How the name of a page ends."""


class Places(Struct, frozen=True):
    """Where all that is declared of one runbook lies; paths are from the repository's root.

    `rubric`, `policy` and `calibration` are also those of files that are not there. `page` is None where
    there is none that can be used, and `fault` says why. `evidence` are patterns of paths, the runbook's own
    folder first. `judging` are all paths at which one of these three would count. `named` says that
    runbookopt.yaml has part in it. `root` is the folder of the runbookopt.yaml that it belongs to, "" for the
    repository's own; the name begins with it. `links` were followed: no other path is that of one.
    """

    name: str
    page: str | None
    rubric: str
    policy: str
    evidence: tuple[str, ...]
    judging: tuple[str, ...]
    named: bool = False
    fault: Problem | None = None
    root: str = ""
    links: tuple[str, ...] = ()
    calibration: str = ""

    @property
    def home(self) -> str:
        """The runbook's folder below runbooks/, whether or not its page lies there."""
        return joined(self.root, f"{ROOT}/{self.short}")

    @property
    def stored(self) -> str:
        """The runbook's folder below trajectories/."""
        return joined(self.root, f"{EVIDENCE}/{self.short}")

    @property
    def settings(self) -> str:
        """The path of the runbookopt.yaml that says where it lies."""
        return joined(self.root, FILE)

    @property
    def short(self) -> str:
        """What the runbook is called in its root."""
        return self.name.removeprefix(f"{self.root}/") if self.root else self.name

    @property
    def file(self) -> str:
        """The path of the page. Raises MalformedFile where there is none that can be used."""
        if self.page is None or self.fault is not None:
            where = self.page or self.home
            raise MalformedFile([self.fault or Problem(where, None, "no page")])
        return self.page

    @property
    def folder(self) -> str | None:
        """The folder outside of runbooks/ that is the page's own, with a slash; None where there is none."""
        above, _, page = (self.page or "").rpartition("/")
        inside = above.startswith(joined(self.root, f"{ROOT}/"))
        return f"{above}/" if above and page in WITH_FOLDERS and not inside else None

    @property
    def evidence_roots(self) -> tuple[str, ...]:
        """The folders, or files, at or below which all evidence lies."""
        more = (path.strip("/") for path in self.evidence[1:])
        return (self.stored, *(fixed_folder(path) if is_glob(path) else path for path in more))

    def is_evidence(self, path: str) -> bool:
        """Whether a file lies where this runbook's evidence does."""
        return any(covers(pattern, path) for pattern in self.evidence)

    def is_evidence_elsewhere(self, path: str) -> bool:
        """Whether a file lies where runbookopt.yaml says that evidence does."""
        return any(covers(pattern, path) for pattern in self.evidence[1:])


class Unfinished(Struct, frozen=True):
    """A page that lies where tools look for pages, and is no runbook: `lacks` says what it would need."""

    path: str
    name: str
    lacks: tuple[str, ...]


class Layout(Struct, frozen=True):
    """Where all runbooks of a source lie, by name, and what else could be one.

    `problems` are of what runbookopt.yaml says of places, and fits none.
    """

    runbooks: dict[str, Places]
    others: tuple[Unfinished, ...] = ()
    problems: tuple[Problem, ...] = ()

    def of(self, name: str) -> Places:
        """The places of a runbook; raises RunbookoptError where there is no such."""
        page = next((each for each in self.others if each.name == name), None)
        if page is not None and name not in self.runbooks:
            lacks = " and ".join(page.lacks)
            raise RunbookoptError(f"{plain(page.path)}: '{plain(name)}' is no runbook yet: it lacks {lacks}")
        if name not in self.runbooks:
            raise RunbookoptError(_unknown(name, sorted(self.runbooks)))
        return self.runbooks[name]


def joined(folder: str, file: str) -> str:
    """The path of a file in a folder, "" being the root."""
    return f"{folder}/{file}".lstrip("/")


def inside(folder: str, other: str) -> bool:
    """Whether a folder lies below another one."""
    return folder.startswith(f"{other}/")


def _unknown(name: str, names: Collection[str]) -> str:
    bare = str(PurePosixPath(name)).removeprefix(f"{ROOT}/")
    within = [other for other in names if inside(other, bare)]
    shown = f"'{plain(name)}'"
    if bare in names:
        return f"no runbook {shown} (did you mean '{bare}'?)"
    if within:
        return f"{shown} is a folder of runbooks, not one: {', '.join(within)}"
    if not names:
        return f"no runbook {shown}: there is none in {ROOT}/; expected {ROOT}/{plain(bare)}/{NAMES[0]}"
    return f"no runbook {shown} in {ROOT}/{nearest(bare, names) or ': ' + ', '.join(names)}"
