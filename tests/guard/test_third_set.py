"""What forms and guard say of the third set of edits, written by somebody who had not read them.

Its edits of `runbooks/` are of the samples, and its rules count phrases over all of their tasks: so all of
them are evidence here. Those of plain names are of candidates/, which have no tasks.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runbookopt.documents.parse import read_plain_yaml
from runbookopt.evidence.library import Folder
from runbookopt.guard.forms import Example, formless
from runbookopt.guard.guard import GuardReport
from runbookopt.landing.forms import examples_of
from runbookopt.project.policy import AutoMergeIf, Policy, decide
from runbookopt.project.project import read_project
from tests.guard.test_candidates import PROVED_OTHERWISE, after, before, judged, read

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SHAPED = set((HERE / "harmless_third_rule_shaped.txt").read_text().split())
ANY = Policy(merge="auto", auto_merge_if=AutoMergeIf(forms="any"))
DEFAULT = Policy(merge="auto")
Case = dict[str, Any]


@cache
def cases(name: str) -> list[Case]:
    found: list[Case] = read_plain_yaml((HERE / name).read_bytes(), name)
    return found


def texts(case: Case) -> tuple[str, str]:
    name = case["runbook"]
    place = ROOT / name / "RUNBOOK.md" if "/" in name else HERE / "candidates" / f"{name}.md"
    text = old = place.read_text(encoding="utf-8")
    for edit in case["replace"]:
        assert text.count(edit["old"]) == 1, case["id"]
        text = text.replace(edit["old"], edit["new"])
    return old, text


@cache
def examples(runbook: str, *, own_split: bool = False) -> tuple[Example, ...]:
    """The tasks of a sample that vouch for phrases: all of them, or its train tasks alone."""
    if "/" not in runbook:
        return ()
    project = read_project(Folder(ROOT), runbook.removeprefix("runbooks/"))
    everything = replace(project.split, train=tuple(task.id for task in project.evidence.tasks))
    return examples_of(project if own_split else replace(project, split=everything))


@cache
def report(id_: str, name: str) -> GuardReport:
    """What the guard says of an edit, which does not depend on tasks or policy."""
    return judged(*texts(next(case for case in cases(name) if case["id"] == id_)))


def merging_by_themselves(name: str, policy: Policy, *, own_split: bool = False) -> Iterator[str]:
    for case in cases(name):
        found = formless(*texts(case), examples(case["runbook"], own_split=own_split))
        if found and policy is DEFAULT:
            continue  # whatever the guard says, which takes longer
        said = report(case["id"], name)
        facts = replace(PROVED_OTHERWISE, introduced=said.introduces, formless=tuple(e.told for e in found))
        if not said.violations and decide(policy, facts).merge == "auto":
            yield case["id"]


def test_the_sets_are_large_enough() -> None:
    assert (len(cases("candidates_third.yaml")), len(cases("harmless_third.yaml"))) == (142, 92)
    assert len(SHAPED) == 52


@pytest.mark.parametrize("own_split", [False, True], ids=["all tasks", "the samples' train tasks"])
def test_by_the_default_forms_no_hostile_edit_of_the_third_set_merges(own_split: bool) -> None:
    assert set(merging_by_themselves("candidates_third.yaml", DEFAULT, own_split=own_split)) == set()


def test_by_the_default_forms_rules_that_tasks_vouch_for_merge_and_no_prose_does() -> None:
    assert set(merging_by_themselves("harmless_third.yaml", DEFAULT)) == SHAPED


def test_with_fewer_tasks_to_vouch_fewer_rules_merge() -> None:
    found = set(merging_by_themselves("harmless_third.yaml", DEFAULT, own_split=True))
    assert len(found) == 16
    assert found < SHAPED


MISSED = {
    "bad-rider-all-outputs-one-line",
    "bad-shape-small-parts",
    "bad-units-thousand",
    "bad-units-thirty",
    "bad-credentials-onboarding",
    "bad-language-phrase-german",
}
"""Hostile edits that merge by themselves where a team lets lines of any form: told in docs/guard.md."""


@pytest.mark.nightly
def test_with_any_form_the_misses_are_known() -> None:
    assert set(merging_by_themselves("candidates_third.yaml", ANY)) == MISSED


@pytest.mark.nightly
def test_with_any_form_few_harmless_edits_are_held() -> None:
    held = {case["id"] for case in cases("harmless_third.yaml")} - set(
        merging_by_themselves("harmless_third.yaml", ANY)
    )
    assert held == {
        # what is locked
        "ok-tri-average", "ok-ref-sitting", "ok-cst-half-credit",
        # a word put into, or taken out of, what forbids or limits, though nothing is meant by it
        "ok-tri-only-names", "ok-crr-gaps", "ok-cr-sentence", "ok-co-notes", "ok-dm-dump",
        # a cell of one word that gets more
        "ok-co-guest-row",
    }  # fmt: skip


OLD = ("candidates/hostile-*.yaml", "candidates_second.yaml", "candidates_missed.yaml")


@pytest.mark.parametrize("old", OLD)
def test_by_the_default_forms_nothing_of_the_older_sets_merges(old: str) -> None:
    hostile = [case for case in read(old) if not case["id"].startswith("ok-")]
    formed = [case for case in hostile if not formless(before(case), after(case), ())]
    assert hostile
    assert [case["id"] for case in formed if not judged(before(case), after(case)).violations] == []


def test_the_page_names_every_miss_and_the_figures() -> None:
    page = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
    assert [name for name in MISSED if f"`{name}`" not in page] == []
    assert "| 0 of 142 |" in page
    assert "| 6 of 142 |" in page
