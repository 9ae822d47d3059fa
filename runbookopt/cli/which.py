"""`runbookopt which`: which runbook, version and commit a stored trajectory is of, and what it counts as."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli.flags import Json
from runbookopt.cli.terminal import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbookopt.evidence.trajectory import Trajectory
    from runbookopt.forge.git.repository import Repository
    from runbookopt.project.project import Project
    from runbookopt.project.versions import Version


def which(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A stored trajectory's id, or how it begins.")],
    *,
    json: Json = False,
) -> None:
    """Tell of which runbook, version and commit a stored trajectory is, and what it counts as.

    The version is the one whose digest it names, else the one whose version it names, else the one that the
    branch had when it began: by git's history up to HEAD.
    """
    from pathlib import Path

    from runbookopt.cli.trajectories import found
    from runbookopt.errors import RunbookoptError
    from runbookopt.evidence.library import Folder
    from runbookopt.forge.git.repository import Repository
    from runbookopt.project.project import read_project
    from runbookopt.project.versions import versions

    try:
        name, line, _ = found(id_)
    except RunbookoptError as error:
        if id_.startswith("r-"):
            run = "an id with r- is an attempt of a run, which the journal of the clone that made it holds"
            raise RunbookoptError(f"{error} ({run})") from None
        raise
    with Repository.open(Path.cwd()) as repository:
        project = read_project(Folder(repository.root), name)
        known = versions(repository, repository.resolve("HEAD"), project.path)
        told = _told(repository, project, line.record, known)
    if json:
        print_json(told, place=line.place)
    else:
        for row in _page(told, line.place):
            say(row)


def _told(
    repository: "Repository", project: "Project", trajectory: "Trajectory", known: "Sequence[Version]"
) -> dict[str, Any]:
    from runbookopt.cli.job import agent_key
    from runbookopt.evidence.library import Folder
    from runbookopt.jobs.stored_outputs import standing, stored_outputs
    from runbookopt.project.root_of_name import agents_as_today
    from runbookopt.project.versions import tie

    version, key = tie(trajectory, known), agent_key(project.name, repository.root)
    said = agents_as_today(Folder(repository.root), project.name)
    outputs = {each.trajectory.id: each for each in stored_outputs(project, key, known, said).outputs}
    output = outputs.get(trajectory.id)
    commit = repository.commit(version.version.commit) if version else None
    agent = trajectory.agent
    return {
        "trajectory": trajectory.id,
        "runbook": project.name,
        "version": version.version.version if version else trajectory.runbook_version,
        "digest": version.version.digest if version else trajectory.runbook_digest,
        "told_by": version.by if version else None,
        "today": project.runbook.digest,
        "commit": commit.id if commit else None,
        "committed_at": commit.at if commit else None,
        "subject": commit.message.partition("\n")[0] if commit else None,
        "agent": (agent.name or agent.model) if agent else None,
        "agent_key": agent.key if agent else None,
        "configured_key": key,
        "counts_as": standing(project, trajectory, key, output.as_today if output else None),
    }


def _page(told: dict[str, Any], place: str) -> "Iterator[str]":
    by = {
        "digest": "by the digest that it names",
        "version": "by the version that it names",
        "time": "by the time at which it began",
        None: "not in git's history, as far as can be told",
    }
    yield f"trajectory  {told['trajectory']}, {place}"
    named = told["version"] or "without a version"
    today = ", which is today's" if told["told_by"] and told["digest"] == told["today"] else ""
    yield f"runbook     {told['runbook']}, {named}{today} ({by[told['told_by']]})"
    yield f"digest      {told['digest'] or 'unknown'}"
    if told["commit"]:
        yield f"commit      {told['commit'][:12]} of {told['committed_at']}: {told['subject']}"
    yield f"agent       {told['agent'] or 'without a name'}, key {told['agent_key'] or 'unknown'}"
    yield f"configured  key {told['configured_key'] or 'unknown'}"
    yield f"counts as   {told['counts_as']}"
