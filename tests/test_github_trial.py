"""The script that settles at GitHub itself what the double cannot: its help, its dry steps, the first one."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tests.github.double import Github

TRIAL = Path(__file__).parents[1] / "docs/github_trial.py"


def trial(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIAL_", "GITHUB_"))}
    command = [sys.executable, TRIAL, *arguments]
    return subprocess.run(
        command, env={**kept, **environ}, capture_output=True, text=True, check=False, timeout=120
    )


def test_its_help_says_what_is_needed_and_what_changes() -> None:
    ran = trial("--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    for part in ("TRIAL_TOKEN", "TRIAL_APP_KEY_FILE", "--run", "may be spoiled"):
        assert part in ran.stdout


def test_without_run_it_says_its_steps_and_asks_nobody() -> None:
    ran = trial("octo/throwaway", GITHUB_API_URL="http://127.0.0.1:1")
    assert (ran.returncode, ran.stderr) == (0, "")
    for part in (
        "permission by permission",
        "auto-merge at once",
        "forges the check",
        "close the pull request",
    ):
        assert part in ran.stdout
    assert "found" not in ran.stdout


def test_without_tokens_it_does_nothing() -> None:
    ran = trial("octo/throwaway", "--run")
    assert ran.returncode == 2
    assert "set TRIAL_TOKEN, TRIAL_APP_ID, TRIAL_APP_KEY_FILE" in ran.stderr


def test_it_tells_which_permissions_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = spec_from_file_location("github_trial", TRIAL)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    monkeypatch.setitem(sys.modules, "github_trial", module)
    found.loader.exec_module(module)
    with Github(tmp_path) as github:
        key = tmp_path / "key.pem"
        key.write_text(github.app_key({"metadata": "read", "contents": "write", "pull_requests": "write"}))
        monkeypatch.setenv("TRIAL_APP_ID", str(github.app_id))
        monkeypatch.setenv("TRIAL_APP_KEY_FILE", str(key))
        tried = module.Trial("octo/runbooks", github.api_url, person=github.token_of("octo"))
        tried.installation = str(tried.ask("GET", "~/installation", token=module.signed())["id"])
        told = list(module.permissions(tried))
        shown = list(module.role(tried))
    assert told[0] == "contents: write is given"
    assert told[5].startswith("members: read is refused: 422")
    assert told[-1].startswith("all together are refused: 422")
    assert '"push": false' in shown[0]
