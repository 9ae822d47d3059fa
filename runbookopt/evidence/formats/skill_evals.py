"""Agent Skills: the `evals/evals.json` of a skill, whose evals are tasks that nobody has attempted yet. Pure.

https://agentskills.io/skill-creation/evaluating-skills
"""

from collections.abc import Iterator, Mapping
from typing import Any

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.formats.reader import (
    Contents,
    Fault,
    Format,
    Found,
    Item,
    Loss,
    Place,
    Sample,
    at,
    identity,
    list_at,
    text_at,
)
from runbookopt.evidence.trajectory import TaskRecord, Trajectory

_CHECKS = ("assertions", "expectations", "expected_behavior")


def read(contents: Contents) -> Iterator[Item]:
    """One task an eval. What was expected of it in words is its reference, its assertions with it."""
    for record in contents.records:
        if _is_eval(record.value):
            yield from _task(record.value, "skill", record.place)
            continue
        if not _is_file(record.value):
            yield Fault("expected a mapping with a list `evals`", record.place)
            continue
        for number, each in enumerate(record.value["evals"], 1):
            place = Place(within=f"eval {number}")
            yield from _task(each, text_at(record.value, "skill_name") or "skill", place)


def _recognizes(sample: Sample) -> int:
    return sum(_is_file(value) or _is_eval(value) for value in sample.mappings())


FORMAT = Format(name="skill-evals", title="evals of an Agent Skill", recognizes=_recognizes, read=read)


def _is_file(value: object) -> bool:
    evals = list_at(value, "evals")
    return bool(evals) and ("skill_name" in value or any(_prompt(each) for each in evals))  # type: ignore[operator]


def _is_eval(value: object) -> bool:
    """Whether this is an eval of the older guide, which stands for itself."""
    return _prompt(value) is not None and isinstance(at(value, "skills"), list)


def _prompt(value: object) -> str | None:
    return text_at(value, "prompt") or text_at(value, "query")


def _task(value: Any, skill: str, place: Place) -> Iterator[Item]:  # noqa: ANN401 - JSON has any shape
    prompt, files = _prompt(value), list_at(value, "files")
    if prompt is None:
        yield Fault("expected a text `prompt`", place)
        return
    if files:
        yield Loss("contents of files that evals name", len(files))
    own = at(value, "id")
    trajectory = Trajectory(
        id=identity("skill-evals", skill, digest_of(value)[7:23] if own is None else own),
        task=TaskRecord({"prompt": prompt, "files": files} if files else prompt, _reference(value)),
    )
    yield Found(trajectory, (), place)


def _reference(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON has any shape
    checks = next((found for key in _CHECKS if (found := list_at(value, key))), [])
    expected = at(value, "expected_output")
    if not checks:
        return expected or None
    return {**({"expected_output": expected} if expected else {}), "assertions": checks}
