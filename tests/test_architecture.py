"""The rules of the house that a reader cannot see by looking at one file."""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "runbookopt"

FLOORS = {
    "cli": 9,
    "optimization": 8,
    "evaluation": 8,
    "rerun": 8,
    "rollouts": 7,
    "scorecard": 7,
    "crew": 6,
    "plan": 8,
    "expectation": 7,
    "earlier_calls": 7,
    "preparation": 7,
    "landing.proposal": 8,
    "landing.merging": 8,
    "landing.explaining": 8,
    "landing.verification": 8,
    "landing.verification_by_hand": 7,
    "landing.verification_case": 7,
    "landing.verification_words": 8,
    "landing.report": 7,
    "forge.local": 7,
    "forge.choice": 7,
    "landing": 6,
    "forge": 6,
    "lint": 7,
    "scaffold": 7,
    "provability": 7,
    "dossier": 6,
    "driver": 5,
    "purse": 5,
    "bill": 5,
    "flight": 5,
    "world": 5,
    "journal": 5,
    "database": 1,
    "event_loop": 0,
    "agents": 4,
    "search": 3,
    "proof": 3,
    "verifier": 2,
    "evidence": 2,
    "repository": 1,
    "origin": 1,
    "settings": 1,
    "lm": 1,
    "attempts": 1,
    "width": 1,
    "wire_errors": 0,
    "model_settings": 0,
    "command_settings": 0,
    "redaction": 0,
    "usage": 0,
    "runbook": 1,
    "confinement": 1,
    "supervisor": 0,
    "gitwords": 0,
    "markdown": 0,
    "hidden": 0,
    "fencing": 0,
    "explanation": 0,
    "records": 0,
    "statistics": 0,
    "errors": 0,
}
KNOWN_TO_ONE = {
    "git": "repository",
    "sqlite3": "database",
    "yaml": "records",
    "markdown_it": "markdown",
    "jsonschema": "explanation",
    "typer": "cli",
    "rich": "cli",
    "litellm": "lm",
    "github": "forge.github",
}
ON_REQUEST = {"cli.verify": ("rerun", "cli.job")}
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


def inner(path: Path) -> set[str]:
    """Give the rooms of our own package that a file imports."""
    names = {name.removeprefix("runbookopt.") for name in imports(path) if name.startswith("runbookopt.")}
    return names & modules().keys()


def floor(name: str) -> int:
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(FLOORS[prefix] for prefix in prefixes if prefix in FLOORS)


@pytest.mark.parametrize("name", [name for name in modules() if name != "__init__"])
def test_imports_point_down(name: str) -> None:
    assert {other: floor(other) for other in inner(modules()[name]) if floor(other) > floor(name)} == {}


def test_nothing_is_imported_in_a_circle() -> None:
    order = TopologicalSorter({name: inner(path) - {name} for name, path in modules().items()})
    assert set(order.static_order()) >= modules().keys() - {"__init__"}


@pytest.mark.parametrize(("library", "room"), KNOWN_TO_ONE.items())
def test_each_outside_thing_is_known_to_one_room(library: str, room: str) -> None:
    knowing = {
        name
        for name, path in modules().items()
        if any(found.split(".")[0] == library for found in imports(path))
    }
    assert {name for name in knowing if name != room and not name.startswith(f"{room}.")} == set()


def test_the_search_imports_nothing_of_the_world() -> None:
    for name, path in modules().items():
        if name.split(".")[0] == "search":
            roots = {found.split(".")[0] for found in imports(path)}
            assert roots & (WORLD | KNOWN_TO_ONE.keys()) == set(), name
            assert all(floor(other) <= floor("search") and other != "repository" for other in inner(path)), (
                name
            )


def reached_from(name: str, *, but: Collection[str] = ()) -> set[str]:
    """Give the rooms that a file imports, and those that these import, without entering `but`."""
    found, left = {name}, [name]
    while left:
        new = inner(modules()[left.pop()]) - found - set(but)
        found |= new
        left += new
    return found


@pytest.mark.parametrize(
    "room", ["cli.propose", "cli.pulls", "cli.verify", "landing.proposal", "landing.merging"]
)
def test_the_second_half_imports_nothing_that_knows_a_model(room: str) -> None:
    agents = {name for name in modules() if name.startswith("agents.") and name != "agents.agent"}
    assert reached_from(room, but=ON_REQUEST.get(room, ())) & {"lm", "crew", *agents} == set()


def test_what_a_reviewer_asks_for_by_a_flag_is_imported_nowhere_else() -> None:
    assert {name for name, path in modules().items() if "rerun" in inner(path)} == {"cli.verify"}
    (asking,) = (
        node
        for node in ast.walk(ast.parse(modules()["cli.verify"].read_text()))
        if isinstance(node, ast.FunctionDef)
        if any(isinstance(each, ast.ImportFrom) and each.module == "runbookopt.rerun" for each in node.body)
    )
    assert asking.name == "_rerun"


def test_landing_imports_nothing_that_runs_a_search() -> None:
    assert reached_from("landing.proposal") & {"driver", "world", "optimization", "preparation"} == set()


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
    ours = KNOWN_TO_ONE.keys() - {"typer"} | {"msgspec", "tenacity", "asyncio"}
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
