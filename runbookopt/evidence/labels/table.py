"""Labels as a CSV table, for spreadsheets: written so that no cell is run, and read with each fault told."""

import csv
import io
from collections.abc import Iterable, Iterator

import msgspec

from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.schema_errors import nearest, plain, shown
from runbookopt.evidence.trajectory import Label

COLUMNS = tuple(field.name for field in msgspec.structs.fields(Label))
NEEDED = ("trajectory", "criterion", "result")

_FORMULA = tuple("=+-@\t\r")
"""How a cell begins that a spreadsheet would run (owasp.org/www-community/attacks/CSV_Injection)."""

_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def table_of(labels: Iterable[Label]) -> str:
    """The labels as CSV with a head; a cell that a spreadsheet would run begins with an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # RFC 4180: lines end as in Windows, so that a lone \r is quoted
    writer.writerow(COLUMNS)
    for label in labels:
        writer.writerow([_cell(getattr(label, column)) for column in COLUMNS])
    return text.getvalue()


def read_table(data: bytes, path: str) -> tuple[list[tuple[Label, int]], list[Problem]]:
    """The labels of a CSV file with their lines, and what is wrong with others, which are left out.

    Commas, semicolons or tabs part the cells. Raises MalformedFile where it is no such table at all.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedFile(
            [Problem(path, None, f"expected UTF-8: {error.reason} at byte {error.start}")]
        ) from None
    first = text.partition("\n")[0]
    comma = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    try:
        head = [name.strip().casefold() for name in next(rows, [])]
        problems = list(_head(head, path))
        labels = []
        for row in filter(any, rows):
            label = _label(dict(zip(head, row, strict=False)))
            if isinstance(label, Label):
                labels.append((label, rows.line_num))
            else:
                problems.append(Problem(path, rows.line_num, label, "warning"))
    except csv.Error as error:
        raise MalformedFile([Problem(path, rows.line_num, f"expected CSV: {error}")]) from None
    return labels, problems


def _head(head: list[str], path: str) -> Iterator[Problem]:
    if lacking := [name for name in NEEDED if name not in head]:
        expected = f"expected a first line with the columns {', '.join(NEEDED)}"
        raise MalformedFile([Problem(path, 1, f"{expected}: there is no {', no '.join(lacking)}")])
    for name in head:
        if name and name not in COLUMNS:
            message = f"unknown column '{plain(name)}'{nearest(name, COLUMNS)}, ignored"
            yield Problem(path, 1, message, "warning")


def _label(row: dict[str, str]) -> Label | str:
    """The label of a row, or what is wrong with it."""
    cells = {name: _value(name, _bare(row[name])) for name in COLUMNS if row.get(name, "").strip()}
    if lacking := [name for name in NEEDED if name not in cells]:
        return f"left out: no {', no '.join(lacking)}"
    try:
        return msgspec.convert(cells, Label)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        got = f", got {shown(cells[name])}" if name in cells else ""
        return f"left out: {name or 'row'}: {what}{got}"


def _value(name: str, cell: str) -> str | int | bool:
    bare = cell.strip()
    match name:
        case "explanation" | "failure_mode":
            return cell
        case "result" | "frame" | "split":
            return bare.casefold()
        case "saw_verdict":
            return _TRUTH.get(bare.casefold(), bare)
        case "codebook" if bare.isdecimal():
            return int(bare[:18])
        case _:
            return bare


def _cell(value: object) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell
