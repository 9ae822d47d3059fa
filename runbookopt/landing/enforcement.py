"""What a repository declares and what its forge enforces, brought together."""

from runbookopt.dossier import ROOT, runbook_names
from runbookopt.forge.forge import Forge
from runbookopt.landing.codeowners import PLACES
from runbookopt.landing.demand import Declared, Enforced
from runbookopt.landing.policy import read_policy
from runbookopt.records import MalformedFile, Problem
from runbookopt.repository import Revision


def declared(revision: Revision) -> tuple[Declared, ...]:
    """Give the policy of each runbook of a commit, and the files that decide over it.

    Raises MalformedFile with the problems of all policies.
    """
    found: list[Declared] = []
    problems: list[Problem] = []
    for name in runbook_names(revision):
        try:
            found.append(_declared(revision, name))
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


def _declared(revision: Revision, name: str) -> Declared:
    policy, rubric = f"{ROOT}/{name}/policy.yaml", f"{ROOT}/{name}/rubric.yaml"
    there = set(revision.files(f"{ROOT}/{name}"))
    evidence = revision.files(f"trajectories/{name}")
    labels = [path for path in evidence if path.endswith(".labels.jsonl")]
    return Declared(
        runbook=name,
        policy=read_policy(revision.read(policy) if policy in there else None, policy),
        files=(rubric, policy, *(labels or [f"trajectories/{name}/people.labels.jsonl"])),
    )
