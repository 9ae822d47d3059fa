"""The page of `runbookopt audit` in a real browser, by keyboard alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from runbookopt.documents.hidden_text import visible
from runbookopt.errors import RunbookoptError
from runbookopt.jobs.verifiers.audit import Given, Kept, Sheet, Shown, Sitting
from runbookopt.pages.server import page_named, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser import Browser, Page

RUNS = '<script>document.title = "run"</script><img src=x onerror="document.title = 1">'
HOSTILE = f"{RUNS}\u202eabc\n{'x' * 9000}"
PAIRS = tuple(
    Shown(f"task-{number}", visible(text), expected, visible(f"left {number} {text}"), right)
    for number, (text, expected, right) in enumerate(
        [("ticket", None, "right"), (HOSTILE, visible(HOSTILE), visible(HOSTILE)), ("last", "gold", None)]
    )
)


class Audited:
    """A page in a browser, and what was said there."""

    def __init__(self, page: "Page", sitting: Sitting, ends: list[object]) -> None:
        self.page, self.sitting, self.ends = page, sitting, ends

    def at(self, place: int) -> None:
        self.page.wait(f"document.getElementById('where')?.textContent.startsWith('pair {place} of 3')")


@pytest.fixture
def audit(browser: "Browser", tmp_path: "Path") -> Iterator[Audited]:
    sheet = Sheet("desk", 7, "look", "bundle", "head", "seed", changed=9, pairs=PAIRS)
    sitting, ends = Sitting(sheet, Kept("seed", path=str(tmp_path / "kept.json"))), list[object]()

    def end(sent: object) -> object:
        ends.append(sent)
        if len(ends) == 1:
            raise RunbookoptError("origin cannot be reached")
        return {"found": "2 of 3 <b>better</b>", "next": "It counts."}

    def answer(sent: Any) -> object:  # noqa: ANN401 - whatever the page sends
        return sitting.answer(msgspec.convert(sent, Given))

    answers = {"start": lambda _: sitting.start(), "answer": answer, "end": end}
    with serving(page_named("audit.html"), answers) as served:
        yield Audited(browser.page(served.address), sitting, ends)


def test_pairs_are_compared_taken_back_and_ended_by_keys_and_nothing_of_them_is_run(audit: Audited) -> None:
    page = audit.page
    audit.at(1)
    assert "pull request 7" in page.text("header")
    assert page.value("document.getElementById('expected-part').hidden")
    page.press("1")
    audit.at(2)
    assert page.text("#left").startswith('left 1 <script>document.title = "run"</script>')
    assert "<U+202E>abc" in page.text("#task")
    page.press("2")
    audit.at(3)
    assert page.text("#right") == "(no output)"
    page.press("u")
    audit.at(2)
    assert page.value("document.getElementById('say-right').getAttribute('aria-pressed')") == "true"
    page.press("e")
    audit.at(3)
    page.press("Enter")  # not before all are answered
    page.press("s")
    page.wait("!document.getElementById('end').hidden")
    assert dict(audit.sitting.answers) == {"task-0": "left", "task-1": "equal", "task-2": "skip"}
    page.press("Enter")
    page.wait("document.getElementById('trouble').textContent === 'origin cannot be reached'")
    page.press("Enter")
    page.wait("!document.getElementById('outcome').hidden")
    assert "2 of 3 <b>better</b>" in page.text("main")
    assert len(audit.ends) == 2
    assert page.value("document.title") == "Audit"
    assert page.value("document.querySelectorAll('img, b').length") == 0


def test_it_shows_pairs_beside_one_another_and_below_one_another_where_it_is_narrow(audit: Audited) -> None:
    audit.at(1)
    tops = "['left', 'right'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    left, right = audit.page.value(tops)
    assert left == right
    audit.page.size(400)
    left, right = audit.page.value(tops)
    assert left < right
    assert audit.page.value("document.documentElement.scrollWidth") <= 400
