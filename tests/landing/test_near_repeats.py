"""Near repeats and time on the way to a pull request: the half with the token derives both again."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from runbookopt.errors import Refused
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.bundle import seal
from runbookopt.landing.propose import propose
from runbookopt.landing.rederive import Stale
from runbookopt.project.project import read_project

if TYPE_CHECKING:
    from tests.conftest import Clone

LETTER = "the machine at the corner of the market square ate my only card and shows nothing but numbers"
USES = "nearly repeat what a search uses"
POLICY = "runbooks/triage/policy.yaml"
AUTO = "merge: auto\nreviewers: [bo, cy]\ntrust: {trajectories/triage/*.jsonl: internal}\n"


def trajectories(half: ModuleType, *, split: bool = True) -> str:
    """Give those of the first half a day after each other, one held-out task being a twin of one in train."""
    lines = [json.loads(line) for line in half.trajectories().splitlines()]
    for number, line in enumerate(lines):
        line["started_at"] = f"2026-{9 + number // 28:02d}-{number % 28 + 1:02d}T10:00:00Z"
        line["task"] = line["task"] if split else {**line["task"], "split": None}
    lines[0]["task"]["input"] = LETTER
    lines[-1]["task"]["input"] = LETTER.replace("square", "place").replace("numbers", "stars")
    return "".join(json.dumps(line) + "\n" for line in lines)


def clone_of(make: Callable[..., "Clone"], half: ModuleType, policy: str, *, split: bool = True) -> "Clone":
    return make({**half.files(policy), "trajectories/triage/2026.jsonl": trajectories(half, split=split)})


def test_allowed_near_repeats_are_in_the_proof_and_a_person_decides(
    repo: Callable[..., "Clone"], first_half: ModuleType
) -> None:
    clone = clone_of(repo, first_half, AUTO + "proof: {near_repeats: allow}\n")
    with Repository.open(clone.root) as repository:
        bundle = first_half.FirstHalf(repository)()
        proposed = propose(repository, LocalForge(repository), bundle)
        report = proposed.pull_request.body if proposed.pull_request else ""
    assert (proposed.outcome, proposed.decision.merge, len(bundle.outputs)) == ("accepted", "review", 50)
    against = [reason.text for reason in proposed.decision.reasons if not reason.holds]
    assert against == [f"the policy lets tasks into the proof that {USES}: 1 of them"]
    assert against[0] in report
    assert "On the newest quarter of them, 13 tasks that began on 2026-10-20 or later" in report


def test_a_first_half_cannot_let_them_in_by_itself(
    repo: Callable[..., "Clone"], first_half: ModuleType
) -> None:
    clone = clone_of(repo, first_half, AUTO)
    with Repository.open(clone.root) as repository:
        honest = first_half.FirstHalf(repository)()
        project = read_project(repository.revision(repository.base()), "triage")
        (twin,) = (project.evidence.task(left.task) for left in project.split.left_out)
        more = (*honest.outputs, replace(honest.outputs[0], task=twin.id))
        with pytest.raises(Refused, match="the outputs are not those of each held-out task, once"):
            propose(repository, LocalForge(repository), seal(replace(honest, outputs=more)))
        proposed = propose(repository, LocalForge(repository), honest)
    assert (len(honest.outputs), proposed.decision.merge) == (49, "auto")


def test_a_split_by_time_is_derived_again_and_the_date_moves_by_a_commit(
    repo: Callable[..., "Clone"], first_half: ModuleType
) -> None:
    since = AUTO + "proof: {split: {by: time, from: 2026-09-25}}\n"
    clone = clone_of(repo, first_half, since, split=False)
    with Repository.open(clone.root) as repository:
        bundle = first_half.FirstHalf(repository)()
        assert len(bundle.outputs) == 35  # of the 36 since then one is a twin
        assert propose(repository, LocalForge(repository), bundle).outcome == "accepted"
    clone.commit({POLICY: since.replace("09-25", "10-01")})
    with Repository.open(clone.root) as repository:
        project = read_project(repository.revision(repository.base()), "triage")
        assert len(project.split.held_out) == 31
        with pytest.raises(Stale, match=r"policy\.yaml: changed"):
            propose(repository, LocalForge(repository), replace(bundle, members=bundle.members))
