"""Policy of a merge: what a repository declares, and the decision with all its reasons (pure)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from runbookopt.calibration.audit import FEWEST, LEVEL, Found
from runbookopt.documents.parse import MalformedFile, Problem, read_yaml
from runbookopt.documents.runbook import Locks
from runbookopt.documents.schema_errors import InconsistentValues, shown
from runbookopt.evidence.trajectory import Trust
from runbookopt.evidence.trust import Given, Paths, rank
from runbookopt.guard.kinds import Introduced
from runbookopt.proof.comparison import Comparison, Terms
from runbookopt.proof.disclosure import UNTOLD
from runbookopt.proof.red_team import RedTeam
from runbookopt.verifier.families import Nearest

MOST_PAIRS = 200
"""Held-out tasks that a proof draws, so no audit shows more pairs."""

PASSING_TODAY_AT_LEAST = 20
"""Held-out tasks that must pass today: with fewer, a loss can hardly be seen; nothing merges by itself."""


Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Login = Annotated[str, Meta(pattern=r"^[^@\s]\S*$", description="a login, without @")]
Form = Annotated[str, Meta(min_length=1, max_length=1000)]
Days = Annotated[
    str, Meta(pattern=r"^[1-9][0-9]{0,3}[dw]$", description="a number of days or weeks, as 90d or 12w")
]
SAME_SHAPE = "same-shape"
"""The form of a line that has the words of another one of its section, and tasks behind its phrases."""

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
    `coverage_at_least` is the share of labelled failures whose failure mode has a criterion that decides.
    `judge_apart` asks that the judge is another model than agent and reflector are, or of another family.
    `forms` say which lines may come and go at all: those of the same shape as others of their section, and
    those that a pattern of the team's own fits from their first character to the last; or `any`.
    """

    gain_at_least: Share = 0.02
    changed_lines_at_most: Annotated[int, Meta(ge=0)] = 40
    growth_at_most: Annotated[float, Meta(ge=0.0)] = 0.20
    calibrated: bool = True
    coverage_at_least: Share = 0.0
    judge_apart: Literal["any", "model", "family"] = "any"
    trust_at_least: Trust = "internal"
    forms: Literal["any"] | tuple[Form, ...] = (SAME_SHAPE,)
    introduces_none_of: tuple[Introduced, ...] = get_args(Introduced)

    def __post_init__(self) -> None:
        """Refuse a form that is neither ours nor an expression."""
        for form in self.own_forms:
            if re.fullmatch(r"[\w-]*", form):
                named = f"expected `any`, or a list of {SAME_SHAPE} and regular expressions of whole lines"
                raise InconsistentValues("forms", f"{named}, got {shown(form)} in it")
            try:
                re.compile(form)
            except (re.error, RecursionError, OverflowError) as error:
                message = f"expected a regular expression, got {shown(form)}: {error}"
                raise InconsistentValues("forms", message) from None

    @property
    def own_forms(self) -> tuple[str, ...]:
        """The patterns of lines that the team itself lets merge."""
        return () if self.forms == "any" else tuple(form for form in self.forms if form != SAME_SHAPE)


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """policy.yaml: the merge policy and the terms of the proof; without one its defaults are the terms.

    `trust` is how far evidence is trusted, by the path of its file: of all patterns that cover it the least
    counts, and what none covers is public. Nobody reflects on what is of the `red_team`: it counts by itself,
    and nothing that merges by itself may lose on it. `personal_data` says whether e-mail addresses, numbers
    of telephones, cards and accounts, and the like stay in evidence that is read or imported: what is removed
    is shown to no model, program or person. `unlocked` are sections that a word of their heading locks by
    mistake; the verifier's stay locked. A criterion whose newest label is older than `recalibrate_after` is
    stale, and decides nothing until it is calibrated again. Where a judge decides, nothing merges by itself
    before a reviewer has audited `audit_pairs` of the held-out pairs whose verdict changed.
    """

    merge: Literal["auto", "review"] = "review"
    reviewers: tuple[Login, ...] = ()
    approvals: Annotated[int, Meta(ge=1)] = 1
    teams: tuple[Team, ...] = ()
    auto_merge_if: AutoMergeIf = AutoMergeIf()
    proof: Terms = Terms()
    method: Literal["merge", "squash", "rebase"] = "squash"
    limits: Limits = Limits()
    locked: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()
    trust: dict[Paths, Trust] = {}
    red_team: tuple[Paths, ...] = ()
    personal_data: Literal["keep", "remove"] = "keep"
    recalibrate_after: Days | None = None
    audit_pairs: Annotated[int, Meta(ge=0, le=MOST_PAIRS)] = 0

    @property
    def longest_uncalibrated(self) -> timedelta | None:
        """The age of labels from which a criterion is stale; None where it is so at no age."""
        said = self.recalibrate_after
        return None if said is None else timedelta(**{_UNITS[said[-1]]: int(said[:-1])})

    @property
    def locks(self) -> Locks:
        """What it says of the runbook's sections."""
        return Locks(self.locked, self.unlocked)

    @property
    def given(self) -> Given:
        """What it says of evidence by path."""
        return Given(self.trust, self.red_team, self.personal_data == "remove")

    @property
    def declared(self) -> bool:
        """Whether a policy.yaml stands behind this: one that asks for review must name its reviewers."""
        return self.merge == "auto" or bool(self.who)

    @property
    def who(self) -> str:
        """Those whose approvals count, in one phrase; empty where there are none."""
        return ", ".join((*self.reviewers, *(f"team {team}" for team in self.teams)))


_UNITS = {"d": "days", "w": "weeks"}


class Reason(Struct, frozen=True):
    """One condition and whether it holds; None is unknown, and unknown is not yes."""

    condition: str
    holds: bool | None
    text: str

    @property
    def told(self) -> str:
        """One line for programs and logs: "yes: ...", "no: ..." or "unknown: ..."."""
        word = "unknown" if self.holds is None else "yes" if self.holds else "no"
        return f"{word}: {self.text}"


class Decision(Struct, frozen=True):
    """The way that a change goes, with every reason for and against."""

    merge: Literal["auto", "review", "none"]
    reasons: tuple[Reason, ...]


class Audits(Struct, frozen=True):
    """Audits of a look's changed verdicts, of which there are so many `pairs` to look at.

    `counted` are those that reviewers gave their word for, by their logins, with what they found; `others`
    are sentences on all others: of a judge, of an unlisted person, for another commit.
    """

    pairs: int
    counted: tuple[tuple[str, Found], ...] = ()
    others: tuple[str, ...] = ()


class Facts(Struct, frozen=True):
    """Facts that a decision rests on, all derived anew from git; None is unknown.

    `comparison` is None where nobody looked at the held-out tasks. `changed_lines` counts lines added and
    lines removed. `growth` is (characters after - before) / before. `introduced` is the guard's list, class
    by class. `formless` tells the changed lines that have no form which the policy allows. `uncalibrated`
    names the criteria that decide without having earned it, or did once, and says why. `coverage` is the
    share of labelled failures whose mode has a criterion that decides. `trust` is the least trust of the
    train tasks, all of which may be reflected on; `leaning` says which sources carry more than half of the
    gain alone. `ledger_notes` are sentences on looked-at tasks that vanished or changed, and on held-out
    figures that were shown. `near_repeats` counts held-out tasks of the proof that nearly repeat what a
    search uses. `judge_decides` is whether a model's verdict decides anything; `audits` are None where it is
    not known who gave their word for any. `red_team` is what the change does on the red team's tasks.
    `judge_kin` is the most that a judge's model shares with those of agent and reflector: "none" where no
    judge was asked.
    """

    comparison: Comparison | None
    changed_lines: int | None = None
    growth: float | None = None
    introduced: dict[Introduced, tuple[str, ...]] | None = None
    formless: tuple[str, ...] | None = None
    uncalibrated: tuple[str, ...] | None = None
    coverage: float | None = None
    trust: Trust | None = None
    leaning: tuple[str, ...] = ()
    ledger_notes: tuple[str, ...] = ()
    near_repeats: int | None = None
    judge_decides: bool | None = None
    audits: Audits | None = None
    red_team: RedTeam | None = None
    judge_kin: Nearest | None = None


def read_policy(data: bytes | None, path: str) -> Policy:
    """Read policy.yaml; None is an undeclared policy: review, nobody requested, never automatic.

    Raises MalformedFile with all that is wrong.
    """
    if data is None:
        return Policy()
    policy = read_yaml(data, Policy, path)
    people = {login.casefold() for login in policy.reviewers}
    if policy.merge == "review" and not policy.who:
        problem = "merge: review needs reviewers; expected `reviewers: [login, ...]` or `teams: [team, ...]`"
    elif people and not policy.teams and policy.approvals > len(people):
        problem = f"approvals: {policy.approvals} can never be met by {len(people)} reviewer(s)"
    elif policy.audit_pairs and not policy.who:
        problem = "audit_pairs: nobody may audit; expected `reviewers: [login, ...]` or `teams: [team, ...]`"
    elif 0 < policy.audit_pairs < FEWEST:
        problem = f"audit_pairs: fewer than {FEWEST} confirm nothing, got {policy.audit_pairs}"
    else:
        return policy
    # the line of the top-level key that the message begins with; 1 where it is not written out
    key = re.search(rf"^[\"']?{problem.partition(':')[0]}[\"']?\s*:".encode(), data, re.MULTILINE)
    raise MalformedFile([Problem(path, data[: key.start()].count(b"\n") + 1 if key else 1, problem)])


def decide(policy: Policy, facts: Facts) -> Decision:
    """The way that a change goes.

    "none" unless the proof accepted it, and then without what held-out tasks say; "auto" where the policy
    asks for that and every condition is known to hold; else "review".
    """
    allowed = policy.proof.near_repeats == "allow"  # which speaks against it, whether there are any or not
    count = "an unknown number" if facts.near_repeats is None else facts.near_repeats
    repeated = f"the policy lets tasks into the proof that nearly repeat what a search uses: {count} of them"
    red_team = Reason("red_team", None, "what the change does on the red team's tasks is unknown")
    if facts.red_team is not None:
        red_team = Reason("red_team", facts.red_team.holds, facts.red_team.told)
    reasons = (
        *_asked(policy, facts.comparison),
        *_conditions(policy.auto_merge_if, facts),
        *_audited(policy, facts),
        *([red_team] if policy.red_team else []),
        *([Reason("near_repeats", False, repeated)] if allowed else []),
    )
    if not reasons[0].holds:
        return Decision("none", reasons if facts.comparison is None else tuple(map(_untold, reasons)))
    return Decision("auto" if all(reason.holds for reason in reasons) else "review", reasons)


def _untold(reason: Reason) -> Reason:
    """A reason less what held-out tasks say, as it stands where the proof did not accept the change."""
    return Reason(reason.condition, None, UNTOLD) if reason.condition in _BY_HELD_OUT_TASKS else reason


_BY_HELD_OUT_TASKS = frozenset(
    {"audit_pairs", "gain_at_least", "leave_one_source_out", "passing_today", "red_team"}
)


def _asked(policy: Policy, comparison: Comparison | None) -> Iterator[Reason]:
    """Whether the proof accepts a change, and what the policy asks for: the proof's word comes first."""
    proof = "nothing is proved: nobody looked at the held-out tasks"
    if comparison is not None:
        proof = f"the proof on {comparison.tasks} held-out tasks says {comparison.answer}"
    yield Reason("accepted", comparison is not None and comparison.answer == "accepted", proof)
    if policy.declared:
        yield Reason("declared", True, "a merge policy is declared")
    else:
        text = "no policy is declared: nobody is requested and nothing merges by itself"
        yield Reason("declared", False, text)
    if policy.merge == "auto":
        yield Reason("merge", True, "the policy lets a change merge by itself")
    elif policy.who:
        text = f"the policy asks for review: {policy.approvals} approval(s) of {policy.who}"
        yield Reason("merge", False, text)
    else:
        yield Reason("merge", False, "without a policy every change goes to review")


def _conditions(terms: AutoMergeIf, facts: Facts) -> Iterator[Reason]:
    """The conditions of an automatic merge, each with the fact that it is held against."""
    yield _gain(terms, facts.comparison)
    yield _at_most("changed_lines_at_most", facts.changed_lines, terms.changed_lines_at_most, "{}")
    yield _at_most("growth_at_most", facts.growth, terms.growth_at_most, "{:.1%}")
    yield _calibrated(terms, facts.uncalibrated)
    yield _covered(terms, facts.coverage)
    yield _apart(terms, facts.judge_kin)
    yield _trusted(terms, facts.trust)
    yield Reason(
        "leave_one_source_out",
        not facts.leaning,
        _joined(facts.leaning) or "without any one source at least half of the gain is left",
    )
    yield _introduced(terms, facts.introduced)
    yield _formed(terms, facts.formless)
    yield _passing(facts.comparison)
    yield Reason(
        "ledger", not facts.ledger_notes, _joined(facts.ledger_notes) or "looked-at tasks are unchanged"
    )


def _apart(terms: AutoMergeIf, shared: Nearest | None) -> Reason:
    """Whether the judge is as far from whose work it judges as the policy asks."""
    wanted = terms.judge_apart
    if wanted == "any":
        return Reason("judge_apart", True, "the policy asks for no judge of another model or family")
    told = {
        "model": "the judge's model is also the agent's or the reflector's",
        "family": "the judge's model is of one family with the agent's or the reflector's",
        "none": "no judge shares a model or a family with the agent or the reflector",
        None: "the judge's model is neither the agent's nor the reflector's, of families that are unknown",
    }
    holds = shared != "model" and (shared != "family" or wanted == "model")
    unknown = shared is None and wanted == "family"
    text = f"{told[shared]}, and another {wanted} is wanted"
    return Reason("judge_apart", None if unknown else holds, text)


def _gain(terms: AutoMergeIf, comparison: Comparison | None) -> Reason:
    least = terms.gain_at_least
    if comparison is None:
        return Reason("gain_at_least", None, "the held-out gain is unknown")
    text = f"the held-out gain is at least {comparison.low:+.3f}, and {least:+.3f} is wanted"
    return Reason("gain_at_least", comparison.low >= least, text)


def _at_most(name: str, value: float | None, limit: float, unit: str) -> Reason:
    what = name.removesuffix("_at_most").replace("_", " ")
    allowed = f"at most {unit.format(limit)} is allowed"
    if value is None:
        return Reason(name, None, f"{what}: unknown, and {allowed}")
    return Reason(name, value <= limit, f"{what}: {unit.format(value)}, and {allowed}")


def _calibrated(terms: AutoMergeIf, uncalibrated: Sequence[str] | None) -> Reason:
    if not terms.calibrated:
        return Reason("calibrated", True, "the policy does not ask for calibrated criteria")
    if uncalibrated is None:
        return Reason("calibrated", None, "it is unknown whether the criteria that decide are calibrated")
    if uncalibrated:
        return Reason("calibrated", False, f"not calibrated: {_joined(uncalibrated)}")
    text = (
        "every criterion that decides checks against a reference or a schema, or agrees with people's labels"
    )
    return Reason("calibrated", True, text)


def _covered(terms: AutoMergeIf, coverage: float | None) -> Reason:
    if not terms.coverage_at_least:
        return Reason("coverage_at_least", True, "the policy asks for no coverage of failure modes")
    least = f"at least {terms.coverage_at_least:.0%} is wanted"
    if coverage is None:
        unknown = f"no labels say which share of failures a criterion that decides would see, and {least}"
        return Reason("coverage_at_least", None, unknown)
    text = f"of labelled failures, {coverage:.0%} are of modes with a criterion that decides, and {least}"
    return Reason("coverage_at_least", coverage >= terms.coverage_at_least, text)


def _trusted(terms: AutoMergeIf, trust: Trust | None) -> Reason:
    if trust is None:
        return Reason("trust_at_least", None, "the trust of what was reflected on is unknown")
    text = f"the train tasks, reflected on, are {trust} or better, and {terms.trust_at_least} is wanted"
    enough = rank(trust) >= rank(terms.trust_at_least)
    how = "" if enough else "; only `trust` in policy.yaml gives it: runbookopt check says how"
    return Reason("trust_at_least", enough, f"{text}{how}")


def _introduced(terms: AutoMergeIf, introduced: Mapping[Introduced, Sequence[str]] | None) -> Reason:
    if introduced is None:
        return Reason("introduces_none_of", None, "it is unknown what the diff introduces")
    listed_kinds = [kind for kind in terms.introduces_none_of if introduced.get(kind)]
    # what a rule that sorts may lose or gain is what `forms` are about, which know the tasks
    kinds = [kind for kind in listed_kinds if kind != "sorting" or terms.forms == "any"]
    listed = "; ".join(f"{kind}: {_joined(introduced[kind])}" for kind in kinds)
    text = f"the diff introduces {listed or 'none of what the policy lists'}"
    return Reason("introduces_none_of", not kinds, text)


def _formed(terms: AutoMergeIf, formless: Sequence[str] | None) -> Reason:
    if terms.forms == "any":
        text = "the policy lets lines of any form merge: only a list of what a diff introduces stops it"
        return Reason("forms", True, text)
    if formless is None:
        return Reason("forms", None, "it is unknown whether the changed lines have a form that is allowed")
    if not formless:
        return Reason("forms", True, "every changed line has a form that the policy allows")
    lines = "lines have" if formless[1:] else "line has"
    listed = "; ".join([*formless[:2], *([f"and {len(formless) - 2} more"] if formless[2:] else [])])
    return Reason("forms", False, f"{len(formless)} changed {lines} no form that the policy allows: {listed}")


def _passing(comparison: Comparison | None) -> Reason:
    if comparison is None:
        return Reason("passing_today", None, "it is unknown how many held-out tasks pass today")
    passing, least = comparison.passing_today, PASSING_TODAY_AT_LEAST
    text = f"{passing} held-out tasks pass today, and {least} are needed for a loss to be seen"
    return Reason("passing_today", passing >= least, text)


def _audited(policy: Policy, facts: Facts) -> Iterator[Reason]:
    """Whether a reviewer saw a gain, too, where verdicts changed; nothing where no audit is asked for."""
    if not policy.audit_pairs:
        return
    if facts.judge_decides is False:
        yield Reason("audit_pairs", True, "no judge decides, so there is no verdict to audit")
        return
    holds, text = None, "it is unknown whether a reviewer has audited the pairs whose verdict changed"
    if facts.audits is not None and facts.judge_decides is not None:
        holds, text = _of_audits(facts.audits)
    yield Reason("audit_pairs", holds, text)


def _of_audits(audits: Audits) -> tuple[bool, str]:
    changed = f"{audits.pairs} held-out pairs whose verdict changed"
    if audits.pairs < FEWEST:
        return False, f"there are {changed}, and fewer than {FEWEST} confirm nothing"
    told = []
    for login, found in audits.counted:
        sides = (
            f"the winner's output better in {found.wins} of {found.pairs} pairs, today's in {found.losses}"
        )
        word = (
            "which confirms the gain" if found.confirms else f"and it takes p <= {LEVEL:g} to confirm a gain"
        )
        told.append(f"{login} found {sides} (p = {found.p:.2g}), {word}")
    if not told:
        told = [f"no reviewer has audited the {changed}: runbookopt audit NAME shows them"]
    holds = bool(audits.counted) and all(found.confirms for _, found in audits.counted)
    return holds, "; ".join((*told, *audits.others))


def _joined(items: Sequence[str], most: int = 5) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
