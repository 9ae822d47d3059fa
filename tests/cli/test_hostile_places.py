"""Pull requests that would have runbooks judged otherwise by where things lie: people must agree to each."""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Clone, Files

Make = Callable[..., "Clone"]
SETTINGS = "defaults: {agent: {field: answer}}\n"
SKILL = ".claude/skills/desk/SKILL.md"
TABLE = """
## Evaluation Rubric

| Criterion | 5 | 3 | 1 |
|---|---|---|---|
| Right desk | the right desk | a near one | another |
"""
JUDGED = "version: 1.0.0\njudge: openai/judge\n"


def with_reviewer(planted: ModuleType, **more: str) -> dict[str, str]:
    files: dict[str, str] = planted.files(
        policy=planted.POLICY + "reviewers: [bo]\n" + more.pop("policy", "")
    )
    return {**files, "runbookopt.yaml": SETTINGS}


def verified(clone: "Clone", files: "Files") -> tuple[int, str]:
    """Give what the status check says of a pull request with these files."""
    clone.git("switch", "--quiet", "--create", "theirs", "main")
    clone.commit(files, "Theirs", push=False)
    clone.git("switch", "--quiet", "main")
    ran = clone.ask("runbookopt", "verify", "--base", "main", "--head", "theirs")
    clone.git("branch", "--quiet", "-D", "theirs")
    return ran.returncode, ran.stdout


def test_a_page_of_the_same_name_elsewhere_takes_no_runbook_away(repo: Make, planted: ModuleType) -> None:
    files = with_reviewer(planted)
    files[SKILL] = files.pop("runbooks/desk/RUNBOOK.md")
    clone = repo(files)
    status, told = verified(clone, {"skills/desk/SKILL.md": planted.RUNBOOK})
    assert (status, "changed: what judges it (skills/desk/SKILL.md)" in told) == (3, True), told
    assert "skills/desk/SKILL.md have the same name" in told
    assert verified(clone, {"skills/other/SKILL.md": planted.RUNBOOK})[0] == 0


def test_settings_that_nobody_could_read_are_no_matter_of_nobody(repo: Make, planted: ModuleType) -> None:
    clone = repo(with_reviewer(planted))
    status, told = verified(clone, {"runbookopt.yaml": "defaults: [\n"})
    assert (status, "no       runbookopt.yaml:2: not YAML" in told) == (3, True), told
    assert verified(clone, {"runbookopt.yaml": f"{SETTINGS}# ours\n"})[0] == 0


def test_a_page_beside_its_evidence_is_the_runbook_and_no_note(repo: Make, planted: ModuleType) -> None:
    files = with_reviewer(planted)
    page = files[SKILL] = files.pop("runbooks/desk/RUNBOOK.md")
    files["runbookopt.yaml"] += "runbooks: {desk: {evidence: ['.claude/skills/{name}/**']}}\n"
    clone = repo(files)
    for path in (SKILL, ".claude/skills/desk/reference.md", ".claude/skills/desk/run.sh"):
        status, told = verified(clone, {path: page.replace("the lead", "the boss")})
        assert (status, f"changed: text ({path})" in told) == (3, True), told


def test_settings_in_a_folder_that_a_name_begins_with_are_not_the_runbook_s(
    repo: Make, planted: ModuleType
) -> None:
    files = {path.replace("/desk/", "/mail/desk/"): text for path, text in with_reviewer(planted).items()}
    clone = repo(files)
    before = clone.ask("runbookopt", "show", "mail/desk").stdout
    clone.commit({"mail/runbookopt.yaml": "defaults: {agent: {field: other}, stored_as_today: [bot]}\n"})
    after = clone.ask("runbookopt", "show", "mail/desk").stdout
    assert (after, "agent    offline, key sha256:" in after) == (before, True)


def judged_by_table(repo: Make, planted: ModuleType) -> "tuple[Clone, str]":
    page = planted.RUNBOOK.replace("version: 1.0.0\n", JUDGED).replace(
        "\n## Escalation", f"{TABLE}\n## Escalation"
    )
    files = with_reviewer(planted, policy="locked: ['## Evaluation Rubric']\n")
    del files["runbooks/desk/rubric.yaml"]
    return repo({**files, "runbooks/desk/RUNBOOK.md": page}), page


def test_a_table_that_judges_takes_two_people_as_does_who_judges_by_it(
    repo: Make, planted: ModuleType
) -> None:
    clone, page = judged_by_table(repo, planted)
    for old, new in (("a near one", "anything"), ("openai/judge", "openai/theirs")):
        status, told = verified(clone, {"runbooks/desk/RUNBOOK.md": page.replace(old, new)})
        assert (status, "2 approval(s) of bo are needed" in told) == (3, True), told
    told = verified(clone, {"runbooks/desk/RUNBOOK.md": page.replace("the lead", "the boss")})[1]
    assert "1 approval(s) of bo are needed" in told


def test_a_table_where_a_search_may_write_is_no_rubric_beside_one_where_none_may(
    repo: Make, planted: ModuleType
) -> None:
    clone, page = judged_by_table(repo, planted)
    table = TABLE.partition("\n\n")[2].replace("Right desk", "Theirs")
    rules = "- Otherwise `front`\n"
    clone.commit({"runbooks/desk/RUNBOOK.md": page.replace(rules, f"{rules}\n{table}")})
    ran = clone.ask("runbookopt", "check")
    assert (ran.returncode, "1 criterion" in ran.stdout) == (0, True), ran
