"""Files that a rubric's programs are made of: all of them judge, as part of the verifier (pure).

A program is more than the file that a check names: what lies in its folder, each module of the repository
that it imports by name, and each file and folder that its text names. What it finds in another way (a path
that is put together while it runs) nobody can tell.
"""

import ast
import posixpath
import re
import sys
from collections.abc import Collection, Iterator

from runbookopt.documents.digest import digest, digest_of
from runbookopt.evidence.library import Source
from runbookopt.verifier.program_checks import Command, ProgramCheck, Python

EVIDENCE = ("runbooks", "trajectories")
"""Folders that are no program as a whole: what judges there is named file by file."""

_REPOSITORY = re.compile(r"\{repository\}(?:/([^\s'\"`;|&<>(){}$:,=]*))?")
_IMPORT = re.compile(r"(?m)^\s*(?:from|import)\s+([A-Za-z_]\w*)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_LONGEST = 200
_MOST = 5_000  # words of one file that are looked up


def program_paths(check: ProgramCheck, source: Source) -> tuple[str, ...]:
    """Paths of all that a check runs, sorted: files, and folders with a slash at the end ("/" is all).

    Modules that are not there yet, and would be imported if they were, are among them.
    """
    pending, found = list(_named(check, source)), set[str]()
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        for file in files_of((path,), source):
            pending += _mentioned(file, source)
    return tuple(sorted(path for path in found if not any(_holds(other, path) for other in found - {path})))


def belongs(path: str, programs: Collection[str]) -> bool:
    """Whether a path is one of those that `program_paths` gives, or lies in one of them."""
    return path in programs or any(_holds(folder, path) for folder in programs)


def files_of(programs: Collection[str], source: Source) -> list[str]:
    """The files that are there of these paths, sorted; compiled ones are made from them, and are none."""
    found: set[str] = set()
    for path in programs:
        found |= {file for file in _there(path, source) if "__pycache__" not in file.split("/")}
    return sorted(found)


def folders_of(programs: Collection[str], files: Collection[str]) -> list[str]:
    """Those of these paths that are folders with some of these files in them, and nobody else's."""
    folders = sorted(
        path for path in programs if path[-1:] == "/" and path.partition("/")[0] not in {"", *EVIDENCE}
    )
    return [folder for folder in folders if any(file.startswith(folder) for file in files)]


def programs_digest(programs: Collection[str], source: Source) -> str:
    """The digest of the bytes of all these files."""
    return digest_of({path: digest(source.read(path)) for path in files_of(programs, source)})


def _holds(folder: str, path: str) -> bool:
    """Whether a path is part of the program that a folder is: a runbook's own page beside it is none."""
    root, _, rest = path.partition("/")
    if folder == "/":
        return path != "/" and root not in EVIDENCE and root[:1] != "."
    if folder[-1:] != "/" or path == folder or not path.startswith(folder):
        return False
    is_other = path.endswith((".md", ".jsonl", "/rubric.yaml", "/policy.yaml", "/calibration.json"))
    return not (rest and root in EVIDENCE and is_other)


def _there(path: str, source: Source) -> list[str]:
    if path[-1:] == "/":
        return [file for file in source.files(path.strip("/")) if _holds(path, file)]
    try:
        source.read(path)
    except FileNotFoundError:
        return []
    return [path]


def _named(check: ProgramCheck, source: Source) -> Iterator[str]:
    match check:
        case Python():
            yield from _module(check.function.partition(":")[0])
        case Command():
            named = [found[1] or "." for part in check.argv for found in _REPOSITORY.finditer(part)]
            named += [check.argv[0]] if "/" in check.argv[0] and "{" not in check.argv[0] else []
            for name in named:
                path = posixpath.normpath(name)
                yield from _with_its_folder(path, source)


def _with_its_folder(path: str, source: Source) -> Iterator[str]:
    if path == ".":
        yield "/"
    elif source.files(path) not in ([], [path]):
        yield f"{path}/"
    elif not path.startswith(("/", "..")):
        yield path
        folder = posixpath.dirname(path)
        yield from [f"{folder}/"] if folder else []


def _module(name: str) -> Iterator[str]:
    """A module of the repository by its dotted name: with the whole package that it is part of."""
    first, _, rest = name.partition(".")
    yield f"{first}/"
    if not rest:
        yield f"{first}.py"


def _mentioned(file: str, source: Source) -> Iterator[str]:
    """What a file imports by name, where no library of Python's own has that name, and what else it names.

    Modules of its own folder count as well: a script sees them first.
    """
    text, folder = source.read(file).decode(errors="replace"), posixpath.dirname(file)
    imported, words = _words(text)
    for name in sorted(imported - sys.stdlib_module_names - {"runbookopt", *EVIDENCE}):
        yield from _module(name)
        if folder:
            yield from (f"{folder}/{part}" for part in _module(name))
    for word in sorted(words)[:_MOST]:
        for place in {posixpath.normpath(word.lstrip("/")), posixpath.normpath(posixpath.join(folder, word))}:
            yield from _existing(place, source)


def _existing(place: str, source: Source) -> Iterator[str]:
    """A file or a folder that a word names, where there is one that could be part of a program."""
    if place == "." or place.startswith(("/", "..")) or place in EVIDENCE or place[:1] == ".":
        return
    if source.files(place) not in ([], [place]):
        yield f"{place}/"
    elif _there(place, source):
        yield place


def _words(text: str) -> tuple[set[str], set[str]]:
    """Names of modules that a text imports, and words of it that may be paths or names of modules."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        paths = {found for found in _PATH.findall(text) if "/" in found or "." in found}
        return set(_IMPORT.findall(text)), {path for path in paths if len(path) <= _LONGEST}
    imported: set[str] = set()
    words: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                imported.add(module.partition(".")[0])
            case ast.Constant(value=str(value)) if len(value) <= _LONGEST:
                words |= {value} if _PATH.fullmatch(value.strip("/")) else set()
                imported |= {value.partition(".")[0]} if re.fullmatch(r"\w+(\.\w+)+", value) else set()
    return imported, words
