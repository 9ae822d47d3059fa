"""Default places of pages: where tools look for skills, agents and prompts, and the names these have."""

from collections.abc import Iterator

from runbookopt.documents.repository_paths import captures, fixed_folder
from runbookopt.evidence.library import Source

DEFAULTS = (
    "skills/**/SKILL.md",
    ".claude/skills/**/SKILL.md",
    ".github/skills/**/SKILL.md",
    "plugins/*/skills/**/SKILL.md",
    "*/SKILL.md",
    "agents/*.agent.md",
    "agents/*.md",
    ".claude/agents/*.md",
    "plugins/*/agents/*.md",
    ".github/agents/*.agent.md",
    ".github/prompts/*.prompt.md",
    ".github/prompts/*.prompt.yml",
    ".github/chatmodes/*.chatmode.md",
    ".github/instructions/*.instructions.md",
    ".github/*-instructions.md",
)
"""Where tools look for pages: one that lies there is a runbook where it has a rubric or is named."""

NOTES = frozenset({"README", "CHANGELOG", "CONTRIBUTING", "LICENSE", "SECURITY", "CODE_OF_CONDUCT"})
"""Pages beside others that tell no agent anything."""


def pages_around(source: Source) -> Iterator[tuple[str, str]]:
    """The pages that lie where tools look, with the names that they have by that."""
    files: set[str] = set()
    for pattern in DEFAULTS:
        folder = fixed_folder(pattern)
        if folder:
            files.update(source.files(folder))
        else:
            files.update(f"{name}/SKILL.md" for name in source.names("") if "SKILL.md" in source.names(name))
    for path in sorted(files):
        hits = (captures(pattern, path) for pattern in DEFAULTS)
        stood_for = next((hit for hit in hits if hit is not None), None)
        if stood_for is not None and stood_for[-1] not in NOTES and stood_for[-1]:
            yield path, ".".join(part.replace("/", ".") for part in stood_for if part)
