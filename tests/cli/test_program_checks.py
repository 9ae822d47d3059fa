"""A rubric's program is part of the verifier: what is proved and landed is judged by the base's version."""

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.project.codeowners import owners_of, read_owners

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone

RUBRIC = """criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
  - id: has-answer
    check: {kind: python, function: "checks.desk:answers"}
"""
CHECK = """def answers(output, reference, left):
    return "answer" in (output or "")
"""


def working(make: "Callable[..., Clone]", planted: ModuleType) -> "Clone":
    clone = make(planted.files(rubric=RUBRIC) | {"checks/desk.py": CHECK})
    clone.write({"checks/desk.py": CHECK.replace('"answer" in (output or "")', "True")})
    return clone


def test_a_run_that_will_be_proposed_refuses_a_changed_program(
    repo: "Callable[..., Clone]", planted: ModuleType
) -> None:
    ran = working(repo, planted).ask("optimize-runbook", "desk")
    assert ran.returncode == 1
    assert "checks/desk.py: other than on origin's default branch" in ran.stderr


@pytest.mark.slow
def test_a_bundle_is_not_judged_again_by_any_program(
    repo: "Callable[..., Clone]", planted: ModuleType
) -> None:
    clone = working(repo, planted)
    clone.git("checkout", "checks")
    made = clone.ask("optimize-runbook", "desk", "--no-propose")
    assert made.returncode == 0, made.stderr
    mark = clone.root.parent / "mark"
    clone.write({"checks/desk.py": f"open({str(mark)!r}, 'w').close()\n{CHECK}"})
    (bundle,) = (clone.root / ".runbookopt/bundles").iterdir()
    assert clone.ask("runbookopt", "propose", str(bundle)).returncode == 0
    assert clone.ask("runbookopt", "pulls", "show", "1").returncode == 0
    assert clone.ask("runbookopt", "pulls", "merge", "--auto").returncode == 0
    assert not mark.exists()


WITH_HELPER = """from lib.words import known


def answers(output, reference, left):
    return known(output)
"""
HELPERS = {
    "checks/desk.py": WITH_HELPER,
    "lib/words.py": "def known(output):\n    return 'answer' in (output or '')\n",
    "lib/other.py": "",
}


@pytest.mark.parametrize("path", ["lib/words.py", "lib/new.py", "checks/desk.py", "checks/data.json"])
def test_a_helper_that_a_check_imports_is_part_of_the_verifier(
    repo: "Callable[..., Clone]", planted: ModuleType, path: str
) -> None:
    policy = f"{planted.POLICY}reviewers: [bo]\n"
    clone = repo(planted.files(rubric=RUBRIC, policy=policy) | HELPERS)
    base = clone.git("rev-parse", "HEAD")
    clone.git("checkout", "-qb", "helpful")
    head = clone.commit({path: "def known(output):\n    return True\n"}, push=False)
    ran = clone.ask("runbookopt", "verify", "--base", base, "--head", head)
    assert ran.returncode == 3
    assert f"changed: what judges it ({path})" in ran.stdout
    assert "1 approval(s) of bo are needed" in ran.stdout
    clone.git("push", "-q", "origin", "helpful:main")
    stale = clone.ask("optimize-runbook", "desk")
    assert stale.returncode in {0, 1}
    clone.git("checkout", "-q", base)
    refused = clone.ask("optimize-runbook", "desk", "--again")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{path}: other than on origin's default branch" in refused.stderr


def test_init_gives_owners_to_whole_folders_of_programs_and_what_they_import(
    repo: "Callable[..., Clone]", planted: ModuleType
) -> None:
    clone = repo(planted.files(rubric=RUBRIC) | HELPERS)
    assert clone.ask("runbookopt", "init", "--reviewer", "octocat").returncode == 0
    owned = read_owners((clone.root / ".github/CODEOWNERS").read_text())
    for path in (*HELPERS, "checks/deep/new.py", "lib/new.py", ".runbookopt/bundles/x.json", ".runbookopt"):
        assert owners_of(owned, path) == ("@octocat",), path
    assert owners_of(owned, "docs/page.md") == ()
    again = clone.ask("runbookopt", "init", "--reviewer", "octocat")
    assert "added to" not in again.stdout


def test_a_link_in_a_folder_of_programs_is_refused(repo: "Callable[..., Clone]", planted: ModuleType) -> None:
    clone = repo(planted.files(rubric=RUBRIC) | HELPERS)
    (clone.root / "lib/linked.py").symlink_to("/etc/hostname")
    ran = clone.ask("optimize-runbook", "desk", "--no-propose")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "lib/linked.py: a link, or no file, in a program of the rubric of desk" in ran.stderr
