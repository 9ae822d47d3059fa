"""Trust is given by the repository: a partner who claims it for lines of their own wins nothing by it."""

import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import Clone

PARTNERS = "trajectories/desk/partner.jsonl"
RUNBOOK = "runbooks/desk/RUNBOOK.md"
POLICY = """merge: auto
reviewers: [lead]
auto_merge_if: {growth_at_most: 9, forms: any, introduces_none_of: []}
trust:
  PATHS: internal
"""
FEW = 250
"""Lines of the attack: so many that most of a proof's gain is theirs."""


def lines(count: int) -> str:
    """Give tasks that claim trust, each with a group of its own: who is in danger is to go to the post."""
    return "".join(
        json.dumps(
            {
                "id": f"p-{number}",
                "task": {
                    "input": f"we are in danger here, number {number}",
                    "reference": {"answer": "post"},
                    "group": f"customer-{number}",
                },
                "trust": "internal",
            }
        )
        + "\n"
        for number in range(count)
    )


class Attack:
    """A repository whose runbook may merge by itself, and a partner's branch with lines of their own."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        clone.is_used_by("lead")

    def pushes(self, count: int) -> None:
        self.clone.git("checkout", "-q", "-b", "more-messages")
        self.clone.commit({PARTNERS: lines(count)}, "Add messages of October")
        self.clone.git("checkout", "-q", "main")

    def verified(self) -> tuple[int, list[str]]:
        """Give what the status check says of the branch."""
        ran = self.clone.ask("runbookopt", "verify", "--base", "main", "--head", "origin/more-messages")
        return ran.returncode, ran.stdout.splitlines()

    def is_merged_by_people(self) -> str:
        self.clone.git("merge", "-q", "--no-ff", "-m", "More messages", "more-messages")
        self.clone.git("push", "-q", "origin", "main")
        return self.clone.git("rev-parse", "HEAD")

    def optimized(self) -> dict[str, Any]:
        # of many lines that all ask for one answer, today's runbook fails alike on the first outputs
        flags = ("--budget-rollouts", "1200", "--set", "stop_early=false", "--json")
        ran = self.clone.ask("optimize-runbook", "desk", *flags)
        assert ran.returncode == 0, ran
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def merged_by_itself(self) -> list[str]:
        """Give the rules on danger that are at origin once all is merged that merges by itself."""
        ran = self.clone.ask("runbookopt", "pulls", "merge", "--auto")
        assert ran.returncode == 0, ran
        page = self.clone.at_origin("show", f"main:{RUNBOOK}")
        return [line for line in page.splitlines() if "danger" in line]


@pytest.fixture
def attack(repo: Callable[..., Clone], planted: ModuleType) -> Callable[..., Attack]:
    def make(paths: str, **more: str) -> Attack:
        own = planted.lines(planted.trajectories(96))
        files = planted.files(policy=POLICY.replace("PATHS", paths), trajectories=own)
        return Attack(repo({**files, **more}))

    return make


COUNTS = pytest.mark.parametrize("count", [FEW, pytest.param(900, marks=pytest.mark.nightly)])


@COUNTS
def test_a_partner_who_claims_trust_waits_for_people_and_merges_nothing_by_itself_afterwards(
    attack: Callable[..., Attack], count: int
) -> None:
    partner = attack("trajectories/desk/all.jsonl")
    partner.pushes(count)
    status, told = partner.verified()
    assert (status, "needs people to agree" in told[0]) == (3, True)
    (adds,) = (line for line in told if f"desk: adds {count} tasks: " in line)
    assert f"by `trust` in policy.yaml {count} public, whatever their lines say" in adds
    assert re.search(
        r" train, \d+ validation, \d+ held-out, \d+ unused; .* \d\d% of the \d+ held-out tasks", adds
    )
    assert "1 approval(s) of lead are needed" in told[-1]
    commit = partner.is_merged_by_people()
    found = partner.optimized()
    assert (found["outcome"], found["decision"]["merge"]) == ("accepted", "review")
    against = [reason for reason in found["decision"]["reasons"] if reason.startswith("no: ")]
    assert against[0].startswith("no: the train tasks, reflected on, are public or better, and internal is")
    assert f"without what commit {commit[:12]} brought" in against[1]
    assert partner.merged_by_itself() == []


@COUNTS
def test_where_the_policy_trusts_all_that_is_there_the_commit_that_brought_it_is_a_source(
    attack: Callable[..., Attack], count: int
) -> None:
    partner = attack("trajectories/desk/**")
    partner.pushes(count)
    assert partner.verified()[0] == 3
    commit = partner.is_merged_by_people()
    found = partner.optimized()
    against = next(reason for reason in found["decision"]["reasons"] if reason.startswith("no: "))
    assert f"without the file {PARTNERS} " in against
    assert f"without what commit {commit[:12]} brought " in against
    assert partner.merged_by_itself() == []


def test_what_the_repository_vouches_for_since_its_beginning_merges_by_itself(
    attack: Callable[..., Attack],
) -> None:
    """So what stops the others is whence their lines came, and nothing else of them."""
    ours = attack("trajectories/desk/**", **{PARTNERS: lines(FEW)})
    assert ours.optimized()["decision"]["merge"] == "auto"
    assert ours.merged_by_itself() != []
