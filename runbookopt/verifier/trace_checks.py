"""The criteria on what an attempt leaves beside its output: exit code, time, files and steps (pure).

What nobody knows is an error of the verifier, never a pass: an agent that leaves no steps called no tool that
could be seen. Where there is no output either, nothing was delivered, and that is a fail.
"""
# ruff: noqa: D102 - what the methods of a check promise is said once, at _TraceCheck

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from runbookopt.documents.finding import Finding, enumerated, told
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox.run import path_pattern

Name = Annotated[str, Meta(min_length=1)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1)]


class _TraceCheck(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    trace: ClassVar[str]
    """What is looked at, in words."""
    needs_output: ClassVar[bool] = False
    """Whether an attempt without output fails: it does where doing nothing would pass."""

    def seen(self, left: Left) -> Any:  # noqa: ANN401 - what the check looks at
        """Give what is looked at; None is unknown."""
        raise NotImplementedError

    def words(self) -> str:
        """Say what is expected, as it stands behind "expected"."""
        raise NotImplementedError

    def instead(self, seen: Any) -> str | None:  # noqa: ANN401 - what the check looks at
        """Say what was got where that is not what was wanted; None is a pass."""
        raise NotImplementedError


class ExitCode(_TraceCheck, frozen=True, tag="exit_code"):
    """The program ended with exit code `value`."""

    value: int = 0
    trace = "exit code"

    def seen(self, left: Left) -> int | None:
        return left.exit_code

    def words(self) -> str:
        return f"exit code {self.value}"

    def instead(self, seen: int) -> str | None:
        return None if seen == self.value else f"exit code {seen}"


class MaxSeconds(_TraceCheck, frozen=True, tag="max_seconds", kw_only=True):
    """The attempt took at most `value` seconds, as measured when it was made: nobody can measure again."""

    value: Annotated[float, Meta(gt=0)]
    trace = "duration"
    needs_output = True

    def seen(self, left: Left) -> float | None:
        return left.seconds

    def words(self) -> str:
        return f"at most {self.value:g} seconds"

    def instead(self, seen: float) -> str | None:
        return None if seen <= self.value else f"{seen:g} seconds"


class _Listed(_TraceCheck, frozen=True):
    value: Name | None = None
    values: Names | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.values is None):
            raise ValueError("expected exactly one of value, values")

    @property
    def names(self) -> Sequence[str]:
        return self.values or (self.value or "",)


class FileExists(_Listed, frozen=True, tag="file_exists"):
    """The results folder holds a file at `value`, or at each of `values`: paths with *, ** and ?."""

    trace = "files"

    def seen(self, left: Left) -> Sequence[str] | None:
        return left.files

    def words(self) -> str:
        return f"files at {enumerated(self.names)}" if self.values else f"a file at {told(self.value)}"

    def instead(self, seen: Sequence[str]) -> str | None:
        missing = [name for name in self.names if not any(map(path_pattern(name).fullmatch, seen))]
        return None if not missing else f"{enumerated(seen) or 'no file'} without {enumerated(missing)}"


class _Tools(_Listed, frozen=True):
    trace = "steps"

    def seen(self, left: Left) -> Sequence[str] | None:
        return None if left.steps is None else tuple(_calls(left.steps))


class ToolCalled(_Tools, frozen=True, tag="tool_called"):
    """The tool `value`, or each of `values`, was called: names with * and ?."""

    def words(self) -> str:
        return f"a call of {enumerated(self.names)}"

    def instead(self, seen: Sequence[str]) -> str | None:
        missing = [name for name in self.names if not any(map(_tool_pattern(name).fullmatch, seen))]
        return None if not missing else f"{_calls_told(seen)} without {enumerated(missing)}"


class ToolNotCalled(_Tools, frozen=True, tag="tool_not_called"):
    """Neither the tool `value` nor any of `values` was called: names with * and ?."""

    needs_output = True

    def words(self) -> str:
        return f"no call of {enumerated(self.names, ' or ')}"

    def instead(self, seen: Sequence[str]) -> str | None:
        found = [name for name in seen if any(_tool_pattern(never).fullmatch(name) for never in self.names)]
        return f"a call of {told(found[0])}" if found else None


class ToolSequence(_TraceCheck, frozen=True, tag="tool_sequence", kw_only=True):
    """The tools `values` were called in this order, whatever was called in between: names with * and ?."""

    values: Names
    trace = "steps"

    def seen(self, left: Left) -> Sequence[str] | None:
        return None if left.steps is None else tuple(_calls(left.steps))

    def words(self) -> str:
        return f"calls of {enumerated(self.values, ', then ')}"

    def instead(self, seen: Sequence[str]) -> str | None:
        later = iter(seen)
        for name in self.values:
            if not any(map(_tool_pattern(name).fullmatch, later)):
                return f"{_calls_told(seen)}: none of {told(name)} in its turn"
        return None


class MaxSteps(_TraceCheck, frozen=True, tag="max_steps", kw_only=True):
    """The agent took at most `value` steps of its own; what people and systems said is not counted."""

    value: Annotated[int, Meta(ge=1)]
    trace = "steps"
    needs_output = True

    def seen(self, left: Left) -> int | None:
        return None if left.steps is None else sum(step.get("source") == "agent" for step in left.steps)

    def words(self) -> str:
        return f"at most {self.value} steps"

    def instead(self, seen: int) -> str | None:
        return None if seen <= self.value else f"{seen} steps"


TraceCheck = ExitCode | MaxSeconds | FileExists | ToolCalled | ToolNotCalled | ToolSequence | MaxSteps


def examine(check: TraceCheck, output: str | None, left: Left | None) -> Finding:
    """Judge what one attempt left; `output` is looked at for whether there is one."""
    this: _TraceCheck = check
    seen = None if left is None else this.seen(left)
    if output is None and (seen is None or this.needs_output):
        return Finding("fail", f"expected {this.words()}, got {no_output(left)}")
    if seen is None:
        return Finding("error", f"nobody knows: this agent leaves no {this.trace}")
    instead = this.instead(seen)
    return Finding("pass") if instead is None else Finding("fail", f"expected {this.words()}, got {instead}")


def no_output(left: Left | None) -> str:
    """Say that there is no output, and why where that is known."""
    return f"no output: {plain(left.reason)}" if left is not None and left.reason else "no output"


@cache
def _tool_pattern(glob: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in re.split(r"([*?])", glob)), re.DOTALL)


def _calls(steps: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Give the names of the tools that were called, in order."""
    for step in steps:
        calls = step.get("tool_calls")
        for call in calls if isinstance(calls, list | tuple) else ():
            name = call.get("function_name") if isinstance(call, dict) else None
            if isinstance(name, str):
                yield name


def _calls_told(seen: Sequence[str]) -> str:
    return f"calls of {enumerated(seen)}" if seen else "no call of a tool"
