"""The rules of the house that a reader cannot see by looking at one file."""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "runbookopt"

FLOORS = {
    "cli": 9,
    "jobs": 8,
    "landing": 7,
    "engine": 7,
    "pages": 7,
    "project": 6,
    "agents": 6,
    "calibration": 5,
    "verifier": 4,
    "guard": 4,
    "proof": 4,
    "search": 4,
    "evidence": 3,
    "sandbox": 3,
    "forge": 3,
    "documents": 2,
    "errors": 1,
}
"""One row a room: a room imports from lower floors and from itself, never sideways."""
AT_THE_ROOT = FLOORS.keys() - {"errors"} | {"__init__.py", "__main__.py", "errors.py", "py.typed"}
MOST_FILES = 20
"""In a folder; `cli` holds one file a command, however many."""
KNOWN_TO_ONE = {
    "git": "forge.git.process",
    "sqlite3": "engine.database",
    "yaml": "documents.parse",
    "markdown_it": "documents.markdown",
    "jsonschema": "documents.schema_errors",
    "referencing": "documents.schema_errors",
    "detect_secrets": "documents.redaction",
    "typer": "cli",
    "rich": "cli",
    "litellm": "agents.model.client",
    "anyio": "agents.model.concurrency",
    "github": "forge.github",
    "sklearn": "jobs.verifiers.text_groups",
}
ON_REQUEST = {"cli.verify": ("cli.apart", "cli.job")}
"""What a command of the second half imports only where a flag asks it to run agents."""
WORLD = {
    "os",
    "pathlib",
    "subprocess",
    "socket",
    "time",
    "asyncio",
    "logging",
    "shutil",
    "tempfile",
    "datetime",
}


@cache
def modules() -> dict[str, Path]:
    names = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")
    }
    return {
        name.removesuffix(".__init__") or "__init__": path
        for name, path in names.items()
        if path.stat().st_size
    }


def imports(path: Path) -> Iterator[str]:
    """Give every module imported anywhere in a file, except for annotations only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def inner(path: Path) -> set[str]:
    """Give the rooms of our own package that a file imports."""
    names = {name.removeprefix("runbookopt.") for name in imports(path) if name.startswith("runbookopt.")}
    return names & modules().keys()


def room(name: str) -> str:
    return name.partition(".")[0]


def misplaced(importing: str, imported: str) -> bool:
    """Whether an import points up or sideways; what has no row of its own has no place at all."""
    here, there = room(importing), room(imported)
    return here != there and FLOORS.get(there, 10) >= FLOORS.get(here, 0)


def test_the_root_holds_nothing_but_the_rooms() -> None:
    names = subprocess.check_output(["git", "ls-files", "runbookopt"], cwd=ROOT, text=True).splitlines()
    assert {name.split("/")[1] for name in names} == AT_THE_ROOT


def test_imports_point_down() -> None:
    named = {name: path for name, path in modules().items() if name not in {"__init__", "__main__"}}
    wrong = {f"{name} -> {to}" for name, path in named.items() for to in inner(path) if misplaced(name, to)}
    assert wrong == set()


def test_a_file_in_the_wrong_room_is_seen() -> None:
    assert misplaced("documents.parse", "search.loop")  # up
    assert misplaced("engine.driver", "landing.bundle")  # sideways
    assert misplaced("loose", "errors")  # of no room
    assert not misplaced("landing.bundle", "proof.ledger")
    assert not misplaced("search.loop", "search.pool")


def test_no_folder_is_too_full_to_be_read_at_a_glance() -> None:
    folders = {path.parent for path in modules().values()} - {PACKAGE / "cli"}
    counts = {folder.name: len([*folder.glob("*.py")]) for folder in folders}
    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


def test_nothing_is_imported_in_a_circle() -> None:
    order = TopologicalSorter({name: inner(path) - {name} for name, path in modules().items()})
    assert set(order.static_order()) >= modules().keys() - {"__init__"}


def test_each_outside_library_is_known_to_one_file_or_folder() -> None:
    strangers = {
        f"{name} imports {library}"
        for name, path in modules().items()
        for library in {each.split(".")[0] for each in imports(path)} & KNOWN_TO_ONE.keys()
        if not f"{name}.".startswith(f"{KNOWN_TO_ONE[library]}.")
    }
    assert strangers == set()


def test_the_search_imports_nothing_of_the_world() -> None:
    for name, path in modules().items():
        if room(name) == "search":
            roots = {each.split(".")[0] for each in imports(path)}
            assert roots & (WORLD | KNOWN_TO_ONE.keys()) == set(), name


def reached_from(name: str, *, but: Collection[str] = ()) -> set[str]:
    """Give the rooms that a file imports, and those that these import, without entering `but`."""
    found, left = {name}, [name]
    while left:
        new = inner(modules()[left.pop()]) - found - set(but)
        found |= new
        left += new
    return found


@pytest.mark.parametrize(
    "name", ["cli.propose", "cli.pulls", "cli.verify", "landing.propose", "landing.merge"]
)
def test_the_second_half_imports_nothing_that_knows_a_model(name: str) -> None:
    agents = {other for other in modules() if room(other) == "agents" and other != "agents.protocol"}
    assert reached_from(name, but=ON_REQUEST.get(name, ())) & agents == set()


def test_what_a_reviewer_asks_for_by_a_flag_is_imported_nowhere_else() -> None:
    assert {name for name, path in modules().items() if "jobs.rerun_proof" in inner(path)} == {"cli.apart"}
    (asking,) = (
        node
        for node in ast.walk(ast.parse(modules()["cli.verify"].read_text()))
        if isinstance(node, ast.FunctionDef)
        if any(
            isinstance(each, ast.ImportFrom) and any(name.name == "apart" for name in each.names)
            for each in node.body
        )
    )
    assert asking.name == "_rerun"


def test_nothing_that_asks_models_and_nothing_that_holds_a_token_know_each_other() -> None:
    models, token = {"engine", "agents"}, {"landing", "project", "guard", "forge"}
    for name in modules():
        if room(name) in models | token:
            other = token if room(name) in models else models
            assert {room(each) for each in reached_from(name)} & other == set(), name


def loaded_by(arguments: list[str], folder: Path) -> set[str]:
    """Run a command of ours in a child process and give the modules that it loaded."""
    program = (
        "import sys\n"
        "from runbookopt.cli import main\n"
        f"sys.argv = {arguments!r}\n"
        "try:\n"
        f"    main.{arguments[0].replace('-', '_')}()\n"
        "except SystemExit:\n"
        "    pass\n"
        "print('loaded:', *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].removeprefix("loaded: ").split())


def test_help_imports_no_more_than_typer(tmp_path: Path) -> None:
    ours = KNOWN_TO_ONE.keys() - {"typer"} | {"msgspec", "asyncio"}
    for command in (
        ["optimize-runbook", "--help"],
        ["runbookopt", "--help"],
        ["runbookopt", "check", "--help"],
    ):
        assert {name.split(".")[0] for name in loaded_by(command, tmp_path)} & ours == set(), command


def test_check_imports_neither_litellm_nor_pygithub() -> None:
    assert {name.split(".")[0] for name in loaded_by(["runbookopt", "check"], ROOT)} & {
        "litellm",
        "github",
    } == set()
