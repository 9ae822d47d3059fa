"""Which files count as a program: what a pull request may not change unseen, and what the digest is of."""

from pathlib import Path

import pytest

from runbookopt.evidence.library import Folder
from runbookopt.verifier.checks import Command, Python
from runbookopt.verifier.program_files import belongs, files_of, program_paths, programs_digest

DESK = "import json\nimport helper\nfrom lib.words import known\nimport numpy\nOPEN = 'data/known.txt'\n"
FILES = {
    "checks/desk.py": DESK,
    "checks/tables/known.csv": "a,b\n",
    "helper.py": "import deeper\n",
    "deeper/__init__.py": "",
    "lib/words.py": "known = True\n",
    "lib/other.py": "",
    "data/known.txt": "front\n",
    "docs/page.md": "# Page\n",
    "json.py": "raise SystemError\n",
    "runbooks/desk/RUNBOOK.md": "# Desk\n",
    "runbooks/desk/judge.py": "",
    "tools/run.sh": '#!/bin/sh\n. "$(dirname "$0")/../lib/shell.sh"\n',
    "lib/shell.sh": "true\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Folder:
    for path, text in FILES.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Folder(tmp_path)


def command(*argv: str) -> Command:
    return Command(argv=argv)


def test_a_program_is_its_package_what_it_imports_and_what_it_names(source: Folder) -> None:
    paths = program_paths(Python(function="checks.desk:answers"), source)
    assert files_of(paths, source) == [
        "checks/desk.py",
        "checks/tables/known.csv",
        "data/known.txt",
        "deeper/__init__.py",
        "helper.py",
        "lib/other.py",
        "lib/shell.sh",
        "lib/words.py",
    ]


@pytest.mark.parametrize(
    "path", ["checks/new.py", "checks/deep/new.py", "helper/__init__.py", "numpy.py", "numpy/linalg.py"]
)
def test_what_would_be_imported_if_it_were_there_is_part_of_it(source: Folder, path: str) -> None:
    paths = program_paths(Python(function="checks.desk:answers"), source)
    assert belongs(path, paths)
    assert not belongs("docs/page.md", paths)
    assert not belongs("json.py", paths), "no module of the repository stands in for one of Python's own"


@pytest.mark.parametrize(
    "argv",
    [
        ("tools/run.sh",),
        ("{repository}/tools/run.sh",),
        ("bash", "-c", "exec {repository}/tools/run.sh --strict"),
        ("env", "PYTHONPATH={repository}/tools", "python3", "-m", "run"),
    ],
)
def test_a_command_is_found_wherever_it_names_the_repository(source: Folder, argv: tuple[str, ...]) -> None:
    found = files_of(program_paths(command(*argv), source), source)
    assert "tools/run.sh" in found
    assert "lib/shell.sh" in found


def test_a_command_that_is_shown_the_whole_repository_is_made_of_all_of_it(source: Folder) -> None:
    paths = program_paths(command("python3", "-c", "import x", "{repository}"), source)
    assert belongs("docs/page.md", paths)
    assert belongs("new.py", paths)
    assert not belongs("runbooks/desk/RUNBOOK.md", paths)
    assert not belongs("trajectories/desk/tasks.jsonl", paths)


def test_a_program_beside_a_runbook_does_not_make_the_runbook_one(source: Folder) -> None:
    paths = program_paths(command("{repository}/runbooks/desk/judge.py"), source)
    assert files_of(paths, source) == ["runbooks/desk/judge.py"]
    assert belongs("runbooks/desk/words.py", paths)
    assert not belongs("runbooks/desk/RUNBOOK.md", paths)


def test_a_program_of_nobodys_repository_has_no_files(source: Folder) -> None:
    assert program_paths(command("jq", ".", "{folder}/x", "../outside.py", "/bin/true"), source) == ()


@pytest.mark.parametrize("path", ["helper.py", "checks/tables/known.csv", "lib/other.py", "checks/new.py"])
def test_the_digest_is_of_every_file(source: Folder, path: str) -> None:
    check = Python(function="checks.desk:answers")
    before = programs_digest(program_paths(check, source), source)
    (source.root / path).write_text("changed = 1\n")
    assert programs_digest(program_paths(check, source), source) != before


def test_what_python_compiled_beside_it_changes_nothing(source: Folder) -> None:
    check = Python(function="checks.desk:answers")
    before = programs_digest(program_paths(check, source), source)
    (source.root / "checks/__pycache__").mkdir()
    (source.root / "checks/__pycache__/desk.cpython-311.pyc").write_bytes(b"\0")
    assert programs_digest(program_paths(check, source), source) == before
