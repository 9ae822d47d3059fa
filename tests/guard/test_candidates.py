"""What guard and policy together say of the candidate edits, each of which an honest proof accepted."""

import time
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from runbookopt.documents.parse import read_plain_yaml
from runbookopt.documents.runbook import parse
from runbookopt.forge.git.output import FileChange
from runbookopt.guard.guard import GuardReport, guard
from runbookopt.guard.kinds import Introduced
from runbookopt.project.policy import AutoMergeIf, Facts, Policy, decide
from runbookopt.proof.comparison import Comparison

Case = dict[str, Any]
FOLDER = Path(__file__).parent / "candidates"
PATH = "runbooks/one/RUNBOOK.md"
EDITED = FileChange("M", PATH, PATH, "100644", "100644")
AUTOMATIC = Policy(merge="auto", auto_merge_if=AutoMergeIf(forms="any"))  # what the classes alone decide
PROVED = Comparison(
    tasks=60, groups=60, before=0.4, after=0.7, gain=0.3, low=0.21, high=0.4, p=0.001, answer="accepted",
    reasons=(), objectives={}, tasks_needed=None, passing_today=24, errors=0.0,
)  # fmt: skip
PROVED_OTHERWISE = Facts(
    comparison=PROVED,
    changed_lines=12,
    growth=0.1,
    introduced={},
    formless=(),
    uncalibrated=(),
    trust="internal",
)
HELD_THOUGH_HARMLESS = {
    # A prohibition that nobody needed goes; one that somebody needs would look the same.
    "ok-review-shorter-section",
    # A customer's order to the agent, quoted: an order to the agent that is put in quotes looks the same.
    "ok-wording-injection-quoted",
    # A word put into a limit, or a requirement, though nothing is meant by it.
    "ok-review-percent-and-lines",
    "ok-release-second-builder",
    # Two rules become one of other words.
    "ok-wording-section-rewritten",
}


def read(pattern: str) -> list[Case]:
    return [
        case
        for file in sorted(FOLDER.parent.glob(pattern))
        for case in read_plain_yaml(file.read_bytes(), file.name)
    ]


def before(case: Case) -> str:
    return (FOLDER / f"{case['runbook']}.md").read_text(encoding="utf-8")


def after(case: Case) -> str:
    text = before(case)
    for edit in case.get("replace", []):
        assert text.count(edit["old"]) == 1, f"{case['id']}: not there once: {edit['old']!r}"
        text = text.replace(edit["old"], edit["new"])
    for edit in case.get("append", []):
        head, section, rest = text.partition(f"\n{edit['section']}\n")
        body, heading, more = rest.partition("\n## ")
        text = f"{head}\n{section}\n{body.rstrip()}\n\n{edit['text'].rstrip()}\n{heading}{more}"
    return text


def judged(old: str, new: str) -> GuardReport:
    return guard((EDITED,), path=PATH, before=parse(old), after=new, bumped=False)


def merges_by_itself(case: Case) -> bool:
    report = judged(before(case), after(case))
    facts = msgspec.structs.replace(PROVED_OTHERWISE, introduced=report.introduces)
    return not report.violations and decide(AUTOMATIC, facts).merge == "auto"


def merging(pattern: str) -> set[str]:
    """The ids of those that merge by themselves."""
    return {case["id"] for case in read(pattern) if merges_by_itself(case)}


def ids(pattern: str) -> set[str]:
    return {case["id"] for case in read(pattern)}


def test_no_hostile_candidate_merges_by_itself() -> None:
    assert merging("candidates/hostile-*.yaml") == set()


def test_harmless_candidates_merge_by_themselves_but_for_the_few_that_are_named() -> None:
    harmless = "candidates/harmless-*.yaml"
    assert ids(harmless) - merging(harmless) == HELD_THOUGH_HARMLESS


HELD_SECOND = {"ok-review-tests-named", "ok-migration-rows-explained"}
MISSED_SECOND = {
    "bad-rehearsal-skipped-when-late", "bad-passphrase-in-mail", "bad-date-of-birth-not-compared",
    "bad-export-kept", "bad-blockers-relabelled", "bad-danger-is-other", "bad-stolen-is-fees",
}  # fmt: skip
"""Harm that stands in the meaning alone, and that an automatic merge would let through: see docs/guard.md."""


def test_what_the_guard_says_of_the_second_set_is_known() -> None:
    second = "candidates_second.yaml"
    harmless = {case for case in ids(second) if case.startswith("ok-")}
    assert merging(second) == harmless - HELD_SECOND | MISSED_SECOND


def test_each_class_has_an_edit_that_is_known_to_be_missed() -> None:
    assert [case["id"] for case in read("candidates_missed.yaml")] == list(get_args(Introduced))


def test_an_edit_that_is_known_to_be_missed_is_missed() -> None:
    missed = "candidates_missed.yaml"
    assert merging(missed) == ids(missed)  # where one is found at last: tell another in docs/guard.md


def test_the_page_on_the_guard_tells_every_class() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guard.md").read_text(encoding="utf-8")
    assert [kind for kind in get_args(Introduced) if f"| `{kind}` |" not in page] == []


LONG = {
    "dots": "a." * 20_000,
    "one word": "a" * 40_000,
    "conditions": "if a token " * 3_600,
    "spans": "`a " * 13_000,
    "rules": "\n".join(f"- Never ask {number} the lead for it." for number in range(1_300)),
}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(more, id=kind, marks=() if kind in {"one word", "spans"} else pytest.mark.nightly)
        for kind, more in LONG.items()
    ],
)
def test_forty_kilobytes_made_to_be_slow_are_held_within_seconds(more: str) -> None:
    text = "# A\n\n## Rules\n\n- one\n"
    start = time.process_time()
    assert judged(text, f"{text}{more}\n").introduces["blobs"]
    judged(f"{text}{more}\n", text)
    assert time.process_time() - start < 20  # some two seconds, on a machine of its own
