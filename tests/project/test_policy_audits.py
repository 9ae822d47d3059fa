"""The condition that an automatic merge waits for an audit: what is unknown is never yes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.calibration.audit import FEWEST, Found, sign_test
from runbookopt.documents.parse import MalformedFile
from runbookopt.project.policy import Audits, Decision, Facts, Policy, Reason, decide, read_policy
from runbookopt.proof.comparison import Comparison

ACCEPTED = Comparison(
    tasks=60, groups=60, before=0.4, after=0.7, gain=0.3, low=0.21, high=0.4, p=0.001, answer="accepted",
    reasons=(), objectives={}, tasks_needed=None, passing_today=24, errors=0.0,
)  # fmt: skip
GOOD = Facts(
    comparison=ACCEPTED,
    changed_lines=12,
    growth=0.1,
    introduced={"urls": (), "commands": ()},
    formless=(),
    uncalibrated=(),
    trust="internal",
    judge_decides=True,
)
AUTO = Policy(merge="auto", reviewers=("ann", "bob"), audit_pairs=30)
COUNTS = st.integers(0, 30)


def found(wins: int, losses: int, pairs: int = 30) -> Found:
    return Found(pairs, wins, losses, sign_test(wins, losses))


def decided(audits: Audits | None, **facts: object) -> tuple[Decision, Reason]:
    decision = decide(AUTO, replace(GOOD, audits=audits, **facts))
    (reason,) = [each for each in decision.reasons if each.condition == "audit_pairs"]
    return decision, reason


def test_a_confirmed_gain_merges_by_itself_and_nothing_else_does() -> None:
    decision, reason = decided(Audits(30, (("ann", found(22, 5)),)))
    assert (decision.merge, reason.holds) == ("auto", True)
    assert reason.text == (
        "ann found the winner's output better in 22 of 30 pairs, today's in 5 (p = 0.00076), which confirms"
        " the gain"
    )
    for audits, holds, text in (
        (None, None, "it is unknown whether a reviewer has audited the pairs whose verdict changed"),
        (Audits(30), False, "no reviewer has audited the 30 held-out pairs whose verdict changed"),
        (Audits(4), False, "there are 4 held-out pairs whose verdict changed, and fewer than 5 confirm"),
        (Audits(30, (("ann", found(15, 10)),)), False, "it takes p <= 0.05 to confirm a gain"),
        (Audits(30, (), ("dee's audit does not count: why",)), False, "dee's audit does not count: why"),
    ):
        decision, reason = decided(audits)
        assert (decision.merge, reason.holds) == ("review", holds)
        assert text in reason.text


def test_where_no_judge_decides_nothing_is_audited_and_where_that_is_unknown_nothing_merges() -> None:
    confirmed = Audits(30, (("ann", found(30, 0)),))
    assert decided(None, judge_decides=False)[1].holds is True
    decision, reason = decided(confirmed, judge_decides=None)
    assert (decision.merge, reason.holds) == ("review", None)
    asks_nothing = decide(replace(AUTO, audit_pairs=0), GOOD)
    assert asks_nothing.merge == "auto"
    assert "audit_pairs" not in {each.condition for each in asks_nothing.reasons}


@given(st.lists(st.tuples(COUNTS, COUNTS)), st.integers(0, 40), st.booleans())
def test_it_holds_just_where_somebody_audited_and_all_who_did_confirm(
    sides: list[tuple[int, int]], pairs: int, known: bool
) -> None:
    audits = tuple((f"r{at}", found(*each, pairs=60)) for at, each in enumerate(sides))
    decision, reason = decided(Audits(pairs, audits) if known else None)
    holds = known and pairs >= FEWEST and bool(audits) and all(each.confirms for _, each in audits)
    assert (reason.holds is True) == holds == (decision.merge == "auto")


def test_what_is_not_accepted_tells_nothing_of_its_changed_verdicts() -> None:
    rejected = replace(ACCEPTED, answer="rejected")
    _, reason = decided(Audits(30, (("ann", found(22, 5)),)), comparison=rejected)
    assert "22" not in reason.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("merge: auto\naudit_pairs: 30\n", "policy.yaml:2: audit_pairs: nobody may audit; expected"),
        ("reviewers: [a]\naudit_pairs: 3\n", "policy.yaml:2: audit_pairs: fewer than 5 confirm nothing"),
        ("reviewers: [a]\naudit_pairs: 201\n", "policy.yaml:2: audit_pairs"),
        ("reviewers: [a]\naudit_pairs: true\n", "policy.yaml:2: audit_pairs"),
    ],
)
def test_an_audit_that_could_never_be_made_is_an_error(text: str, message: str) -> None:
    with pytest.raises(MalformedFile) as error:
        read_policy(text.encode(), "policy.yaml")
    assert str(error.value).startswith(message)
