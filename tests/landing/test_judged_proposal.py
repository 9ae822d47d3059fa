from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from runbookopt.documents.finding import Finding
from runbookopt.errors import Refused
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.bundle import Beside, Bundle, seal
from runbookopt.landing.propose import Proposed, propose

if TYPE_CHECKING:
    from tests.conftest import Clone

RUBRIC = """judge: {model: openai/gpt-5-mini, allow_self_judge: true}
criteria:
  - {id: right-queue, check: {kind: equals, path: $.queue, reference: $.queue}}
  - {id: kind, judge: Is it kind}
"""
KIND = {"kind": Finding("pass")}
Land = Callable[..., Proposed]


@pytest.fixture
def land(repo: Callable[..., "Clone"], first_half: ModuleType) -> Land:
    """Give a maker of proposals whose held-out outputs were judged."""

    def make(
        judged: dict[str, Finding] = KIND, change: Callable[[Bundle], Bundle] = lambda bundle: bundle
    ) -> Proposed:
        clone = repo(first_half.files(**{"runbooks/triage/rubric.yaml": RUBRIC}))
        with Repository.open(clone.root) as repository:
            bundle = change(first_half.FirstHalf(repository, judged=judged)())
            return propose(repository, LocalForge(repository), seal(bundle))

    return make


def test_what_a_judge_decides_is_proposed_and_goes_to_review_and_says_why(land: Land) -> None:
    proposed = land(change=lambda bundle: replace(bundle, models=("agent: gpt-5-mini",)))
    assert (proposed.outcome, proposed.decision.merge) == ("accepted", "review")
    against = [reason for reason in proposed.decision.reasons if reason.holds is not True]
    assert [(reason.condition, reason.text.partition(": ")[2]) for reason in against] == [
        ("calibrated", "kind (by a judge that nobody has held against labels)")
    ]
    pull = proposed.pull_request
    assert pull is not None
    assert "- 1 criterion is judged by `openai/gpt-5-mini`: `kind`." in pull.body
    assert "- It judged its own work, as the rubric allows: " in pull.body


def test_verdicts_that_are_not_there_count_against_the_winner(land: Land) -> None:
    proposed = land(judged={})
    assert proposed.comparison is not None
    assert (proposed.outcome, proposed.comparison.errors) == ("inconclusive", 1.0)
    assert proposed.pull_request is None


def claimed(bundle: Bundle, **judged: Finding) -> Bundle:
    first, *others = bundle.outputs
    found = replace(first, beside_after=(Beside(judged),))
    return replace(bundle, outputs=(found, *others))


def test_a_verdict_on_what_a_check_decides_is_refused(land: Land) -> None:
    verdicts = {**KIND, "right-queue": Finding("pass")}
    with pytest.raises(Refused, match="stated on what neither a judge nor a program decides: right-queue"):
        land(change=lambda bundle: claimed(bundle, **verdicts))


def test_verdicts_that_do_not_make_the_stated_scores_are_refused(land: Land) -> None:
    with pytest.raises(Refused, match="after is another by the outputs than is stated"):
        land(change=lambda bundle: claimed(bundle, kind=Finding("fail", "It is not.")))
