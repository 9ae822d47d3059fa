"""Criteria on what an attempt leaves beside its output: exit code, time, files and steps (pure).

What nobody knows is an error of the verifier, never a pass: an agent that leaves no steps called no tool that
could be seen. Where there is no output either, nothing was delivered, and that is a fail.
"""
# ruff: noqa: D102 - what the methods of a check promise stands once, at _TraceCheck

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from runbookopt.documents.finding import Finding, enumerated, told
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox.run import path_pattern

Name = Annotated[str, Meta(min_length=1)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1)]
_Steps = Sequence[dict[str, Any]]


class _TraceCheck(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    looks_at: ClassVar[str]  # a field of Left; None there is unknown
    trace: ClassVar[str]  # the same in words
    needs_output: ClassVar[bool] = False  # where doing nothing would pass, an attempt without output fails

    def words(self) -> str:
        """Words for what is expected, behind "expected"."""
        raise NotImplementedError

    def instead(self, seen: Any) -> str | None:  # noqa: ANN401 - what the check looks at
        """Words for what was got where that is not as expected; None is a pass."""
        raise NotImplementedError


class ExitCode(_TraceCheck, frozen=True, tag="exit_code"):
    """The program ended with exit code `value`."""

    value: int = 0
    looks_at, trace = "exit_code", "exit code"

    def words(self) -> str:
        return f"exit code {self.value}"

    def instead(self, seen: int) -> str | None:
        return None if seen == self.value else f"exit code {seen}"


class MaxSeconds(_TraceCheck, frozen=True, tag="max_seconds", kw_only=True):
    """The attempt took at most `value` seconds, as measured when it was made: nobody can measure again."""

    value: Annotated[float, Meta(gt=0)]
    looks_at, trace = "seconds", "duration"
    needs_output = True

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

    looks_at = trace = "files"

    def words(self) -> str:
        return f"files at {enumerated(self.names)}" if self.values else f"a file at {told(self.value)}"

    def instead(self, seen: Sequence[str]) -> str | None:
        missing = [name for name in self.names if not any(map(path_pattern(name).fullmatch, seen))]
        return None if not missing else f"{enumerated(seen) or 'no file'} without {enumerated(missing)}"


class ToolCalled(_Listed, frozen=True, tag="tool_called"):
    """The tool `value`, or each of `values`, was called: names with * and ?."""

    looks_at = trace = "steps"

    def words(self) -> str:
        return f"a call of {enumerated(self.names)}"

    def instead(self, seen: _Steps) -> str | None:
        called = _called(seen)
        missing = [name for name in self.names if not any(map(_tool_pattern(name).fullmatch, called))]
        return f"{_calls_told(called)} without {enumerated(missing)}" if missing else None


class ToolNotCalled(_Listed, frozen=True, tag="tool_not_called"):
    """Neither the tool `value` nor any of `values` was called: names with * and ?."""

    looks_at = trace = "steps"
    needs_output = True

    def words(self) -> str:
        return f"no call of {enumerated(self.names, ' or ')}"

    def instead(self, seen: _Steps) -> str | None:
        never = [_tool_pattern(name) for name in self.names]
        called = next((name for name in _called(seen) if any(each.fullmatch(name) for each in never)), None)
        return None if called is None else f"a call of {told(called)}"


class ToolSequence(_TraceCheck, frozen=True, tag="tool_sequence", kw_only=True):
    """The tools `values` were called in this order, whatever was called in between: names with * and ?."""

    values: Names
    looks_at = trace = "steps"

    def words(self) -> str:
        return f"calls of {enumerated(self.values, ', then ')}"

    def instead(self, seen: _Steps) -> str | None:
        called = _called(seen)
        later = iter(called)
        for name in self.values:
            if not any(map(_tool_pattern(name).fullmatch, later)):
                return f"{_calls_told(called)}: none of {told(name)} in its turn"
        return None


class MaxSteps(_TraceCheck, frozen=True, tag="max_steps", kw_only=True):
    """The agent took at most `value` steps of its own; what people and systems said is not counted."""

    value: Annotated[int, Meta(ge=1)]
    looks_at = trace = "steps"
    needs_output = True

    def words(self) -> str:
        return f"at most {self.value} steps"

    def instead(self, seen: _Steps) -> str | None:
        taken = sum(step.get("source") == "agent" for step in seen)
        return None if taken <= self.value else f"{taken} steps"


TraceCheck = ExitCode | MaxSeconds | FileExists | ToolCalled | ToolNotCalled | ToolSequence | MaxSteps


def examine(check: TraceCheck, output: str | None, left: Left | None) -> Finding:
    """Judge what one attempt left; `output` is looked at for whether there is one."""
    seen = getattr(left, check.looks_at, None)
    if output is None and (seen is None or check.needs_output):
        return Finding("fail", f"expected {check.words()}, got {no_output(left)}")
    if seen is None:
        return Finding("error", f"nobody knows: this agent leaves no {check.trace}")
    instead = check.instead(seen)
    return Finding("pass") if instead is None else Finding("fail", f"expected {check.words()}, got {instead}")


def no_output(left: Left | None) -> str:
    """Words for no output, and why there is none where that is known."""
    return f"no output: {plain(left.reason)}" if left is not None and left.reason else "no output"


@cache
def _tool_pattern(glob: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in re.split(r"([*?])", glob)), re.DOTALL)


def _called(steps: _Steps) -> list[str]:
    lists = [step.get("tool_calls") for step in steps]
    calls = [call for each in lists if isinstance(each, list | tuple) for call in each]
    names = [call.get("function_name") for call in calls if isinstance(call, dict)]
    return [name for name in names if isinstance(name, str)]


def _calls_told(called: Sequence[str]) -> str:
    return f"calls of {enumerated(called)}" if called else "no call of a tool"
