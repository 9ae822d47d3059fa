"""Requirement of a forge: one thing that it should see to, and what it is held against."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, Self

from msgspec import Struct

from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Source
from runbookopt.forge.git.repository import Revision
from runbookopt.forge.protection import Protection, RepositorySwitches
from runbookopt.forge.protocol import Forge
from runbookopt.landing.approvals import Members
from runbookopt.landing.sources.trust import Untrusted, untrusted
from runbookopt.project.codeowners import PLACES
from runbookopt.project.layout import Places
from runbookopt.project.places import layout_of
from runbookopt.project.policy import Policy
from runbookopt.project.project import declared_policy, read_project
from runbookopt.verifier.program_files import files_of, folders_of
from runbookopt.verifier.rubric import programs, read_rubric


class Requirement(Struct, frozen=True):
    """One thing that a forge should see to; None is unknown, and unknown is not yes.

    `found` is how it is; where it does not hold, `danger` is what could happen and `setting` what closes it.
    """

    name: str
    holds: bool | None
    found: str
    danger: str
    setting: str

    @classmethod
    def of(cls, entry: str, holds: bool | None, words: Mapping[str, object]) -> Self:
        """The requirement of an entry of requirements.toml, with words for the placeholders."""
        sentences = _entries()[entry]
        defaults = {"name": entry, "no": f"not so: {sentences.get('yes')}", "unknown": "{unread}"}
        filled = {key: text.format(**words) for key, text in {**defaults, **sentences}.items()}
        return cls(filled["name"], holds, filled[_ANSWERS[holds]], filled["danger"], filled["setting"])

    @property
    def answer(self) -> Literal["yes", "no", "unknown"]:
        """Whether it holds, in a word."""
        return _ANSWERS[self.holds]


_ANSWERS: Mapping[bool | None, Literal["yes", "no", "unknown"]] = {True: "yes", False: "no", None: "unknown"}


@cache
def _entries() -> dict[str, dict[str, str]]:
    import tomllib  # noqa: PLC0415 - read on first use, so that importing this costs nothing

    return tomllib.loads(Path(__file__).with_name("requirements.toml").read_text(encoding="utf-8"))


class Declared(Struct, frozen=True):
    """A runbook's policy; `files` are what decides over it: rubric, policy, calibration and evidence.

    `untrusted` is what of the evidence keeps a change from merging by itself; None where nothing does, or
    the evidence cannot be read. `page` is None where there is none.
    """

    runbook: str
    policy: Policy
    files: tuple[str, ...]
    untrusted: Untrusted | None = None
    page: str | None = None


class Enforced(Struct, frozen=True, kw_only=True):
    """What a forge enforces for the default branch.

    `codeowners` are the texts of its files of that name, by path. `members` are of each team that
    a policy names.
    """

    protection: Protection
    switches: RepositorySwitches
    codeowners: Mapping[str, str] = {}
    members: Members = {}


def few(items: Iterable[str], most: int = 5) -> str:
    """Name the first of them, and say how many more there are."""
    names = list(items)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


def declared(revision: Revision) -> tuple[Declared, ...]:
    """The policy of each runbook of a commit, and the files that decide over it.

    Of a folder of programs, and of evidence, these are its files, and one that could be put there. Raises
    MalformedFile with the problems of all policies.
    """
    policies: list[Declared] = []
    problems: list[Problem] = []
    for name, places in layout_of(revision).runbooks.items():
        files = [*places.judging, *([places.settings] if places.named else []), *places.links]
        files = list(dict.fromkeys([places.rubric, places.policy, places.calibration, *files]))
        try:
            policy = declared_policy(revision, name, places)
        except MalformedFile as error:
            problems += error.problems
        else:
            programs = programs_of(revision, name, places)
            theirs = files_of(programs, revision)
            own = (*files, *theirs, *(f"{folder}*" for folder in folders_of(programs, theirs)))
            short = _untrusted(revision, places, policy)
            evidence = _evidence(revision, places)
            policies.append(Declared(name, policy, (*own, *evidence), short, places.page))
    if problems:
        raise MalformedFile(problems)
    return tuple(policies)


_ANYWHERE = ("*.jsonl", "*", "**/*")  # our own lines may have other owners than the rest


def _evidence(revision: Revision, places: Places) -> Iterator[str]:
    """Files of evidence that could be put where some lie, and those that are there."""
    folder = places.stored
    yield from (f"{folder}/{each}" for each in ("*.labels.jsonl", *_ANYWHERE))
    yield from (pattern.strip("/") for pattern in places.evidence[1:])
    for root in places.evidence_roots:
        yield from (path for path in revision.files(root) if not path.endswith(".md"))


def _untrusted(revision: Revision, places: Places, policy: Policy) -> Untrusted | None:
    if policy.merge != "auto":
        return None
    try:
        return untrusted(read_project(revision, places.name, places=places))
    except RunbookoptError:  # what cannot be read is for the lint to name
        return None


def programs_of(revision: Source, name: str, places: Places | None = None) -> tuple[str, ...]:
    """The programs of a rubric, folders with a slash; one that cannot be read is for the lint to name.

    `places` are the runbook's, where they are known already.
    """
    places = places or layout_of(revision).runbooks.get(name)
    if places is None:
        return ()
    try:
        return programs(read_rubric(revision.read(places.rubric), places.rubric), revision)
    except (FileNotFoundError, RunbookoptError):
        return ()


def enforced(forge: Forge, revision: Revision, branch: str, policies: tuple[Declared, ...]) -> Enforced:
    """Ask a forge what it enforces for its default branch, which is at `revision`. Raises GitFailed."""
    there = set(revision.files(""))
    teams = dict.fromkeys(team for each in policies for team in each.policy.teams)
    return Enforced(
        protection=forge.protection(branch),
        switches=forge.switches(),
        codeowners={
            place: revision.read(place).decode(errors="replace") for place in PLACES if place in there
        },
        members={team: forge.members(team) for team in teams},
    )
