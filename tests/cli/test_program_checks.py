"""A rubric's program is part of the verifier: what is proved and landed is judged by the base's version."""

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

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
def test_a_bundle_is_not_judged_again_by_a_changed_program(
    repo: "Callable[..., Clone]", planted: ModuleType
) -> None:
    clone = working(repo, planted)
    clone.git("checkout", "checks")
    made = clone.ask("optimize-runbook", "desk", "--no-propose")
    assert made.returncode == 0, made.stderr
    clone.write({"checks/desk.py": "def answers(output, reference, left):\n    return True\n"})
    (bundle,) = (clone.root / ".runbookopt/bundles").iterdir()
    refused = clone.ask("runbookopt", "propose", str(bundle))
    assert refused.returncode != 0
    assert "checks/desk.py: a program of the rubric, and other than at the bundle's base" in refused.stderr
    clone.git("checkout", "checks")
    assert clone.ask("runbookopt", "propose", str(bundle)).returncode == 0
