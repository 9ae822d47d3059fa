"""Files and lines that `runbookopt init` puts into a repository where they are not there yet."""

import re
from collections.abc import Sequence
from importlib.resources import files
from json import dumps
from pathlib import Path
from typing import Literal

from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError, WrongUsage
from runbookopt.evidence.library import Folder
from runbookopt.jobs.scaffold.schemas import FOLDER, IN_YAML, schema_text
from runbookopt.landing.requirements import programs_of
from runbookopt.project.layout import ROOT
from runbookopt.project.places import layout_of, runbook_names
from runbookopt.verifier.program_files import files_of, folders_of

NAME = "ticket-triage"
"""The first runbook, where a repository has none."""

WORKFLOWS = {
    ".github/workflows/optimize-runbooks.yml": "workflows/optimize-runbooks.yml",
    ".github/workflows/verify-runbooks.yml": "workflows/verify-runbooks.yml",
    ".github/workflows/verify-runbooks-again.yml": "workflows/verify-runbooks-again.yml",
    ".github/actions/setup-runbookopt/action.yml": "actions/setup-runbookopt/action.yml",
    ".github/actions/runbookopt-summary/action.yml": "actions/runbookopt-summary/action.yml",
    ".github/runbookopt-requirements.txt": "runbookopt-requirements.txt",
    ".github/runbookopt-requirements-models.txt": "runbookopt-requirements-models.txt",
}
FIRST_RUNBOOK = {
    f"{ROOT}/{NAME}/RUNBOOK.md": "runbook/RUNBOOK.md",
    f"{ROOT}/{NAME}/rubric.yaml": "runbook/rubric.yaml",
    f"{ROOT}/{NAME}/policy.yaml": "runbook/policy.yaml",
    f"trajectories/{NAME}/example.jsonl": "runbook/example.jsonl",
}
SKILLS = (
    ".claude/skills/answer-runbookopt/SKILL.md",  # Claude Code, and Cursor
    ".agents/skills/answer-runbookopt/SKILL.md",  # Codex, and Cursor
)
"""Where coding agents look for Agent Skills of a repository (agentskills.io)."""

OWNERS_AT = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks for it; the first that is there counts."""


_LOGIN = re.compile(r"\w[\w.+-]*(?:/[\w.-]+|@[\w.-]+)?", re.ASCII)
_SPEC = re.compile(r"(?! )[^\x00-\x1f\x7f'\"$\\{}]+")


class Choices(Struct, frozen=True):
    """What a team says of itself, without @: the logins of who reviews, or "organization/team".

    `spec` is what pip is to install in CI. None leaves that to the variable RUNBOOKOPT_SPEC, and without that
    workflows end with a sentence. Raises WrongUsage where one cannot be written into the files.
    """

    reviewers: tuple[str, ...]
    spec: str | None

    def __post_init__(self) -> None:
        """Refuse what would be read as something else than a name."""
        for login in self.reviewers:
            if not _LOGIN.fullmatch(login):
                raise WrongUsage(
                    f"--reviewer {plain(login)}: expected a login, organization/team or an address"
                )
        if self.spec is not None and not _SPEC.fullmatch(self.spec):
            raise WrongUsage(
                f"--spec {plain(self.spec)}: expected what pip installs, without quotes, $, {{ and \\"
            )


class Piece(Struct, frozen=True):
    """A file to `write`, lines to `add` to one that is there, or one to `leave` alone, and why."""

    path: str
    action: Literal["write", "add", "leave"]
    text: str = ""
    why: str = ""


def pieces(root: Path, choices: Choices) -> tuple[Piece, ...]:
    """All that is to be done in a repository, in the order of paths; nothing that is there is replaced."""
    todo = [_file(root, path, rendered(name, choices)) for path, name in WORKFLOWS.items()]
    todo.append(_file(root, "runbookopt.yaml", rendered("runbookopt.yaml", choices)))
    todo += [_file(root, f"{FOLDER}/{name}.json", f"{schema_text(name)}\n") for name in IN_YAML]
    todo.append(_lines(root, ".gitignore", rendered("gitignore", choices)))
    todo.append(_lines(root, ".gitattributes", rendered("gitattributes", choices)))
    owners = next((path for path in OWNERS_AT if _is_there(root / path)), OWNERS_AT[0])
    lines = rendered("CODEOWNERS", choices) + _owned_elsewhere(root, choices)
    if not owners.startswith(".github/"):
        lines += f"/{owners} {_mentions(choices.reviewers)}\n"
    todo.append(_lines(root, owners, lines))
    if set(runbook_names(Folder(root))) <= {NAME}:
        todo += [_file(root, path, rendered(name, choices)) for path, name in FIRST_RUNBOOK.items()]
    else:
        todo.append(Piece(f"{ROOT}/", "leave", why="there are runbooks already"))
    return tuple(sorted(todo, key=lambda piece: piece.path))


def skill(root: Path) -> tuple[Piece, ...]:
    """The Agent Skill by which a coding agent answers what a run hands off, wherever one looks for it."""
    text = (files(__name__) / "files/skill/SKILL.md").read_text(encoding="utf-8")
    return tuple(_file(root, path, text) for path in sorted(SKILLS))


def _owned_elsewhere(root: Path, choices: Choices) -> str:
    """Lines for what judges and lies elsewhere: programs that rubrics run, rubrics beside skills, evidence.

    Of programs whole folders are owned, as what lies beside one is part of it.
    """
    folder = Folder(root)
    runbooks = layout_of(folder).runbooks
    paths = {path for name, places in runbooks.items() for path in programs_of(folder, name, places)}
    there = files_of(paths, folder)
    folders = folders_of(paths, there)
    alone = {path for path in there if not any(path.startswith(each) for each in folders)}
    others: set[str] = set()
    for places in runbooks.values():  # what judges, and is not in runbooks/ or trajectories/ of the root
        others |= {path for path in (*places.judging, *places.links) if not path.startswith(f"{ROOT}/")}
        others |= {*places.evidence[1:], *((places.stored, places.settings) if places.root else ())}
    owned = sorted({*folders, *alone, *(path.strip("/") for path in others)})
    return "".join(f"/{path} {_mentions(choices.reviewers)}\n" for path in owned if " " not in path)


def rendered(name: str, choices: Choices) -> str:
    """A template with the team's choices in it."""
    text = (files(__name__) / "files" / name).read_text(encoding="utf-8")
    # whose approval counts is quoted, since a login may be a number
    people = [dumps(login) for login in choices.reviewers if "/" not in login]
    teams = [dumps(login.rpartition("/")[2]) for login in choices.reviewers if "/" in login]
    named = {"reviewers": people, "teams": teams}
    who = "\n".join(f"{key}: [{', '.join(names)}]" for key, names in named.items() if names)
    values = {"@SPEC@": choices.spec or "", "@WHO@": who, "@OWNERS@": _mentions(choices.reviewers)}
    for token, value in values.items():
        text = text.replace(token, value)
    return text


def put(root: Path, piece: Piece) -> None:
    """Do what a piece says. A file that came to be meanwhile is not replaced: RunbookoptError says so."""
    place = root / piece.path
    if piece.action == "leave":
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x" if piece.action == "write" else "a", encoding="utf-8", newline="") as file:
            file.write(piece.text)
    except OSError as error:
        raise RunbookoptError(
            f"{piece.path}: cannot be written: {error.strerror}; make room for it, then run this again"
        ) from error


def leaves_open(root: Path, todo: Sequence[Piece]) -> bool:
    """Whether a workflow that is written, or there, does not say what is to be installed."""
    texts = {piece.path: piece.text for piece in todo if piece.action == "write"}
    there = (root / path for path in WORKFLOWS if path not in texts)
    texts |= {str(file): file.read_text("utf-8", errors="replace") for file in there if file.is_file()}
    return any(_OPEN in text for text in texts.values())


_OPEN = "vars.RUNBOOKOPT_SPEC || ''"


def _file(root: Path, path: str, text: str) -> Piece:
    if not _is_there(root / path):
        return Piece(path, "write", text)
    same = (root / path).is_file() and (root / path).read_bytes() == text.encode()
    return Piece(path, "leave", why="it is as it would be written" if same else "it is there already")


def _lines(root: Path, path: str, text: str) -> Piece:
    """Add the lines whose first word no line of the file has yet, with what was said above them."""
    place = root / path
    if not _is_there(place):
        return Piece(path, "write", text)
    if place.is_symlink() or not place.is_file():
        return Piece(path, "leave", why="it is a link or no file; its lines would be:\n" + text)
    there = place.read_text(encoding="utf-8", errors="replace")
    first_words = {words[0].strip("/") for words in map(str.split, there.splitlines()) if words}
    lines = text.splitlines(keepends=True)
    lacking = [line for line in lines if line[0] != "#" and line.split()[0].strip("/") not in first_words]
    if not lacking:
        return Piece(path, "leave", why="it has these lines already")
    above = [line for line in lines if line[0] == "#" and line not in there]
    ending = "" if not there or there.endswith("\n") else "\n"
    return Piece(path, "add", "".join((ending, *above, *lacking)))


def _is_there(place: Path) -> bool:
    return place.exists() or place.is_symlink()


def _mentions(logins: Sequence[str]) -> str:
    """Owners as CODEOWNERS names them: @login, or an address as it is."""
    return " ".join(login if "@" in login else f"@{login}" for login in logins)
