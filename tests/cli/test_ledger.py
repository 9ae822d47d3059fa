"""A ledger that was taken back, came along with no fork, was renamed away or read around, by command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.landing.ledger.identity import begin_again
from runbookopt.project.project import read_project
from runbookopt.proof.ledger import Ledger
from tests.conftest import Clone, copied, new_clone

Make = Callable[..., Clone]

REF = "refs/runbookopt/ledger"
BACK = "runbookopt ledger restore --from REMOTE|FILE"
POLICY = """merge: auto
auto_merge_if: {growth_at_most: 9, forms: any}
limits: {cooldown_hours: 0, per_day: 9}
trust: {trajectories/*/*.jsonl: internal}
"""
RUN = ("optimize-runbook", "desk")


@pytest.fixture(scope="module")
def merged_once(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an origin whose default branch has one merged proposal, only to be copied."""
    folder = tmp_path_factory.mktemp("merged")
    tasks = planted.lines(planted.trajectories(80))
    clone = new_clone(folder, planted.files(policy=POLICY, trajectories=tasks))
    assert clone.ask(*RUN).returncode == 0
    assert clone.ask("runbookopt", "pulls", "merge", "1").returncode == 0
    clone.git("pull", "-q")
    return folder


@pytest.fixture
def merged(merged_once: Path, tmp_path: Path) -> Clone:
    """Give a clone of a repository with one merged proposal."""
    place = copied(merged_once, tmp_path / "merged")
    return Clone(place / "clone", place / "clone-origin.git")


def fresh(clone: Clone, name: str = "fresh") -> Clone:
    """Give another clone, which has never seen the ledger."""
    return clone.again(name, "bo")


def trailer(clone: Clone) -> str:
    return clone.at_origin("log", "-1", "--format=%(trailers:key=Runbookopt-Ledger,valueonly)", "main")


def account(clone: Clone, status: int = 0, name: str = "desk") -> dict[str, Any]:
    ran = clone.ask("runbookopt", "ledger", name, "--json")
    assert (ran.returncode, ran.stderr) == (status, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def refuses(clone: Clone, *command: str) -> str:
    """Ask for what must be refused with one line; give it."""
    ran = clone.ask(*(command or RUN))
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran
    return ran.stderr


def test_a_merge_names_the_ledger_and_a_fresh_clone_goes_on(merged: Clone) -> None:
    assert trailer(merged).strip() in merged.at_origin("rev-list", REF).split()
    assert "\nRunbookopt-Ledger: " in merged.ask("runbookopt", "pulls", "show", "1").stdout
    ran = fresh(merged).ask(*RUN)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("how", ["deleted", "forked"])
def test_a_ledger_that_is_gone_is_seen_by_a_fresh_clone_and_put_back(
    merged: Clone, tmp_path: Path, how: str
) -> None:
    kept = tmp_path / "kept.bundle"
    merged.git("bundle", "create", "-q", str(kept), REF)
    if how == "deleted":
        merged.at_origin("update-ref", "-d", REF)
        there = fresh(merged)
    else:
        fork = tmp_path / "fork.git"
        merged.git("clone", "-q", "--bare", merged.origin.as_uri(), str(fork))
        merged.git("clone", "-q", fork.as_uri(), str(tmp_path / "forked"))
        there = Clone(tmp_path / "forked", fork)
    for flags in ((), ("--no-propose",)):
        told = refuses(there, *RUN, *flags)
        assert BACK in told
        assert "optimize-runbook desk --begin-again" in told
        assert trailer(there)[:12] in told
    assert account(there, 1)["lost"] in told
    source = str(kept) if how == "deleted" else merged.origin.as_uri()
    ran = there.ask("runbookopt", "ledger", "restore", "--from", source)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("the ledger is back at origin: 1 looks, ")
    assert there.at_origin("rev-parse", REF) == merged.git("rev-parse", REF)
    assert there.ask(*RUN).returncode == 0
    assert account(there)["lost"] is None


def test_propose_and_verify_refuse_a_ledger_that_is_gone(merged: Clone, planted: ModuleType) -> None:
    merged.commit({"runbooks/desk/RUNBOOK.md": planted.RUNBOOK})
    flags = ("--no-propose", "--json", "--random-seed", "3")
    found = json.loads(fresh(merged, "half").ask(*RUN, *flags).stdout)
    private = "note: look 2 is what this clone takes it for: it is not registered at origin before"
    assert any(private in reason for reason in found["decision"]["reasons"])
    path = merged.root.parent / "half" / found["bundle"]
    assert merged.ask("runbookopt", "propose", str(path)).returncode == 0
    head = merged.at_origin("rev-parse", "runbookopt/desk")
    merged.at_origin("update-ref", "-d", REF)
    there = fresh(merged)
    assert BACK in refuses(there, "runbookopt", "propose", str(path))
    ran = there.ask("runbookopt", "verify", "--base", "origin/main", "--head", head)
    assert ran.returncode == 3
    assert "the ledger does not hold" in ran.stdout


def test_who_begins_again_has_spent_all(merged: Clone, planted: ModuleType) -> None:
    merged.at_origin("update-ref", "-d", REF)
    there = fresh(merged)
    worse = {"runbooks/desk/RUNBOOK.md": planted.RUNBOOK}
    there.commit(worse)
    told = refuses(there, *RUN, "--begin-again")
    assert "the ledger began again: all of the allowance counts as spent" in told
    assert "may spend 0" in told
    found = account(there)
    assert [(look["answer"], look["spent"]) for look in found["runbooks"][0]["looks"]] == [
        ("begins_again", 0.05)
    ]
    assert (found["runbooks"][0]["left"], found["lost"]) == (0, None)


def test_what_is_accepted_after_a_beginning_goes_to_review(merged: Clone, planted: ModuleType) -> None:
    """A loss registered over a year ago stands for a year's wait: nothing is left to spend before."""
    merged.at_origin("update-ref", "-d", REF)
    there = fresh(merged)
    with Repository.open(there.root) as repository:
        tip = repository.base()
        project = read_project(repository.revision(tip), "desk")
        begin_again(Ledger.open(repository, push=True), project, tip, at="2020-01-01T00:00:00+00:00")
    new = planted.lines(planted.trajectories(180)[-100:])
    there.commit({"runbooks/desk/RUNBOOK.md": planted.RUNBOOK, "trajectories/desk/new.jsonl": new})
    ran = there.ask(*RUN, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert (found["outcome"], found["held_out"]["look"]) == ("accepted", 2)
    assert (found["decision"]["merge"], found["pull_request"]["number"]) == ("review", 2)
    why = "the ledger began again (2020-01-01T00:00:00+00:00): earlier looks at it are lost"
    assert f"no: {why}" in found["decision"]["reasons"]
    assert why in there.ask("runbookopt", "pulls", "show", "2").stdout
    looks = account(there)["runbooks"][0]["looks"]
    assert [look["answer"] for look in looks] == ["begins_again", "accepted"]
    left = there.ask("runbookopt", "pulls", "merge", "--auto")
    assert "left pull request 2 (desk):\n" in left.stdout
    assert f"  {why}\n" in left.stdout
    assert there.at_origin("rev-parse", "main") == there.git("rev-parse", "HEAD")


def test_beginning_again_changes_nothing_where_nothing_is_lost(merged: Clone) -> None:
    before = merged.at_origin("rev-parse", REF)
    ran = merged.ask(*RUN, "--begin-again")
    assert "--begin-again changed nothing: the ledger holds all" in ran.stdout
    assert merged.at_origin("rev-parse", REF) == before


@pytest.mark.parametrize("value", ["", "0" * 40, "ffff", "\u001b[31m`rm -rf`" * 9, "HEAD\n^{/x}"])
def test_a_trailer_that_names_nothing_is_refused_in_a_sentence(
    repo: Make, planted: ModuleType, value: str
) -> None:
    clone = repo(planted.files())
    clone.commit({"README.md": "x"}, f"Hello\n\nRunbookopt-Ledger: {value}\n\nSigned-off-by: x")
    told = refuses(clone)
    assert "the ledger does not hold" in told
    assert "\x1b" not in told
    assert len(told) < 600


def test_a_pull_request_that_would_bring_such_a_trailer_in_does_not_pass(merged: Clone) -> None:
    merged.git("checkout", "-q", "-b", "topic")
    head = merged.commit({"README.md": "x"}, "Hello\n\nRunbookopt-Ledger: nothing", push=False)
    ran = merged.ask("runbookopt", "verify", "--base", "origin/main", "--head", head)
    assert ran.returncode == 3
    assert f"the ledger at origin does not hold 'nothing', which commit {head[:12]} names" in ran.stdout


def test_a_shallow_clone_is_deepened_or_says_what_to_do(merged: Clone) -> None:
    merged.commit({"README.md": "x"})
    merged.at_origin("update-ref", "-d", REF)
    there = merged.again("shallow", "bo", "--depth", "1")
    assert "the ledger does not hold" in refuses(there)
    cut = merged.again("cut", "bo", "--depth", "1")
    cut.git("remote", "remove", "origin")
    told = refuses(cut, *RUN, "--no-propose")
    assert "this clone is shallow" in told
    assert "fetch-depth: 0" in told


def test_who_saw_the_old_ledger_puts_it_back_beside_the_new_one(merged: Clone) -> None:
    old = merged.at_origin("rev-parse", REF)
    merged.at_origin("update-ref", "-d", REF)
    other = fresh(merged)
    assert "began again" in refuses(other, *RUN, "--begin-again")
    new = merged.at_origin("rev-parse", REF)
    assert "does not descend" in refuses(merged, "runbookopt", "ledger")
    assert merged.ask("runbookopt", "ledger", "restore", "--from", ".").returncode == 0
    kept = merged.at_origin("rev-list", REF).split()
    assert {old, new} <= {*kept}
    for clone in (merged, other):
        (desk,) = account(clone)["runbooks"]
        assert [look["answer"] for look in desk["looks"]] == ["accepted", "begins_again"]


def test_a_ledger_that_is_not_whole_or_not_this_one_is_not_put_back(merged: Clone, repo: Make) -> None:
    merged.at_origin("update-ref", "-d", REF)
    there = fresh(merged)
    other = repo(name="other")
    for source, told in (
        (other.origin.as_uri(), f"holds no ledger: expected {REF} there"),
        ("nosuch", "no ledger can be read from there"),
        ("--upload-pack=x", "no ledger can be read from there"),
    ):
        assert told in refuses(there, "runbookopt", "ledger", "restore", "--from", source)
    head = merged.git("commit-tree", "HEAD^{tree}", "-m", "no looks")
    merged.git("push", "-q", str(other.origin), f"{head}:{REF}")
    told = refuses(there, "runbookopt", "ledger", "restore", "--from", other.origin.as_uri())
    assert "has a ledger, which does not hold" in told


def test_a_look_that_was_deleted_from_the_tree_is_put_back(merged: Clone, tmp_path: Path) -> None:
    whole, kept = merged.at_origin("rev-parse", REF), tmp_path / "kept.bundle"
    merged.git("bundle", "create", "-q", str(kept), REF)
    empty = merged.git("hash-object", "-w", "-t", "tree", "/dev/null")
    bad = merged.git("commit-tree", empty, "-p", whole, "-m", "nothing was ever looked at")
    merged.git("push", "-q", "origin", f"{bad}:{REF}")
    there, other = fresh(merged), fresh(merged, "other")
    for clone in (there, other):
        assert "was deleted from the ledger" in refuses(clone, "runbookopt", "ledger")
    assert there.ask("runbookopt", "ledger", "restore", "--from", str(kept)).returncode == 0
    assert there.at_origin("rev-parse", REF) == whole
    assert other.ask("runbookopt", "ledger", "restore", "--from", "origin").returncode == 0
    for clone in (there, other, merged):
        assert len(account(clone)["runbooks"][0]["looks"]) == 1


def renamed(clone: Clone, how: str, planted: ModuleType) -> None:
    """Call the runbook `help`, and have it be as bad as at first."""
    if how == "copied":
        for folder in ("runbooks", "trajectories"):
            shutil.copytree(clone.root / folder / "desk", clone.root / folder / "help")
    else:
        clone.git("mv", "runbooks/desk", "runbooks/help")
        clone.git("mv", "trajectories/desk", "trajectories/help")
    page = clone.root / "runbooks/help/RUNBOOK.md"
    text = planted.RUNBOOK if how in {"copied", "as it was"} else planted.RUNBOOK.replace("lead", "boss")
    if how == "in two steps":
        kept = page.read_text()
        page.unlink()
        clone.commit({"notes.txt": "the page goes\n"}, "Take the page away")
        assert kept != text
        text = '# Help\n\n- If the message mentions "card", answer `cards`\n- Otherwise `front`\n'
    clone.commit({"runbooks/help/RUNBOOK.md": text})
    if how == "with another in its place":
        new = planted.lines(
            [{"id": f"n-{n}", "task": {"input": f"new {n}", "reference": {"answer": "x"}}} for n in range(9)]
        )
        clone.commit(
            {
                "runbooks/desk/RUNBOOK.md": planted.RUNBOOK,
                "runbooks/desk/rubric.yaml": planted.RUBRIC,
                "trajectories/desk/all.jsonl": new,
            }
        )


@pytest.mark.parametrize(
    "how",
    [
        "at once",
        pytest.param("in two steps", marks=pytest.mark.nightly),
        pytest.param("with another in its place", marks=pytest.mark.nightly),
    ],
)
def test_a_renamed_runbook_keeps_its_looks_and_what_was_read(
    merged: Clone, planted: ModuleType, how: str
) -> None:
    (before,) = account(merged)["runbooks"]
    renamed(merged, how, planted)
    there = fresh(merged)
    ran = there.ask("optimize-runbook", "help", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert (found["held_out"]["look"], found["held_out"]["allowance"]) == (2, pytest.approx(0.05 / 6))
    assert any("help was called desk before" in reason for reason in found["decision"]["reasons"])
    (after,) = account(there, name="help")["runbooks"]
    assert [look["runbook"] for look in after["looks"]] == ["desk", "help"]
    assert (after["names"], after["burnt"]) == (["help", "desk"], before["burnt"])
    head = there.at_origin("rev-parse", "runbookopt/help")
    ran = there.ask("runbookopt", "verify", "--base", "origin/main", "--head", head)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.slow
def test_a_question_that_was_answered_is_answered_after_a_rename(merged: Clone, planted: ModuleType) -> None:
    merged.commit({"runbooks/desk/RUNBOOK.md": planted.RUNBOOK})
    first = json.loads(merged.ask(*RUN, "--json").stdout)
    renamed(merged, "as it was", planted)
    ran = fresh(merged).ask("optimize-runbook", "help", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    again = json.loads(ran.stdout)
    assert again["held_out"] == first["held_out"]
    assert (
        "note: the held-out tasks were asked this before: the record answers" in again["decision"]["reasons"]
    )


def test_a_copy_has_looks_of_its_own_and_each_is_named_to_the_other(
    merged: Clone, planted: ModuleType
) -> None:
    renamed(merged, "copied", planted)
    there = fresh(merged)
    ran = there.ask("optimize-runbook", "help", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert found["held_out"]["look"] == 1
    shared = "other runbooks are at the same tasks, each with looks of its own: desk (128 of them)"
    assert f"note: {shared}" in found["decision"]["reasons"]
    number = found["pull_request"]["number"]
    assert shared in there.ask("runbookopt", "pulls", "show", str(number)).stdout
    checked = there.ask("runbookopt", "check").stdout
    for name, other in (("desk", "help"), ("help", "desk")):
        assert f"trajectories/{name}: advice: other runbooks are at the same tasks" in checked
        assert f"{other} (128 of them)" in checked


def unsplit(planted: ModuleType, **more: str) -> dict[str, str]:
    """Give the files of a repository whose policy splits its tasks, which are of the groups `more`."""
    records = planted.trajectories(152)
    for number, record in enumerate(records):
        del record["task"]["split"]
        record["task"] |= {key: value.format(number=number) for key, value in more.items()}
    return planted.files(policy=POLICY, trajectories=planted.lines(records))


def read(clone: Clone) -> set[str]:
    """Give the tasks that the ledger at origin says searches have read."""
    names = clone.at_origin("ls-tree", "-r", "--name-only", REF, "reads/").split()
    texts = [json.loads(clone.at_origin("show", f"{REF}:{name}")) for name in names]
    assert sum(len(text["tasks"]) for text in texts) == len({t for text in texts for t in text["tasks"]})
    return {task for text in texts for task in text["tasks"]}


SHARES = POLICY + "proof: {split: {train: 0.2, validation: 0.2}}\n"


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("shares", "handed over"),
        ("groups", "here"),
        pytest.param("shares", "here", marks=pytest.mark.nightly),
        pytest.param("groups", "handed over", marks=pytest.mark.nightly),
    ],
)
def test_what_a_dry_run_has_read_proves_nothing_under_another_split(
    repo: Make, planted: ModuleType, how: str, where: str
) -> None:
    clone = repo(unsplit(planted))
    flags = ("--dry-run",) if where == "here" else ("--no-propose", "--budget-minutes", "0.000001")
    first = clone if where == "here" else clone.again("first", "bo")
    first.ask(*RUN, *flags)
    (file,) = first.root.glob(".runbookopt/readings/*.reading.json")
    before = set(json.loads(file.read_text())["tasks"])
    assert len(before) > 90
    assert first.ask(*RUN, *flags).returncode in {0, 1}
    if where == "handed over":
        clone.write({f".runbookopt/bundles/{file.name}": file.read_bytes()})
        ran = clone.ask("runbookopt", "propose", ".runbookopt/bundles")
        assert ran.returncode == 0
        assert f"desk: {len(before)} tasks that a search has read are in the ledger now" in ran.stderr
        shutil.rmtree(clone.root / ".runbookopt")
        assert read(clone) == before
    changed = (
        {"runbooks/desk/policy.yaml": SHARES} if how == "shares" else unsplit(planted, group="g-{number}")
    )
    clone.commit(changed)
    ran = clone.ask(*RUN, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    bundle = json.loads((clone.root / json.loads(ran.stdout)["bundle"]).read_text())
    assert bundle["look"]["tasks"]
    assert not before & bundle["look"]["tasks"].keys()
    assert before | set(bundle["look"]["searched"]) == read(clone) | set(bundle["look"]["searched"])


def test_an_account_says_what_each_look_spent_and_what_is_left_and_no_gain(merged: Clone) -> None:
    merged.git("remote", "remove", "origin")
    (desk,) = account(merged)["runbooks"]
    (look,) = desk["looks"]
    assert (look["number"], look["answer"], look["accepted"], look["pushed"]) == (1, "accepted", True, True)
    assert (look["spent"], desk["next_look"]) == (pytest.approx(0.025), 2)
    assert (desk["left"], desk["next_spend"]) == (pytest.approx(0.025), pytest.approx(0.05 / 6))
    assert (desk["burnt"], desk["readings"], desk["notes"]) == (48, 1, [])
    page = merged.ask("runbookopt", "ledger").stdout
    assert f"     1  {look['at']}  accepted      0.025    {look['candidate']}  {look['base']}  yes\n" in page
    assert not {"gain", "before", "after", "p"} & {*desk, *look}
    assert "no runbook 'desc'" in refuses(merged, "runbookopt", "ledger", "desc")


def test_a_handed_over_reading_burns_no_more_than_tasks_that_are_there(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(unsplit(planted))
    clone.ask(*RUN, "--dry-run")
    (file,) = clone.root.glob(".runbookopt/readings/*.reading.json")
    told = json.loads(file.read_text())
    there = fresh(clone)
    bad = {
        "a": "{",
        "b": "[" * 200_000,
        "c": json.dumps(told | {"tasks": ["x"] * 201}),
        "d": json.dumps(told | {"runbook": "../\u001b[1m"}),
        "e": json.dumps(told | {"tasks": 5}),
        "f": json.dumps(told | {"tasks": ["sha256:0", told["tasks"][0]]}),
    }
    there.write({f"handed/{name}.reading.json": text for name, text in bad.items()})
    ran = there.ask("runbookopt", "propose", "handed")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 7, ran.stderr
    assert "\x1b" not in ran.stderr
    assert read(there) == {told["tasks"][0]}
