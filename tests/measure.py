"""Measures of the package's size: lines, how long functions are, and how many private ones are needless.

    python tests/measure.py [FOLDER]

A private function is needless that is named once in the whole package and says at most four lines: what it
says reads better where it is called. What a decorator registers is named by nobody, and does not count.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "runbookopt"
SHORT = 4
"""Lines of a body, without its docstring."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Measured(NamedTuple):
    """Lines of Python in a folder, lines of each of its functions, and where each needless one is."""

    lines: int
    lengths: tuple[int, ...]
    needless: tuple[str, ...]

    @property
    def p95(self) -> int:
        """The lines, from `def` to the end, that nineteen of twenty functions do not exceed."""
        return sorted(self.lengths)[int(0.95 * len(self.lengths))]


def measure(folder: Path) -> Measured:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    names = Counter(name for tree in trees.values() for name in _names(tree))
    functions = [(path, each) for path, tree in trees.items() for each in _functions(tree)]
    return Measured(
        lines=sum(len(text.splitlines()) for text in texts.values()),
        lengths=tuple(_lines(each, each) for _, each in functions),
        needless=tuple(
            f"{path.relative_to(folder.parent)}:{each.lineno} {each.name}"
            for path, each in functions
            if names[each.name] == 1 and _is_private(each) and not each.decorator_list and _is_short(each)
        ),
    )


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _is_private(function: Function) -> bool:
    return function.name.startswith("_") and not function.name.startswith("__")


def _is_short(function: Function) -> bool:
    body = function.body[ast.get_docstring(function) is not None :]
    return not body or _lines(body[0], body[-1]) <= SHORT


def _lines(first: ast.stmt, last: ast.stmt) -> int:
    return (last.end_lineno or 0) - first.lineno + 1


if __name__ == "__main__":
    found = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
    sys.stdout.write(
        f"{found.lines} lines, {len(found.lengths)} functions, p95 {found.p95} lines, the longest"
        f" {max(found.lengths)}, {len(found.needless)} needless private ones\n"
    )
    sys.stdout.writelines(f"  {each}\n" for each in found.needless)
