import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

KEYS = {
    "": "runbook run tasks provable rollouts reflections tokens usd seconds width notes",
    "tasks": "train validation held_out",
    "provable": "gain power look allowance groups base known broken",
    "rollouts": "most search proof free",
}


def everything(clone: "Clone") -> tuple[object, ...]:
    """Give all that a run could leave behind: local state, and the refs here and at origin."""
    here = sorted(path.name for path in clone.root.iterdir())
    return (
        here,
        clone.git("status", "--porcelain"),
        clone.git("for-each-ref"),
        clone.at_origin("for-each-ref"),
    )


@pytest.mark.parametrize("command", [["optimize-runbook"], ["runbookopt", "optimize"]])
@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--no-propose"]])
def test_a_plan_is_one_object_with_all_keys_and_leaves_nothing_behind(
    repo: Make, planted: ModuleType, command: list[str], flags: list[str]
) -> None:
    clone = repo(planted.files())
    before = everything(clone)
    ran = clone.ask(*command, "desk", "--plan", "--json", *flags)
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (0, "", 1)
    assert everything(clone) == before
    found = json.loads(ran.stdout)
    for place, keys in KEYS.items():
        assert list(found[place] if place else found) == keys.split()
    assert [found[key] for key in ("tokens", "usd", "seconds")] == [None] * 3


def test_the_plan_is_of_the_run_that_its_flags_describe(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    flags = ["--budget-rollouts", "300", "--budget-reflections", "9", "--dry-run", "--json"]
    said, done = (
        json.loads(clone.ask("optimize-runbook", "desk", *flags, *more).stdout)
        for more in (
            ["--plan", "--width", "3"],
            [],
        )
    )
    assert (said["run"], said["width"], said["reflections"]) == (done["run"], 3, 9)
    assert said["rollouts"] == {"most": 180, "search": 180, "proof": 0, "free": 0}
    assert done["spent"]["rollouts"] <= 180
    assert done["spent"]["reflections"] <= 9


def test_people_read_what_it_costs_and_what_it_can_prove(repo: Make, planted: ModuleType) -> None:
    shown = repo(planted.files()).ask("optimize-runbook", "--all", "--plan").stdout
    assert shown.splitlines() == [
        "desk: the plan; nothing was run",
        "  tasks        24 train, 24 validation, 60 held-out",
        "  can prove    a gain of 15.4 points, 80 % of the time (look 1 at 60 groups, allowance 0.025)",
        "  assuming     today's runbook scores 0.500 (a guess), and a winner breaks 5 % of what passes",
        "  rollouts     at most 600: 480 to search, 120 to prove; 0 more are known for free",
        "  reflections  at most 150",
        "  cost         tokens unknown, dollars unknown",
        "  time         seconds unknown, with 8 calls at once",
        "",
    ]


def test_all_runbooks_are_planned_though_one_cannot_be(repo: Make, planted: ModuleType) -> None:
    broken = {path.replace("desk", "attic"): text for path, text in planted.files(rubric="- x\n").items()}
    ran = repo({**planted.files(), **broken}).ask("optimize-runbook", "--all", "--plan", "--json")
    assert ran.returncode == 1
    assert [json.loads(line)["runbook"] for line in ran.stdout.splitlines()] == ["desk"]
    assert ran.stderr.startswith("runbooks/attic/rubric.yaml")


def test_what_can_prove_nothing_is_the_same_error_as_in_a_run(repo: Make, planted: ModuleType) -> None:
    records = [
        record for record in planted.trajectories() if record["id"] not in {f"t-{n}" for n in range(60, 108)}
    ]
    clone = repo(planted.files(trajectories=planted.lines(records)))
    planned, ran = (clone.ask("optimize-runbook", "desk", *flags) for flags in (["--plan"], []))
    assert (planned.returncode, planned.stdout, planned.stderr) == (1, "", ran.stderr)
    assert "12 held-out groups: a proof needs at least 20" in planned.stderr
    dry = clone.ask("optimize-runbook", "desk", "--plan", "--dry-run").stdout
    assert re.search(r"can prove +no gain \(look 1 at 12 groups", dry)


def test_a_plan_without_origin_needs_no_propose(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.git("remote", "remove", "origin")
    assert clone.ask("optimize-runbook", "desk", "--plan").returncode == 1
    assert clone.ask("optimize-runbook", "desk", "--plan", "--no-propose").returncode == 0
