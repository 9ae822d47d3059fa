"""What `policy explain --with` says of an edit, and what the whole way makes of it, on both forges."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runbookopt.documents.settings import ForgeSettings
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protection import OUR_CHECK
from runbookopt.forge.select import chosen
from runbookopt.landing.bundle import encode
from runbookopt.landing.explain import explain_runbook, explain_text
from runbookopt.landing.forms import examples_of, formless_in
from runbookopt.project.policy import AutoMergeIf
from runbookopt.project.project import read_project
from tests import first_half as half
from tests.conftest import Clone, new_clone
from tests.github.double import Github
from tests.guard.test_third_set import ROOT, SHAPED, cases, texts

SAMPLES = {"support-triage": "queue", "refund-reply": "reply"}
AUTO = f"merge: auto\nreviewers: [bo]\nlimits: {{}}\n{half.TRUST}"


def evidence(name: str) -> str:
    """All tasks of a sample as train tasks, and others to look at."""
    lines = []
    for file in sorted((ROOT / "trajectories" / name).glob("2*.jsonl")):
        for line in map(json.loads, file.read_text().splitlines()):
            task = {
                **line["task"],
                "split": "train",
                "reference": {"queue": line["task"]["reference"][SAMPLES[name]]},
            }
            lines.append({"id": line["id"], "task": task, "trust": "internal"})
    seen: dict[str, dict[str, Any]] = {}
    for line in lines:
        seen.setdefault(json.dumps(line["task"]["input"]), line)
    return "".join(json.dumps(line) + "\n" for line in seen.values()) + half.trajectories()


def files(case: dict[str, Any], policy: str = AUTO) -> dict[str, str]:
    before, _ = texts(case)
    name = case["runbook"].removeprefix("runbooks/")
    told = evidence(name) if name != case["runbook"] else half.trajectories()
    return half.files(
        policy, **{"runbooks/triage/RUNBOOK.md": before, "trajectories/triage/2026.jsonl": told}
    )


class Way:
    """A clone and its commands: what is told of a text, and where a bundle ends that proves it."""

    def __init__(self, clone: Clone, environ: Mapping[str, str] = {}) -> None:
        self.clone, self.environ = clone, environ

    def told(self, text: str) -> dict[str, Any]:
        """Give what `policy explain NAME --with FILE --json` says."""
        place = self.clone.root.parent / "candidate.md"
        place.write_text(text, encoding="utf-8")
        ran = self.clone.ask(
            "runbookopt", "policy", "explain", "triage", "--with", str(place), "--json", environ=self.environ
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def proposed(self, text: str) -> tuple[int, str]:
        """Hand over a bundle, and give the exit status and words of `propose`."""
        place = self.clone.root.parent / "bundle.json"
        with Repository.open(self.clone.root) as repository:
            chosen(ForgeSettings(), repository, self.environ)  # which lets git show origin its token
            place.write_bytes(encode(half.FirstHalf(repository)(text)))
        ran = self.clone.ask("runbookopt", "propose", str(place), environ=self.environ)
        return ran.returncode, ran.stdout + ran.stderr

    def merging(self) -> tuple[bool, str]:
        """Give whether `pulls merge --auto` merged the one pull request, and its words."""
        ran = self.clone.ask("runbookopt", "pulls", "merge", "--auto", "--json", environ=self.environ)
        assert (ran.returncode, ran.stderr) == (0, "")
        (attempted,) = json.loads(ran.stdout)
        return attempted["merged"] is not None, "\n".join(attempted["reasons"])


def went(way: Way, text: str, ends: Callable[[bool, str], bool]) -> tuple[str, str]:
    """Give where a text was told to go and where it went; `ends` says whether it has merged by itself."""
    told = way.told(text)
    status, words = way.proposed(text)
    if status == 3:
        assert told["violations"]
        assert [each for each in told["violations"] if each not in words] == []
        return told["merge"], "none"
    assert (status, told["violations"]) == (0, []), words
    return told["merge"], "auto" if ends(*way.merging()) else "review"


def at_local(folder: Path, case: dict[str, Any], policy: str) -> tuple[str, str]:
    clone: Clone = new_clone(folder, files(case, policy))
    clone.is_used_by("ana")

    def ends(merged: bool, words: str) -> bool:
        assert merged or words
        return merged

    return went(Way(clone), texts(case)[1], ends)


def at_github(folder: Path, case: dict[str, Any], policy: str) -> tuple[str, str]:
    github = Github(folder, files(case, policy))
    github.add_user("bo")
    with github:
        github.protect(checks=[OUR_CHECK], dismiss_stale=True, approvals=0)
        clone = Clone(github.clone(folder / "clone"), github.origin)

        def ends(merged: bool, words: str) -> bool:
            """GitHub merges it, and nobody else, when the check has passed."""
            assert not merged
            by_itself = "GitHub merges pull request 1 by itself" in words
            assert by_itself == (github.pull(1).auto_merge is not None)
            github.check(github.pull(1).head_sha, OUR_CHECK)
            assert (github.pull(1).state, by_itself) in {("closed", True), ("open", False)}
            return by_itself

        environ = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token}
        return went(Way(clone, environ), texts(case)[1], ends)


FORGES: dict[str, Callable[[Path, dict[str, Any], str], tuple[str, str]]] = {
    "local": at_local,
    "github": at_github,
}
ALL = {case["id"]: case for name in ("candidates_third.yaml", "harmless_third.yaml") for case in cases(name)}
FEW = {"ok-shape-freeze": "auto", "bad-rider-stolen-in-login": "review", "ok-tri-average": "none"}
MANY = [*sorted(SHAPED)[:9], *sorted(ALL.keys() - SHAPED)[::10]][:27]


@pytest.mark.parametrize(
    ("id_", "forge"),
    [
        *((id_, "local") for id_ in FEW),
        ("ok-shape-freeze", "github"),  # the one that merges by itself; MANY go both ways at night
    ],
)
def test_an_edit_goes_the_way_that_was_told_of_its_text(tmp_path: Path, id_: str, forge: str) -> None:
    assert FORGES[forge](tmp_path, ALL[id_], AUTO) == (FEW[id_], FEW[id_])


@pytest.mark.nightly
@pytest.mark.parametrize("policy", [AUTO, f"{AUTO}auto_merge_if: {{forms: any}}\n"], ids=["default", "any"])
@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize("id_", MANY)
def test_every_edit_goes_the_way_that_was_told_of_its_text(
    tmp_path: Path, id_: str, forge: str, policy: str
) -> None:
    told, ended = FORGES[forge](tmp_path, ALL[id_], policy)
    assert told == ended


def test_27_edits_go_the_whole_way_and_all_three_ways_are_among_them() -> None:
    assert (len(MANY), len({*MANY} & SHAPED), set(FEW.values())) == (27, 9, {"auto", "review", "none"})


def test_the_next_version_in_the_text_changes_nothing(tmp_path: Path) -> None:
    clone = new_clone(tmp_path, half.files())
    text = half.RUNBOOK.replace('"card"', '"card" or "atm"')
    with Repository.open(clone.root) as repository:
        found = explain_text(repository, "triage", text)
        assert explain_text(repository, "triage", text.replace("1.2.3", "1.2.4")).merge == "auto"
        assert explain_text(repository, "triage", text.replace("1.2.3", "9.9.9")).merge == "none"
        assert explain_text(repository, "triage", half.RUNBOOK).violations == ("nothing is changed",)
    assert (found.merge, found.forms, found.violations) == ("auto", (), ())
    assert {reason.condition for reason in found.reasons} >= {"forms", "growth_at_most", "trust_at_least"}


def test_of_a_runbook_in_prose_it_is_told_before_a_run_that_nothing_merges_by_itself(tmp_path: Path) -> None:
    clone = new_clone(tmp_path, half.files(**{"runbooks/triage/RUNBOOK.md": "# Triage\n\nBe kind.\n"}))
    with Repository.open(clone.root) as repository:
        found = explain_runbook(repository, LocalForge(repository), "triage", datetime.now(UTC))
    (forms,) = [reason.told for reason in found.reasons if reason.condition == "forms"]
    assert forms.startswith("no: no line of the runbook quotes phrases for one output")


def test_only_tasks_that_are_trusted_enough_vouch_and_only_what_the_rubric_compares(tmp_path: Path) -> None:
    told = half.trajectories().replace('"trust": "internal"', '"trust": "partner"')
    clone = new_clone(tmp_path, half.files(**{"trajectories/triage/2026.jsonl": told}))
    with Repository.open(clone.root) as repository:
        project = read_project(repository.revision(repository.base()), "triage")
    assert examples_of(project) == ()
    trusting = replace(project.policy, auto_merge_if=AutoMergeIf(trust_at_least="partner"))
    assert {example.outputs for example in examples_of(replace(project, policy=trusting))} == {
        frozenset({"card"})
    }


def test_an_expression_that_never_ends_lets_nothing_merge(tmp_path: Path) -> None:
    clone = new_clone(tmp_path, half.files(f"{AUTO}auto_merge_if: {{forms: ['(-| |[a-z]|[a-z]+)+x']}}\n"))
    with Repository.open(clone.root) as repository:
        project = read_project(repository.revision(repository.base()), "triage")
    found = formless_in(project, half.RUNBOOK.replace("- Otherwise", f"- {'a' * 60}\n- Otherwise"))
    assert any("the check took more than 1 s" in line for line in found)
