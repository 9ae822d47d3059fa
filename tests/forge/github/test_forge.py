from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runbookopt.documents.settings import ForgeSettings
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.output import GitFailed, PushRefused
from runbookopt.forge.github.credentials import NoToken, address, read_access, web_host
from runbookopt.forge.github.translate import MOST_CHARACTERS, Body
from runbookopt.forge.local import LocalForge
from runbookopt.forge.select import UnknownForge, chosen
from runbookopt.landing.propose import propose
from tests.forge.bench import BRANCH, CHECK, PATH, QUICK, Bench
from tests.github.double import PERMISSIONS, Actor

Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path, first_half: ModuleType) -> Iterator[Make]:
    """Give a maker of a bench; a broken contract fails the test."""
    made: list[Bench] = []

    def bench(policy: str | None = None, **more: str) -> Bench:
        made.append(Bench(tmp_path, first_half, policy, **more))
        return made[-1]

    yield bench
    for each in made:
        each.__exit__(None, None, None)


@pytest.fixture
def bench(make: Make) -> Bench:
    return make()


@pytest.fixture
def reviewed(make: Make, first_half: ModuleType) -> Bench:
    return make(first_half.REVIEW)


# ---- proposing


def test_a_winner_becomes_a_pull_request_with_label_and_reviewers(reviewed: Bench) -> None:
    proposed = reviewed.propose()
    (pull,) = reviewed.github.pulls
    assert proposed.pull_request is not None
    assert (proposed.pull_request.number, proposed.branch) == (pull.number, BRANCH)
    assert proposed.pull_request.url.endswith("/octo/runbooks/pull/1")
    assert (pull.head, pull.base, pull.author) == (BRANCH, "main", "runbookopt[bot]")
    assert (pull.labels, pull.reviewers, pull.auto_merge) == (["runbookopt"], ["bo", "cy"], None)
    assert pull.title.startswith("triage: +0.40 on 50 held-out tasks")
    assert "## What changed, and why" in (pull.body or "")
    assert list(reviewed.github.branches) == ["main", BRANCH]


def test_the_same_again_writes_nothing(reviewed: Bench) -> None:
    bundle = reviewed.bundle()
    reviewed.propose(bundle)
    before = reviewed.written()
    again = reviewed.propose(bundle)
    assert any("proposes this already" in note for note in again.notes)
    later = reviewed.propose(reviewed.bundle(at="2"))
    assert later.pull_request is not None
    assert reviewed.written() == before


def test_a_better_winner_updates_branch_and_text(reviewed: Bench) -> None:
    reviewed.propose(reviewed.bundle(wins=14))
    before = reviewed.github.pull(1).body
    better = reviewed.bundle(reviewed.candidate("atm or cash"), wins=22)
    updated = reviewed.pull(better)
    (pull,) = reviewed.github.pulls
    assert (updated.number, updated.bundle) == (1, better.digest)
    assert pull.head_sha == reviewed.github.branches[BRANCH]
    assert pull.body != before
    assert [event.event for event in pull.events] == ["head_ref_force_pushed"]


def test_a_branch_that_a_person_edited_is_left_alone(bench: Bench) -> None:
    bench.protected()
    bench.propose()
    edited = bench.github.commit(BRANCH, {PATH: "by hand\n"}, by="bo")
    assert bench.github.pull(1).auto_merge is not None
    left = bench.propose(bench.bundle(bench.candidate("cash"), wins=22))
    assert bench.github.branches[BRANCH] == edited
    assert left.pull_request is None
    assert "left alone" in left.decision.reasons[-1].text
    assert bench.github.pull(1).auto_merge is None  # it was to merge as it was before the edit


@pytest.mark.nightly
def test_a_person_who_keeps_our_trailers_has_edited_all_the_same(bench: Bench) -> None:
    bench.propose()
    message = bench.repository.commit(bench.github.branches[BRANCH]).message
    edited = bench.github.commit(BRANCH, {PATH: "by hand\n"}, message, by="bo")
    left = bench.propose(bench.bundle(bench.candidate("cash"), wins=22))
    assert (left.pull_request, bench.github.branches[BRANCH]) == (None, edited)


def test_an_update_says_what_changed_since_it_was_opened_or_reviewed(reviewed: Bench) -> None:
    first, second = reviewed.bundle(wins=14), reviewed.bundle(reviewed.candidate("cash"), wins=18)
    reviewed.propose(first)
    reviewed.propose(second)
    assert f"when it was opened, in bundle `{first.digest}`" in reviewed.github.pulls[0].body
    reviewed.github.approve(1, "bo")
    head = reviewed.github.branches[BRANCH]
    reviewed.propose(reviewed.bundle(reviewed.candidate("atm or cash"), wins=22))
    then = f"when it was last reviewed, at {head[:12]}, in bundle `{second.digest}`"
    assert then in reviewed.github.pulls[0].body


def test_what_a_person_closed_is_not_opened_again_but_something_else_is(reviewed: Bench) -> None:
    reviewed.propose()
    reviewed.github.close(1, "bo")
    reviewed.github.delete_branch(BRANCH)
    again = reviewed.propose(reviewed.bundle(at="2"))
    assert any("was closed: it is not opened again" in note for note in again.notes)
    assert [pull.state for pull in reviewed.github.pulls] == ["closed"]
    reviewed.propose(reviewed.bundle(reviewed.candidate("cash"), wins=22))
    assert [pull.state for pull in reviewed.github.pulls] == ["closed", "open"]


@pytest.mark.nightly
def test_what_a_person_edited_and_closed_is_not_proposed_again(reviewed: Bench) -> None:
    reviewed.propose()
    reviewed.github.commit(BRANCH, {PATH: "by hand\n"}, by="bo")
    reviewed.github.close(1, "bo")
    reviewed.github.delete_branch(BRANCH)
    assert reviewed.propose(reviewed.bundle(at="2")).pull_request is None


def test_a_fork_with_a_branch_of_that_name_is_not_ours(reviewed: Bench) -> None:
    reviewed.github.add_user("dee", "read")
    reviewed.github.commit(BRANCH, {PATH: "theirs\n"}, by="dee", fork="dee")
    reviewed.github.open(BRANCH, "dee", fork="dee")
    assert reviewed.pull().number == 2
    assert reviewed.github.pull(1).title == "Change"


def test_a_pull_request_into_another_branch_is_superseded_with_a_pointer(reviewed: Bench) -> None:
    reviewed.propose()
    old = reviewed.github.pull(1)
    reviewed.github.commit("old", {"more.md": "x\n"})
    old.base = "old"
    assert reviewed.pull().number == 2
    reviewed.propose(reviewed.bundle(at="2"))
    assert [pull.state for pull in reviewed.github.pulls] == ["closed", "open"]
    assert [comment.body.splitlines()[0] for comment in old.comments] == ["Superseded by #2."]
    assert reviewed.pull().number == 2


def test_a_pull_request_of_a_person_for_our_branch_is_taken_up(reviewed: Bench) -> None:
    reviewed.propose()
    first = reviewed.github.pull(1)
    reviewed.github.world.pulls.clear()
    reviewed.github.open(BRANCH, "bo", "By hand")
    taken = reviewed.pull()
    assert (taken.number, taken.title) == (1, first.title)


def test_a_branch_of_ours_that_is_protected_is_a_clear_error(reviewed: Bench) -> None:
    reviewed.propose(reviewed.bundle(wins=14))
    before = reviewed.github.branches[BRANCH]
    reviewed.github.ruleset(branches=[BRANCH], checks=["build"])
    with pytest.raises(PushRefused, match="GH013: Repository rule violations found"):
        reviewed.propose(reviewed.bundle(reviewed.candidate("cash"), wins=22))
    assert reviewed.github.branches[BRANCH] == before


# ---- whom it asks


def test_an_unknown_reviewer_keeps_no_other_from_being_asked(make: Make) -> None:
    bench = make("merge: review\nreviewers: [nobody, bo]\n")
    proposed = bench.propose()
    assert bench.github.pull(1).reviewers == ["bo"]
    told = "the reviewer nobody could not be asked"
    assert any(note.startswith(told) for note in proposed.notes)
    assert told in (bench.github.pull(1).body or "")
    before = bench.written()
    bench.propose()
    assert bench.written() == before


def test_a_team_is_asked_where_the_token_may_read_members(make: Make) -> None:
    bench = make("merge: review\nteams: [leads]\n")
    bench.github.add_team("leads", ["bo"])
    assert (bench.pull().teams, bench.github.pull(1).teams) == (("leads",), ["leads"])
    assert bench.forge.members("leads") == ("bo",)


def test_a_team_that_cannot_be_asked_is_said_and_it_is_proposed_all_the_same(make: Make) -> None:
    bench = make("merge: review\nteams: [leads]\nreviewers: [bo]\n")
    bench.github.add_team("leads", ["bo"])
    weak = bench.github.app_token({key: PERMISSIONS[key] for key in PERMISSIONS if key != "members"})
    proposed = bench.propose(token=weak)
    assert bench.github.pull(1).reviewers == ["bo"]
    assert any(
        "the team leads could not be asked" in note and "members: read" in note for note in proposed.notes
    )
    assert "members: read" in (bench.github.pull(1).body or "")
    assert bench.forge_of(bench.repository, environ={"GITHUB_TOKEN": weak}).members("leads") is None


def test_code_owners_are_asked_by_github_and_not_twice(make: Make) -> None:
    bench = make("merge: review\nreviewers: [bo, cy]\n", **{".github/CODEOWNERS": "* @bo\n"})
    bench.propose()
    (asked,) = (h for h in bench.github.writes if h.path.endswith("/requested_reviewers"))
    assert asked.body == {"reviewers": ["cy"]}
    assert sorted(bench.github.pull(1).reviewers) == ["bo", "cy"]


def test_who_opened_it_is_not_asked(make: Make) -> None:
    bench = make("merge: review\nreviewers: [bo, cy]\n")
    proposed = bench.propose(token=bench.github.token_of("bo"))
    assert bench.github.pull(1).reviewers == ["cy"]
    assert any("bo opened this pull request" in note for note in proposed.notes)


def test_a_label_that_cannot_be_made_is_said(reviewed: Bench) -> None:
    reviewed.github.settings(missing_labels_created=False)
    proposed = reviewed.propose()
    assert any("the label runbookopt was not put on" in note for note in proposed.notes)


def test_the_token_of_actions_is_said_to_start_no_checks(reviewed: Bench) -> None:
    reviewed.github.settings(actions_may_approve=True)
    token = reviewed.github.actions_token()
    proposed = reviewed.propose(token=token)
    assert any("required checks do not start by themselves" in note for note in proposed.notes)
    assert "RUNBOOKOPT_APP_ID" in (reviewed.github.pull(1).body or "")


def test_actions_that_may_not_open_pull_requests_is_a_clear_error_that_can_be_repaired(
    reviewed: Bench,
) -> None:
    with pytest.raises(GitFailed, match="not permitted to create or approve pull requests"):
        reviewed.propose(token=reviewed.github.actions_token())
    assert reviewed.pull().number == 1


# ---- auto-merge


def test_auto_merge_is_bound_to_the_evaluated_commit_with_our_own_words(bench: Bench) -> None:
    bench.protected()
    proposed = bench.propose()
    pull = bench.github.pull(1)
    assert proposed.decision.merge == "auto"
    assert pull.auto_merge is not None
    assert (pull.auto_merge.method, pull.reviewers) == ("SQUASH", [])
    assert (pull.auto_merge.headline or "").endswith("(#1)")
    assert "Runbookopt-Bundle: sha256:" in (pull.auto_merge.body or "")
    (sent,) = (h for h in bench.github.writes if "enablePullRequestAutoMerge" in str(h.body))
    assert sent.body["variables"]["input"]["expectedHeadOid"] == pull.head_sha
    bench.github.check(pull.head_sha, CHECK)
    assert bench.github.pull(1).merged_at is not None


@pytest.mark.parametrize("method", ["merge", pytest.param("rebase", marks=pytest.mark.nightly)])
def test_auto_merge_takes_the_method_of_the_policy(make: Make, first_half: ModuleType, method: str) -> None:
    bench = make(f"{first_half.AUTO}method: {method}\n")
    bench.protected()
    bench.propose()
    wish = bench.github.pull(1).auto_merge
    assert wish is not None
    assert wish.method == method.upper()


def falls_back(bench: Bench, told: str, token: str | None = None, *, asks_again: bool = False) -> None:
    """Hold that it goes to review, with the reason in the result and in the pull request.

    The next run writes nothing, but where it asks for auto-merge again.
    """
    proposed = bench.propose(token=token)
    pull = bench.github.pull(1)
    assert proposed.decision.merge == "review"
    assert any(told in note for note in proposed.notes), proposed.notes
    assert told in (pull.body or "").replace("`", "")
    assert (pull.auto_merge, pull.merged_at, pull.reviewers) == (None, None, ["bo", "cy"])
    before = len(bench.written())
    again = bench.propose(token=token)
    written = {line for line in bench.written()[before:] if not (asks_again and line == "POST /api/graphql")}
    assert (again.decision.merge, written) == ("review", set())


def test_without_protection_it_goes_to_review(bench: Bench) -> None:
    falls_back(bench, "requires no status check")


@pytest.mark.nightly
def test_without_our_check_it_goes_to_review(bench: Bench) -> None:
    bench.protected(checks=["build"])
    falls_back(bench, "does not require the status check")


@pytest.mark.nightly
def test_where_approvals_stand_after_a_push_it_goes_to_review(bench: Bench) -> None:
    bench.protected(dismiss_stale=False)
    falls_back(bench, "lets approvals stand when new commits are pushed")


def test_where_classic_protection_is_not_shown_it_goes_to_review(bench: Bench) -> None:
    bench.github.ruleset(checks=[CHECK], approvals=0, dismiss_stale=True)
    weak = bench.github.app_token({key: PERMISSIONS[key] for key in PERMISSIONS if key != "administration"})
    falls_back(bench, "classic branch protection is not shown to this token", weak)


def test_classic_protection_and_rulesets_add_up(bench: Bench) -> None:
    bench.github.protect(checks=["build"], approvals=1, dismiss_stale=True)
    bench.github.ruleset(checks=[(CHECK, 15368)])
    assert bench.propose().decision.merge == "auto"
    assert bench.github.pull(1).auto_merge is not None


def test_a_clean_status_goes_to_review(bench: Bench) -> None:
    bench.protected()
    bench.github.faults = lambda *_: passed(bench, "success")
    falls_back(bench, "clean status: nothing holds it back", asks_again=True)


def passed(bench: Bench, other: str) -> None:
    """Let our check pass as soon as there is a branch, and another check end so."""
    sha = bench.github.branches.get(BRANCH)
    if sha and not bench.github.world.latest_checks(sha):
        bench.github.check(sha, CHECK)
        bench.github.check(sha, "lint", other)


@pytest.mark.nightly
def test_an_unstable_status_goes_to_review(bench: Bench) -> None:
    bench.protected()
    bench.github.faults = lambda *_: passed(bench, "failure")
    falls_back(bench, "unstable status: only checks that are not required", asks_again=True)


@pytest.mark.parametrize("classic", [False, True], ids=["of a ruleset", "of classic protection"])
def test_a_merge_queue_goes_to_review(bench: Bench, classic: bool) -> None:
    bench.protected(**({"merge_queue": True} if classic else {}))
    if not classic:
        bench.github.ruleset(merge_queue=True)
    falls_back(bench, "merge queue: the branch has a merge queue")


@pytest.mark.parametrize("prefix", ["Pull request ", pytest.param("", marks=pytest.mark.nightly)])
def test_auto_merge_that_the_repository_does_not_allow_goes_to_review(bench: Bench, prefix: str) -> None:
    bench.protected()
    bench.github.settings(allow_auto_merge=False, auto_merge_prefix=prefix)
    falls_back(bench, "not allowed: the repository does not allow auto-merge")


@pytest.mark.nightly
def test_a_merge_method_that_is_not_allowed_goes_to_review(bench: Bench) -> None:
    bench.protected()
    bench.github.settings(allow_squash_merge=False)
    falls_back(bench, "method not allowed:")


def test_a_push_before_auto_merge_is_switched_on_goes_to_review(bench: Bench) -> None:
    bench.protected()

    def pushes(_method: str, path: str, _nth: int) -> None:
        if path == "/api/graphql" and len(bench.github.branches) > 1 and not bench.github.pull(1).events:
            bench.github.commit(BRANCH, {PATH: "by hand\n"}, by="bo")
            bench.github.world.record(bench.github.pull(1), "pushed", "bo")

    bench.github.faults = pushes
    proposed = bench.propose()
    assert any("head moved" in note for note in proposed.notes)
    assert bench.github.pull(1).auto_merge is None


def test_an_update_that_goes_to_review_takes_auto_merge_back_before_it_pushes(bench: Bench) -> None:
    bench.protected()
    bench.propose(bench.bundle(wins=14))
    armed = bench.github.pull(1)
    assert armed.auto_merge is not None
    long = bench.half.RUNBOOK.replace(
        "Otherwise", "".join(f'- If "x{n}", say `x`\n' for n in range(60)) + "- Otherwise"
    )
    heard = len(bench.github.heard)
    proposed = bench.propose(bench.bundle(long.replace("- - ", "- "), wins=22))
    assert proposed.decision.merge == "review"
    assert bench.github.pull(1).auto_merge is None
    wrote = [h for h in bench.github.heard[heard:] if h.writes]
    off = next(n for n, h in enumerate(wrote) if "disablePullRequestAutoMerge" in str(h.body))
    pushes = [n for n, h in enumerate(wrote) if "git-receive-pack" in h.path]
    assert off < pushes[-1]


def test_nothing_is_approved_or_merged_by_us(bench: Bench) -> None:
    bench.protected()
    bench.propose()
    for act in (bench.forge.approve, lambda n: bench.forge.merge(n, "", head="", onto="")):
        with pytest.raises(Refused, match=r"at GitHub: approve|GitHub merges pull request 1 by itself"):
            act(1)
    assert not [line for line in bench.written() if "reviews" in line or line.endswith("/merge")]


# ---- what is read


def test_approvals_and_makers_are_told_of_one_pull_request(reviewed: Bench) -> None:
    reviewed.propose()
    sha = reviewed.github.commit(BRANCH, {PATH: "by hand\n"}, by="cy")
    reviewed.github.approve(1, "bo")
    reviewed.github.request_changes(1, "octo")
    pull = reviewed.forge.get(1)
    assert [(approval.by, approval.head) for approval in pull.approvals] == [("bo", sha)]
    assert pull.objections == ("octo",)
    assert {"cy", "cy@users.noreply.github.com", "ana@example.com"} <= set(pull.makers)
    assert pull.proposed != pull.head
    reviewed.github.request_changes(1, "bo")
    assert reviewed.forge.get(1).approvals == ()


def test_what_protects_a_branch_is_read_as_one(bench: Bench) -> None:
    nothing = bench.forge.protection("main")
    assert (nothing.sources, nothing.unread, nothing.checks, nothing.bypass) == ((), (), (), ())
    bench.github.protect(checks=["build"], approvals=2, code_owners=True, bypass=["bo"], enforce_admins=False)
    number = bench.github.ruleset(checks=[(CHECK, 15368)], approvals=1, bypass=[Actor("Team", 7)])
    found = bench.forge.protection("main")
    assert found.sources == ("classic", f"ruleset {number}")
    assert [(check.name, check.app) for check in found.checks] == [("build", None), (CHECK, 15368)]
    assert (found.approvals, found.code_owners, found.dismisses_stale, found.required()) == (
        2,
        True,
        False,
        True,
    )
    assert (found.bypass, found.bypass_known) == (None, ("@bo", "administrators"))
    admin = bench.github.app_token({**PERMISSIONS, "administration": "write"})
    told = bench.forge_of(bench.repository, environ={"GITHUB_TOKEN": admin}).protection("main")
    assert told.bypass == ("@bo", "administrators", "Team 7")


def test_what_is_not_shown_is_unknown_and_not_absent(bench: Bench) -> None:
    bench.protected()
    for token in (bench.github.actions_token(), bench.github.token_of("bo")):
        found = bench.forge_of(bench.repository, environ={"GITHUB_TOKEN": token}).protection("main")
        assert found.unread
        assert (found.required(), found.dismisses_stale, found.approvals, found.bypass) == (None,) * 4


# ---- which forge, in whose name


def test_the_forge_is_found_from_origin(bench: Bench) -> None:
    with pytest.raises(UnknownForge, match="where do pull requests live"):
        bench.forge_of(bench.repository, environ={"GITHUB_API_URL": ""})
    local = chosen(ForgeSettings(kind="local"), bench.repository, bench.environ(), QUICK)
    assert isinstance(local, LocalForge)


def test_without_a_token_nothing_is_asked(bench: Bench) -> None:
    with pytest.raises(NoToken, match="set GITHUB_TOKEN or GH_TOKEN, or RUNBOOKOPT_APP_ID"):
        chosen(ForgeSettings(), bench.repository, {"GITHUB_API_URL": bench.github.api_url})


def test_a_repository_that_is_not_origin_is_refused(bench: Bench) -> None:
    with pytest.raises(RunbookoptError, match="make them the same"):
        chosen(ForgeSettings(repository="octo/other"), bench.repository, bench.environ())


def test_an_app_proposes_with_its_key_from_a_file(reviewed: Bench, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(reviewed.github.app_key())
    environ = {"RUNBOOKOPT_APP_ID": str(reviewed.github.app_id), "RUNBOOKOPT_APP_PRIVATE_KEY_FILE": str(key)}
    forge = reviewed.forge_of(reviewed.repository, environ={**environ, "GITHUB_TOKEN": ""})
    assert propose(reviewed.repository, forge, reviewed.bundle()).pull_request is not None
    assert reviewed.github.pull(1).author == "runbookopt[bot]"


@pytest.mark.parametrize(
    ("remote", "found"),
    [
        ("https://github.com/octo/runbooks.git", ("github.com", "octo/runbooks")),
        ("git@github.com:octo/runbooks.git", ("github.com", "octo/runbooks")),
        ("ssh://git@ssh.github.com:443/octo/runbooks.git", ("github.com", "octo/runbooks")),
        ("https://ghe.example:8443/octo/runbooks", ("ghe.example:8443", "octo/runbooks")),
        ("/srv/git/octo/runbooks.git", None),
        ("file:///srv/git/octo/runbooks.git", None),
        ("https://github.com/octo/runbooks/extra", None),
        (None, None),
    ],
)
def test_addresses_of_remotes_are_read(remote: str | None, found: tuple[str, str] | None) -> None:
    read = address(remote)
    assert (None if read is None else (read.host, read.name)) == found


@pytest.mark.parametrize(
    ("api", "host"),
    [
        ("https://api.github.com", "github.com"),
        ("https://ghe.example/api/v3", "ghe.example"),
        ("https://api.octo.ghe.com", "octo.ghe.com"),
        ("https://api.example/api/v3", "api.example"),
    ],
)
def test_the_pages_of_an_api_are_known(api: str, host: str) -> None:
    assert web_host(api) == host


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "no token for GitHub"),
        ({"GITHUB_TOKEN": "two words"}, "holds no token"),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "http://ghe.example/api/v3"}, "is not https"),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "https://a:b@ghe.example"}, "without a password"),
        ({"RUNBOOKOPT_APP_ID": "1"}, "set RUNBOOKOPT_APP_PRIVATE_KEY_FILE"),
        ({"RUNBOOKOPT_APP_ID": "1", "RUNBOOKOPT_APP_PRIVATE_KEY_FILE": "/nowhere"}, "No such file"),
        ({"RUNBOOKOPT_APP_ID": "1", "RUNBOOKOPT_APP_PRIVATE_KEY_FILE": __file__}, "holds no private key"),
    ],
)
def test_what_lets_nobody_in_is_said(environ: dict[str, str], told: str) -> None:
    with pytest.raises(RunbookoptError, match=told):
        read_access(environ)


def test_a_body_stays_within_the_limit_and_keeps_what_we_say() -> None:
    body = Body("```text\n" + "x" * 99 + ("\n" + "y" * 99) * 700, ("a note",)).text("<!-- last -->")
    assert len(body) <= MOST_CHARACTERS
    assert body.count("```") == 2
    assert body.endswith("## On GitHub\n\n- a note\n\n<!-- last -->\n")
    assert "Cut here: the rest is in the bundle." in body
