from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile
from runbookopt.forge.protocol import Approval, PullRequest
from runbookopt.guard.kinds import Introduced
from runbookopt.landing.approvals import Permission, may_merge
from runbookopt.project.policy import AutoMergeIf, Decision, Facts, Policy, decide, read_policy
from runbookopt.proof.comparison import Comparison, Terms

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
)
AUTO = Policy(merge="auto", reviewers=("ann", "bob"), approvals=2)
REVIEW = Policy(reviewers=("ann", "bob"))
HEAD = "a" * 40
PULL = PullRequest(
    number=1, url="", title="", body="", branch="", base="", head=HEAD, proposed=HEAD, author="bot",
    makers=(), state="open", reviewers=(), auto_merge=False, approvals=(), bundle="",
)  # fmt: skip


def asked(
    policy: Policy, decision: Decision, approvals: Sequence[Approval], makers: Sequence[str] = ("bot",)
) -> Permission:
    """Ask whether it may be merged; the first of `makers` opened it."""
    pull = replace(PULL, author=makers[0], makers=tuple(makers), approvals=tuple(approvals))
    return may_merge(policy, decision, pull, {})


def reason(decision: Decision, condition: str) -> Any:  # noqa: ANN401
    (found,) = [reason for reason in decision.reasons if reason.condition == condition]
    return found


def test_a_missing_key_has_the_value_of_the_documentation() -> None:
    policy = read_policy(b"reviewers: [octocat]\n", "policy.yaml")
    assert policy == Policy("review", ("octocat",))
    wanted = policy.auto_merge_if
    assert (wanted.gain_at_least, wanted.changed_lines_at_most, wanted.growth_at_most) == (0.02, 40, 0.20)
    assert (policy.approvals, policy.proof, policy.method, policy.teams) == (1, Terms(), "squash", ())
    assert (wanted.calibrated, wanted.trust_at_least) == (True, "internal")
    assert wanted.introduces_none_of == get_args(Introduced)


def test_no_file_is_an_undeclared_policy_that_never_merges_by_itself() -> None:
    policy = read_policy(None, "policy.yaml")
    decision = decide(policy, GOOD)
    assert not policy.declared
    assert decision.merge == "review"
    assert "no policy is declared" in reason(decision, "declared").text
    assert not asked(policy, decision, [Approval("ann", HEAD, "")]).granted


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("approvals: 1\nmerge: review\n", 2),
        ("# merge: by hand\n'merge': review\nreviewers: []\n", 2),
        ("{merge: review}", 1),
    ],
)
def test_review_without_reviewers_is_an_error_with_its_line(text: str, line: int) -> None:
    with pytest.raises(MalformedFile, match=f"^policy.yaml:{line}: merge: review needs reviewers"):
        read_policy(text.encode(), "policy.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reviewers: [ann, Ann]\napprovals: 2\n", "policy.yaml:2: approvals: 2 can never be met by 1"),
        ("merge: auto\napprovals: 0\n", "policy.yaml:2: approvals"),
        ("merge: auto\nlimits: {per_day: -1}\n", "policy.yaml:2: limits.per_day: expected"),
        ("merge: auto\nlimits: {per_week: 1}\n", "policy.yaml:2: limits: unknown key 'per_week'"),
        ("merge: always\n", "policy.yaml:1: merge"),
        ("merge: auto\nteams: ['@leads']\n", "policy.yaml:2: teams[0]: expected a team as in its"),
        ("merge: auto\nteams: [a/b/c]\n", "policy.yaml:2: teams[0]: expected a team as in its"),
        ("merge: auto\nauto_merge_if:\n  introduces_none_of: [colours]\n", "policy.yaml:3: auto_merge_if"),
        (
            "merge: auto\nauto_merge_if:\n  forms: [same_shape]\n",
            "policy.yaml:3: auto_merge_if.forms: expected",
        ),
        (
            "merge: auto\nauto_merge_if:\n  forms: [any]\n",
            "policy.yaml:3: auto_merge_if.forms: expected `any`",
        ),
        (
            "merge: auto\nauto_merge_if:\n  forms: ['- (a']\n",
            "policy.yaml:3: auto_merge_if.forms: expected a",
        ),
        ("merge: auto\nauto_merge_if:\n  forms: some\n", "policy.yaml:3: auto_merge_if.forms: expected"),
        ("merge: auto\nauto_merge_if:\n  forms: 3\n", "policy.yaml:3: auto_merge_if.forms: expected"),
        ("merge: auto\nauto_merge_if: {growth_at_most: -1}\n", "policy.yaml:2: auto_merge_if"),
        ("reviewers: ['@ann']\n", "policy.yaml:1: reviewers[0]: expected a login, without @"),
        ("merge: auto\nmethod: fast-forward\n", "policy.yaml:2: method: expected"),
    ],
)
def test_a_policy_that_cannot_mean_anything_is_an_error(text: str, message: str) -> None:
    with pytest.raises(MalformedFile) as error:
        read_policy(text.encode(), "policy.yaml")
    assert str(error.value).startswith(message)


def test_a_change_merges_by_itself_when_every_condition_holds() -> None:
    decision = decide(AUTO, GOOD)
    assert decision.merge == "auto"
    assert all(reason.holds for reason in decision.reasons)
    assert {"gain_at_least", "calibrated", "ledger", "passing_today"} <= {
        r.condition for r in decision.reasons
    }


BROKEN: list[tuple[str, bool | None, dict[str, Any]]] = [
    ("gain_at_least", False, {"comparison": replace(ACCEPTED, low=0.019)}),
    ("gain_at_least", False, {"comparison": replace(ACCEPTED, low=float("nan"))}),
    ("changed_lines_at_most", False, {"changed_lines": 41}),
    ("changed_lines_at_most", None, {"changed_lines": None}),
    ("growth_at_most", False, {"growth": 0.21}),
    ("growth_at_most", None, {"growth": None}),
    ("calibrated", False, {"uncalibrated": ("tone",)}),
    ("calibrated", None, {"uncalibrated": None}),
    ("trust_at_least", False, {"trust": "partner"}),
    ("trust_at_least", None, {"trust": None}),
    ("introduces_none_of", False, {"introduced": {"urls": ("https://a.example (line 3)",)}}),
    ("introduces_none_of", None, {"introduced": None}),
    ("forms", False, {"formless": ("line 3 (- Be kind.): prose",)}),
    ("forms", None, {"formless": None}),
    ("passing_today", False, {"comparison": replace(ACCEPTED, passing_today=19)}),
    ("ledger", False, {"ledger_notes": ("a looked-at task has vanished",)}),
]


@pytest.mark.parametrize(("condition", "holds", "fact"), BROKEN, ids=range(len(BROKEN)))
def test_one_condition_that_fails_or_is_unknown_sends_the_change_to_review(
    condition: str, holds: bool | None, fact: dict[str, Any]
) -> None:
    decision = decide(AUTO, replace(GOOD, **fact))
    assert decision.merge == "review"
    assert reason(decision, condition).holds is holds
    assert [r.condition for r in decision.reasons if not r.holds] == [condition]


@pytest.mark.parametrize("answer", ["rejected", "inconclusive", None])
def test_what_the_proof_did_not_accept_goes_nowhere(answer: Any) -> None:  # noqa: ANN401
    comparison = None if answer is None else replace(ACCEPTED, answer=answer)
    decision = decide(AUTO, replace(GOOD, comparison=comparison))
    everybody = [Approval("ann", HEAD, ""), Approval("bob", HEAD, "")]
    assert decision.merge == "none"
    assert not reason(decision, "accepted").holds
    assert not asked(AUTO, decision, everybody).granted


def test_a_policy_may_ask_for_less() -> None:
    wanted = AutoMergeIf(calibrated=False, trust_at_least="public", introduces_none_of=("urls",))
    facts = replace(
        GOOD, uncalibrated=None, trust="public", introduced={"commands": ("sudo (line 1)",), "urls": ()}
    )
    assert decide(replace(AUTO, auto_merge_if=wanted), facts).merge == "auto"


def test_what_forms_a_policy_allows_is_read_and_told() -> None:
    def read(forms: str) -> AutoMergeIf:
        return read_policy(
            f"merge: auto\nauto_merge_if: {{forms: {forms}}}\n".encode(), "p.yaml"
        ).auto_merge_if

    assert AutoMergeIf().forms == ("same-shape",)
    assert read("[same-shape, '- \"[a-z]+\" is `x`']").own_forms == ('- "[a-z]+" is `x`',)
    anything = replace(AUTO, auto_merge_if=read("any"))
    facts = replace(GOOD, formless=("line 3 (- Be kind.): prose",))
    assert decide(anything, facts).merge == "auto"
    assert "lines of any form" in reason(decide(anything, facts), "forms").text
    assert reason(decide(AUTO, replace(GOOD, formless=("a", "b", "c"))), "forms").text == (
        "3 changed lines have no form that the policy allows: a; b; and 1 more"
    )


def test_what_rules_lose_counts_only_where_no_form_is_asked_of_lines() -> None:
    facts = replace(GOOD, introduced={"sorting": ("\"stolen\" is no longer for 'card-lost'",)})
    assert decide(AUTO, facts).merge == "auto"
    assert decide(replace(AUTO, auto_merge_if=AutoMergeIf(forms="any")), facts).merge == "review"


def test_a_policy_that_asks_for_review_gets_it_whatever_the_facts() -> None:
    decision = decide(REVIEW, GOOD)
    assert decision.merge == "review"
    assert reason(decision, "merge").text == "the policy asks for review: 1 approval(s) of ann, bob"


OTHERS_ADDRESS = (
    "it was given as bob, who committed or pushed to the branch: set your own git config user.email and"
    " approve again"
)


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        (Approval("Bot", HEAD, ""), "the author cannot approve"),
        (
            Approval("ann", HEAD, "", "bob"),
            OTHERS_ADDRESS,
        ),
        (Approval("BOB", HEAD, ""), "who committed or pushed to the branch cannot approve"),
        (Approval("eve", HEAD, ""), "the policy does not list this person as a reviewer"),
        (Approval("ann", "b" * 40, ""), f"it was given for {'b' * 12}, and the branch is at {'a' * 12} now"),
    ],
    ids=["author", "address", "pusher", "unlisted", "before a push"],
)
def test_an_approval_that_does_not_count_says_why(approval: Approval, why: str) -> None:
    policy = Policy(reviewers=("ann", "bob", "bot"))
    permission = asked(policy, decide(policy, GOOD), [approval], ["bot", "bob"])
    assert not permission.granted
    assert f"the approval of {approval.by} does not count: {why}" in [r.text for r in permission.reasons]


def test_enough_approvals_of_different_reviewers_let_a_change_in() -> None:
    policy = Policy(reviewers=("ann", "bob"), approvals=2)
    twice, both = (
        [Approval("ann", HEAD, ""), Approval("Ann", HEAD, "")],
        [
            Approval("ann", HEAD, ""),
            Approval("bob", HEAD, ""),
        ],
    )
    decision = decide(policy, GOOD)
    assert not asked(policy, decision, twice).granted
    assert asked(policy, decision, both).granted


def test_one_address_counts_once_whatever_the_logins() -> None:
    policy = Policy(reviewers=("ann", "bob"), approvals=2)
    same = [Approval("ann", HEAD, "", "one@x.example"), Approval("bob", HEAD, "", "One@x.example")]
    own = [*same, Approval("ann", HEAD, "", "ann@x.example"), same[1]]
    decision = decide(policy, GOOD)
    refused, granted = (asked(policy, decision, given) for given in (same, own))
    assert (refused.granted, granted.granted) == (False, True)
    assert refused.reasons[-1].text.startswith(
        "the approval of bob does not count: it was given as One@x.example, which counts once, for ann"
    )


def test_what_merges_by_itself_needs_no_approval() -> None:
    assert asked(AUTO, decide(AUTO, GOOD), []).granted


def test_what_is_granted_while_a_team_is_unknown_is_granted_whoever_they_turn_out_to_be() -> None:
    for members, objects, approves in product(
        ([], ["cy"], ["cy", "dee"]), *[[(), ("ann",), ("cy",), ("cy", "ann")]] * 2
    ):
        policy = Policy(reviewers=("ann",), teams=("leads",))
        approvals = tuple(Approval(who, HEAD, "") for who in approves)
        pull = replace(PULL, approvals=approvals, objections=objects)
        decision = decide(policy, GOOD)
        unknown = may_merge(policy, decision, pull, {"leads": None})
        known = may_merge(policy, decision, pull, {"leads": members})
        assert known.granted or not unknown.granted


PEOPLE = st.sampled_from(["ann", "bob", "cy", "bot", "eve"])
APPROVALS = st.builds(
    Approval,
    by=PEOPLE,
    head=st.sampled_from([HEAD, "b" * 40]),
    at=st.just(""),
    email=st.sampled_from(["", "", "1@x", "2@x"]),
)


@given(
    st.lists(APPROVALS, max_size=6),
    APPROVALS,
    st.lists(PEOPLE, unique=True),
    st.integers(1, 3),
    st.sampled_from(["auto", "review", "none"]),
    st.lists(PEOPLE, min_size=1, max_size=3),
)
def test_one_more_approval_never_turns_yes_to_no(
    approvals: list[Approval],
    more: Approval,
    reviewers: list[str],
    needed: int,
    merge: Any,  # noqa: ANN401
    makers: list[str],
) -> None:
    policy, decision = Policy("auto", tuple(reviewers), needed), Decision(merge, ())
    before, after = (asked(policy, decision, given, makers) for given in (approvals, [*approvals, more]))
    assert after.granted or not before.granted
    valid = [a for a in approvals if a.head == HEAD and a.by in set(reviewers) - set(makers)]
    logins, addresses = {a.by for a in valid}, {a.email or a.by for a in valid}
    enough = min(len(logins), len(addresses)) >= needed
    assert merge == "auto" or not before.granted or (merge == "review" and enough)
    if not any(a.email for a in valid):
        assert before.granted == (merge == "auto" or (merge == "review" and enough))


@pytest.mark.parametrize(
    ("asked", "shared", "holds"),
    [
        ("model", "model", False),
        ("model", "family", True),
        ("model", None, True),
        ("family", "family", False),
        ("family", "none", True),
        ("family", None, None),
    ],
)
def test_a_policy_may_ask_for_a_judge_of_another_model_or_family(
    asked: Literal["model", "family"],
    shared: Literal["model", "family", "none"] | None,
    holds: bool | None,
) -> None:
    policy = Policy(merge="auto", auto_merge_if=AutoMergeIf(judge_apart=asked))
    reasons = decide(policy, replace(GOOD, judge_kin=shared)).reasons
    assert [each.holds for each in reasons if each.condition == "judge_apart"] == [holds]
