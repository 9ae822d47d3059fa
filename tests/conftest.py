"""What many tests stand on: real git repositories with a real bare origin, away from the user's settings."""

import subprocess
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

Files = Mapping[str, str | bytes]


class Clone:
    """A clone with a working tree; `origin` is the bare folder that it pushes to."""

    def __init__(self, root: Path, origin: Path) -> None:
        self.root = root
        self.origin = origin

    def git(self, *arguments: str, at: Path | None = None) -> str:
        command = ["git", "-C", str(at or self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.rstrip("\n")

    def write(self, files: Files) -> None:
        for path, content in files.items():
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Files, message: str = "Change", *, push: bool = True) -> str:
        self.write(files)
        self.git("add", "--all", "--force")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        if push:
            self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def again(self, name: str, login: str, *options: str) -> "Clone":
        """Give another person's clone of the same origin."""
        root = self.root.parent / name
        self.git("clone", "-q", *options, self.origin.as_uri(), str(root))
        other = Clone(root, self.origin)
        other.is_used_by(login)
        return other

    def is_used_by(self, login: str) -> None:
        settings = f"[runbookopt]\n\tlogin = {login}\n[user]\n\tname = {login.title()}\n"
        with (self.root / ".git/config").open("a") as config:
            config.write(f"{settings}\temail = {login}@example.com\n")

    def hook(self, name: str, script: str, *, at: Path | None = None) -> Path:
        """Put a hook, by default at origin."""
        place = (at or self.origin) / "hooks" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)
        return place

    def at_origin(self, *arguments: str) -> str:
        return self.git(*arguments, at=self.origin)


@pytest.fixture(autouse=True)
def _own_git_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    settings = home / ".gitconfig"
    settings.write_text("[init]\n\tdefaultBranch = main\n[user]\n\tname = Ana\n\temail = ana@example.com\n")
    (home / "template").mkdir()
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home / "template"))  # no sample hooks to copy and delete
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repo(tmp_path: Path) -> Callable[..., Clone]:
    """Give a maker of repositories: `repo({path: content})`, committed and pushed to a bare origin."""

    def make(files: Files = {"README.md": "Hello\n"}, name: str = "clone") -> Clone:  # noqa: B006 - never changed
        origin = tmp_path / f"{name}-origin.git"
        subprocess.run(["git", "init", "-q", "--bare", str(origin)], check=True)
        subprocess.run(
            ["git", "clone", "-q", origin.as_uri(), str(tmp_path / name)], check=True, capture_output=True
        )
        clone = Clone(tmp_path / name, origin)
        clone.commit(files, "First")
        return clone

    return make


@pytest.fixture
def first_half() -> ModuleType:
    """Give tests/first_half.py: what the half with models would hand over."""
    found = spec_from_file_location("first_half", Path(__file__).with_name("first_half.py"))
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
