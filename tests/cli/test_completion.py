"""Completion in shells: what bash itself makes of what our programs print for it."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone, Files

BIN = Path(sys.executable).parent
SCRIPT = """
eval "$({program} --show-completion bash)"
COMP_WORDS=({words}"") COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
[ -z "$1" ] || COMP_WORDS[COMP_CWORD]="$1"
$(complete -p {program} | grep -o '_[a-z_]*') {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    """Give what bash offers where the last word is begun."""
    *before, begun = words
    script = SCRIPT.format(program=words[0], words=" ".join([*before, ""]))
    environ = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "SHELL": "/bin/bash"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", begun],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_flags_and_runbooks(
    clones: "Callable[[Files], Clone]", planted: ModuleType, tmp_path: Path
) -> None:
    clone = clones(planted.files())
    assert completed(clone.root, "runbookopt", "ev") == ["evaluate"]
    groups = ["import", "list", "show", "export", "stats"]
    assert completed(clone.root, "runbookopt", "trajectories", "") == groups
    assert completed(clone.root, "runbookopt", "trajectories", "stats", "d") == ["desk"]
    assert completed(clone.root, "optimize-runbook", "--budget-m") == ["--budget-minutes"]
    assert completed(clone.root, "optimize-runbook", "de") == ["desk"]
    assert completed(tmp_path, "optimize-runbook", "de") == []
