"""Credentials for GitHub, and its addresses: from the environment alone (no PyGithub).

No file of a repository can say where a token is sent, so nobody can have it sent to a server of theirs.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from runbookopt.errors import RunbookoptError

PUBLIC_API = "https://api.github.com"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SCP_LIKE = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)")


class NoToken(RunbookoptError):
    """Nobody said in whose name to speak to GitHub."""


class Access(Struct, frozen=True):
    """What lets us in: a token, or an app's id and private key (PEM). Secrets are in no repr."""

    api_url: str
    token: str | None = None
    app_id: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        how = "a token" if self.token else f"app {self.app_id}"
        return f"Access({self.api_url}, {how})"


class Address(Struct, frozen=True):
    """A repository at a server: `host` may have a port, `name` is "owner/name"."""

    host: str
    name: str


def read_access(environ: Mapping[str, str]) -> Access:
    """Read GITHUB_API_URL, and RUNBOOKOPT_APP_ID with its key file, else GITHUB_TOKEN, else GH_TOKEN.

    Raises NoToken, and RunbookoptError where what there is cannot be used.
    """
    url = api_url(environ)
    if app_id := environ.get("RUNBOOKOPT_APP_ID", "").strip():
        return Access(url, app_id=app_id, key=_key(environ))
    token = (environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or "").strip()
    if not token:
        raise NoToken(
            "no token for GitHub: set GITHUB_TOKEN or GH_TOKEN, or RUNBOOKOPT_APP_ID and"
            " RUNBOOKOPT_APP_PRIVATE_KEY_FILE of a GitHub App"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise RunbookoptError("GITHUB_TOKEN holds no token: expected one word of letters and digits")
    return Access(url, token=token)


def api_url(environ: Mapping[str, str]) -> str:
    """The address of the API, without a slash at the end. Raises RunbookoptError where it is not safe."""
    url = (environ.get("GITHUB_API_URL") or PUBLIC_API).rstrip("/")
    parts = urlsplit(url)
    if parts.username or parts.password or not parts.hostname:
        raise RunbookoptError(
            "GITHUB_API_URL: expected an address without a password, such as https://HOST/api/v3"
        )
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise RunbookoptError(f"GITHUB_API_URL: {url} is not https, and a token would be sent there")
    return url


def web_host(api: str) -> str:
    """The host of the pages and of git that belongs to an API: api.github.com has github.com."""
    host = urlsplit(api).netloc
    return host.removeprefix("api.") if host == "api.github.com" or host.endswith(".ghe.com") else host


def address(remote: str | None) -> Address | None:
    """Read the address of a remote, ssh or https; None where it is none of a server."""
    if not remote:
        return None
    if "://" in remote:
        parts = urlsplit(remote)
        if parts.scheme not in {"http", "https", "ssh", "git", "git+ssh", "ssh+git"} or not parts.hostname:
            return None
        host = parts.netloc.rpartition("@")[2] if parts.scheme in {"http", "https"} else parts.hostname
        return _address(host, parts.path)
    found = _SCP_LIKE.fullmatch(remote)
    return _address(found[1], found[2]) if found else None


def is_folder(remote: str) -> bool:
    """Whether a remote is a folder of this machine: no address of a server, and no helper's (`x::y`)."""
    return remote.startswith("file://") or not ("://" in remote or _SCP_LIKE.fullmatch(remote))


def known_host(host: str) -> str:
    """The host of the pages, where this is another name of it: ssh over port 443 has one."""
    return "github.com" if host.lower() in {"www.github.com", "ssh.github.com"} else host.lower()


def _address(host: str, path: str) -> Address | None:
    name = path.strip("/").removesuffix(".git")
    return Address(known_host(host), name) if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else None


def _key(environ: Mapping[str, str]) -> str:
    path = environ.get("RUNBOOKOPT_APP_PRIVATE_KEY_FILE", "")
    if not path:
        raise NoToken("RUNBOOKOPT_APP_ID is set: set RUNBOOKOPT_APP_PRIVATE_KEY_FILE to its key's file too")
    try:
        key = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RunbookoptError(
            f"RUNBOOKOPT_APP_PRIVATE_KEY_FILE: {path}: {why}; expected the .pem file of the app's private key"
        ) from None
    if "PRIVATE KEY-----" not in key:
        raise RunbookoptError(
            f"RUNBOOKOPT_APP_PRIVATE_KEY_FILE: {path} holds no private key; expected the app's .pem file"
        )
    return key
