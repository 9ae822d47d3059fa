"""Who must say yes to a change: the declared merge policy, and the decision with all its reasons (pure)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from runbookopt.documents.parse import MalformedFile, Problem, read_yaml
from runbookopt.evidence.trajectory import Trust
from runbookopt.guard.kinds import Introduced
from runbookopt.proof.comparison import Comparison, Terms

PASSING_TODAY_AT_LEAST = 20
"""Held-out tasks that must pass today: with fewer, a loss can hardly be seen; nothing merges by itself."""


Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Login = Annotated[str, Meta(pattern=r"^[^@\s]\S*$", description="a login, without @")]
Team = Annotated[
    str,
    Meta(
        pattern=r"^[^@\s/]+(?:/[^@\s/]+)?$", description="a team as in its address: TEAM or ORGANIZATION/TEAM"
    ),
]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """How often a new pull request of the runbook may be opened; `open_pull_requests: 0` pauses it.

    `per_day` counts those opened within 24 hours, `cooldown_hours` are from when the last one was merged or
    closed. An open one is brought up to date without being counted.
    """

    open_pull_requests: Annotated[int, Meta(ge=0)] = 1
    per_day: Annotated[int, Meta(ge=0)] = 1
    cooldown_hours: Annotated[float, Meta(ge=0.0)] = 24.0


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
    """policy.yaml: the merge policy and the terms of the proof; without one its defaults are the terms."""

    merge: Literal["auto", "review"] = "review"
    reviewers: tuple[Login, ...] = ()
    approvals: Annotated[int, Meta(ge=1)] = 1
    teams: tuple[Team, ...] = ()
    auto_merge_if: AutoMergeIf = AutoMergeIf()
    proof: Terms = Terms()
    method: Literal["merge", "squash", "rebase"] = "squash"
    limits: Limits = Limits()
    locked: tuple[str, ...] = ()

    @property
    def declared(self) -> bool:
        """Whether a policy.yaml stands behind this: one that asks for review must name its reviewers."""
        return self.merge == "auto" or bool(self.who)

    @property
    def who(self) -> str:
        """Name those whose approvals count, in one phrase; empty where there are none."""
        return ", ".join((*self.reviewers, *(f"team {team}" for team in self.teams)))


class Reason(Struct, frozen=True):
    """One condition and whether it holds; None is unknown, and unknown is not yes."""

    condition: str
    holds: bool | None
    text: str

    @property
    def told(self) -> str:
        """Give it in one line for programs and logs: "yes: ...", "no: ..." or "unknown: ..."."""
        word = "unknown" if self.holds is None else "yes" if self.holds else "no"
        return f"{word}: {self.text}"


class Decision(Struct, frozen=True):
    """Which way a change goes, with every reason for and against."""

    merge: Literal["auto", "review", "none"]
    reasons: tuple[Reason, ...]


class Facts(Struct, frozen=True):
    """What a decision rests on, all of it derived anew from git; None is unknown.

    `comparison` is None where nobody looked at the held-out tasks. `changed_lines` counts lines added and
    lines removed. `growth` is (characters after - before) / before. `introduced` is the guard's list, class
    by class. `uncalibrated` names the criteria that decide without having earned it. `trust` is the least
    trust of the train tasks, all of which may be reflected on; `leaning` says which sources carry more than
    half of the gain alone. `ledger_notes` are sentences on looked-at
    tasks that vanished or changed.
    """

    comparison: Comparison | None
    changed_lines: int | None = None
    growth: float | None = None
    introduced: dict[Introduced, tuple[str, ...]] | None = None
    uncalibrated: tuple[str, ...] | None = None
    trust: Trust | None = None
    leaning: tuple[str, ...] = ()
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
    if policy.merge == "review" and not policy.who:
        message = "merge: review needs reviewers; expected `reviewers: [login, ...]` or `teams: [team, ...]`"
        return [Problem(path, _line_of("merge", data), message)]
    if people and not policy.teams and policy.approvals > len(people):
        message = f"approvals: {policy.approvals} can never be met by {len(people)} reviewer(s)"
        return [Problem(path, _line_of("approvals", data), message)]
    return []


def _line_of(key: str, data: bytes) -> int:
    """Give the line of a top-level key of a block mapping; 1 where it is not written out."""
    found = re.search(rf"^[\"']?{key}[\"']?\s*:".encode(), data, re.MULTILINE)
    return 1 if found is None else data[: found.start()].count(b"\n") + 1


def decide(policy: Policy, facts: Facts) -> Decision:
    """Say which way a change goes.

    "none" unless the proof accepted it; "auto" where the policy asks for that and every condition is known
    to hold; else "review".
    """
    proved = _proved(facts.comparison)
    asked = (_declared(policy), _automatic(policy))
    conditions = tuple(_conditions(policy.auto_merge_if, facts))
    reasons = (proved, *asked, *conditions)
    if not proved.holds:
        return Decision("none", reasons)
    return Decision("auto" if all(reason.holds for reason in reasons) else "review", reasons)


def _proved(comparison: Comparison | None) -> Reason:
    if comparison is None:
        return Reason("accepted", False, "nothing is proved: nobody looked at the held-out tasks")
    told = f"the proof on {comparison.tasks} held-out tasks says {comparison.answer}"
    return Reason("accepted", comparison.answer == "accepted", told)


def _declared(policy: Policy) -> Reason:
    if policy.declared:
        return Reason("declared", True, "a merge policy is declared")
    return Reason(
        "declared", False, "no policy is declared: nobody is requested and nothing merges by itself"
    )


def _automatic(policy: Policy) -> Reason:
    if policy.merge == "auto":
        return Reason("merge", True, "the policy lets a change merge by itself")
    if not policy.who:
        return Reason("merge", False, "without a policy every change goes to review")
    return Reason(
        "merge", False, f"the policy asks for review: {policy.approvals} approval(s) of {policy.who}"
    )


def _conditions(wanted: AutoMergeIf, facts: Facts) -> Iterator[Reason]:
    """Give what must hold for an automatic merge, each with what was found."""
    yield _gain(wanted, facts.comparison)
    yield _at_most("changed_lines_at_most", facts.changed_lines, wanted.changed_lines_at_most, "{}")
    yield _at_most("growth_at_most", facts.growth, wanted.growth_at_most, "{:.1%}")
    yield _calibrated(wanted, facts.uncalibrated)
    yield _trusted(wanted, facts.trust)
    yield Reason(
        "leave_one_source_out",
        not facts.leaning,
        _joined(facts.leaning) or "without any one source at least half of the gain is left",
    )
    yield _introduced(wanted, facts.introduced)
    yield _passing(facts.comparison)
    yield Reason(
        "ledger", not facts.ledger_notes, _joined(facts.ledger_notes) or "looked-at tasks are unchanged"
    )


def _gain(wanted: AutoMergeIf, comparison: Comparison | None) -> Reason:
    name = "gain_at_least"
    if comparison is None:
        return Reason(name, None, "the held-out gain is unknown")
    told = f"the held-out gain is at least {comparison.low:+.3f}, and {wanted.gain_at_least:+.3f} is wanted"
    return Reason(name, comparison.low >= wanted.gain_at_least, told)


def _at_most(name: str, found: float | None, limit: float, unit: str) -> Reason:
    what = name.removesuffix("_at_most").replace("_", " ")
    allowed = f"at most {unit.format(limit)} is allowed"
    if found is None:
        return Reason(name, None, f"{what}: unknown, and {allowed}")
    return Reason(name, found <= limit, f"{what}: {unit.format(found)}, and {allowed}")


def _calibrated(wanted: AutoMergeIf, uncalibrated: Sequence[str] | None) -> Reason:
    name = "calibrated"
    if not wanted.calibrated:
        return Reason(name, True, "the policy does not ask for calibrated criteria")
    if uncalibrated is None:
        return Reason(name, None, "it is unknown whether the criteria that decide are calibrated")
    if uncalibrated:
        return Reason(name, False, f"not checked against a reference or a schema: {_joined(uncalibrated)}")
    return Reason(name, True, "every criterion that decides checks against a reference or a schema")


def _trusted(wanted: AutoMergeIf, trust: Trust | None) -> Reason:
    name = "trust_at_least"
    if trust is None:
        return Reason(name, None, "the trust of what was reflected on is unknown")
    order: tuple[Trust, ...] = get_args(Trust)
    told = f"the train tasks, reflected on, are {trust} or better, and {wanted.trust_at_least} is wanted"
    return Reason(name, order.index(trust) >= order.index(wanted.trust_at_least), told)


def _introduced(wanted: AutoMergeIf, introduced: Mapping[Introduced, Sequence[str]] | None) -> Reason:
    name = "introduces_none_of"
    if introduced is None:
        return Reason(name, None, "it is unknown what the diff introduces")
    found = [
        f"{kind}: {_joined(introduced[kind])}" for kind in wanted.introduces_none_of if introduced.get(kind)
    ]
    return Reason(
        name, not found, f"the diff introduces {'; '.join(found) or 'none of what the policy lists'}"
    )


def _passing(comparison: Comparison | None) -> Reason:
    name = "passing_today"
    if comparison is None:
        return Reason(name, None, "it is unknown how many held-out tasks pass today")
    found = comparison.passing_today
    told = f"{found} held-out tasks pass today, and {PASSING_TODAY_AT_LEAST} are needed for a loss to be seen"
    return Reason(name, found >= PASSING_TODAY_AT_LEAST, told)


def _joined(items: Sequence[str], most: int = 5) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
