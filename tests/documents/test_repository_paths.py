import re

import pytest

from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.repository_paths import captures, fits, fixed_folder, name_of
from runbookopt.documents.settings import load_settings, read_settings

OUTSIDE = [
    "",
    "/etc/passwd",
    "../elsewhere/SKILL.md",
    "skills/../../x.md",
    "./x.md",
    "a//b.md",
    ".git/config.md",
    "a/.GIT/hooks/x.md",
    ".runbookopt/journal.md",
    "a\\b.md",
    "a\nb.md",
    "a.md\n",
    "**/**/**/**/x.md",
    "a*b*c*d.md",
]


def said(**entry: object) -> bytes:
    return f"runbooks: {{alerts: {entry!r}}}".replace("'", '"').encode()


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_elsewhere_is_refused_with_what_is_expected(path: str) -> None:
    for entry in ({"path": path}, {"evidence": [path]}):
        with pytest.raises(MalformedFile) as caught:
            read_settings(said(**entry))
        assert "expected a path inside the repository" in str(caught.value)
        assert re.match(r"runbookopt\.yaml:1: runbooks\.alerts\.", str(caught.value))


def test_evidence_is_below_a_folder_with_a_name() -> None:
    with pytest.raises(MalformedFile, match="below a folder"):
        read_settings(said(evidence=["**/*.jsonl"]))
    assert read_settings(said(evidence=["logs/alerts/**", "one/file.jsonl", "a/b/"]))


def test_a_name_has_a_star_for_each_of_its_path() -> None:
    with pytest.raises(MalformedFile, match=r"expected a `\*` in the name for each of its path, 2, got 1"):
        read_settings(b'runbooks: {"*": {path: plugins/*/skills/*/SKILL.md}}')


@pytest.mark.parametrize(
    ("key", "pattern", "path", "name"),
    [
        ("*", ".claude/skills/*/SKILL.md", ".claude/skills/triage/SKILL.md", "triage"),
        ("*/*", "plugins/*/skills/*/SKILL.md", "plugins/ops/skills/page/SKILL.md", "ops/page"),
        ("skills", "plugins/*/skills/*/SKILL.md", "plugins/ops/skills/page/SKILL.md", "skills/ops.page"),
        ("s-*", "skills/**/SKILL.md", "skills/a/b/SKILL.md", "s-a.b"),
        ("prompts", "prompts/*.md", "prompts/mail.md", "prompts/mail"),
    ],
)
def test_a_glob_names_what_it_finds(key: str, pattern: str, path: str, name: str) -> None:
    stood_for = captures(pattern, path)
    assert stood_for is not None
    assert name_of(key, stood_for) == name
    assert fits(key, pattern, name)
    assert path.startswith(fixed_folder(pattern))
    assert captures(pattern, f"x/{path}") is None


def settings(data: bytes, name: str, **flags: int) -> tuple[int, int]:
    loaded = load_settings(data, "runbookopt.yaml", name, environ={}, flags=flags)
    return loaded.width, loaded.patience


def test_what_a_glob_says_holds_for_each_and_its_own_entry_comes_before_it() -> None:
    data = b"""\
defaults: {width: 2, patience: 2}
runbooks:
  skills: {path: .claude/skills/*/SKILL.md, width: 3, patience: 4}
  skills/triage: {width: 5}
"""
    assert settings(data, "skills/triage") == (5, 4)
    assert settings(data, "skills/other") == (3, 4)
    assert settings(data, "skills") == settings(data, "skills/a/b") == (2, 2)
    assert settings(data, "skills/triage", width=6) == (6, 4)
