"""Every reason of a change at GitHub, where the branch's protection is one of them."""

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from runbookopt.documents.settings import ForgeSettings
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.client import Patience
from runbookopt.forge.protection import OUR_CHECK
from runbookopt.forge.protocol import Forge
from runbookopt.forge.select import chosen
from runbookopt.landing.explain import explain_bundle, explain_pull_request, explain_runbook
from runbookopt.landing.propose import propose
from tests.github.double import PERMISSIONS, Github

QUICK = Patience(for_limits=1, pauses=(0.0, 0.0), between=(0, 0))
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def at_github(github: Github, repository: Repository, token: str | None = None) -> Forge:
    environ = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": token or github.token}
    return chosen(ForgeSettings(), repository, environ, QUICK)


@pytest.fixture
def github(tmp_path: Path, first_half: ModuleType) -> Github:
    return Github(tmp_path, first_half.files(first_half.AUTO))


def test_what_protects_the_branch_is_a_reason_for_and_against(
    github: Github, first_half: ModuleType, tmp_path: Path
) -> None:
    with github, Repository.open(github.clone(tmp_path / "clone")) as repository:
        forge = at_github(github, repository)
        bundle = first_half.FirstHalf(repository)()
        unprotected = explain_bundle(repository, forge, bundle, NOW)
        github.protect(checks=[OUR_CHECK], dismiss_stale=True, approvals=0)
        protected = explain_bundle(repository, forge, bundle, NOW)
        less = {key: value for key, value in PERMISSIONS.items() if key != "administration"}
        blind = explain_bundle(repository, at_github(github, repository, github.app_token(less)), bundle, NOW)
    told = [each.reasons[-1].told for each in (unprotected, protected, blind)]
    assert unprotected.reasons[-2].told.startswith("no: main requires no status check")
    assert told[0] == "no: main lets approvals stand when new commits are pushed"
    assert told[1] == "yes: main requires our check and dismisses stale approvals"
    assert told[2].startswith("unknown: what protects main is not known: classic branch protection")
    assert not [heard for heard in github.writes if "git-receive-pack" not in heard.line]


def test_an_open_pull_request_is_explained_with_its_reviews_and_counts_against_no_limit(
    github: Github, first_half: ModuleType, tmp_path: Path
) -> None:
    github.add_user("bo")
    with github, Repository.open(github.clone(tmp_path / "clone")) as repository:
        forge = at_github(github, repository)
        bundle = first_half.FirstHalf(repository)()
        propose(repository, forge, bundle)
        github.request_changes(1, "bo")
        again, found = (
            explain_bundle(repository, forge, bundle, NOW),
            explain_runbook(repository, forge, "triage", NOW),
        )
        assert found == explain_pull_request(repository, forge, 1)
        github.close(1, "bo")
        closed = explain_runbook(repository, forge, "triage", datetime.now(UTC))
    assert not any(reason.condition.startswith("limits") for reason in again.reasons)
    assert (found.about, found.merge, found.granted) == ("pull request 1", "auto", False)
    assert "no: bo asked for changes: settle it, and let bo approve or take it back" in [
        reason.told for reason in found.reasons
    ]
    limits = {reason.condition: reason.holds for reason in closed.reasons if "limits" in reason.condition}
    assert limits == {
        "limits.open_pull_requests": True,
        "limits.per_day": False,
        "limits.cooldown_hours": False,
    }
