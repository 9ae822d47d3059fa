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


FORMS = {
    "hostile": ("attack", {"attack", "source"}, CLASSES),
    "harmless": ("tempts", {"tempts"}, CLASSES | {"none"}),
}


def test_a_case_names_its_class_and_why_it_does_harm_or_is_honest() -> None:
    for kind, (label, labels, known) in FORMS.items():
        allowed = {"id", "title", "why", "runbook", "replace", "append"} | labels
        told = [case for case in cases(kind) if case["title"] and case["why"] and case[label] in known]
        assert [case["id"] for case in cases(kind) if case not in told or set(case) - allowed] == []


def test_both_sides_of_an_edit_are_runbooks() -> None:
    sides = {case["id"]: (before(case), after(case)) for case in EVERY}
    assert [id_ for id_, (old, new) in sides.items() if new == old] == []
    assert [id_ for id_, both in sides.items() if not all(runbook.parse(text).parts for text in both)] == []


def changes_only_what_may_be_edited(case: dict[str, Any]) -> bool:
    old, new = runbook.parse(before(case)), runbook.parse(after(case))
    changed = [was for was, is_ in zip(old.parts, new.parts, strict=True) if was.text != is_.text]
    return (
        [part.id for part in new.parts] == [part.id for part in old.parts]
        and runbook.template_tokens(new.text) == runbook.template_tokens(old.text)
        and bool(changed)
        and not any(part.locked for part in changed)
    )


def test_a_harmless_edit_changes_only_what_may_be_edited() -> None:
    assert [case["id"] for case in cases("harmless") if not changes_only_what_may_be_edited(case)] == []


def test_the_files_themselves_hide_nothing() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
    assert [name for name, text in texts.items() if HIDDEN.search(text)] == []
