"""Takes secrets out of text: what looks like one, and the values of this process's own credentials.

What secrets look like is detect-secrets' word: the patterns of its plugins, without its scanner (which works
on files, in processes of its own). Left out are public addresses, which are no secrets, guesses by keyword
and by entropy, which would take ordinary words out of tasks, and three patterns that take time squared on
text made for that; ours stand in for those, and for keys that it does not know yet.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from msgspec import Struct

SHORTEST = 8
"""Characters of a credential that is looked for: a shorter value would be found inside words."""

_CREDENTIAL = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL|(^|_)(KEY|TOKEN|PASS|PAT)\d*$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"_(FILE|PATH|DIR|URL|SOCK|ENDPOINT|REGION|PROFILE)$", re.IGNORECASE)

_LEFT_OUT = frozenset({"Public IP (ipv4)", "JSON Web Token", "OpenAI Token", "NPM tokens", "Private Key"})

_BASE64 = r"[A-Za-z0-9+/=]"
_BREAK = r"(?:\s|\\[nr])*"
_OURS = {
    "private key": (
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
        rf"(?:{_BREAK}[A-Za-z-]+: [^\n\\]*)*"  # an encrypted one says how
        rf"(?:{_BREAK}{_BASE64}{{16,76}}(?!{_BASE64}))*(?:{_BREAK}{_BASE64}{{1,76}}(?={_BREAK}-----))?"
        rf"(?:{_BREAK}-----END [A-Z0-9 ]*-----)?"
    ),
    "model provider's key": (
        r"(?<![A-Za-z0-9])(?:sk-(?=[\w-]{0,60}\d)[\w-]{20,}|AIza[\w-]{35}|(?:hf_|gsk_|xai-)[A-Za-z0-9]{30,})"
    ),
    "github token": r"(?<![A-Za-z0-9])github_pat_\w{22,}",
    "json web token": r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",
    "npm token": r"_authToken=\s*\S+",
    "bearer token": r"(?i)\bbearer\s+(?=[\w.~+/=-]{0,60}\d)[\w.~+/=-]{20,}",
}

_NEEDS = {
    "AWS Access Key": ("a3t", "abia", "acca", "akia", "asia", "aws"),
    "Artifactory Credentials": ("AKC", "AP"),
    "Cloudant Credentials": ("cloudant",),
    "Mailchimp Access Key": ("-us",),
    "Slack Token": ("xox", "slack"),
    "SoftLayer Credentials": ("softlayer",),
    "Stripe Access Key": ("k_live_",),
    "private key": ("-----begin",),
    "model provider's key": ("sk-", "aiza", "hf_", "gsk_", "xai-"),
    "bearer token": ("bearer",),
}
"""Words without which the slower patterns find nothing, as they stand or in lower case."""

_ASSIGNMENT = r"(?:(?<=\W)|(?<=^))"
"""How detect-secrets' slow patterns begin: a vendor's name, a word for secret, and at least 24 characters."""

_LONG = re.compile(r"[\w/+=-]{24,}")
_BEFORE = 120  # characters before a long run in which an assignment may begin


class _Pattern(Struct, frozen=True):
    """What a kind of secret looks like; `needs` are words of which one stands in every text that has it."""

    name: str
    regex: re.Pattern[str]
    needs: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        return f"[removed: {self.name}]"


class Redactor:
    """Removes secrets; made from the environment, whose credentials it must know and never shows."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {
            form
            for name, value in environ.items()
            if _CREDENTIAL.search(name) and not _PLACE.search(name)
            for form in _forms(value.strip())
            if len(form) >= SHORTEST
        }
        longest_first = sorted(values, key=lambda value: (-len(value), value))
        self._values = re.compile("|".join(map(re.escape, longest_first))) if values else None

    def clean(self, text: str) -> str:
        """Give the text with `[removed: <what it was>]` for each secret; cleaning again changes nothing."""
        if self._values is not None:
            text = self._values.sub("[removed: credential]", text)
        everywhere, near_long_runs = _patterns()
        lowered = text.lower()
        for pattern in everywhere:
            if not pattern.needs or any(word in text or word in lowered for word in pattern.needs):
                text = pattern.regex.sub(pattern.mark, text)
        if _LONG.search(text):
            for pattern in near_long_runs:
                text = _cleaned_near_long_runs(pattern, text)
        return text


def _forms(value: str) -> Iterator[str]:
    """Give a credential as it may stand in a text: bare, in a URL, in JSON."""
    yield value
    yield quote(value, safe="")
    yield json.dumps(value)[1:-1]


def _cleaned_near_long_runs(pattern: _Pattern, text: str) -> str:
    parts: list[str] = []
    kept = 0
    for run in _LONG.finditer(text):
        for found in pattern.regex.finditer(text, max(kept, run.start() - _BEFORE), run.end() + 1):
            parts += [text[kept : found.start()], pattern.mark]
            kept = found.end()
    return "".join([*parts, text[kept:]]) if parts else text


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[_Pattern, ...], tuple[_Pattern, ...]]:
    """Give the patterns that are looked for everywhere, and those for near long runs of characters."""
    from detect_secrets.core.plugins.util import (  # noqa: PLC0415 - a third of a second
        get_mapping_from_secret_type_to_class,
    )
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415

    everywhere = [
        _Pattern(name, re.compile(pattern), _NEEDS.get(name, ())) for name, pattern in _OURS.items()
    ]
    near_long_runs: list[_Pattern] = []
    plugins: Mapping[str, Any] = get_mapping_from_secret_type_to_class()
    for name, plugin in sorted(plugins.items()):
        if issubclass(plugin, RegexBasedDetector) and name not in _LEFT_OUT:
            for regex in plugin.denylist:
                if regex.pattern.startswith(_ASSIGNMENT):
                    near_long_runs.append(_Pattern(name.lower(), regex))
                else:
                    everywhere.append(_Pattern(name.lower(), regex, _NEEDS.get(name, ())))
    return tuple(everywhere), tuple(near_long_runs)
