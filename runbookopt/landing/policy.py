"""Who must say yes to a change: the declared merge policy, and the decision with all its reasons (pure)."""

import re
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from runbookopt.evidence.trajectory import Trust
from runbookopt.proof.comparison import Comparison, Terms
from runbookopt.records import MalformedFile, Problem, read_yaml

Introduced = Literal["urls", "commands", "credentials", "hidden-text"]
"""The classes of things that a diff may bring in; the guard finds them."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Login = Annotated[str, Meta(pattern=r"^[^@\s]\S*$")]


class AutoMergeIf(Struct, frozen=True, forbid_unknown_fields=True):
    """What must all hold for a change to merge without a person.

    `gain_at_least` is the lower bound of the held-out gain; `growth_at_most` a share of the runbook's size.
    """

    gain_at_least: Share = 0.02
    changed_lines_at_most: Annotated[int, Meta(ge=0)] = 40
    growth_at_most: Annotated[float, Meta(ge=0.0)] = 0.20
    calibrated: bool = True
    trust_at_least: Trust = "internal"
    introduces_none_of: tuple[Introduced, ...] = get_args(Introduced)


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """policy.yaml: the merge policy and the terms of the proof."""

    merge: Literal["auto", "review"] = "review"
    reviewers: tuple[Login, ...] = ()
    approvals: Annotated[int, Meta(ge=1)] = 1
    auto_merge_if: AutoMergeIf = AutoMergeIf()
    proof: Terms = Terms()
    method: Literal["squash"] = "squash"
    locked: tuple[str, ...] = ()

    @property
    def declared(self) -> bool:
        """Whether a policy.yaml stands behind this: one that asks for review must name its reviewers."""
        return self.merge == "auto" or bool(self.reviewers)


class Reason(Struct, frozen=True):
    """One condition and whether it holds; None is unknown, and unknown is not yes."""

    condition: str
    holds: bool | None
    text: str


class Decision(Struct, frozen=True):
    """Which way a change goes, with every reason for and against."""

    merge: Literal["auto", "review", "none"]
    reasons: tuple[Reason, ...]


class Permission(Struct, frozen=True):
    """Whether a pull request may be merged now, with every reason for and against."""

    granted: bool
    reasons: tuple[Reason, ...]


class Facts(Struct, frozen=True):
    """What a decision rests on, all of it derived anew from git; None is unknown.

    `comparison` is None where nobody looked at the held-out tasks. `changed_lines` counts lines added and
    lines removed. `growth` is (characters after - before) / before. `introduced` is the guard's list, class
    by class. `uncalibrated` names the criteria that decide without having earned it. `trust` is the least
    trust of the trajectories reflected on. `ledger_notes` are sentences on looked-at tasks that vanished or
    changed.
    """

    comparison: Comparison | None
    changed_lines: int | None = None
    growth: float | None = None
    introduced: dict[str, tuple[str, ...]] | None = None
    uncalibrated: tuple[str, ...] | None = None
    trust: Trust | None = None
    ledger_notes: tuple[str, ...] = ()


def read_policy(data: bytes | None, path: str) -> Policy:
    """Read policy.yaml; None is an undeclared policy: review, nobody requested, never automatic.

    Raises MalformedFile with all that is wrong.
    """
    if data is None:
        return Policy()
    policy = read_yaml(data, Policy, path)
    problems = _nobody_can_say_yes(policy, data, path)
    if problems:
        raise MalformedFile(problems)
    return policy


def _nobody_can_say_yes(policy: Policy, data: bytes, path: str) -> list[Problem]:
    people = {login.casefold() for login in policy.reviewers}
    if policy.merge == "review" and not people:
        message = "merge: review needs reviewers; expected `reviewers: [login, ...]`"
        return [Problem(path, _line_of("merge", data), message)]
    if people and policy.approvals > len(people):
        message = f"approvals: {policy.approvals} can never be met by {len(people)} reviewer(s)"
        return [Problem(path, _line_of("approvals", data), message)]
    return []


def _line_of(key: str, data: bytes) -> int:
    """Give the line of a top-level key of a block mapping; 1 where it is not written out."""
    found = re.search(rf"^[\"']?{key}[\"']?\s*:".encode(), data, re.MULTILINE)
    return 1 if found is None else data[: found.start()].count(b"\n") + 1
