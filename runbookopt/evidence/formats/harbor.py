"""Harbor: a trial's `result.json`, and below its folder what the agent and the verifier left. Pure.

https://harborframework.com/docs
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.formats import atif
from runbookopt.evidence.formats.reader import (
    Contents,
    Fault,
    Format,
    Found,
    Item,
    Loss,
    Sample,
    at,
    identity,
    list_at,
    scored,
    share,
    text_at,
)
from runbookopt.evidence.trajectory import AgentRecord, Author, StoredVerdict, TaskRecord, Trajectory

_TRAJECTORY = "agent/trajectory.json"
_REWARD, _REWARDS = "verifier/reward.txt", "verifier/reward.json"
_TESTS, _PRINTED = "verifier/ctrf.json", "verifier/test-stdout.txt"
_LONGEST = 2_000
"""Characters of what the verifier printed that are kept: its end, where the summary stands."""

_PHASES = ("environment_setup", "agent_setup", "agent_execution", "verifier")


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a trial. An exception is an error, and no wrong answer, whatever reward there is."""
    for record in contents.records:
        result = record.value
        if not isinstance(result, dict) or not _is_trial(result):
            is_job = _is_job(result)
            yield Loss("summaries of whole jobs") if is_job else Fault("expected a trial", record.place)
            continue
        attempt = _attempt(contents)
        if attempt is None:
            yield Loss(f"instructions and steps of trials without {_TRAJECTORY}")
        yield from attempt.losses if attempt else ()
        if at(result, "agent_result"):
            yield Loss("token counts and costs")
        if any(at(result, phase) for phase in _PHASES):
            yield Loss("times of a trial's phases")
        verdicts, outside = _verdicts(result, contents)
        if outside:
            yield Loss("rewards that are no number from 0 to 1", outside)
        yield Found(_trajectory(result, attempt, verdicts), (), record.place)


def _recognizes(sample: Sample) -> int:
    return sum(_is_trial(value) or _is_job(value) for value in sample.mappings())


FORMAT = Format(
    name="harbor",
    title="a Harbor trial",
    recognizes=_recognizes,
    read=read,
    belongs=("agent/", "verifier/", "artifacts/", "config.json", "exception.txt", "trial.log", "job.log"),
)


def _is_trial(value: Mapping[str, Any]) -> bool:
    named = {"trial_name", "task_name"} <= value.keys() and bool({"agent_info", "config"} & value.keys())
    return named or {"task_name", "verifier_result", "exception_info"} <= value.keys()


def _is_job(value: object) -> bool:
    return isinstance(value, dict) and {"n_total_trials", "stats"} <= value.keys()


def _attempt(contents: Contents) -> atif.Attempt | None:
    document = _json(contents.read(_TRAJECTORY))
    if not isinstance(document, dict):
        return None
    attempt = atif.attempt_of(document)
    return attempt if attempt.task is not None else None


def _trajectory(
    result: Mapping[str, Any], attempt: atif.Attempt | None, verdicts: tuple[StoredVerdict, ...]
) -> Trajectory:
    name, own = text_at(result, "task_name"), text_at(result, "id") or text_at(result, "trial_name")
    said, info = at(result, "exception_info"), at(result, "agent_info")
    kind = text_at(said, "exception_type") or "exception"
    error = f"{kind}: {text_at(said, 'exception_message') or 'without a message'}" if said else None
    return Trajectory(
        id=identity("harbor", own or digest_of(result)[7:23]),
        # a trial says which task it was; its instruction is the first thing that the agent was told
        task=TaskRecord(attempt.task if attempt else {"task": name}, group=name),
        output=attempt.output if attempt else None,
        steps=attempt.steps if attempt else (),
        agent=AgentRecord(
            text_at(info, "name") or text_at(result, "config", "agent", "name"),
            text_at(info, "model_info", "name") or text_at(result, "config", "agent", "model_name"),
        ),
        started_at=text_at(result, "started_at"),
        verdicts=verdicts,
        error=error,
    )


def _verdicts(result: Mapping[str, Any], contents: Contents) -> tuple[tuple[StoredVerdict, ...], int]:
    """A verdict a reward, full marks alone as a pass; and how many rewards are no share."""
    rewards = at(result, "verifier_result", "rewards") or _json(contents.read(_REWARDS))
    if not isinstance(rewards, dict):
        rewards = {"reward": _json(contents.read(_REWARD))}
    given = {name: value for name, value in rewards.items() if value is not None}
    scores = {name: score for name, value in given.items() if (score := share(value)) is not None}
    why = _why(contents) if any(score < 1 for score in scores.values()) else None
    by = Author("code", "harbor")
    verdicts = (scored(name, score, why if score < 1 else None, by) for name, score in scores.items())
    return tuple(verdicts), len(given) - len(scores)


def _why(contents: Contents) -> str | None:
    """Which tests failed and with what words; else the end of what the verifier printed."""
    tests = list_at(_json(contents.read(_TESTS)), "results", "tests")
    failed = [test for test in tests if at(test, "status") == "failed"]
    if failed:
        lines = (f"{at(test, 'name')}: {text_at(test, 'message') or 'failed'}" for test in failed)
        return "\n".join(lines)[:_LONGEST]
    printed = (contents.read(_PRINTED) or b"").decode(errors="replace").strip()
    return printed[-_LONGEST:] or None


def _json(data: bytes | None) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return None if data is None else msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
