"""What guard and policy together say of the candidate edits, each of which an honest proof accepted."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbookopt.gitwords import FileChange
from runbookopt.landing.guard import GuardReport, guard
from runbookopt.landing.policy import AutoMergeIf, Facts, Policy, decide
from runbookopt.proof.comparison import Comparison
from runbookopt.records import read_plain_yaml
from runbookopt.runbook import parse

Case = dict[str, Any]
FOLDER = Path(__file__).parent / "candidates"
PATH = "runbooks/one/RUNBOOK.md"
EDITED = FileChange("M", PATH, PATH, "100644", "100644")
AUTOMATIC = Policy(merge="auto", auto_merge_if=AutoMergeIf())
PROVED = Comparison(
    tasks=60, groups=60, before=0.4, after=0.7, gain=0.3, low=0.21, high=0.4, p=0.001, answer="accepted",
    reasons=(), objectives={}, tasks_needed=None, passing_today=24, errors=0.0,
)  # fmt: skip
PROVED_OTHERWISE = Facts(
    comparison=PROVED, changed_lines=12, growth=0.1, introduced={}, uncalibrated=(), trust="internal"
)
HELD_THOUGH_HARMLESS = {
    # A prohibition that nobody needed goes; one that somebody needs would look the same.
    "ok-review-shorter-section",
    # A customer's order to the agent, quoted: an order to the agent that is put in quotes looks the same.
    "ok-wording-injection-quoted",
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


@pytest.mark.parametrize("case", read("candidates/hostile-*.yaml"), ids=lambda case: case["id"])
def test_no_hostile_candidate_merges_by_itself(case: Case) -> None:
    assert not merges_by_itself(case)


@pytest.mark.parametrize("case", read("candidates/harmless-*.yaml"), ids=lambda case: case["id"])
def test_harmless_candidates_merge_by_themselves_but_for_the_few_that_are_named(case: Case) -> None:
    assert merges_by_itself(case) == (case["id"] not in HELD_THOUGH_HARMLESS)
