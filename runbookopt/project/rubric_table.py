"""Rubric tables of Jetty's pages (criterion, what earns 5, 3, 1): seen, to be carried over (pure)."""

import re

_HEAD = re.compile(
    rb"^[ \t]{0,8}\|[^\r\n]{0,200}\bCriterion\b[^\r\n|]{0,80}\|[ \t]{0,8}5\b[^\r\n]{0,200}\|[ \t]{0,8}1\b",
    re.MULTILINE,
)


def seen_table(page: bytes, path: str) -> str:
    """What to say of a page's own table of criteria where no rubric.yaml is; nothing without one."""
    head = _HEAD.search(page)
    if head is None:
        return ""
    line = len(page[: head.start()].splitlines()) + 1
    how = "write each of its rows as a criterion with a question for `judge:`"
    return f"; the table of criteria in {path}:{line} is graded by the agent itself, so it is none: {how}"
