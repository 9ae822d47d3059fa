"""Commands without litellm: verifying and proposing need none, and what asks a model says so."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import encode

if TYPE_CHECKING:
    from tests.conftest import Clone, Ran

HERE = """import sys
sys.modules["litellm"] = None  # as if it were not installed
sys.argv = ["runbookopt", *sys.argv[1:]]
from runbookopt.cli.main import runbookopt
runbookopt()
"""
MODEL = "defaults:\n  agent: {kind: chat, model: openai/gpt-5-mini}\n"


def without_litellm(at: Path, *arguments: str) -> "Ran":
    return subprocess.run(
        [sys.executable, "-c", HERE, *arguments],
        cwd=at,
        env={**os.environ, "OPENAI_API_KEY": "none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_proposing_verifying_and_merging_need_no_model(
    repo: Callable[..., "Clone"], first_half: ModuleType, tmp_path: Path
) -> None:
    clone = repo(first_half.files(first_half.AUTO))
    clone.is_used_by("ana")
    with Repository.open(clone.root) as repository:
        (tmp_path / "bundle.json").write_bytes(encode(first_half.FirstHalf(repository)()))
    for arguments, said in (
        (("propose", str(tmp_path / "bundle.json")), "#refs/runbookopt/pulls/1"),
        (("verify", "--pull-request", "1"), "passes: "),
        (("pulls", "merge", "--auto"), "merged pull request 1"),
    ):
        ran = without_litellm(clone.root, *arguments)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        assert said in ran.stdout


def test_what_asks_a_model_says_that_litellm_is_not_there(
    repo: Callable[..., "Clone"], first_half: ModuleType
) -> None:
    clone = repo({**first_half.files(), "runbookopt.yaml": MODEL})
    ran = without_litellm(clone.root, "optimize", "triage", "--no-propose")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "a model is to be asked, and litellm is not installed here: pip install runbookopt" in ran.stderr
    assert "Traceback" not in ran.stderr
