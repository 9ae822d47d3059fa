"""Source of this installation: what pip can install the very same from, on another machine."""

import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from runbookopt import __version__
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.credentials import address, is_folder

RELEASE = f"runbookopt=={__version__}"
_PIP = (sys.executable, "-m", "pip")
_SECONDS = 60


class _Vcs(Struct, frozen=True):
    vcs: str
    commit_id: str


class _Direct(Struct, frozen=True):
    url: str
    vcs_info: _Vcs | None = None
    dir_info: dict[str, bool] | None = None


def installed_from() -> str | None:
    """Where this installation came from, as pip wrote it down (PEP 610); None where an index gave it."""
    return metadata.distribution("runbookopt").read_text("direct_url.json")


def installable(direct_url: str | None, pip: Sequence[str] = _PIP) -> str | None:
    """What pip is to install elsewhere: a commit, or the release where an index has it; None: neither.

    A checkout counts where its commit is at its origin, as far as the checkout knows.
    """
    if direct_url is None:
        return RELEASE if _is_published(pip) else None
    direct = msgspec.json.decode(direct_url, type=_Direct)
    if direct.vcs_info is not None:
        return f"{direct.vcs_info.vcs}+{direct.url}@{direct.vcs_info.commit_id}"
    if direct.dir_info is None:
        return None
    return _of_checkout(Path(unquote(urlsplit(direct.url).path)))


def _is_published(pip: Sequence[str]) -> bool:
    asking = [
        *pip,
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        "--no-input",
        RELEASE,
    ]
    try:
        return not subprocess.run(
            asking, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def _of_checkout(folder: Path) -> str | None:
    try:
        with Repository.open(folder) as repository:
            url, commit = repository.origin.url, repository.resolve("HEAD")
            heads = set(repository.refs("refs/remotes/origin/").values())
            own = repository.root.resolve() == folder.resolve()
            if url is None or is_folder(url) or not own:
                return None
            if not any(commit in repository.history(head) for head in heads):
                return None
    except RunbookoptError:
        return None
    place = address(url)
    return f"git+https://{place.host}/{place.name}@{commit}" if place else f"git+{url}@{commit}"
