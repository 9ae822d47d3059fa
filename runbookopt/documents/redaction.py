"""Secrets in texts: the one list of what they look like, and how they are found or taken out.

`PUBLISHED` are the shapes that vendors publish: a false alarm on them stops a run, so nothing is guessed.
Taken out is more: the values of this process's own credentials, wider shapes of ours, and detect-secrets'
patterns, without its scanner (which works on files, in processes of its own). Left out of its plugins are
public addresses, which are no secrets, guesses by keyword and by entropy, which would take ordinary words out
of tasks, and three patterns that take time squared on text made for that.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

SHORTEST = 8  # characters of a credential that is looked for: a shorter value would be found inside words

_CREDENTIAL = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL|(^|_)(KEY|TOKEN|PASS|PAT)\d*$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"_(FILE|PATH|DIR|URL|SOCK|ENDPOINT|REGION|PROFILE)$", re.IGNORECASE)

_LEFT_OUT = frozenset({"Public IP (ipv4)", "JSON Web Token", "OpenAI Token", "NPM tokens", "Private Key"})

PUBLISHED = {
    # RFC 7468 and RFC 4880 armour
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    # docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html, "unique ID prefixes"
    "an AWS access key": r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
    # github.blog/2021-04-05-behind-githubs-new-authentication-token-formats
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b",
    # docs.gitlab.com/security/tokens, "token prefixes"
    "a GitLab token": r"\bgl(?:pat|dt|rt|ptt|oas)-[\w-]{20,}",
    # api.slack.com/concepts/token-types
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}",
    # docs.stripe.com/keys
    "a Stripe key": r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b",
    # cloud.google.com/docs/authentication/api-keys
    "a Google API key": r"\bAIza[\w-]{35}(?![\w-])",
    # docs.npmjs.com/about-access-tokens
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    # the Python package index: its help on API tokens
    "a PyPI token": r"\bpypi-[\w-]{50,}",
    # huggingface.co/docs/hub/security-tokens
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{34,}\b",
    # platform.openai.com and docs.anthropic.com print their keys in these shapes
    "a model provider's key": r"\bsk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{32,}",
    # RFC 7519: a header and a claim set are JSON objects, so both begin with `{"` in base64url
    "a JSON web token": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    # RFC 3986, 3.2.1: user information in an authority
    "a password in a URL": (r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>{}$]{1,64}:[^\s/@\"'<>{}$]{3,64}@"),
}
"""The shapes of secrets that vendors publish, by kind; none spans lines."""

_BASE64 = r"[A-Za-z0-9+/=]"
_BREAK = r"(?:\s|\\[nr])*"
_WIDER = {
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
    "npm token": r"_authToken=\s*\S+|\bnpm_[A-Za-z0-9]{36}\b",
    "bearer token": r"(?i)\bbearer\s+(?=[\w.~+/=-]{0,60}\d)[\w.~+/=-]{20,}",
}

"""Shapes of ours for what is taken out: wider than those published, and at most linear in time."""

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
    "stripe key": ("k_live_", "k_test_"),
    "google api key": ("AIza",),
    "hugging face token": ("hf_",),
    "password in a url": ("://",),
}
"""Words without which the slower patterns find nothing, as they stand or in lower case."""

_ASSIGNMENT = r"(?:(?<=\W)|(?<=^))"
"""How detect-secrets' slow patterns begin: a vendor's name, a word for secret, and at least 24 characters."""

_LONG = re.compile(r"[\w/+=-]{24,}")
_BEFORE = 120  # characters before a long run in which an assignment may begin


class _Pattern(NamedTuple):
    """The looks of a kind of secret; one of the words `needs` stands in every text that has it."""

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
            for bare in [value.strip()]
            for form in (bare, quote(bare, safe=""), json.dumps(bare)[1:-1])  # as it is, in a URL, in JSON
            if len(form) >= SHORTEST
        }
        longest_first = sorted(values, key=lambda value: (-len(value), value))
        self._values = re.compile("|".join(map(re.escape, longest_first))) if values else None

    def clean(self, text: str) -> str:
        """The text with `[removed: <what it was>]` for each secret; cleaning again changes nothing."""
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


def secrets_in(text: str) -> Iterator[tuple[str, str, int]]:
    """Each secret of a published shape in `text`: its kind ("an AWS access key"), the secret, and its line.

    Kind by kind in the order of `PUBLISHED`, each as often as it stands there.
    """
    for kind, shape in PUBLISHED.items():
        for match in re.finditer(shape, text):
            yield kind, match[0], text.count("\n", 0, match.start()) + 1


def _cleaned_near_long_runs(pattern: _Pattern, text: str) -> str:
    parts: list[str] = []
    kept = 0
    for run in _LONG.finditer(text):
        for match in pattern.regex.finditer(text, max(kept, run.start() - _BEFORE), run.end() + 1):
            parts += [text[kept : match.start()], pattern.mark]
            kept = match.end()
    return "".join([*parts, text[kept:]]) if parts else text


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[_Pattern, ...], tuple[_Pattern, ...]]:
    from detect_secrets.core.plugins.util import (  # noqa: PLC0415 - a third of a second
        get_mapping_from_secret_type_to_class,
    )
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415

    everywhere = [_ours(name, shape) for name, shape in _WIDER.items()]
    near_long_runs: list[_Pattern] = []
    plugins: Mapping[str, Any] = get_mapping_from_secret_type_to_class()
    for name, plugin in sorted(plugins.items()):
        if issubclass(plugin, RegexBasedDetector) and name not in _LEFT_OUT:
            for regex in plugin.denylist:
                if regex.pattern.startswith(_ASSIGNMENT):
                    near_long_runs.append(_Pattern(name.lower(), regex))
                else:
                    everywhere.append(_Pattern(name.lower(), regex, _NEEDS.get(name, ())))
    names = {kind.split(" ", 1)[1].lower(): shape for kind, shape in PUBLISHED.items()}
    everywhere += [_ours(name, shape) for name, shape in names.items() if name not in _WIDER]
    return tuple(everywhere), tuple(near_long_runs)


def _ours(name: str, shape: str) -> _Pattern:
    return _Pattern(name, re.compile(shape), _NEEDS.get(name, ()))
