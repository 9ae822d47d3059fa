"""The page of `runbookopt label` in a real browser, by keyboard alone: what is shown, and what is written."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.calibration.labels import standing
from runbookopt.documents.hidden_text import visible
from runbookopt.evidence.library import Folder, read_evidence

if TYPE_CHECKING:
    from tests.browser import Page
    from tests.conftest import Clone
    from tests.pages.conftest import Labelling

    Desk = Callable[..., Clone]
    Start = Callable[..., Labelling]

PLAIN = '{"desk": "cards"}'


def plain(number: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON has any shape
    task = {"input": f"ticket {number}", "reference": {"desk": "cards"}, "split": "train"}
    return {"id": f"t-{number:02}", "task": task, "output": PLAIN, **more}


def lines(clone: "Clone") -> list[dict[str, Any]]:
    text = (clone.root / "trajectories/desk/octocat.labels.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def standing_in(clone: "Clone") -> Mapping[tuple[str, str], tuple[str, str | None, str | None]]:
    """What stands of each criterion of each trajectory: result, failure mode, note."""
    evidence = read_evidence(Folder(clone.root), "desk")
    assert not evidence.warnings
    return {
        (each.trajectory, each.criterion): (each.result, each.failure_mode, each.explanation)
        for each in standing(evidence.labels)
    }


def counted(page: "Page", done: int, whole: int) -> None:
    page.wait(f"document.getElementById('count').textContent.startsWith('{done} of {whole}')")


def good(labelling: "Labelling") -> str:
    """Pass both criteria of what is shown, by two keys."""
    id_ = labelling.current()
    labelling.page.press("p", "p")
    return id_


def bad(labelling: "Labelling", note: str) -> str:
    """Fail the first criterion with a note and a failure mode that is typed, and pass the other."""
    id_, page = labelling.current(), labelling.page
    page.press("n")
    page.type(note)
    page.press("Enter", "f", "p", "m")
    page.type("wrong desk")
    page.press("Enter")
    return id_


def test_ten_are_labelled_one_is_undone_and_a_killed_program_goes_on_from_there(
    desk: "Desk", labelling: "Start"
) -> None:
    clone = desk(*map(plain, range(12)))
    first = labelling(clone)
    given = {}
    for number in range(10):
        given[bad(first, f"n {number}") if number % 2 else good(first)] = number
        counted(first.page, number + 1, 12)
    undone = list(given)[-1]
    first.page.press("z")
    counted(first.page, 9, 12)
    assert first.current() == undone
    first.kill()

    del given[undone]
    expected: dict[tuple[str, str], tuple[str, str | None, str | None]] = {}
    for id_, number in given.items():
        failed = bool(number % 2)
        expected[id_, "right-desk"] = (
            ("fail", "wrong desk", f"n {number}") if failed else ("pass", None, None)
        )
        expected[id_, "polite"] = ("pass", None, None)
    nothing = dict.fromkeys([(undone, "right-desk"), (undone, "polite")], ("unsure", None, None))
    assert standing_in(clone) == expected | nothing
    assert len(lines(clone)) == 22
    assert {line["by"] for line in lines(clone)} == {"octocat"}
    assert {line["saw_verdict"] for line in lines(clone)} == {False}

    second = labelling(clone)
    counted(second.page, 0, 3)
    for number in range(3):
        assert good(second) not in given
        counted(second.page, number + 1, 3)
    assert "All done" in second.page.text("#trajectory")
    assert len({trajectory for trajectory, _ in standing_in(clone)}) == 12
    second.page.press("q")
    assert second.child.wait(60) == 0
    assert second.child.stdout is not None
    assert (
        second.child.stdout.read()
        .splitlines()[-1]
        .startswith("3 labelled: see trajectories/desk/octocat.labels.jsonl")
    )


@pytest.mark.nightly
def test_two_pages_at_once_lose_nothing(desk: "Desk", labelling: "Start") -> None:
    clone = desk(*map(plain, range(6)))
    one, other = labelling(clone), labelling(clone)
    same = one.current()
    assert other.current() == same  # both show it, and both give an answer
    good(one)
    bad(other, "no")
    counted(one.page, 1, 6)
    counted(other.page, 1, 6)
    for number in range(2, 6):
        good(one if number % 2 else other)
        shown = one if number % 2 else other
        shown.page.wait("!document.getElementById('answer').hidden")
    one.page.wait("document.getElementById('count').textContent !== '1 of 6'")
    written = lines(clone)
    assert standing_in(clone)[same, "right-desk"] == ("fail", "wrong desk", "no")
    assert [line["result"] for line in written if line["trajectory"] == same] == [
        "pass",
        "pass",
        "fail",
        "pass",
    ]
    digests = [line.get("supersedes") for line in written if line["trajectory"] == same]
    assert digests[:2] == [None, None]
    assert None not in digests[2:]


HOSTILE = """<script>window.broken = 1</script>
<img src="http://evil.example/i.png" onerror="window.broken = 2">
# Heading <b onclick="window.broken = 3">bold</b>

- one [click](javascript:window.broken=4) and ![look](http://evil.example/p.png)
- two **strong** *soft* `code`
<!-- a comment that renderers hide -->
<details><summary>x</summary>inside</details>
```html
<iframe src="http://evil.example"></iframe>
```
> quoted \u202egnp.exe\u202c and zero\u200bwidth
[ref]: http://evil.example "title"
\x1b[31mred\x07
"""
SHOWN = """<script>window.broken = 1</script>
<img src="http://evil.example/i.png" onerror="window.broken = 2">
Heading <b onclick="window.broken = 3">bold</b>
one click (javascript:window.broken=4) and image: look (http://evil.example/p.png)
two strong soft code
<!-- a comment that renderers hide -->
<details><summary>x</summary>inside</details>
html
<iframe src="http://evil.example"></iframe>
quoted U+202Egnp.exeU+202C and zeroU+200Bwidth
[ref]: http://evil.example "title"
U+001B[31mredU+0007"""


def test_a_hostile_trajectory_runs_nothing_loads_nothing_and_hides_nothing(
    desk: "Desk", labelling: "Start"
) -> None:
    name = '"><script>window.broken = 5</script>'
    step = {"step_id": 1, "source": name, "message": HOSTILE, "tool_calls": [{"function_name": name}]}
    page = labelling(desk(plain(1, steps=[step], agent={"name": name}) | {"output": HOSTILE})).page
    page.press("t")
    page.wait("document.querySelector('details').open && !!document.querySelector('details .text')")
    text = page.text("#trajectory")
    for line in SHOWN.split("\n"):
        assert text.count(line) >= 2, line  # in the output, and in the step
    assert text.count(name) >= 3
    inside = "script, img, iframe, a, b, object, link, style, form, svg"
    assert page.value(f"document.querySelectorAll('#trajectory :is({inside})').length") == 0
    assert page.value("window.broken === undefined")
    assert not [address for address in page.requests() if not address.startswith("http://127.0.0.1:")]
    tried = "(() => { try { document.body.innerHTML = '<i>x</i>'; return false } catch { return true } })()"
    assert page.value(tried)  # what this file should ever do by mistake, the browser refuses


@pytest.mark.nightly
def test_all_that_cannot_be_seen_is_written_out_as_everywhere_else(desk: "Desk", labelling: "Start") -> None:
    codes = [*range(0x250), *range(0x600, 0x620), *range(0x1150, 0x1170), *range(0x17B0, 0x1810)]
    codes += [
        *range(0x2000, 0x2080),
        0x2800,
        0x3164,
        *range(0xFE00, 0xFE10),
        0xFEFF,
        0xFFA0,
        *range(0xFFF0, 0xFFFE),
    ]
    codes += [0x1BCA0, 0x1D173, 0xE0001, 0xE0041, 0xE0FFF]
    texts = [f"a{chr(code)}b" for code in codes if chr(code) not in "\r\n"]
    texts += ["\u2764\ufe0f", "\U0001f469\u200d\U0001f4bb", "\u0915\u094d\u200d\u0937", "x\ufe0fy", "1\ufe0f"]
    output = "```\n" + "\n".join(texts) + "\n```"
    page = labelling(desk(plain(1) | {"output": output})).page
    page.press("r")
    section = "[...document.querySelectorAll('#trajectory section')][1]"
    page.value(f"[...{section}.querySelectorAll('button')].at(-1).click()")
    text = page.value(f"{section}.querySelector('.text').textContent")
    expected = visible(output)
    for code in codes:
        expected = expected.replace(f"<U+{code:04X}>", f"U+{code:04X}")
    assert text.split("\n") == expected.split("\n")


@pytest.mark.nightly
def test_five_megabytes_are_bounded_told_and_reachable(desk: "Desk", labelling: "Start") -> None:
    output = "begins here " + "word " * 1_000_000 + "the very end"
    page = labelling(desk(plain(1) | {"output": output})).page
    section = "[...document.querySelectorAll('#trajectory section')][1]"
    assert f"20,000 of {len(output):,} characters are shown." in page.text("#trajectory")
    assert page.value(f"{section}.textContent.length") < 21_000
    page.value(f"{section}.querySelectorAll('button')[1].focus()")
    page.press("Enter")
    page.wait(f"{section}.textContent.includes('the very end')")
    page.press("Tab", "Enter")
    page.wait(f"{section}.textContent.length >= {len(output)}")


@pytest.mark.nightly
def test_verdicts_and_the_expected_answer_are_hidden_until_they_are_asked_for(
    desk: "Desk", labelling: "Start"
) -> None:
    verdict = {"criterion": "polite", "result": "fail", "explanation": "a curt reply", "by": {"kind": "llm"}}
    clone = desk(plain(1, verdicts=[verdict]) | {"output": '{"desk": "loans"}'})
    running = labelling(clone)
    page = running.page
    html = page.value("document.documentElement.outerHTML")
    assert "curt" not in html
    assert "cards" not in page.text("#trajectory")
    page.press("p", "v")
    page.wait("document.getElementById('seen').innerText.includes('a curt reply')")
    page.press("p")
    page.wait("document.body.innerText.includes('All done')")
    assert {line["criterion"]: line["saw_verdict"] for line in lines(clone)} == {
        "right-desk": True,
        "polite": True,
    }


@pytest.mark.nightly
def test_it_is_readable_in_a_narrow_window_and_in_the_dark(desk: "Desk", labelling: "Start") -> None:
    long = "a" * 300 + " [x](http://example.com/" + "b" * 300 + ")\n```\n" + "c" * 300 + "\n```"
    page = labelling(desk(plain(1) | {"output": long})).page
    page.size(400)
    assert page.value("document.documentElement.scrollWidth") <= 400
    light = page.value("getComputedStyle(document.body).backgroundColor")
    page.dark()
    page.wait(f"getComputedStyle(document.body).backgroundColor !== '{light}'")
