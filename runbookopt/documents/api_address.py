"""Addresses of models' servers: which of them a key may be sent to, and on whose word (pure).

A repository's files are not the user's word: whoever may write to it could have a key sent to themselves.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

from runbookopt.errors import RunbookoptError

ALLOWED = "RUNBOOKOPT_ALLOW_API_BASE"
"""The environment variable that holds the user's own word: addresses, with spaces or commas between them."""

PROVIDERS = frozenset(
    {
        "api.anthropic.com",
        "api.cerebras.ai",
        "api.cohere.ai",
        "api.cohere.com",
        "api.deepinfra.com",
        "api.deepseek.com",
        "api.fireworks.ai",
        "api.groq.com",
        "api.mistral.ai",
        "api.moonshot.ai",
        "api.openai.com",
        "api.perplexity.ai",
        "api.together.xyz",
        "api.x.ai",
        "codestral.mistral.ai",
        "eu.api.openai.com",
        "generativelanguage.googleapis.com",
        "openrouter.ai",
        "router.huggingface.co",
        "us.api.openai.com",
    }
)
"""Hosts that belong to a provider alone: where customers get names of their own, a name is anybody's."""

_SHAPE = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?")
_SECRET_IN_QUERY = re.compile(
    r"[?&#;][^=&#]*(?:token|secret|passw|signature|credential|key|sig|auth|pwd|pat|jwt)[^=&#]*=",
    re.IGNORECASE,
)


class AddressRefused(RunbookoptError):
    """A key would be sent where nobody but a file of the repository says it should go."""


def must_be_allowed(address: str, key: str, *, environ: Mapping[str, str], said: Iterable[str] = ()) -> None:
    """Refuse an address that stands at `key` of a file, but for a provider's, loopback, or the user's word.

    The user's word is the variable `ALLOWED` of the environment, and what was `said` on the command line or
    in a variable of the setting itself. Raises AddressRefused with what to set.
    """
    parts = _parts(address, key)
    if parts.scheme == "https" and parts.hostname in PROVIDERS and parts.port in {None, 443}:
        return
    if _is_loopback(parts.hostname or "") or address in said:
        return
    if any(_covers(entry, parts) for entry in re.split(r"[\s,]+", environ.get(ALLOWED, "")) if entry):
        return
    place = f"{parts.scheme}://{parts.netloc}"
    plainly = "" if parts.scheme == "https" else " without encryption"
    flag = "" if key.startswith("judge.") else f", or give --set {key}={place}... on the command line"
    raise AddressRefused(
        f"{key}: {place} is neither a known provider's address nor this machine, and texts and a key would be"
        f" sent there{plainly} on the word of a file of the repository: if it is yours, set"
        f" {ALLOWED}={place}{flag}"
    )


def _parts(address: str, key: str) -> SplitResult:
    """The parts of an address; raises AddressRefused where it is none, or holds a secret."""
    try:
        parts = urlsplit(address)
        is_one = bool(_SHAPE.fullmatch(address)) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    held = "a user or a password" if re.search("//[^/?#]*@", address) else None
    held = held or ("a token" if _SECRET_IN_QUERY.search(address) else None)
    if held:
        raise AddressRefused(
            f"{key}: holds {held}, and every report shows it:"
            " give the address alone, and the key in the environment variable that key_variable names"
        )
    if not is_one:
        raise AddressRefused(f"{key}: expected an address such as https://HOST/v1, of https or this machine")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(entry: str, parts: SplitResult) -> bool:
    """Whether an allowed address is this one, or above it at the same server."""
    try:
        allowed = urlsplit(entry)
        same = _server(allowed) == _server(parts)
    except ValueError:
        return False
    above = allowed.path.rstrip("/")
    steps = parts.path.split("/")
    return same and ".." not in steps and (parts.path == above or f"{parts.path}/".startswith(f"{above}/"))


def _server(parts: SplitResult) -> tuple[str, str | None, int | None]:
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
