"""The truth table of the merge policy (policy_cases.yaml), on the local forge and on GitHub alike.

Cases have pull requests of their own, in real git here and at the double of GitHub there: what the forge
tells of them is what the policy judges.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from msgspec import convert
from msgspec.structs import replace

from runbookopt.documents.settings import ForgeSettings
from runbookopt.errors import Refused
from runbookopt.forge.git.output import RefUpdate
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.client import Patience
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protocol import Draft, Forge
from runbookopt.forge.select import chosen
from runbookopt.landing.approvals import may_merge
from runbookopt.landing.merge import judge
from runbookopt.landing.propose import propose
from runbookopt.landing.rate_limits import limited
from runbookopt.project.policy import AutoMergeIf, Facts, Limits, Reason, decide, read_policy
from runbookopt.proof.comparison import Comparison
from tests import first_half as half
from tests.conftest import Clone, new_clone
from tests.github.double import Github

TABLE = yaml.safe_load(Path(__file__).with_name("policy_cases.yaml").read_text())
CASES, BRANCHES, LIMITS = TABLE["cases"], TABLE["branches"], TABLE["limits"]
PEOPLE = ("ana", "bo", "cy", "dee", "eve")
PATH = "runbooks/triage/RUNBOOK.md"
QUICK = Patience(for_limits=1, pauses=(0.0, 0.0), between=(0, 0))
ACCEPTED = Comparison(
    tasks=60, groups=60, before=0.4, after=0.7, gain=0.3, low=0.21, high=0.4, p=0.001, answer="accepted",
    reasons=(), objectives={}, tasks_needed=None, passing_today=24, errors=0.0,
)  # fmt: skip
GOOD = Facts(
    ACCEPTED, changed_lines=12, growth=0.1, introduced={}, formless=(), uncalibrated=(), trust="internal"
)
WORDS = {True: True, False: False, "unknown": None}


NEVER_UNKNOWN = {"accepted", "declared", "merge", "ledger", "leave_one_source_out"}


class World(Protocol):
    """Somewhere pull requests live, and people do things to them."""

    name: str
    forge: Forge
    repository: Repository
    clone: Clone
    numbers: dict[tuple[str, ...], int]

    def close(self) -> None: ...

    def act(self, who: str, what: str, number: int) -> None: ...

    def push(self, who: str, branch: str, files: Mapping[str, str | None]) -> None: ...


class Local:
    """A bare origin, and everybody's clone of it."""

    name = "local"

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        first = new_clone(folder, files)
        self.clones = {login: first.again(login, login) for login in PEOPLE}
        self.repositories = {login: Repository.open(clone.root) for login, clone in self.clones.items()}
        self.forges = {login: LocalForge(each) for login, each in self.repositories.items()}
        self.repository, self.forge = self.repositories["ana"], self.forges["ana"]
        self.clone = self.clones["ana"]
        self.numbers: dict[tuple[str, ...], int] = {}

    def close(self) -> None:
        for repository in self.repositories.values():
            repository.close()

    def act(self, who: str, what: str, number: int) -> None:
        forge = self.forges[who]
        if what == "approves":
            forge.approve(number)
        elif what == "pushes":
            self.push(who, forge.get(number).branch, {PATH: f"{who} was here\n"})
        elif what == "closes":
            forge.close(number)
        else:
            forge.merge(number, "Merge it", head=forge.get(number).head, onto=self.repositories[who].base())

    def push(self, who: str, branch: str, files: Mapping[str, str | None]) -> None:
        clone: Clone = self.clones[who]
        clone.git("fetch", "-q")
        clone.git("checkout", "-q", "-B", "mine", f"origin/{branch}")
        for path in [path for path, text in files.items() if text is None]:
            (clone.root / path).unlink()
        clone.commit({path: text for path, text in files.items() if text is not None}, push=False)
        clone.git("push", "-q", "origin", f"mine:{branch}")


class AtGithub:
    """The double of GitHub, and a clone of ana's."""

    name = "github"

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.github = Github(folder, files)
        tokens = {login: self.github.add_user(login) for login in PEOPLE}
        self.github.add_team("leads", ["bo", "cy"])
        self.clone = Clone(self.github.clone(folder / "clone"), self.github.origin)
        self.clone.is_used_by("ana")
        self.numbers: dict[tuple[str, ...], int] = {}
        self.repository = Repository.open(self.clone.root)
        environ = {"GITHUB_API_URL": self.github.api_url, "GITHUB_TOKEN": tokens["ana"]}
        self.forge = chosen(ForgeSettings(), self.repository, environ, QUICK)

    def close(self) -> None:
        self.repository.close()
        self.github.__exit__(None, None, None)

    def act(self, who: str, what: str, number: int) -> None:
        pull = self.github.pull(number)
        if what == "approves" and who == pull.author:
            with pytest.raises(Exception, match="Unprocessable Entity"):
                self.github.approve(number, who)
        elif what == "approves":
            self.github.approve(number, who)
        elif what == "objects":
            self.github.request_changes(number, who)
        elif what == "pushes":
            self.push(who, pull.head, {PATH: f"{who} was here\n"})
        elif what == "closes":
            self.github.close(number, who)
        else:
            self.github.merge(number, who, "squash")

    def push(self, who: str, branch: str, files: Mapping[str, str | None]) -> None:
        self.github.commit(branch, files, by=who)


Kind = type[Local] | type[AtGithub]
FORGES: dict[str, Kind] = {"local": Local, "github": AtGithub}


@pytest.fixture(scope="module", params=FORGES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    kind = FORGES[request.param]
    made = kind(tmp_path_factory.mktemp("table"), {PATH: "# Triage\n"})
    yield made
    made.close()


def opened(world: World, branch: str) -> int:
    """Let ana open a pull request, and give its number."""
    base = world.repository.base()
    tree = world.repository.write_tree({PATH: f"{branch} {len(branch)}\n".encode()}, onto=base)
    head = world.repository.write_commit(tree, [base], f"Improve {branch}\n")
    ref = f"refs/heads/{branch}"
    left = world.repository.origin.refs(ref).get(ref)
    if left is not None:  # of a closed one: as when a person tidies up
        world.repository.origin.push(RefUpdate(ref, left, None))
    draft = Draft(
        branch=branch,
        base="main",
        head=head,
        title="Better",
        body="Why",
        reviewers=(),
        auto_merge=False,
        bundle="",
    )
    return world.forge.open(draft, replaces=None).number


def on(world: World, told: object) -> Any:  # noqa: ANN401 - as it stands in the table
    """Give what is expected on this forge."""
    return told[world.name] if isinstance(told, dict) and told.keys() == FORGES.keys() else told


def facts_of(changed: Mapping[str, Any]) -> Facts:
    comparison = ACCEPTED if changed.get("comparison", 1) is not None else None
    if comparison is not None:
        of_proof = {key: value for key, value in changed.items() if key in Comparison.__struct_fields__}
        comparison = replace(comparison, **of_proof)
    rest = {key: value for key, value in changed.items() if key in Facts.__struct_fields__}
    return replace(GOOD, **{**rest, "comparison": comparison})


def must_say(reasons: Sequence[Reason], wanted: Mapping[str, object], world: World) -> None:
    for condition, word in wanted.items():
        found = {reason.holds for reason in reasons if reason.condition == condition}
        assert found == {WORDS[on(world, word)]}, (condition, [reason.told for reason in reasons])


def test_the_table_is_whole() -> None:
    assert len(CASES) + len(BRANCHES) + len(LIMITS) >= 60
    names = [case["name"] for case in (*CASES, *BRANCHES, *LIMITS)]
    assert len(names) == len(set(names))
    cited = {case["source"] for case in (*CASES, *BRANCHES, *LIMITS) if "source" in case}
    assert cited <= TABLE["sources"].keys()


def test_each_condition_is_tried_true_and_false_and_unknown_where_it_can_be() -> None:
    tried: dict[str, set[object]] = {}
    for case in CASES:
        for condition, word in case.get("reasons", {}).items():
            tried.setdefault(condition, set()).add(word if isinstance(word, bool | str) else None)
    conditions = {reason.condition for reason in decide(read_policy(None, ""), GOOD).reasons}
    assert conditions >= {*AutoMergeIf.__struct_fields__}
    for condition in conditions:
        wanted = {True, False} if condition in NEVER_UNKNOWN else {True, False, "unknown"}
        assert tried[condition] >= wanted, condition


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_policy_says_what_the_table_says(world: World, case: dict[str, Any]) -> None:
    if case.get("only", world.name) != world.name:
        pytest.skip("git has no word for an objection")
    declared = case.get("policy", {"merge": "auto"})
    policy = read_policy(None if declared is None else json.dumps(declared).encode(), "policy.yaml")
    decision = decide(policy, facts_of(case.get("facts", {})))
    number = happened(world, tuple(case.get("events", ())))
    members = {team: world.forge.members(team) for team in policy.teams}
    permission = may_merge(policy, decision, world.forge.get(number), members)
    assert decision.merge == case["merge"]
    assert permission.granted is on(world, case["granted"]), [reason.told for reason in permission.reasons]
    must_say(permission.reasons, case.get("reasons", {}), world)
    assert any(on(world, case.get("says", "")) in reason.text for reason in permission.reasons)


def happened(world: World, events: tuple[str, ...]) -> int:
    """Give a pull request to which just this happened; cases to which the same happened share one."""
    if events not in world.numbers:
        number = world.numbers[events] = opened(world, f"runbookopt/case-{len(world.numbers)}")
        for event in events:
            who, what = event.split()
            world.act(who, what, number)
    return world.numbers[events]


# ---- how often


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: case["name"])
def test_the_limits_say_what_the_table_says(world: World, case: dict[str, Any]) -> None:
    branch = f"runbookopt/limits-{LIMITS.index(case)}"
    number = 0
    for event in case["events"]:
        if event == "opened":
            number = opened(world, branch)
        else:
            world.act("bo", {"closed": "closes", "merged": "merges"}[event], number)
    now = datetime.now(UTC) + timedelta(hours=case["hours"])
    reasons = limited(convert(case["limits"], Limits), world.forge.pull_requests(branch), now)
    told = {reason.condition.removeprefix("limits."): reason.holds for reason in reasons}
    assert told == {condition: WORDS[word] for condition, word in case["reasons"].items()}


def test_a_time_that_is_not_told_makes_a_limit_unknown(world: World) -> None:
    (pull,) = world.forge.pull_requests("runbookopt/limits-2") or [
        world.forge.get(opened(world, "runbookopt/x"))
    ]
    untold = [replace(pull, state="closed", opened_at="", closed_at="")]
    now = datetime.now(UTC)
    assert [reason.holds for reason in limited(Limits(), untold, now)] == [True, None, None]
    assert [reason.holds for reason in limited(Limits(per_day=0), untold, now)] == [True, False, None]


# ---- a whole pull request that somebody else pushed to


class Proposed:
    """A proved change as ana proposed it; `as_it_was` takes back what others pushed."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.world: World = kind(folder, half.files("merge: review\nreviewers: [bo]\n"))
        bundle = half.FirstHalf(self.world.repository)()
        pull = propose(self.world.repository, self.world.forge, bundle).pull_request
        assert pull is not None
        self.pull = pull

    def as_it_was(self) -> None:
        self.world.clone.at_origin("update-ref", f"refs/heads/{self.pull.branch}", self.pull.head)

    def changed(self, change: Mapping[str, Any]) -> dict[str, str | None]:
        """Give the files of a change as the table writes it."""
        if "rename" in change:
            old, new = change["rename"]
            return {old: None, new: self.text(old)}
        if "delete" in change:
            return {change["delete"]: None}
        path = change["edit"]
        return {path: self.text(path).replace("atm", "atm card") + ("" if path == PATH else "# more\n")}

    def text(self, path: str) -> str:
        return self.world.repository.revision(self.pull.head).read(path).decode()


@pytest.fixture(scope="module", params=FORGES)
def proposed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proposed]:
    made = Proposed(FORGES[request.param], tmp_path_factory.mktemp("proposed"))
    yield made
    made.world.close()


@pytest.mark.parametrize("case", BRANCHES, ids=lambda case: case["name"])
def test_what_others_push_is_judged_as_the_table_says(proposed: Proposed, case: dict[str, Any]) -> None:
    world, pull = proposed.world, proposed.pull
    proposed.as_it_was()
    world.push("dee", pull.branch, proposed.changed(case["change"]))
    if case["refused"]:
        with pytest.raises(Refused) as refused:
            judge(world.repository, world.forge, pull.number)
        assert case["says"] in str(refused.value)
        return
    judged = judge(world.repository, world.forge, pull.number)
    assert any(case["says"] in reason.text for reason in judged.permission.reasons)
    assert not judged.permission.granted
