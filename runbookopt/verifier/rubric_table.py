"""Rubric table of a runbook, as Jetty writes it: criteria with what earns 5, 3 and 1. Pure.

https://github.com/jettyio/jettyio-skills
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from runbookopt.documents.markdown import Table, front_data, front_matter, tables_of
from runbookopt.documents.parse import MalformedFile, Problem, read_yaml
from runbookopt.documents.runbook import Runbook, decode
from runbookopt.documents.schema_errors import plain
from runbookopt.verifier.rubric import Criterion, JudgeSettings, Rubric

PASSES = 4
"""The mark from which an output meets a criterion, where the table has no column that says another."""

_CRITERION = b"riteri"
_MARK = re.compile(r"\s*(\d{1,2})\b")
_NUMBER = re.compile(r"\d{1,2}")
_MARKS = 2
"""Columns of marks that a table has at least: a list of criteria alone says nothing to judge by."""


def read_rubric_table(runbook: Runbook, path: str) -> Rubric | None:
    """The rubric that a table of the runbook states; None where it has no such table.

    The front matter's `judge` says who judges by it. Raises MalformedFile where nobody does, where there are
    two tables, and where a search could rewrite the table. Beside one in a locked part, a table that a search
    may have written is none: no search changes or spoils what judges it.
    """
    tables = [
        (part, part.first_line + table.line, table)
        for part in runbook.parts
        for table in tables_of(part.text)
        if _marks(table)
    ]
    tables = [each for each in tables if each[0].locked is not None] or tables
    if not tables:
        return None
    (part, line, table), *others = tables
    criteria = tuple(_criteria(table))
    if others or not criteria or part.locked is None:
        found = "this table of criteria is read as the rubric, since there is no rubric.yaml"
        if others:
            why = f"there is another one in line {others[0][1]}, and one alone can be the rubric"
        elif not criteria:
            why = "expected at least one criterion that is no placeholder"
        else:
            heading = f"## {part.heading}" if part.heading else part.id
            why = f'a search may rewrite it: add `locked: ["{heading}"]` to policy.yaml'
        raise MalformedFile([Problem(path, line, f"{found}: {why}")])
    return Rubric(criteria, _judge(runbook, line, len(criteria), path))


def rubric_of_page(page: bytes, path: str) -> Rubric | None:
    """The rubric that a table of a page states; None where it has none, or is no page.

    Raises MalformedFile where its table cannot be the rubric.
    """
    if _CRITERION not in page:  # most pages: they are not parsed
        return None
    try:
        runbook = decode(page, path=path)
    except MalformedFile:
        return None
    return read_rubric_table(runbook, path)


def _judge(runbook: Runbook, line: int, count: int, path: str) -> JudgeSettings:
    data = front_data(front_matter(runbook.text))
    given = data.get("judge") if isinstance(data, Mapping) else None
    if given is None:
        message = (
            f"{count} criteria are read from this table, since there is no rubric.yaml, and nobody judges by"
            " them: add `judge: PROVIDER/MODEL` to the front matter, or write a rubric.yaml"
            " (see `runbookopt schema rubric`)"
        )
        raise MalformedFile([Problem(path, line, message)])
    settings = given if isinstance(given, Mapping) else {"model": given}
    try:
        return read_yaml(msgspec.json.encode(settings), JudgeSettings, path)
    except MalformedFile as error:
        messages = (f"`judge` in the front matter: {each.message}" for each in error.problems)
        raise MalformedFile([Problem(path, 1, message) for message in messages]) from None


def _criteria(table: Table) -> Iterator[Criterion]:
    marks, name_at, threshold_at = _marks(table), _column(table, "criteri"), _column(table, "threshold")
    taken: dict[str, int] = {}
    for row in table.rows:
        name = plain(row[name_at or 0])
        if not name or name.startswith("{"):  # a template's placeholder
            continue
        number = _NUMBER.search(row[threshold_at]) if threshold_at is not None else None
        earned = "\n".join(f"{mark}: {row[at]}" for mark, at in marks.items() if row[at])
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:70] or "criterion"
        taken[slug] = taken.get(slug, 0) + 1
        yield Criterion(
            id=slug if taken[slug] == 1 else f"{slug}-{taken[slug]}",
            statement=name,
            judge=(
                f'Give the output a mark for "{name}". What earns which mark:\n{earned}\n'
                f"Is the mark at least {number.group() if number else PASSES}?"
            ),
        )


def _marks(table: Table) -> dict[int, int]:
    """The columns that say what earns a mark, by mark; none where this is no table of criteria."""
    marks = {int(found[1]): at for at, cell in enumerate(table.head) if (found := _MARK.match(cell))}
    return marks if len(marks) >= _MARKS and _column(table, "criteri") is not None else {}


def _column(table: Table, word: str) -> int | None:
    return next((at for at, cell in enumerate(table.head) if word in cell.casefold()), None)
