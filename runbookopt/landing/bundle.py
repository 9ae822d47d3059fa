"""Bundle of a run: patch, evidence and digests in one file, in which the two halves of the program meet."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.runbook import bump_version
from runbookopt.documents.usage import Spent
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.trajectory import Left, Part
from runbookopt.landing.bundle_limits import MOST_BYTES, too_long
from runbookopt.proof.allowance import Look
from runbookopt.proof.comparison import Comparison
from runbookopt.proof.ledger import Ledger, LedgerBroken
from runbookopt.verifier.checks import Finding

FORMAT = "runbookopt-bundle/2"
_BARE = "runbookopt-bundle/1"
"""The format before: its candidate is the text without the version bump, which only its patch brings in."""

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
SettingKey = Annotated[str, Meta(pattern=r"^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)*$")]
Outcome = Literal["accepted", "rejected", "inconclusive"]


class Digests(Struct, frozen=True, forbid_unknown_fields=True):
    """Digests of what the run was made from; `policy` is None where none is declared.

    `runbook`, `rubric` and `policy` are of the blobs at the base commit, `candidate` is of the bundle's.
    """

    runbook: Digest
    candidate: Digest
    rubric: Digest
    policy: Digest | None
    held_out: Digest


class AgentUsed(Struct, frozen=True, forbid_unknown_fields=True):
    """Agent of a run; `key` is the digest of its settings."""

    kind: str
    key: str
    deterministic: bool


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """Change of one component: the reason for it, and the ids of the trajectories that motivate it."""

    component: str
    diagnosis: str
    trajectories: tuple[str, ...]


class MemberSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of the search's pool: the frontier and its ancestors are kept.

    `parents` are digests; `validation` is a mean score in 0..1; `characters` is the text's length; `places`
    is how many places of the frontier it holds. `objectives` are means on validation, where there
    are several.
    """

    digest: Digest
    parents: tuple[Digest, ...]
    wave: int
    validation: float
    characters: int
    places: int
    note: str = ""
    objectives: dict[str, float] = {}


class ValidationSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """Seed against winner on the tasks that the search selected by.

    `after` is what to expect of the winner: its mean score less what of it is the luck of being chosen.
    """

    tasks: int
    before: float
    after: float
    p: float


class Beside(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Evidence beside an output, for the criteria that the output alone does not decide.

    `judged` is what a judge or a program of the repository found, by criterion, and the first half's word.
    `left` is what the attempt left, no more of it than the rubric's checks look at. `no_answer` is the kind
    of trouble ("timeout", ...) for which an attempt has no score, by nobody's fail.
    """

    judged: dict[str, Finding] = {}
    left: Left | None = None
    no_answer: str | None = None


class AsToday(Struct, frozen=True, forbid_unknown_fields=True):
    """Trial of an agent whose stored outputs are said to be the configured one's (`stored_as_today`).

    Of its `outputs`, those on `tried` tasks were tried again, and `alike` of the verdicts came out as they
    were; only where `believed` were the others used.
    """

    agent: str
    outputs: int
    tried: int
    alike: int
    believed: bool


class StoredVerdicts(Struct, frozen=True, forbid_unknown_fields=True):
    """Stored verdicts on today's runbook that the search used in place of rollouts.

    Of all `used`, the oldest is `oldest_days` old at the time of the run (None where none has a date), and
    `undated` have no date. `old` ones were older than fourteen days or undated: `checked` of these were tried
    again, and `alike` scored as they did. `as_today` are the trials of other agents.
    """

    used: int = 0
    oldest_days: int | None = None
    undated: int = 0
    old: int = 0
    checked: int = 0
    alike: int = 0
    as_today: tuple[AsToday, ...] = ()


def age(stored: StoredVerdicts) -> str:
    """How old the stored verdicts are that were used, in words."""
    oldest = "" if stored.oldest_days is None else f"the oldest of them {stored.oldest_days} days old"
    undated = f"{stored.undated} of them without a date" if stored.undated else ""
    return ", ".join(part for part in (oldest, undated) if part)


class Suspect(Struct, frozen=True, forbid_unknown_fields=True):
    """Task whose reference may be wrong: all `texts` that were tried on it agree on another answer.

    `trajectories` are the stored ones of the task, and `answer` is what all agree on, as JSON.
    """

    part: Part
    task: str
    trajectories: tuple[str, ...]
    answer: str
    texts: int


class HeldOutOutputs(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Outputs of seed and winner on one held-out task, one entry per repeat.

    `group` is the digest of the group's key (as in `Look.groups`), since the key may be the task's text.
    `beside_before` and `beside_after` go with the outputs one by one, or are empty where nothing is needed.
    """

    task: str
    group: Digest
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]
    beside_before: tuple[Beside, ...] = ()
    beside_after: tuple[Beside, ...] = ()


class Bundle(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bundle of a run; it holds no secret, and no task's text besides outputs.

    `version` is the tool's; `candidate` is the full text that was proved, with its next version, and `patch`
    the unified diff of the one file that makes it of the base (`text_of`); `reflected_on` are the ids of all
    trajectories that a reflector was shown for the winner's edits; `changes` are the reasons of what stands
    in the diff, and `replaced` counts the edits on the way to it of which nothing does; `models` are those
    that were called, as "judge: openai/gpt-5-mini"; `settings` are those that differ from
    their defaults, by dotted key, but for the random seed; `figures_shown`, whether whoever ran it asked to
    see the figures of its look in any case; `stored` is what the search took from the library, and `suspects`
    are tasks whose reference may be wrong; `red_team` are outputs on the red team's tasks, which no
    comparison counts; `digest` is over all else.
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
    settings: dict[SettingKey, bool | str | int | float | None]
    figures_shown: bool = False
    stored: StoredVerdicts | None = None
    suspects: tuple[Suspect, ...] = ()
    replaced: int = 0
    red_team: tuple[HeldOutOutputs, ...] = ()
    digest: str = ""


class ChangedLine(Struct, frozen=True):
    """One line that a patch adds or removes; `number` counts from 1 in the text that holds the line."""

    added: bool
    number: int
    text: str


def seal(bundle: Bundle) -> Bundle:
    """The bundle with its digest filled in.

    The values take the road through JSON first, so that what is read back equals what was sealed. Raises
    ValueError where a value does not fit its type (a number that is not finite, a malformed digest).
    """
    settled = msgspec.json.decode(encode(bundle), type=Bundle)
    return msgspec.structs.replace(settled, digest=_digest(settled))


def encode(bundle: Bundle) -> bytes:
    """The canonical JSON of a sealed bundle."""
    return canonical(_fields(bundle))


def read_bundle(data: bytes, path: str) -> Bundle:
    """Read what `encode` gave.

    Raises MalformedFile for another format, for a field that is missing, unknown or malformed, for what is
    larger than `bundle_limits` say, and where the bytes are not the ones that were sealed.
    """
    if len(data) > MOST_BYTES:
        message = f"more than {MOST_BYTES:,} bytes: no bundle is, and no ledger takes one that is"
        raise MalformedFile([Problem(path, None, message)])
    try:
        made_as = msgspec.json.decode(data, type=_AnyFormat).format
        if made_as not in {FORMAT, _BARE}:
            other = f"format: expected {FORMAT!r} or {_BARE!r}, got {made_as!r}"
            message = f"{other}; the bundle was made by another version of runbookopt"
            raise MalformedFile([Problem(path, None, message)])
        bundle = msgspec.json.decode(data, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFile([Problem(path, None, f"not a bundle: {error}")]) from error
    problems = [Problem(path, None, problem) for problem in _problems(bundle, data)]
    if problems:
        raise MalformedFile(problems)
    return bundle


def recorded_bundle(ledger: Ledger, digest: str) -> Bundle | None:
    """The bundle that the ledger holds under a digest; None where it holds none.

    Raises MalformedFile where it is no bundle, LedgerBroken where it is another one.
    """
    data = ledger.bundle(digest)
    if data is None:
        return None
    bundle = read_bundle(data, f"bundle {digest} of the ledger")
    if bundle.digest != digest:
        raise LedgerBroken(f"the ledger holds bundle {bundle.digest} under the name of {digest}")
    return bundle


def write_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write a sealed bundle to `folder`/bundles/<digest>.json, wholly or not at all; returns its path.

    Raises RunbookoptError where it cannot be written, MalformedFile where nobody could read it.
    """
    data = encode(bundle)
    read_bundle(data, f"the bundle of {bundle.runbook}")
    return write_whole(folder / "bundles" / file_name(bundle), data, "the bundle")


def write_whole(place: Path, data: bytes, what: str) -> Path:
    """Write a file wholly or not at all; returns its path. Raises RunbookoptError where it cannot be done."""
    unfinished: Path | None = None
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=place.parent, prefix=".unfinished-", delete=False) as file:
            unfinished = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place)
    except OSError as error:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)
        message = f"{place}: {what} cannot be written ({error.strerror}); make room there and run again"
        raise RunbookoptError(message) from error
    return place


def file_name(bundle: Bundle) -> str:
    """The name of a sealed bundle's file: the digest in hexadecimal, and `.json`."""
    return f"{bundle.digest.removeprefix('sha256:')}.json"


def text_of(bundle: Bundle) -> str:
    """The text that the bundle's patch makes of its base: the candidate with the runbook's next version."""
    return bump_version(bundle.candidate) if bundle.format == _BARE else bundle.candidate


def models_by_role(bundle: Bundle) -> dict[str, str]:
    """The model of each role that called one: agent, reflector, judge."""
    return {role: model for role, _, model in (entry.partition(": ") for entry in bundle.models)}


def offline_part(bundle: Bundle) -> str | None:
    """Who of the offline pair took part: it alone, or one of it beside a model, a program or a person."""
    if not bundle.offline:
        return None
    if bundle.agent.kind != "offline":
        return "offline reflector"
    return "offline agent" if "reflector" in models_by_role(bundle) else "offline pair"


def changed_lines(patch: str) -> Iterator[ChangedLine]:
    """Each line that the hunks of a unified diff of one file add or remove, in their order."""
    old = new = 0
    inside = False
    for line in patch.split("\n"):
        if hunk := _HUNK.match(line):
            old, new, inside = int(hunk[1]), int(hunk[2]), True
        elif inside and line.startswith("+"):
            yield ChangedLine(added=True, number=new, text=line[1:])
            new += 1
        elif inside and line.startswith("-"):
            yield ChangedLine(added=False, number=old, text=line[1:])
            old += 1
        elif inside and line.startswith(" "):
            old, new = old + 1, new + 1


class _AnyFormat(Struct, frozen=True):
    format: str


def _digest(bundle: Bundle) -> str:
    return digest_of({name: value for name, value in _fields(bundle).items() if name != "digest"})


def _fields(bundle: Bundle) -> dict[str, Any]:
    """The bundle as JSON values; what it makes no use of is left out, as before there was such a thing."""
    fields: dict[str, Any] = msgspec.to_builtins(bundle)
    for name in ("figures_shown", "stored", "suspects", "replaced", "red_team"):
        if not getattr(bundle, name):
            del fields[name]
    if not fields.get("stored", {}).get("as_today", True):
        del fields["stored"]["as_today"]
    for member in fields["members"]:
        if not member["objectives"]:
            del member["objectives"]
    if not fields["spent"].get("usage"):
        fields["spent"].pop("usage", None)
    return fields


def _problems(bundle: Bundle, data: bytes) -> Iterator[str]:
    """All that the types cannot say: names that become paths, outputs with their evidence, the seal."""
    for key, name in (("runbook", bundle.runbook), ("path", bundle.path)):
        steps = name.split("/")
        if {"", ".", "..", ".git"} & set(steps) or not name.isprintable() or "\\" in name or name[:1] == "-":
            yield f"{key}: expected a path inside the repository, got {name!r}"
    lists = {"outputs": bundle.outputs, "red_team": bundle.red_team}
    for name, place, seen in ((name, *each) for name, all_ in lists.items() for each in enumerate(all_)):
        for side, outputs, beside in (
            ("before", seen.before, seen.beside_before),
            ("after", seen.after, seen.beside_after),
        ):
            if len(beside) not in {0, len(outputs)}:
                yield f"{name}[{place}].beside_{side}: expected {len(outputs)}, one an output, or none"
    yield from islice(too_long(_fields(bundle)), 10)
    if bundle.digest != _digest(bundle):
        yield f"digest: {bundle.digest!r} is not the digest of the rest; the bundle was changed after sealing"
    elif encode(bundle) != data:
        yield "expected canonical JSON; the bundle was changed after sealing"
