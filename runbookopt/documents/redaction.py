"""Secrets in texts: how they are found or taken out; what they look like stands in secrets.toml.

Found are the shapes that vendors publish: a false alarm on them stops a run, so nothing is guessed.
Taken out is more: the values of this process's own credentials, wider shapes of ours, and detect-secrets'
patterns, without its scanner (which works on files, in processes of its own). Left out of its plugins are
public addresses, which are no secrets, guesses by keyword and by entropy, which would take ordinary words out
of tasks, three patterns that take time squared on text made for that, and one that invoices' numbers have.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

SHORTEST = 8  # characters of a credential that is looked for: a shorter value would be found inside words

_CREDENTIAL = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL|(^|_)(KEY|TOKEN|PASS|PAT)\d*$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"_(FILE|PATH|DIR|URL|SOCK|ENDPOINT|REGION|PROFILE)$", re.IGNORECASE)

_LEFT_OUT = frozenset({"Public IP (ipv4)", "JSON Web Token", "OpenAI Token", "NPM tokens", "Private Key"})

_FALSE_ALARM = r"AP[\dABCDEF]"
"""How an encrypted password of Artifactory begins, and "AP2026110045", an invoice of accounts payable."""

_ASSIGNMENT = r"(?:(?<=\W)|(?<=^))"
"""How detect-secrets' slow patterns begin: a vendor's name, a word for secret, and at least 24 characters."""

_ASSIGNED = re.compile(r"(?:key|pwd?|password|pass|token)[ =:>\"'\]]{1,120}[\w-]{24}", re.IGNORECASE)
"""What stands in every text in which one of them finds something; with less patience than they have."""

_LONG = re.compile(r"[\w/+=-]{24,}")
_BEFORE = 120  # characters before a long run in which an assignment may begin


Mark = Callable[[str, str], str]
"""What stands in the place of a secret, by its kind and the secret itself."""


class _Pattern(NamedTuple):
    """The looks of a kind of secret; one of the words `needs` stands in every text that has it."""

    name: str
    regex: re.Pattern[str]
    needs: tuple[str, ...] = ()

    def marked(self, match: re.Match[str], mark: Mark) -> str:
        """The mark of a match; the secret is its group, where one was assigned to a name."""
        secret = match[1] if match.re.groups == 1 and match[1] else match[0]
        return mark(self.name, secret.strip("\"'=: \t\r\n"))


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
        return marked(text, lambda kind, _: f"[removed: {kind}]")


def marked(text: str, mark: Mark) -> str:
    """The text with a mark in the place of each secret that is known by its looks.

    A mark that stands in the text is none, where it begins with "[removed: ".
    """
    everywhere, near_long_runs = _patterns()
    there = _needed_in(text)
    for pattern in everywhere:
        if not pattern.needs or not there.isdisjoint(pattern.needs):
            text = pattern.regex.sub(partial(pattern.marked, mark=mark), text)
    if _ASSIGNED.search(text):
        for pattern in near_long_runs:
            text = _marked_near_long_runs(pattern, text, mark)
    return text


def secrets_in(text: str) -> Iterator[tuple[str, str, int]]:
    """Each secret of a published shape in `text`: its kind ("an AWS access key"), the secret, and its line.

    Kind by kind in the order of secrets.toml, each as often as it stands there.
    """
    shapes, there = _shapes(), _needed_in(text)
    for kind, shape in shapes["published"].items():
        words = shapes["needs"][kind.split(" ", 1)[1].lower()]
        for match in re.finditer(shape, text) if not there.isdisjoint(words) else ():
            yield kind, match[0], text.count("\n", 0, match.start()) + 1


def _needed_in(text: str) -> set[str]:
    """The words that shapes need and that stand in a text: as they are, or in small letters."""
    small, others = _needed()
    lowered = text.lower()
    return {word for word in small if word in lowered} | {word for word in others if word in text}


@cache
def _needed() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All words that shapes need: those in small letters, and the others."""
    words = sorted({word for each in _shapes()["needs"].values() for word in each})
    return tuple(w for w in words if w == w.lower()), tuple(w for w in words if w != w.lower())


def _marked_near_long_runs(pattern: _Pattern, text: str, mark: Mark) -> str:
    parts: list[str] = []
    kept = 0
    for run in _LONG.finditer(text):
        for match in pattern.regex.finditer(text, max(kept, run.start() - _BEFORE), run.end() + 1):
            parts += [text[kept : match.start()], pattern.marked(match, mark)]
            kept = match.end()
    return "".join([*parts, text[kept:]]) if parts else text


@cache
def _shapes() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("secrets.toml").read_text(encoding="utf-8"))


@cache
def _patterns() -> tuple[tuple[_Pattern, ...], tuple[_Pattern, ...]]:
    from detect_secrets.core.plugins.util import (  # noqa: PLC0415 - a third of a second
        get_mapping_from_secret_type_to_class,
    )
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415

    published, wider, needs = (_shapes()[table] for table in ("published", "wider", "needs"))
    ours = {kind.split(" ", 1)[1].lower(): shape for kind, shape in published.items()}
    shapes = [(name, re.compile(shape)) for name, shape in wider.items()]
    near_long_runs: list[_Pattern] = []
    plugins: Mapping[str, Any] = get_mapping_from_secret_type_to_class()
    for name, plugin in sorted(plugins.items()):
        if issubclass(plugin, RegexBasedDetector) and name not in _LEFT_OUT:
            for regex in plugin.denylist:
                if _FALSE_ALARM in regex.pattern:
                    continue
                if regex.pattern.startswith(_ASSIGNMENT):
                    near_long_runs.append(_Pattern(name.lower(), regex))
                else:
                    shapes.append((name, regex))
    shapes += [(name, re.compile(shape)) for name, shape in ours.items() if name not in wider]
    everywhere = (_Pattern(name.lower(), regex, tuple(needs.get(name, ()))) for name, regex in shapes)
    return tuple(everywhere), tuple(near_long_runs)
