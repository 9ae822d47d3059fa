"""The bundle: patch, evidence and digests in one file, in which the two halves of the program meet."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from runbookopt.journal import Spent
from runbookopt.proof.allowance import Look
from runbookopt.proof.comparison import Comparison

FORMAT = "runbookopt-bundle/1"

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Outcome = Literal["accepted", "rejected", "inconclusive"]


class Digests(Struct, frozen=True, forbid_unknown_fields=True):
    """Digests of what the run was made from; `policy` is None where none is declared.

    `runbook`, `rubric` and `policy` are of the blobs at the base commit, `candidate` is of the text before
    the version bump.
    """

    runbook: Digest
    candidate: Digest
    rubric: Digest
    policy: Digest | None
    held_out: Digest


class AgentUsed(Struct, frozen=True, forbid_unknown_fields=True):
    """Which agent ran; `key` is the digest of its settings."""

    kind: str
    key: str
    deterministic: bool


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """Why one component was changed, and the ids of the trajectories that motivate it."""

    component: str
    diagnosis: str
    trajectories: tuple[str, ...]


class MemberSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of the search's pool: the frontier and its ancestors are kept.

    `parents` are digests; `validation` is a mean score in 0..1; `characters` is the text's length; `places`
    is how many places of the frontier it holds.
    """

    digest: Digest
    parents: tuple[Digest, ...]
    wave: int
    validation: float
    characters: int
    places: int
    note: str = ""


class ValidationSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """Seed against winner on the tasks that the search selected by."""

    tasks: int
    before: float
    after: float
    p: float


class HeldOutOutputs(Struct, frozen=True, forbid_unknown_fields=True):
    """What seed and winner put out on one held-out task, one entry per repeat.

    `group` is the digest of the group's key (as in `Look.groups`), since the key may be the task's text.
    """

    task: str
    group: Digest
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]


class Bundle(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run hands over; holds no secret and no task's text besides outputs.

    `version` is the tool's; `patch` is the unified diff of the one file with its version bump; `candidate`
    is the full text before the bump; `reflected_on` are the ids of all trajectories that a reflector was
    shown for the winner's edits; `command` says how to make it again; `digest` is over all else.
    """

    format: str = FORMAT
    run: str
    version: str
    runbook: str
    path: str
    base: Commit
    patch: str
    candidate: str
    digests: Digests
    agent: AgentUsed
    models: tuple[str, ...]
    offline: bool
    random_seed: int
    changes: tuple[Change, ...]
    members: tuple[MemberSummary, ...]
    chosen: Digest
    validation: ValidationSummary
    candidates: int
    reflected_on: tuple[str, ...]
    look: Look | None
    outputs: tuple[HeldOutOutputs, ...]
    outcome: Outcome
    comparison: Comparison | None
    spent: Spent
    command: str
    digest: str = ""
