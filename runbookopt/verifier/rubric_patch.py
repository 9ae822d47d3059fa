"""Patch of a rubric: criteria added to rubric.yaml at the end of its list, nothing else touched (pure)."""

from collections.abc import Iterator, Sequence
from difflib import unified_diff

import msgspec
from msgspec import UNSET, Struct

from runbookopt.documents.parse import compose
from runbookopt.errors import RunbookoptError
from runbookopt.verifier.rubric import Criterion, read_rubric


class Patch(Struct, frozen=True):
    """rubric.yaml as it would be with more criteria, and the difference."""

    path: str
    text: str
    diff: str


def patch(path: str, data: bytes, criteria: Sequence[Criterion]) -> Patch:
    """Add criteria at the end of a rubric's list, where nothing else is touched.

    Raises RunbookoptError where the list is written so that they have to be added by hand.
    """
    text = data.decode()
    lines = text.splitlines(keepends=True)
    place = next(_places(compose(text, path)), None)
    if place is None:
        raise RunbookoptError(
            f"{path}: its criteria are no list of lines to which others could be added: add them by hand"
        )
    after, indent = place
    if after and not lines[after - 1].endswith("\n"):
        lines[after - 1] += "\n"
    new = [f"{' ' * indent}{line}\n" for criterion in criteria for line in yaml_of(criterion)]
    whole = "".join([*lines[:after], *new, *lines[after:]])
    read_rubric(whole.encode(), path)
    diff = unified_diff(text.splitlines(), whole.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    return Patch(path, whole, "\n".join(diff))


def _places(root: object) -> Iterator[tuple[int, int]]:
    """The line after the last criterion, from 0, and the column at which each begins."""
    for key, value in getattr(root, "value", ()):
        if key.value == "criteria" and isinstance(value.value, list) and not value.flow_style and value.value:
            last = value.value[-1]
            while isinstance(last.value, list) and last.value and not last.flow_style:
                end = last.value[-1]
                last = end[1] if isinstance(end, tuple) else end
            yield last.end_mark.line + (last.end_mark.column > 0), value.start_mark.column


def yaml_of(criterion: Criterion) -> list[str]:
    """A criterion as lines of YAML, in the form in which rubrics are written; texts as JSON has them."""
    body = msgspec.to_builtins(criterion)
    lines = [f"- id: {criterion.id}"]
    for key in ("statement", "judge", "pass_if"):
        if body.get(key):
            value = body[key] if key == "pass_if" else _json(body[key])
            lines.append(f"  {key}: {value}")
    if criterion.check is not UNSET:
        pairs = (f"{key}: {_json(value)}" for key, value in body["check"].items() if value is not None)
        lines.append(f"  check: {{{', '.join(pairs)}}}")
    return lines


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
