"""What the half with models would hand over, made by hand: a repository to prove things in, and bundles."""

import json
import subprocess
from collections.abc import Collection, Mapping

from runbookopt.documents.digest import digest
from runbookopt.documents.finding import Finding
from runbookopt.documents.runbook import bump_version
from runbookopt.documents.usage import Spent
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import (
    AgentUsed,
    Bundle,
    Change,
    Digests,
    MemberSummary,
    ValidationSummary,
    seal,
)
from runbookopt.landing.paired_outputs import Tried, held_out_digest, pairs, put_out
from runbookopt.project.project import read_project
from runbookopt.proof.allowance import Look, group_digests, look_key, reference_digest
from runbookopt.proof.comparison import compare

RUNBOOK = """---
name: triage
version: 1.2.3
---
# Triage

## Rules
- If the message mentions "card", answer `card`
- Otherwise `other`

## Escalation
Call the lead about {{customer}}.
"""
RUBRIC = """criteria:
  - id: right-queue
    check: {kind: equals, path: $.queue, reference: $.queue}
"""
TRUST = "trust: {trajectories/triage/*.jsonl: internal}\n"
AUTO = f"merge: auto\nreviewers: [bo, cy]\n{TRUST}"
REVIEW = "merge: review\nreviewers: [bo, cy]\n"


def trajectories(count: int = 60) -> str:
    """Give one task a line: five train, five validation, the rest held-out.

    The train tasks speak of an atm, so that a rule on that word may merge by itself.
    """
    parts = ["train"] * 5 + ["validation"] * 5 + ["held-out"] * (count - 10)
    lines = [
        {
            "id": f"t-{number}",
            "task": {
                "input": f"ticket {number}{' atm' if part == 'train' else ''}",
                "reference": {"queue": "card"},
                "split": part,
            },
            "trust": "internal",
        }
        for number, part in enumerate(parts)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def files(policy: str | None = AUTO, **more: str) -> dict[str, str]:
    """Give a repository with one runbook, `triage`, whose held-out tasks can prove a gain."""
    files = {
        "runbooks/triage/RUNBOOK.md": RUNBOOK,
        "runbooks/triage/rubric.yaml": RUBRIC,
        "trajectories/triage/2026.jsonl": trajectories(),
    }
    return {**files, **({"runbooks/triage/policy.yaml": policy} if policy else {}), **more}


MADE: dict[tuple[object, ...], Bundle] = {}
"""Copies of one repository are at the same commit, and the same bundle is made there."""


class FirstHalf:
    """Makes a bundle without any search: `FirstHalf(repository)(candidate)`; a judge found `judged`.

    What it puts out no agent ever said; `agent` is the key of the one that is blamed for it. One of
    `format` 1 has a candidate without the next version, as bundles were made once.
    """

    def __init__(
        self,
        repository: Repository,
        name: str = "triage",
        judged: Mapping[str, Finding] = {},
        agent: str = digest(b"agent"),
        format: int = 2,  # noqa: A002 - the word of the file
    ) -> None:
        self.repository, self.name, self.judged, self.agent = repository, name, judged, agent
        self.format = format

    def __call__(
        self,
        candidate: str | None = None,
        *,
        wins: int = 20,
        losses: int = 0,
        at: str = "1",
        burnt: Collection[str] = (),
    ) -> Bundle:
        """Of 50 held-out tasks the seed passes every other one; the winner some more, and some no more."""
        base = self.repository.base()
        how = (base, self.name, repr(self.judged), self.agent, self.format)
        how = (*how, candidate, wins, losses, at, tuple(burnt))
        if how not in MADE:
            MADE[how] = self._made(base, candidate, wins, losses, at, burnt)
        return MADE[how]

    def _made(
        self, base: str, candidate: str | None, wins: int, losses: int, at: str, burnt: Collection[str]
    ) -> Bundle:
        project = read_project(self.repository.revision(base), self.name, burnt=burnt)
        candidate = candidate or project.runbook.text.replace('"card"', '"card" or "atm"')
        text = bump_version(candidate)
        candidate = candidate if self.format == 1 else text
        tasks = [project.evidence.task(task) for task in project.split.held_out]
        outputs = tuple(
            put_out(
                project.rubric,
                task,
                [Tried(_queue(passed), self.judged)],
                [Tried(_queue(passes), self.judged)],
            )
            for task, passed, passes in zip(tasks, *_passes(len(tasks), wins, losses), strict=True)
        )
        found = pairs(outputs, {task.id: task for task in tasks}, project.rubric)
        asked = {"seed": project.digests.runbook, "candidate": digest(candidate.encode())}
        asked |= {"rubric": project.digests.rubric, "agent": self.agent}
        groups = group_digests(project.held_out_groups)
        look = Look(
            key=look_key(self.name, **asked, groups=groups),
            runbook=self.name,
            **asked,
            groups=groups,
            tasks={task.id: reference_digest(task) for task in tasks},
            searched=(*project.split.train, *project.split.validation),
            at=at,
        )
        tree = self.repository.write_tree({project.path: text.encode()}, onto=base)
        patch = subprocess.run(
            ["git", "diff", base, tree], cwd=self.repository.root, check=True, capture_output=True
        ).stdout.decode()
        comparison = compare(found, project.policy.proof, spend=0.025, next_spend=0.01)
        bundle = Bundle(
            format=f"runbookopt-bundle/{self.format}",
            run=f"run-{at}",
            version="0.1.0",
            runbook=self.name,
            path=project.path,
            base=base,
            patch=patch,
            candidate=candidate,
            digests=Digests(
                project.digests.runbook,
                asked["candidate"],
                project.digests.rubric,
                project.digests.policy,
                held_out_digest(tasks),
            ),
            agent=AgentUsed("offline", asked["agent"], deterministic=True),
            models=(),
            offline=True,
            random_seed=0,
            changes=(Change("rules", "A phrase is missing", ("t-0",)),),
            members=(MemberSummary(asked["candidate"], (), 1, 0.9, len(candidate), 5),),
            chosen=asked["candidate"],
            validation=ValidationSummary(5, 0.5, 0.9, 0.05),
            candidates=3,
            reflected_on=("t-0", "t-1"),
            look=look,
            outputs=outputs,
            outcome=comparison.answer,
            comparison=comparison,
            spent=Spent(rollouts=10, cached=0, reflections=2, tokens=None, usd=None, seconds=1.0),
            settings={},
        )
        return seal(bundle)


def _queue(right: bool) -> str:
    return json.dumps({"queue": "card" if right else "other"})


def _passes(tasks: int, wins: int, losses: int) -> tuple[list[bool], list[bool]]:
    before = [number % 2 == 0 for number in range(tasks)]
    after = [now or number < 2 * wins for number, now in enumerate(before)]
    return before, [now and not (number % 2 == 0 and number < 2 * losses) for number, now in enumerate(after)]
