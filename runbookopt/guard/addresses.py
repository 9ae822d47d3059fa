"""Addresses in a text: URLs, hosts, mail, networks; telephone numbers and channels; paths of files (pure)."""

import ipaddress
import re
from collections.abc import Iterator

from runbookopt.guard.text import Match

_LONGEST = 1000
_TRAILING = ".,;:!?'*_)}"
_DOT = r"(?:[.\u3002\uff0e\uff61]|[ ]?[\[({](?:\.|dot|punkt|punto|point)[\])}][ ]?)"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ENDING = r"(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})(?![\w-])"
_ADDRESS = re.compile(
    rf"""
    (?<![\w+.-])[a-z][a-z0-9+.-]*://[^\s<>"`|\[\]]*(?:\[[0-9a-f:.]+\][^\s<>"`|\[\]]*)?   # any scheme
    | (?<![\w:/])//[^\s<>"`|/\[\]]+\.[^\s<>"`|\[\]]+       # the page's own scheme
    | (?<![\w-])(?:mailto:|javascript:|vbscript:|command:|tel:\+?\d|data:\w+/)[^\s<>"`|]+
    | (?<![\w.-])\d{{1,3}}(?:{_DOT}\d{{1,3}}){{3}}(?![.]?\d)[^\s<>"`|]*
    | (?<![\w-])localhost(?![\w-])[^\s<>"`|]*
    | (?<![\w-])(?<!\$\.)(?P<user>[\w.+-]{{1,64}}(?:@|[ ]?[\[(](?:at|@)[\])][ ]?))?
      (?P<host>(?:{_LABEL}{_DOT}){{1,40}}(?P<ending>{_ENDING}))
      (?P<rest>(?::\d+)?(?:/[^\s<>"`|]*)?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_COLONS = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
# Endings of file names; a few are domains of countries too, so only `name.ending` alone counts as a file.
_FILES = re.compile(
    r"bat|cfg|conf|css|csv|docx?|gif|html?|ini|ipynb|jpe?g|jsx?|jsonl?|lock|log|md|pdf|png|ps1|py|rst|sh|sql"
    r"|svg|toml|tsx?|tsv|txt|xlsx?|xml|ya?ml|zip|gz|gpg|dump|js",
    re.IGNORECASE,
)
# In code a dot joins names of a program (`billing.clock`), so there the ending must be one that hosts have:
# a country's, one that is reserved (RFC 2606), or one of the generic ones that are used most.
_HOSTS = re.compile(
    r"[a-z]{2}|com|net|org|edu|gov|mil|int|info|biz|name|pro|mobi|asia|cat|jobs|tel|travel|xxx|arpa"
    r"|onion|example"
    r"|test|invalid|app|dev|page|cloud|online|site|website|web|store|shop|tech|xyz|top|club|live|life"
    r"|link|click"
    r"|space|world|zone|digital|agency|group|team|studio|systems|solutions|services|support|help|host"
    r"|hosting"
    r"|email|network|software|download|stream|news|blog|wiki|art|bank|finance|money|pay|cash|fund|vip"
    r"|win|bid"
    r"|loan|work|works|zip|mov|rest|bar|fun|icu|buzz|cyou|monster|rocks|run|sbs|cfd|lol|quest|autos|beauty",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"\b(?:app|version|release|build|firmware|android|ios|windows|v)[ .:]{0,2}$", re.IGNORECASE
)


def addresses(found: Match) -> Iterator[str]:
    """Give URLs, bare domains, e-mail and network addresses."""
    if found.kind in {"unseen", "block"} or (found.kind == "target" and not _elsewhere(found.what)):
        return
    if found.kind == "target":
        yield found.what[:_LONGEST].rstrip(_TRAILING)
        return
    for match in _ADDRESS.finditer(found.what):
        if not _is_none(match, code=found.kind == "span"):
            yield match[0].rstrip(_TRAILING)
    for match in _COLONS.finditer(found.what):
        if _is_network(match[0]):
            yield match[0]


def _is_none(match: re.Match[str], *, code: bool) -> bool:
    """Tell what only looks like an address: a version, a file, a name in code, an initial before a name."""
    text, start, end = match.string, match.start(), match.end()
    if match["host"] is None:
        return match[0][:1].isdigit() and bool(_VERSION.search(text[:start])) and "/" not in match[0]
    if match["rest"] or match["user"]:
        return False
    ending, host = match["ending"], match["host"]
    if _FILES.fullmatch(ending) and len(re.findall(_DOT, host)) == 1:
        return True
    within = code or text[end : end + 1] == "(" or text.count("`", 0, start) % 2 == 1
    if within and not _HOSTS.fullmatch(ending) and not ending.startswith("xn--"):
        return True
    return ending[0].isupper() and not (host.isupper() and ending[2:]) and ending.casefold() not in _CORE


_CORE = {"com", "net", "org", "info"}


def _is_network(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text != "::"


def _elsewhere(target: str) -> bool:
    """Tell whether a link leaves the repository."""
    return target.startswith("//") or re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE) is not None


_RECIPIENT = re.compile(
    r"""
    (?<![\w+.-])\+\d[\d ()./-]{6,18}\d(?![\w-])                   # a telephone number, the world's way
    | (?<![\w+./-])\(?0\d{2,5}\)?[ /-]\d[\d -]{4,12}\d(?![\w-])    # and one country's
    | (?<![\w&/#])\#(?=[\w-]*[a-z])[a-z0-9][\w-]{2,79}             # a channel
    # a bank account
    | (?<![\w.])(?P<account>(?:IBAN:?\s*)?[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){3,7}(?:[ ]?[A-Z0-9]{1,3})?)
      (?![\w-])
    | (?<![\w])(?:bc1|0x)[a-z0-9]{25,62}(?![\w])                   # a wallet
    | \b(?:paste|snippet|file[ -]?sharing|upload|transfer)[ -]?(?:bin|site|service|page)s?\b
    | \b(?:public|shared|external|private|personal|outside|anonymous)[ ](?:paste|gist|drive|folder|bucket
      |channel
      |group|inbox|mailbox|chat|form|board|site|server|repository|repo|account|e-?mail)\b
    | \b(?:(?-i:Signal)|(?:(?<=\bon[ ])|(?<=\bby[ ])|(?<=\bvia[ ])|(?<=\bover[ ])|(?<=\busing[ ])
      |(?<=\bthrough[ ]))signal)\b                                # a word of every day else
    | \b(?:whatsapp|telegram|discord|wechat|pastebin|gist|dropbox|google[ ](?:drive|docs?|forms?)
      |onedrive
      |wetransfer|web[ ]?hook)s?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def recipients(text: str) -> Iterator[str]:
    """Give where words could be sent that is no address: telephones, channels, accounts, services."""
    for match in _RECIPIENT.finditer(text):
        what = " ".join(match[0].split()).casefold()
        if match["account"] is None or _is_account(what):
            yield what


def _is_account(text: str) -> bool:
    """Tell whether the check digits are those of a bank account (ISO 13616)."""
    bare = re.sub(r"^iban:?|\s", "", text)
    return int("".join(str(int(character, 36)) for character in bare[4:] + bare[:4])) % 97 == 1


_PATH = re.compile(
    r"""
    (?<![\w.$}>)/:@-])(?:
        (?:\.\.[/\\])+[\w./\\*$-]*                                # out of the folder
        | ~[\w-]*/[\w./*-]*                                       # somebody's home
        | /(?:etc|proc|sys|dev|root|home|users|var|usr|opt|tmp|mnt|srv|run|boot|bin|sbin|library|host
          |backup|data
            |private|volumes)(?:/[\w.*$-]+)*(?![\w/-])
        | /[\w.-]+(?:/[\w.$*-]+)+                                 # from the root
        | %\w+%[\\/]?[^\s`"'|]*                                   # a variable of Windows
        | [a-z]:\\[^\s`"'|]* | \\\\[\w.-]+\\[^\s`"'|]*            # a drive, a share
        | (?:[\w.-]+/)*\.(?:ssh|aws|kube|docker|gnupg|env|netrc|npmrc|pypirc|git|github|gitlab|vscode
          |idea|cursor
            |claude|codex|gitconfig|bashrc|zshrc|profile|bash_history|config|cache
              |runbookopt)(?:[/.][\w./*-]*)?(?![\w-])
        | (?:[\w.-]+/)*(?:agents|claude|skill|gemini|runbook|memory|codeowners|dockerfile
          |makefile)(?:\.md)?(?=[\s.,;:)`'"]|$)
        | (?:[\w.-]+/)*(?:policy|rubric|runbookopt|settings|mcp|package|pyproject|action)\.(?:ya?ml|json
          |toml)
        | (?:runbooks|trajectories)/[\w./*-]*
        | (?:[\w-]+/)+[\w-]*\.[a-z]{1,5}(?![\w-]) | (?:[\w-]+/){2,}(?![\w-])
        | \b\w[\w-]*\s(?:folder|directory)\b
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BARE = re.compile(
    r"(?:agents|claude|skill|gemini|runbook|memory|codeowners|dockerfile|makefile)", re.IGNORECASE
)


def paths(found: Match) -> Iterator[str]:
    """Give files and folders; a plain name such as notes.md, or `and/or`, is none."""
    if found.kind not in {"raw", "rendered", "target"}:
        return
    for match in _PATH.finditer(
        _ADDRESS.sub(lambda url: " " if "/" in url[0] and "." in url[0].split("/")[0] else url[0], found.what)
    ):
        what = match[0].rstrip(_TRAILING)
        if what.endswith((" folder", " directory")) or (
            _BARE.fullmatch(what) and not what.isupper() and what != "Makefile"
        ):
            continue
        yield what
