"""Trajectories, tasks and labels as records."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(min_length=1)]
Output = Annotated[
    str | None, Meta(extra_json_schema={"description": "Text; any other JSON is read as its text."})
]
Score = Annotated[float, Meta(ge=0.0, le=1.0)]

Trust = Literal["public", "partner", "internal"]  # how far the source of a trajectory is trusted, least first

Part = Literal["train", "validation", "held-out"]


class TaskRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A task as a trajectory line states it; `reference` is never shown to the agent."""

    input: Any
    reference: Any = None
    group: str | None = None
    split: Part | None = None


class AgentRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """Which agent produced the trajectory; `key` is the digest of its settings."""

    name: str | None = None
    model: str | None = None
    key: str | None = None


class Author(Struct, frozen=True, forbid_unknown_fields=True):
    """Who gave a verdict."""

    kind: Literal["code", "llm", "human", "agent"]
    id: str | None = None


class StoredVerdict(Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict that came with the trajectory."""

    criterion: str
    result: Literal["pass", "fail", "error"]
    score: Score | None = None
    explanation: str | None = None
    by: Author | None = None


class Trajectory(Struct, frozen=True, forbid_unknown_fields=True):
    """One stored attempt at a task; a line with a task alone is a task to roll out.

    `trust` is less than that of its file where the line says so; as read from evidence, what holds of both.
    `error` says why the attempt broke down: a crash, a time-out, a lost sandbox. Such an attempt is no wrong
    answer, whatever output it left. `format` is the name of the format that it was read or imported from,
    None for our own.
    """

    id: Id
    task: TaskRecord
    runbook_digest: str | None = None
    runbook_version: str | None = None
    output: str | None = None
    steps: tuple[dict[str, Any], ...] = ()
    agent: AgentRecord | None = None
    trust: Trust | None = None
    started_at: str | None = None
    verdicts: tuple[StoredVerdict, ...] = ()
    error: str | None = None
    format: str | None = None


class Left(Struct, frozen=True, omit_defaults=True):
    """What an attempt left beside its output; None is unknown, and no check may read it as nothing."""

    exit_code: int | None = None
    """The program's exit status; minus the signal's number where a signal ended it."""
    seconds: float | None = None
    files: tuple[str, ...] | None = None
    """Relative POSIX paths of what is in the results folder, sorted."""
    steps: tuple[dict[str, Any], ...] | None = None
    """ATIF step objects."""
    reason: str | None = None
    """Why there is no output, in words: the limit that ended the attempt, or what a failing program said."""


Frame = Literal["discovery", "representative"]
"""How a trajectory came to be labelled: since much is learnt of it, or drawn as all are."""


OVERALL = "overall"
"""The criterion of a label that speaks of a whole trajectory: of a failure that no criterion is about."""


class Label(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person's verdict on one criterion of one trajectory; `unsure` is no verdict, and counts as none.

    `failure_mode` is a name of the codebook of that version; `frame` is None where nobody said how the
    trajectory was chosen. `split`: whether the label may be shown to a judge as an example
    (`examples`), or is kept to test criteria on (`test`); None leaves that to a digest. `saw_verdict`:
    whether a criterion's verdict was shown before the person gave theirs; `runbook` is the digest of
    the runbook that the agent had. `supersedes` is the digest of the line that this one takes the place
    of.
    """

    trajectory: str
    criterion: str
    result: Literal["pass", "fail", "unsure"]
    failure_mode: str | None = None
    explanation: str | None = None
    by: str | None = None
    at: str | None = None
    codebook: int | None = None
    frame: Frame | None = None
    split: Literal["examples", "test"] | None = None
    saw_verdict: bool | None = None
    runbook: str | None = None
    supersedes: str | None = None


class Task(Struct, frozen=True):
    """One input to work on; trajectories with the same input share it.

    `id` is the SHA-256 of the canonical JSON of `input` ("sha256:..."). `trajectories` are ids in the
    order of their files and lines; `trust` is the least trust among them. `began` is when the first of them
    did, of those that say so; None is unknown. `red_team`: nobody is to reflect on one of them.
    """

    id: str
    input: Any
    reference: Any = None
    group: str | None = None
    split: Part | None = None
    trajectories: tuple[str, ...] = ()
    trust: Trust = "public"
    began: datetime | None = None
    red_team: bool = False


def time_of(text: str | None) -> datetime | None:
    """An ISO 8601 date, or date and time, as a time; in UTC where it names no zone. None where it is none."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:  # the year 1, or 9999, in another zone
        return None
