"""Root of a runbook by its name, and what the runbookopt.yaml there says of its stored outputs."""

from runbookopt.documents.settings import FILE, believed_agents
from runbookopt.evidence.library import Source
from runbookopt.project.places import layout_of
from runbookopt.project.roots import DEPTH, may_lead_to_one


def root_and_name(source: Source, runbook: str) -> tuple[str, str]:
    """The root that a runbook is of by its name, "" for the repository's, and what it is called there.

    A runbook that is there is of the root where it lies: a runbookopt.yaml in a folder whose name its own
    begins with takes it nowhere.
    """
    parts = runbook.split("/")
    for count in range(min(len(parts) - 1, DEPTH), 0, -1):
        root = "/".join(parts[:count])
        if all(map(may_lead_to_one, parts[:count])) and FILE in source.names(root):
            there = layout_of(source).runbooks.get(runbook)
            return (there.root, there.short) if there else (root, "/".join(parts[count:]))
    return "", runbook


def agents_as_today(source: Source, runbook: str) -> tuple[str, ...]:
    """The agents whose stored outputs a runbook's settings say to be the configured one's, flags apart."""
    root, short = root_and_name(source, runbook)
    path = f"{root}/{FILE}".lstrip("/")
    try:
        return believed_agents(source.read(path), path, short)
    except FileNotFoundError:
        return ()
