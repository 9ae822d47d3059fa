"""What a repository declares and what its forge enforces, brought together."""

from pathlib import Path

from runbookopt.dossier import ROOT, runbook_names
from runbookopt.errors import RunbookoptError
from runbookopt.forge.forge import Forge
from runbookopt.landing.codeowners import PLACES
from runbookopt.landing.demand import Declared, Enforced
from runbookopt.landing.policy import read_policy
from runbookopt.records import MalformedFile, Problem
from runbookopt.repository import Revision
from runbookopt.verifier.rubric import programs, read_rubric


def declared(revision: Revision, root: Path) -> tuple[Declared, ...]:
    """Give the policy of each runbook of a commit, and the files that decide over it.

    The programs that a rubric runs are looked up in the working tree at `root`, as when they are run.

    Raises MalformedFile with the problems of all policies.
    """
    found: list[Declared] = []
    problems: list[Problem] = []
    for name in runbook_names(revision):
        try:
            found.append(_declared(revision, root, name))
        except MalformedFile as error:
            problems += error.problems
    if problems:
        raise MalformedFile(problems)
    return tuple(found)


def enforced(forge: Forge, revision: Revision, branch: str, policies: tuple[Declared, ...]) -> Enforced:
    """Ask a forge what it enforces for its default branch, which is at `revision`. Raises GitFailed."""
    there = set(revision.files(""))
    teams = dict.fromkeys(team for each in policies for team in each.policy.teams)
    return Enforced(
        protection=forge.protection(branch),
        surroundings=forge.surroundings(),
        codeowners={
            place: revision.read(place).decode(errors="replace") for place in PLACES if place in there
        },
        members={team: forge.members(team) for team in teams},
    )


def _declared(revision: Revision, root: Path, name: str) -> Declared:
    policy, rubric = f"{ROOT}/{name}/policy.yaml", f"{ROOT}/{name}/rubric.yaml"
    there = set(revision.files(f"{ROOT}/{name}"))
    evidence = revision.files(f"trajectories/{name}")
    labels = [path for path in evidence if path.endswith(".labels.jsonl")]
    return Declared(
        runbook=name,
        policy=read_policy(revision.read(policy) if policy in there else None, policy),
        files=(
            rubric,
            policy,
            *programs_of(revision.read(rubric) if rubric in there else b"", rubric, root),
            *(labels or [f"trajectories/{name}/people.labels.jsonl"]),
        ),
    )


def programs_of(rubric: bytes, path: str, root: Path) -> tuple[str, ...]:
    """Give what a rubric runs; a rubric that cannot be read or run is for `runbookopt check` to name."""
    try:
        return programs(read_rubric(rubric, path), root)
    except RunbookoptError:
        return ()
