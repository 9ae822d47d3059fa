"""Trust in a runbook's evidence, and the line of policy.yaml that gives what is lacking (pure)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from posixpath import commonpath

from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.path_patterns import covers, quoted
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.trajectory import Trust
from runbookopt.evidence.trust import least, rank
from runbookopt.project.project import Project

MOST_FILES = 3
"""So many files are named one by one in a line to add; of more, it is what their folders have in common."""


class Untrusted(Struct, frozen=True):
    """Train tasks that are trusted too little for a change to merge by itself.

    `text` says how many, and where they stand; `lines` give them what is lacking, in policy.yaml, for who
    vouches for those files. There are none where lines of the evidence itself ask for less.
    """

    text: str
    lines: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """What to do."""
        if not self.lines:
            return "they say so themselves: take `trust` out of these lines, or hold them out of train"
        added = ", ".join(self.lines)
        return f"whoever vouches for who wrote them adds to policy.yaml: trust: {{{added}}}"


def trust_in(project: Project) -> Trust | None:
    """The least trust of the train tasks, all of which may have been reflected on; None without any."""
    tasks = project.split.train
    return least(project.evidence.task(task).trust for task in tasks) if tasks else None


def untrusted(project: Project) -> Untrusted | None:
    """The trust that is lacking for a merge without a person; None where nothing is, or none is wanted."""
    policy, evidence = project.policy, project.evidence
    wanted = policy.auto_merge_if.trust_at_least
    train = [evidence.task(task) for task in project.split.train]
    short = [task for task in train if rank(task.trust) < rank(wanted)]
    if policy.merge != "auto" or not short:
        return None
    held = Counter(
        path
        for task in short
        for path in {
            evidence.places[name].path
            for name in task.trajectories
            if rank(evidence.trajectory(name).trust or "public") < rank(wanted)
        }
    )
    files = sorted(held)
    named = ", ".join(f"{plain(path)} ({held[path]})" for path in files[:MOST_FILES])
    more = f" and {len(files) - MOST_FILES} more files" if files[MOST_FILES:] else ""
    text = f"{len(short)} of {len(train)} train tasks are trusted less than {wanted}: {named}{more}"
    lacking = [path for path in files if rank(policy.given.to(path)) < rank(wanted)]
    return Untrusted(text, tuple(f"{_key(each)}: {wanted}" for each in _patterns(lacking)))


def idle(project: Project) -> Iterator[tuple[str, str]]:
    """Patterns of the policy that cover no file which was read, each with its key."""
    policy, files = project.policy, {place.path for place in project.evidence.places.values()}
    for key, patterns in (("trust", policy.trust), ("red_team", policy.red_team)):
        yield from ((key, each) for each in patterns if not any(covers(each, file) for file in files))


def _patterns(files: list[str]) -> list[str]:
    if len(files) <= MOST_FILES:
        return [quoted(path) for path in files]
    kinds = {f"{quoted(str(path.parent))}/*{quoted(path.suffix)}" for path in map(PurePosixPath, files)}
    return sorted(kinds) if len(kinds) <= MOST_FILES else [f"{quoted(commonpath(files))}/"]


def _key(pattern: str) -> str:
    """A key as YAML takes it inside of braces."""
    is_plain = pattern.isascii() and all(character.isalnum() or character in "/._*-" for character in pattern)
    return pattern if is_plain else canonical(pattern).decode()
