"""What a text holds that a person should see before it ships, and what of it a new text brings in (pure)."""

import ipaddress
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from runbookopt.landing.policy import Introduced
from runbookopt.landing.quoting import visible
from runbookopt.markdown import tokens_of
from runbookopt.runbook import hidden_text

_LONGEST = 120


class Found(Struct, frozen=True):
    """One thing that a text holds, and its line counted from 1; `what` does not depend on its place.

    A text is read as written ("raw") and as Markdown shows it ("rendered"), line by line, so that neither
    hides from the other; the further kinds are what Markdown makes of it.
    """

    kind: Literal["raw", "rendered", "block", "span", "target", "unseen"]
    what: str
    line: int


Reading = tuple[Found, ...]


def introduced(before: str, after: str) -> dict[Introduced, tuple[str, ...]]:
    """Give what `after` holds and `before` does not, class by class, each as "what (line n)".

    Moving text introduces nothing. Credential words are counted: one more of a word is introduced.
    """
    old, new = _read(before), _read(after)
    return {
        "urls": _news(_addresses, old, new),
        "commands": _news(_commands, old, new),
        "credentials": _more(old, new),
        "hidden-text": _news(_unseen, old, new),
    }


def secrets(text: str) -> Iterator[tuple[str, str, int]]:
    """Give each secret in `text`: what kind it is, the secret itself, and its line."""
    for kind, pattern in _SECRETS:
        for match in pattern.finditer(text):
            yield kind, match[0], text.count("\n", 0, match.start()) + 1


# The shapes that vendors publish, and no guess at entropy: a false alarm here stops a run.
_SECRETS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        # RFC 7468 and RFC 4880 armour
        ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        # docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html, "unique ID prefixes"
        ("an AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        # github.blog/2021-04-05-behind-githubs-new-authentication-token-formats
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
        # docs.gitlab.com/security/tokens, "token prefixes"
        ("a GitLab token", r"\bgl(?:pat|dt|rt|ptt|oas)-[\w-]{20,}"),
        # api.slack.com/concepts/token-types
        ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}"),
        # docs.stripe.com/keys
        ("a Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
        # cloud.google.com/docs/authentication/api-keys
        ("a Google API key", r"\bAIza[\w-]{35}(?![\w-])"),
        # docs.npmjs.com/about-access-tokens
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        # the Python package index: its help on API tokens
        ("a PyPI token", r"\bpypi-[\w-]{50,}"),
        # huggingface.co/docs/hub/security-tokens
        ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{34,}\b"),
        # platform.openai.com and docs.anthropic.com print their keys in these shapes
        ("a model provider's key", r"\bsk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{32,}"),
        # RFC 7519: a header and a claim set are JSON objects, so both begin with `{"` in base64url
        ("a JSON web token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
        # RFC 3986, 3.2.1: user information in an authority
        ("a password in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>{}$]{1,64}:[^\s/@\"'<>{}$]{3,64}@"),
    )
)


def _news(find: Callable[[Found], Iterator[str]], old: Reading, new: Reading) -> tuple[str, ...]:
    known = {what for found in old for what in find(found)}
    first: dict[str, int] = {}
    for found in new:
        for what in find(found):
            if what not in known:
                first[what] = min(found.line, first.get(what, found.line))
    return tuple(f"{_shown(what)} (line {line})" for what, line in first.items())


def _shown(what: str) -> str:
    line = visible(what)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _addresses(found: Found) -> Iterator[str]:
    """Give URLs, bare domains, e-mail and network addresses."""
    if found.kind == "unseen" or (found.kind == "target" and not _elsewhere(found.what)):
        return
    if found.kind == "target":
        yield found.what.rstrip(_TRAILING)
        return
    for match in _ADDRESS.finditer(found.what):
        if not _is_file(match):
            yield match[0].rstrip(_TRAILING)
    for match in _COLONS.finditer(found.what):
        if _is_network(match[0]):
            yield match[0]


_TRAILING = ".,;:!?'*_)}"
_DOT = r"(?:[.\u3002\uff0e\uff61]|[ ]?[\[(](?:\.|dot)[\])][ ]?)"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ENDING = r"(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})(?![\w-])"
_ADDRESS = re.compile(
    rf"""
    (?<![\w+.-])[a-z][a-z0-9+.-]*://[^\s<>"`|\[\]]*         # any scheme
    | (?<![\w:/])//[^\s<>"`|/\[\]]+\.[^\s<>"`|\[\]]+       # the page's own scheme
    | (?<![\w-])(?:mailto:|javascript:|vbscript:|tel:\+?\d|data:\w+/)[^\s<>"`|]+
    | (?<![\w.-])\d{{1,3}}(?:{_DOT}\d{{1,3}}){{3}}(?![.]?\d)[^\s<>"`|]*
    | (?<![\w-])localhost(?![\w-])[^\s<>"`|]*
    | (?<![\w-])(?<!\$\.)(?:[\w.+-]{{1,64}}@)?(?P<host>(?:{_LABEL}{_DOT}){{1,40}}(?P<ending>{_ENDING}))
      (?P<rest>(?::\d+)?(?:/[^\s<>"`|]*)?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_COLONS = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
# Endings of file names; a few are domains of countries too, so only `name.ending` alone counts as a file.
_FILES = re.compile(
    r"bat|cfg|conf|css|csv|docx?|gif|html?|ini|ipynb|jpe?g|jsx?|jsonl?|lock|log|md|pdf|png|ps1|py|rst|sh|sql"
    r"|svg|toml|tsx?|tsv|txt|xlsx?|xml|ya?ml",
    re.IGNORECASE,
)


def _is_file(match: re.Match[str]) -> bool:
    if match["host"] is None or match["rest"]:
        return False
    return _FILES.fullmatch(match["ending"]) is not None and len(re.findall(_DOT, match["host"])) == 1


def _is_network(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text != "::"


def _elsewhere(target: str) -> bool:
    """Tell whether a link leaves the repository."""
    return target.startswith("//") or re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE) is not None


def _commands(found: Found) -> Iterator[str]:
    """Give code blocks, shell lines, and code spans that hold more than one plain word."""
    match found.kind:
        case "block":
            yield f"code block: {found.what}"
        case "span" if _SPAN.search(found.what):
            yield " ".join(found.what.split())
        case "raw" | "rendered":
            for command in _COMMAND.finditer(found.what):
                yield " ".join(_MARKER.sub("", command[0]).split())
        case _:
            pass


_SPAN = re.compile(
    r"^[\w./~\\-]\S*\s+\S|[;|&]|\$\(|^(?:\.{1,2}|~)?/\w|\.(?:sh|bash|exe|bat|cmd|ps1)$", re.IGNORECASE
)
_MARKER = re.compile(r"^[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?`?(?=\$|PS)")
# Programs that fetch, run, change or destroy; a word that is also plain English needs its argument.
_COMMAND = re.compile(
    r"""
    (?: ^[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?`?(?:\$\s+|PS\s[A-Z]:)(?=\S)
    | (?<![\w-])(?:
        curl | wget | sudo | doas | ssh | scp | sftp | rsync | chmod | chown | mkfs | crontab | systemctl
        | nc | ncat | netcat | telnet | kubectl | docker | podman | npx | pipx | uvx
        | powershell | pwsh | iwr | iex | invoke-\w+
        | rm\s+-\w+ | dd\s+if= | kill\s+-\w+ | base64\s+-\w+ | source\s+[./~]
        | (?:ba|z|k|da|fi)?sh\s+(?:-\w+|\S+\.sh) | (?:python|perl|ruby|node|php)[\d.]*\s+(?:-\w+|\S+\.\w+)
        | (?:pip|pip3|npm|yarn|pnpm|brew|apt|apt-get|dnf|yum|apk|cargo|gem|go|uv)\s+(?:install|add|run|get|i)
        | git\s+(?:push|pull|clone|fetch|commit|checkout|reset|rebase|merge|remote|config|rm|apply)
        | os\.system | subprocess
      )(?:\.exe)?(?![\w-]|\.\w)
    | \|\s*(?:sudo\s+)?(?:/\S*/)?(?:(?:ba|z|k|da|fi)?sh|python[\d.]*|perl|ruby|node|php|iex)(?![\w-])
    | (?<![\w-])(?:eval|exec|system|popen)\s*\( | \$\([^)] | &&\s*\S
    )[^`\n]*
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _more(old: Reading, new: Reading) -> tuple[str, ...]:
    """Give the credential words that occur more often than before, with the new lines that hold them."""
    more: set[str] = set()
    for kind in ("raw", "rendered"):
        more |= (_credentials(new, kind) - _credentials(old, kind)).keys()
    known = {found.what for found in old}
    lines: dict[str, set[int]] = {}
    for found in new:
        for word in _words(found.what) if found.what not in known else ():
            lines.setdefault(word, set()).add(found.line)
    places = {word: ", ".join(map(str, sorted(lines.get(word, ())))) for word in sorted(more)}
    return tuple(f"{word} (line {place})" if place else word for word, place in places.items())


def _credentials(reading: Reading, kind: str) -> Counter[str]:
    return Counter(word for found in reading if found.kind == kind for word in _words(found.what))


def _words(text: str) -> Iterator[str]:
    for match in _CREDENTIAL.finditer(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)):
        yield re.sub(r"[\s_-]+", " ", match[0]).casefold().removesuffix("s")


_CREDENTIAL = re.compile(
    r"""
    (?<![^\W_])(?:
        pass[ _-]?(?:words?|wd|phrases?|codes?) | tokens? | secrets? | credentials? | cookies?
        | (?:api|access|private|secret|ssh|signing|encryption)[ _-]?keys? | authori[sz]ation[ ]header
        | (?:recovery|seed)[ _-]phrases? | (?:security|one-time|verification)[ _-]codes? | otp | cvv | cvc
        | id_rsa | bearer | pins?
    )(?![^\W_])
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _unseen(found: Found) -> Iterator[str]:
    """Give what a reader of the rendered page, or of a window of ordinary width, does not see."""
    if found.kind == "unseen" and not found.what.startswith("<!--"):  # those are told by `hidden_text`
        yield found.what
    elif found.kind == "raw":
        for match in _FAR_RIGHT.finditer(found.what):
            yield f"far to the right: {match[1]}"


_FAR_RIGHT = re.compile(r"(?<!\s)[^\S\n]{80,}+(\S.*)")


def _read(text: str) -> Reading:
    definitions: dict[str, Any] = {}
    tokens = tokens_of(text, tables=True, definitions=definitions)
    found = [*_lines("raw", text, 1), *_definitions(definitions), *_hidden(text)]
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.type in {"fence", "code_block"}:
            found.append(Found("block", token.content.strip(), line))
        elif token.type == "html_block":
            found.append(Found("unseen", token.content.strip(), line))
        found += _inline(token.children or (), line)
    return tuple(found)


def _inline(children: Sequence[Any], line: int) -> Iterator[Found]:
    shown = ""
    for child in children:
        here = line + shown.count("\n")
        if child.type in {"text", "code_inline", "image", "text_special"}:
            shown += child.content
        elif child.type in {"softbreak", "hardbreak"}:
            shown += "\n"
        if child.type in {"code_inline", "html_inline"}:
            yield Found("span" if child.type == "code_inline" else "unseen", child.content, here)
        for name, value in child.attrs.items():
            if name != "alt":
                yield Found("unseen" if name == "title" else "target", str(value), here)
    yield from _lines("rendered", shown, line)


def _lines(kind: Literal["raw", "rendered"], text: str, first: int) -> Iterator[Found]:
    """Give the lines in Unicode's compatibility form, in which a full-width letter is a plain one."""
    for number, line in enumerate(text.split("\n"), start=first):
        yield Found(kind, unicodedata.normalize("NFKC", line), number)


def _hidden(text: str) -> Iterator[Found]:
    for description in hidden_text(text):
        place = re.search(r" at line (\d+)", description)
        what = description if place is None else description.replace(place[0], "")
        yield Found("unseen", what, 1 if place is None else int(place[1]))


def _definitions(definitions: dict[str, Any]) -> Iterator[Found]:
    """Give the link definitions, which a renderer does not show: `[//]: # (a note to the agent)`."""
    for label, definition in definitions.get("references", {}).items():
        what = f"[{label}]: {definition['href']} {definition['title']}"
        yield Found("unseen", what.strip(), definition["map"][0] + 1)
    for definition in definitions.get("duplicate_refs", ()):
        what = f"[{definition['label']}]: {definition['href']} {definition['title']}"
        yield Found("unseen", what.strip(), definition["map"][0] + 1)
