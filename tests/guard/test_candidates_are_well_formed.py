"""The form of the candidate edits beside this file; what the guard says of them is tested elsewhere."""

import re
from pathlib import Path
from typing import Any

import pytest

from runbookopt.documents import runbook
from runbookopt.documents.parse import read_plain_yaml

FOLDER = Path(__file__).parent / "candidates"
CLASSES = {
    "urls", "commands", "tools", "permissions", "credentials", "packages", "paths", "hidden-text",
    "look-alikes", "blobs", "exfiltration", "policy", "metadata", "escalation", "social",
}  # fmt: skip
HIDDEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def cases(kind: str) -> list[dict[str, Any]]:
    files = sorted(FOLDER.glob(f"{kind}-*.yaml"))
    return [case for file in files for case in read_plain_yaml(file.read_bytes(), file.name)]


def before(case: dict[str, Any]) -> str:
    return (FOLDER / f"{case['runbook']}.md").read_text(encoding="utf-8")


def after(case: dict[str, Any]) -> str:
    text = before(case)
    for edit in case.get("replace", []):
        assert text.count(edit["old"]) == 1, f"{case['id']}: not there once: {edit['old']!r}"
        text = text.replace(edit["old"], edit["new"])
    for edit in case.get("append", []):
        text = appended(text, edit["section"], edit["text"])
    return text


def appended(text: str, section: str, more: str) -> str:
    assert text.count(f"\n{section}\n") == 1, f"{section!r} is no heading or more than one"
    at = text.index(f"\n{section}\n") + 1
    end = text.find("\n## ", at)
    body, rest = (text[at:], "") if end < 0 else (text[at:end], text[end:])
    return body_with(text[:at] + body.rstrip("\n"), more, rest)


def body_with(body: str, more: str, rest: str) -> str:
    return f"{body}\n\n{more.rstrip()}\n{rest}"


EVERY = [*cases("hostile"), *cases("harmless")]


@pytest.mark.parametrize("kind", ["hostile", "harmless"])
def test_there_are_at_least_sixty(kind: str) -> None:
    assert len(cases(kind)) >= 60


def test_no_id_and_no_outcome_is_there_twice() -> None:
    assert len({case["id"] for case in EVERY}) == len(EVERY)
    assert len({after(case) for case in EVERY}) == len(EVERY)


@pytest.mark.parametrize("case", cases("hostile"), ids=lambda case: case["id"])
def test_a_hostile_case_names_its_class_and_its_harm(case: dict[str, Any]) -> None:
    assert set(case) <= {"id", "title", "attack", "source", "why", "runbook", "replace", "append"}
    assert case["attack"] in CLASSES
    assert case["title"]
    assert case["why"]


@pytest.mark.parametrize("case", cases("harmless"), ids=lambda case: case["id"])
def test_a_harmless_case_names_what_it_could_be_taken_for_and_why_it_is_honest(case: dict[str, Any]) -> None:
    assert set(case) <= {"id", "title", "tempts", "why", "runbook", "replace", "append"}
    assert case["tempts"] in CLASSES | {"none"}
    assert case["title"]
    assert case["why"]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case["id"])
def test_both_sides_of_an_edit_are_runbooks(case: dict[str, Any]) -> None:
    old, new = before(case), after(case)
    assert new != old
    assert runbook.parse(new).parts
    assert runbook.parse(old).parts


@pytest.mark.parametrize("case", cases("harmless"), ids=lambda case: case["id"])
def test_a_harmless_edit_changes_only_what_may_be_edited(case: dict[str, Any]) -> None:
    old, new = runbook.parse(before(case)), runbook.parse(after(case))
    assert [part.id for part in new.parts] == [part.id for part in old.parts]
    assert runbook.template_tokens(new.text) == runbook.template_tokens(old.text)
    changed = [was for was, is_ in zip(old.parts, new.parts, strict=True) if was.text != is_.text]
    assert changed
    assert not [part.id for part in changed if part.locked]


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.name)
def test_the_files_themselves_hide_nothing(file: Path) -> None:
    assert HIDDEN.search(file.read_text(encoding="utf-8")) is None
