"""Runbooks where other tools keep them, and several roots in one repository, through the command line."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]
SETTINGS = "defaults: {agent: {field: answer}}\n"


def monorepo(repo: Make, planted: ModuleType) -> "Clone":
    policy = planted.POLICY.replace("trajectories/", "services/mail/trajectories/")
    mail = {f"services/mail/{path}": text for path, text in planted.files(policy=policy).items()}
    return repo({**mail, "services/mail/runbookopt.yaml": SETTINGS, **planted.files()})


def test_a_root_below_the_repository_s_has_runbooks_of_its_own(repo: Make, planted: ModuleType) -> None:
    clone = monorepo(repo, planted)
    ran = clone.ask("optimize-runbook", "desk", "--json", below="services/mail/runbooks")
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["runbook"], told["outcome"]) == (0, "services/mail/desk", "accepted"), ran
    assert told["branch"] == "runbookopt/services/mail/desk"
    changed = clone.at_origin("diff", "--name-only", "main", told["branch"])
    assert changed == "services/mail/runbooks/desk/RUNBOOK.md"
    verified = clone.ask("runbookopt", "verify", "--pull-request", "1")
    assert "touches services/mail/desk;" in verified.stdout
    assert "the train tasks, reflected on, are internal or better" in verified.stdout
    looks = json.loads(clone.ask("runbookopt", "ledger", "--json").stdout)["runbooks"]
    assert {each["runbook"]: len(each["looks"]) for each in looks} == {"desk": 0, "services/mail/desk": 1}


def test_names_are_those_of_the_root_that_one_works_in(repo: Make, planted: ModuleType) -> None:
    clone = monorepo(repo, planted)

    def checked(*arguments: str, below: str = ".") -> list[str]:
        ran = clone.ask("runbookopt", *arguments, "check", "--json", below=below)
        assert ran.returncode == 0, ran
        return [each["runbook"] for each in json.loads(ran.stdout)["runbooks"]]

    assert checked() == checked(below="services") == ["desk", "services/mail/desk"]
    assert checked(below="services/mail/trajectories") == ["services/mail/desk"]
    assert checked("--root", "services/mail") == ["services/mail/desk"]
    clone.write({"services/mail/runbooks/desk/RUNBOOK.md": "## Of the mail service\n"})
    shown = clone.ask("runbookopt", "--root", "services/mail", "show", "desk").stdout
    assert "Of the mail service" in shown
    refused = clone.ask("optimize-runbook", "desk", "--root", "nowhere", "--plan")
    assert (refused.returncode, "--root: expected a folder, got 'nowhere'" in refused.stderr) == (2, True)


def test_a_change_of_another_root_s_settings_is_a_matter_of_ours(repo: Make, planted: ModuleType) -> None:
    clone = monorepo(repo, planted)
    moved = "runbooks: {desk: {path: other.md}}\n"
    clone.git("switch", "--quiet", "--create", "moved")
    clone.commit({"services/mail/runbookopt.yaml": moved, "services/mail/other.md": planted.RUNBOOK})
    ran = clone.ask("runbookopt", "verify", "--base", "main", "--head", "moved")
    assert ran.returncode == 3, ran
    assert "services/mail/desk" in ran.stdout
    assert "services/mail/runbookopt.yaml" in ran.stdout
