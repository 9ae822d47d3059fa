import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import write_bundle
from runbookopt.proof.allowance import allowance
from runbookopt.proof.ledger import Ledger
from tests.conftest import Clone, copied, new_clone
from tests.github.double import Github

Make = Callable[..., Clone]


@pytest.fixture
def desk(repo: Make, planted: ModuleType) -> Clone:
    return repo(planted.files())


@pytest.fixture(scope="module")
def optimized_once(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with origin and a clone in which the half with models has run, only to be copied."""
    folder = tmp_path_factory.mktemp("optimized")
    optimized(new_clone(folder, planted.files()))
    return folder


@pytest.fixture
def ready(optimized_once: Path, tmp_path: Path) -> tuple[Clone, Path]:
    """Give a clone in which the half with models has run, and its bundle."""
    place = copied(optimized_once, tmp_path / "ready")
    (bundle,) = (place / "clone/.runbookopt/bundles").iterdir()
    return Clone(place / "clone", place / "clone-origin.git"), bundle


def refs(clone: Clone) -> str:
    return clone.at_origin("for-each-ref", "--format=%(refname) %(objectname)")


def optimized(clone: Clone, *flags: str) -> Path:
    """Run the half with models alone, and give the bundle that it hands over."""
    ran = clone.ask("optimize-runbook", "desk", "--no-propose", "--json", *flags)
    assert (ran.returncode, ran.stderr) == (0, "")
    return clone.root / str(json.loads(ran.stdout)["bundle"])


def proposed(clone: Clone, *bundles: Path) -> list[dict[str, Any]]:
    ran = clone.ask("runbookopt", "propose", *map(str, bundles), "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_the_half_with_models_leaves_origin_alone(desk: Clone) -> None:
    before = refs(desk)
    assert optimized(desk).is_file()
    assert refs(desk) == before


def test_a_bundle_is_landed_in_another_clone(desk: Clone) -> None:
    desk.git("remote", "remove", "origin")
    bundle, ci = optimized(desk), desk.again("ci", "ci")
    (found,) = proposed(ci, bundle)
    assert (found["runbook"], found["outcome"], found["branch"]) == ("desk", "accepted", "runbookopt/desk")
    assert found["pull_request"]["number"] == 1
    assert ci.at_origin("diff", "--name-status", "main", "runbookopt/desk") == "M\trunbooks/desk/RUNBOOK.md"
    assert ci.git("status", "--porcelain") == ""
    assert not (ci.root / ".runbookopt").exists()


def test_the_same_bundle_again_changes_nothing(ready: tuple[Clone, Path]) -> None:
    desk, bundle = ready
    first, before = proposed(desk, bundle), refs(desk)
    (again,) = proposed(desk, bundle)
    assert refs(desk) == before
    assert again["pull_request"] == first[0]["pull_request"]
    assert "note: pull request 1 proposes this already" in again["decision"]["reasons"]


@pytest.mark.slow
def test_two_bundles_of_two_clones_do_not_share_the_first_allowance(desk: Clone) -> None:
    first = optimized(desk.again("one", "one"))
    second = optimized(desk.again("two", "two"), "--random-seed", "1")
    assert [looks_of(bundle) for bundle in (first, second)] == [1, 1]
    found = proposed(desk, first, second)
    assert [one["pull_request"]["number"] for one in found] == [1, 1]
    with Repository.open(desk.root) as repository:
        looks = Ledger.open(repository, push=True).looks("desk")
    spends = [
        allowance(looks[:place], look.groups, look.tasks, 0.05).spend for place, look in enumerate(looks)
    ]
    assert spends == pytest.approx([0.025, 0.05 / 6])
    reasons = found[1]["decision"]["reasons"]
    assert any(each.startswith("note: pull request 1 was brought up to date") for each in reasons)


def test_bundles_land_in_the_order_of_their_looks(repo: Make, first_half: ModuleType) -> None:
    clone = repo(first_half.files())
    with Repository.open(clone.root) as repository:
        make, text = first_half.FirstHalf(repository), first_half.RUNBOOK
        old = make(text.replace('"card"', '"card" or "old"'), wins=22, at="2026-01-01")
        new = make(text.replace('"card"', '"card" or "new"'), wins=22, at="2026-01-02")
    new_file, old_file = (write_bundle(bundle, clone.root / ".runbookopt") for bundle in (new, old))
    first, second = proposed(clone, new_file, old_file)
    assert first["pull_request"]["number"] == second["pull_request"]["number"] == 1
    assert '"new"' in clone.at_origin("show", "runbookopt/triage:runbooks/triage/RUNBOOK.md")


def looks_of(bundle: Path) -> int:
    """Count the looks that the clone of a bundle knows of."""
    with Repository.open(bundle.parent) as repository:
        return len(Ledger.open(repository, push=False).looks("desk"))


@pytest.mark.slow
def test_a_noisy_agent_is_proved_by_repeats_and_derived_anew_elsewhere(desk: Clone) -> None:
    bundle, ci = optimized(desk, "--agent-noise", "0.1"), desk.again("ci", "ci")
    (found,) = proposed(ci, bundle)
    outputs = json.loads(bundle.read_bytes())["outputs"]
    assert {len(task[side]) for task in outputs for side in ("before", "after")} == {3}
    assert any(len(set(task["before"])) > 1 for task in outputs)
    assert (found["outcome"], found["pull_request"]["number"]) == ("accepted", 1)


def test_a_noisy_run_again_pays_nothing(desk: Clone) -> None:
    flags = ("optimize-runbook", "desk", "--agent-noise", "0.1", "--json")
    first = json.loads(desk.ask(*flags).stdout)
    before = refs(desk)
    again = json.loads(desk.ask(*flags, "--again").stdout)
    assert (again["spent"]["rollouts"], again["spent"]["reflections"]) == (0, 0)
    assert (again["held_out"], refs(desk)) == (first["held_out"], before)


def test_a_changed_bundle_is_one_clear_line_and_writes_nothing(ready: tuple[Clone, Path]) -> None:
    desk, bundle = ready
    before = refs(desk)
    bundle.write_text(bundle.read_text().replace("answer `post`", "answer `cards`"))
    ran = desk.ask("runbookopt", "propose", str(bundle))
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert refs(desk) == before


def test_what_is_no_bundle_does_not_stop_the_others(ready: tuple[Clone, Path]) -> None:
    desk, bundle = ready
    ran = desk.ask("runbookopt", "propose", "nosuch.json", str(bundle), "--json")
    assert ran.returncode == 1
    assert ran.stderr == "nosuch.json: No such file or directory; expected a file of .runbookopt/bundles/\n"
    assert json.loads(ran.stdout)["outcome"] == "accepted"


def test_a_bundle_of_commits_that_origin_never_had_is_refused(desk: Clone) -> None:
    desk.commit({"README.md": "not pushed\n"}, push=False)
    bundle, ci = optimized(desk), desk.again("ci", "ci")
    kept = shutil.copy(bundle, ci.root)
    ran = ci.ask("runbookopt", "propose", str(kept))
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)


def test_a_folder_without_bundles_is_nothing_to_complain_of(desk: Clone) -> None:
    ran = desk.ask("runbookopt", "propose", ".runbookopt/bundles")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == "no bundle in .runbookopt/bundles: no run has looked at held-out tasks\n"


def test_a_folder_stands_for_its_bundles(ready: tuple[Clone, Path]) -> None:
    desk, _ = ready
    ran = desk.ask("runbookopt", "propose", ".runbookopt/bundles", "--json")
    assert json.loads(ran.stdout)["outcome"] == "accepted"


def test_without_a_token_for_github_the_run_stops_at_the_bundle_and_says_how_to_go_on(
    ready: tuple[Clone, Path],
) -> None:
    desk, bundle = ready
    desk.git("remote", "set-url", "origin", "https://github.com/octo/runbooks.git")
    ran = desk.ask("runbookopt", "propose", str(bundle), environ={"GITHUB_TOKEN": "", "GH_TOKEN": ""})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "desk: nothing is proposed: no token for GitHub: set GITHUB_TOKEN or GH_TOKEN, or RUNBOOKOPT_APP_ID"
        " and RUNBOOKOPT_APP_PRIVATE_KEY_FILE of a GitHub App; then run this again\n"
    )
    assert bundle.is_file()


def test_a_bundle_is_landed_at_github(planted: ModuleType, tmp_path: Path) -> None:
    with Github(tmp_path, planted.files()) as github:
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        clone.is_used_by("ana")
        for login in ("bo", "cy"):
            github.add_user(login)
        told = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token}
        github.settings(private=False)
        path = str(optimized(clone))
        ran = clone.ask("runbookopt", "propose", path, "--json", environ=told)
        assert (ran.returncode, ran.stderr) == (0, "")
        found = json.loads(ran.stdout)
        assert found["pull_request"]["url"] == f"{github.web_url}/octo/runbooks/pull/1"
        assert (found["branch"], github.pull(1).labels) == ("runbookopt/desk", ["runbookopt"])
