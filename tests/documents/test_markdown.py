import time

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runbookopt.documents.markdown import LINE, outline

STARTS = [
    "",
    " ",
    "  ",
    "   ",
    "    ",
    "\t",
    "> ",
    ">     ",
    "- ",
    "-     ",
    "  - ",
    "1. ",
    "1)  ",
    "10. ",
    "* ",
    "+ ",
]
MARKS = [
    "#",
    "# ",
    "## ",
    "####### ",
    "#\t",
    "```",
    "````",
    "~~~",
    "===",
    "---",
    "-",
    "* * *",
    "1.",
    "+",
    "*",
    "<!--",
    "-->",
]
WORDS = [
    "<div>",
    "</div>",
    "<pre>",
    "</pre>",
    "<?php",
    "?>",
    "[a]: /b",
    "[a]: /b 'c",
    "d'",
    "word",
    "**bold**",
    "`code`",
]
LINES = st.lists(
    st.builds(
        "".join,
        st.lists(st.sampled_from([*STARTS, *MARKS, *WORDS, "# T", "\x0c", "\u2028", "\xa0"]), max_size=3),
    )
)
ENDINGS = st.sampled_from(["\n", "\n\n", "\r\n", "\r", "\n   \n"])


def read_at_once(text: str) -> tuple[list[tuple[int, int]], set[int]]:
    """Give lines and levels of the headings, and the lines of code, of a text parsed as a whole."""
    headings, code = [], set[int]()
    for token in MarkdownIt("commonmark").parse(text):
        start, end = token.map or (0, 0)
        if token.type in {"fence", "code_block"}:
            code.update(range(start, end))
        elif token.type == "heading_open" and token.level == 0:
            headings.append((start, int(token.tag[1:])))
    return headings, code


@given(
    st.builds(
        lambda lines, ending, last: ending.join(lines) + last, LINES, ENDINGS, st.sampled_from(["", "\n"])
    )
)
@example("Title\n- ")
@example("1. # no\n\n1. ```\n# T\n")
@example("```\n# a\n# b\n# c\n# d\n```\n# e\n")
@example("- a\n\n  ```\n# T\n")
def test_a_text_read_in_pieces_is_the_text_read_at_once(text: str) -> None:
    read = outline("\n" + text)  # no front matter, which is no Markdown
    headings, code = read_at_once("\n" + text)
    assert [(heading.line, heading.level) for heading in read.headings] == headings
    assert read.code == code
    assert read.lines == tuple(LINE.findall("\n" + text))


def test_an_edit_of_a_long_text_costs_the_reading_of_what_it_touches() -> None:
    def text(edit: int) -> str:
        return "".join(f"## Part {n}\n\n```\n# {n}\n```\n\n- one\n\n" for n in range(200)) + f"- {edit}\n"

    outline(text(0))
    began = time.process_time()
    for edit in range(20):
        outline(text(edit))
    seconds = time.process_time() - began
    began = time.process_time()
    MarkdownIt("commonmark").parse(text(0))
    assert seconds < 10 * (time.process_time() - began)
