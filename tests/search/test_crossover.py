import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbookopt.search.blocks import Block, in_code
from runbookopt.search.crossover import Crossed, Rewrite, crossover

LINES = st.lists(st.sampled_from(["a", "b", "- rule", "", "  x", "```", "\u2028y", "c\r"]), max_size=8)
TEXTS = LINES.map("\n".join)
BASE = "intro\n- one\n- two\nend\n"

KINDS = [
    "- {} is an item",
    "- {} is an item\n  that goes on\n\n  in a second paragraph",
    "1. {} comes first\n   - and has a child of its own\n2. then comes this of {}",
    "```sh\nrun {}\n\nstop {}\n```",
    "~~~\n```\n{} within tildes\n~~~",
    "- {} with code:\n\n  ```python\n  do({})\n  ```",
    "Message: ask for {}\nAnswer: yes",
    "| name | what |\n|---|---|\n| {} | is in a table |",
    "> {} is quoted\n> in two lines",
    "<details>\n<summary>{}</summary>\n</details>",
    "A paragraph on {}\nthat has two lines.",
    "### On {}\n\nWhat holds of {}.",
    "For example:\n\n```\n{}\n```",
    "    indented code of {}",
    "Message: hello\nAnswer: yes",
]
WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta"])
BLOCK = st.builds(lambda kind, word: kind.replace("{}", word), st.sampled_from(KINDS), WORDS)
DOCUMENT = st.lists(BLOCK, min_size=1, max_size=5)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[str, list[Rewrite]]:
    """Draw a document and up to four edits of it, each of whole blocks: some added, changed, taken out."""
    document = draw(DOCUMENT)
    ending, last = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from(["\n", "\n\n", ""]))

    def text(parts: list[str]) -> str:
        return ("\n\n".join(parts) + last).replace("\n", ending)

    edits = []
    for _ in range(draw(st.integers(1, 4))):
        parts: list[str] = []
        for part in document:
            what = draw(st.sampled_from(["keep"] * 5 + ["add", "drop", "change"]))
            parts += [draw(BLOCK)] if what in {"add", "change"} else []
            parts += [part] if what in {"keep", "add"} else []
        parts += draw(st.lists(BLOCK, max_size=1))
        edits.append(Rewrite(text(parts), draw(st.integers(1, 3))))
    return text(document), edits


def balanced(text: str) -> bool:
    """Whether every block of code that is opened is closed, by a reading of its own."""
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r"[ \t>]*(`{3,}|~{3,})([^`\r]*)\r?$", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
    return not fence


def pieces(text: str) -> Iterator[str]:
    """Give what stands between blank lines, a block of code as one, without differences of form."""
    lines = text.replace("\r\n", "\n").split("\n")
    piece: list[str] = []
    for line, code in zip([*lines, ""], [*in_code(lines), False], strict=True):
        if line or code:
            piece.append(line)
        elif piece:
            yield Block(tuple(f"{each}\n" for each in piece), code="```" in str(piece)).meaning
            piece = []


@given(TEXTS)
def test_crossover_of_a_text_with_itself_is_itself(text: str) -> None:
    assert crossover(text, [Rewrite(text, 1), Rewrite(text, 2)]) == Crossed(text)


@given(TEXTS, TEXTS)
@example("a", "a\n")
@example("a\r\nb", "a\r\nb\r\nc")
def test_one_edit_alone_gives_that_edit(base: str, text: str) -> None:
    assert crossover(base, [Rewrite(text, 1)]) == Crossed(text)
    assert crossover(base, [Rewrite(text, 1), Rewrite(base, 2), Rewrite(text, 3)]) == Crossed(text)


@given(TEXTS, st.lists(st.tuples(TEXTS, st.integers(0, 3)), max_size=4), st.randoms())
def test_the_order_of_edits_does_not_matter(base: str, edits: list[tuple[str, int]], rng: object) -> None:
    rewrites = [Rewrite(text, failures) for text, failures in edits]
    shuffled = list(rewrites)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert crossover(base, rewrites).text == crossover(base, shuffled).text


@given(worlds())
def test_the_text_is_that_of_the_edits_which_are_not_lost(world: tuple[str, list[Rewrite]]) -> None:
    base, edits = world
    crossed = crossover(base, edits)
    kept = [edit for place, edit in enumerate(edits) if place not in crossed.lost]
    assert crossover(base, kept) == Crossed(crossed.text)
    assert len(crossed.lost) < len(edits)


@given(worlds())
def test_code_is_closed_where_it_is_in_what_goes_in_and_every_block_is_whole(
    world: tuple[str, list[Rewrite]],
) -> None:
    base, edits = world
    crossed = crossover(base, edits)
    assert balanced(crossed.text)
    kept = [edit.text for place, edit in enumerate(edits) if place not in crossed.lost]
    known = set(pieces(base)).union(*map(pieces, kept))
    assert set(pieces(crossed.text)) <= known
    for text in kept:
        assert set(pieces(text)) - set(pieces(base)) <= set(pieces(crossed.text))


@given(DOCUMENT, st.lists(st.tuples(st.integers(0, 5), BLOCK), min_size=1, max_size=4))
def test_edits_that_only_add_blocks_are_never_lost(document: list[str], added: list[tuple[int, str]]) -> None:
    texts = ["\n\n".join([*document[:at], block, *document[at:]]) + "\n" for at, block in added]
    assert crossover("\n\n".join(document) + "\n", [Rewrite(text, 1) for text in texts]).lost == ()


def test_insertions_at_the_same_place_both_stay_and_equal_ones_stay_once() -> None:
    first = Rewrite("intro\n- one\n- two\n- three\nend\n", 1)
    second = Rewrite("intro\n- one\n- two\n- four\n- Three.\nend\n", 1)
    combined = crossover(BASE, [first, second]).text.splitlines()
    assert sorted(line.strip(".").lower() for line in combined[3:-1]) == ["- four", "- three"]
    assert combined[:3] + combined[-1:] == BASE.splitlines()


def test_of_two_changes_of_one_line_the_one_from_more_failures_is_taken_and_nothing_of_the_other() -> None:
    loser = Rewrite("intro\n- ONE\n- two\nend, too\n", 1)
    winner = Rewrite("intro\n- 1\n- two\nend\n", 2)
    assert crossover(BASE, [loser, winner]) == Crossed("intro\n- 1\n- two\nend\n", lost=(0,))


def test_an_insertion_inside_what_another_edit_rewrites_is_kept_behind_it() -> None:
    rewriting = Rewrite("intro\n- both\nend\n", 2)
    inserting = Rewrite("intro\n- one\n- between\n- two\nend\n", 1)
    assert crossover(BASE, [rewriting, inserting]) == Crossed("intro\n- both\n- between\nend\n")


RECORDS = "## Examples\n\nMessage: a\nAnswer: x\n\nMessage: b\nAnswer: y\n\n"


def test_no_example_loses_an_answer_that_another_has_too() -> None:
    """Found in a run with a model: three messages in a row, and the answer of one of them was gone."""
    first = RECORDS.replace("Message: b", "Message: c\nAnswer: x\n\nMessage: b")
    second = RECORDS.replace("Message: b", "Message: d\nAnswer: x\n\nMessage: b")
    text = crossover(RECORDS, [Rewrite(first, 1), Rewrite(second, 1)]).text
    for name in "cd":
        assert f"\n\nMessage: {name}\nAnswer: x\n\n" in text
    assert "\n\n\n" not in text


def test_two_blocks_of_code_at_one_place_are_two_blocks() -> None:
    """Found in a run with a model: the second command stood outside any fence."""
    base = "## Steps\n\nRun it.\n\n"
    first, second = (f"{base}```sh\n{command}\n```\n\n" for command in ("make", "make test"))
    text = crossover(base, [Rewrite(first, 1), Rewrite(second, 1)]).text
    assert "```sh\nmake\n```\n\n" in text
    assert "```sh\nmake test\n```\n\n" in text


STAYS = {
    "an answer as an item": "- Message: {}\n- Answer: yes\n",
    "an answer as a paragraph": "Q: {}\n\nA: yes\n\n",
    "a step": "1. Open {}.\n2. Click on save and wait for it.\n",
    "the other case": "If {} is late, ask.\n\nOtherwise, do all of it by yourself.\n\n",
    "a command": "With {}, run\n\n```sh\nmake all of the things now\n```\n\n",
    "a last line of a quote": "> {}\n> which is said in two whole lines\n\n",
    "a list behind a line": "With {}:\n\n- say no to all of it\n\n",
}


@pytest.mark.parametrize("name", STAYS)
def test_what_depends_on_what_is_before_it_is_not_taken_for_a_repetition(name: str) -> None:
    base = "## Part\n\nBegin.\n\n"
    pieces = [STAYS[name].format(each) for each in ("one", "two")]
    text = crossover(base, [Rewrite(base + piece, 1) for piece in pieces]).text
    assert all(piece.strip() in text for piece in pieces)
    again = crossover(base, [Rewrite(base + piece, 1) for piece in (pieces[0], pieces[0].replace("o", "O"))])
    assert len(again.text) == len(base + pieces[0]) or "```" in text


APART = {
    "a nested item": ("- a\n  - b\n- c\n", "- a\n  - b\n  - x\n- c\n", "- a\n  - b\n  - y\n- c\n"),
    "an item of numbers": ("1. a\n2. b\n", "1. a\n2. b\n3. x\n", "1. a\n2. b\n3. y\n"),
    "a row": (
        "|a|b|\n|---|---|\n|c|d|\n",
        "|a|b|\n|---|---|\n|c|d|\n|x|1|\n",
        "|a|b|\n|---|---|\n|c|d|\n|y|1|\n",
    ),
    "no last ending": ("a\n\nb", "a\n\nb\n\nx", "a\n\nb\n\ny"),
    "lines of Windows": ("a\r\n\r\nb\r\n", "a\r\n\r\nx\r\n\r\nb\r\n", "a\r\n\r\ny\r\n\r\nb\r\n"),
    "a line of code": ("```\na\nb\n```\n", "```\na\nx\nb\n```\n", "```\na\ny\nb\n```\n"),
    "a quote": ("> a\n\nb\n", "> a\n\n> x\n\nb\n", "> a\n\n> y\n\nb\n"),
    "HTML": ("a\n\nb\n", "a\n\n<p>x</p>\n\nb\n", "a\n\n<p>y</p>\n\nb\n"),
    "a paragraph beside an item": ("- a\n\nb\n", "- a\n- x\n\nb\n", "- a\n\ny\n\nb\n"),
}


@pytest.mark.parametrize("name", APART)
def test_of_what_two_edits_add_at_one_place_neither_is_lost_nor_glued(name: str) -> None:
    base, *texts = APART[name]
    crossed = crossover(base, [Rewrite(text, 1) for text in texts])
    assert crossed.lost == ()
    lines = [line.rstrip("\r") for line in crossed.text.split("\n")]
    assert len(lines) == len([*dict.fromkeys(lines)]) or "" in lines
    for text in texts:
        own = [line.rstrip("\r") for line in text.split("\n")]
        assert [line for line in lines if line in own and line] == [line for line in own if line]
    assert ("\r\n" in base) == ("\r\n" in crossed.text)
    assert base.endswith("\n") == crossed.text.endswith("\n")


LOST = {
    "a child of what is gone": ("- a\n  - b\n- c\n", "- c\n", "- a\n  - b\n  - x\n- c\n"),
    "a line of code that is gone": (
        "a\n\n```\nb\n\nc\n```\n\nd\n",
        "a\n\nd\n",
        "a\n\n```\nb\n\nx\nc\n```\n\nd\n",
    ),
    "code around what becomes code": (
        "a\n\nb\n\nc\n",
        "```\na\n\nb\n\nc\n```\n",
        "a\n\n```\nx\n```\n\nb\n\nc\n",
    ),
    "a line of a paragraph that is rewritten": ("a\nb\nc\n", "A.\n", "a\nx\nb\nc\n"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_has_no_place_beside_another_edit_is_lost_and_said_to_be(name: str) -> None:
    base, winner, loser = LOST[name]
    assert crossover(base, [Rewrite(loser, 1), Rewrite(winner, 2)]) == Crossed(winner, lost=(0,))


def test_what_is_said_twice_at_two_places_is_said_once_and_short_things_are_not_taken_for_that() -> None:
    base = "## A\n\n- one\n\n## B\n\n- two\n"
    line = "- Never promise a refund on the phone.\n"
    first, second = (
        base.replace("- one\n", f"- one\n{line}"),
        base.replace("- two\n", f"- two\n{line.upper()}"),
    )
    text = crossover(base, [Rewrite(first, 2), Rewrite(second, 1)]).text
    assert text.lower().count("never promise a refund") == 1
    yes = [Rewrite(base.replace(f"- {each}\n", f"- {each}\n- Yes.\n"), 1) for each in ("one", "two")]
    assert crossover(base, yes).text.count("- Yes.") == 2


@given(worlds())
def test_lines_are_code_as_they_were_where_they_come_from(world: tuple[str, list[Rewrite]]) -> None:
    base, edits = world
    coded = {
        line.strip()
        for text in (base, *(edit.text for edit in edits))
        for line, state in zip(text.split("\n"), in_code(text.split("\n")), strict=True)
        if state
    }
    text = crossover(base, edits).text.split("\n")
    assert all(line.strip() in coded for line, state in zip(text, in_code(text), strict=True) if state)
