"""Addresses in a text: URLs, hosts, mail, networks; telephone numbers and channels; paths of files (pure)."""

import ipaddress
import re
from collections.abc import Iterator

from runbookopt.guard.patterns import flat, pattern
from runbookopt.guard.text import Match

_LONGEST = 1000
_TRAILING = ".,;:!?'*_)}"


def addresses(match: Match) -> Iterator[str]:
    """URLs, bare domains, e-mail and network addresses; of links those that leave the repository."""
    if match.kind == "target":
        if match.what.startswith("//") or re.match(r"[a-z][a-z0-9+.-]*:", match.what, re.IGNORECASE):
            yield match.what[:_LONGEST].rstrip(_TRAILING)
    elif match.kind not in {"unseen", "block"}:
        for hit in pattern("addresses.address").finditer(match.what):
            if not _is_none(hit, code=match.kind == "span"):
                yield hit[0].rstrip(_TRAILING)
        for hit in pattern("addresses.colons").finditer(match.what):
            if _is_network(hit[0]):
                yield hit[0]


def _is_none(hit: re.Match[str], *, code: bool) -> bool:
    """Whether it only looks like an address: a version, a file, a name in code, an initial before a name."""
    text, start, end = hit.string, hit.start(), hit.end()
    ending, host = hit["ending"], hit["host"]
    if host is None:
        version = hit[0][:1].isdigit() and pattern("addresses.version").search(text[:start])
        return bool(version) and "/" not in hit[0]
    if hit["rest"] or hit["user"]:
        return False
    dots = pattern("addresses.plain_dot").findall(host)
    if len(dots) == 1 and pattern("addresses.file_endings").fullmatch(ending):
        return not (
            pattern("addresses.goes_to").search(text[:start]) and pattern("addresses.both").fullmatch(ending)
        )
    within = code or text[end : end + 1] == "(" or text.count("`", 0, start) % 2 == 1
    if within and not pattern("addresses.host_endings").fullmatch(ending) and not ending.startswith("xn--"):
        return True
    # a capital behind a dot may begin a sentence, before which the blank was forgotten
    known = pattern("addresses.host_endings").fullmatch(ending) is not None
    small = pattern("addresses.small_words").fullmatch(ending) is not None
    return ending[0].isupper() and not (host.isupper() and ending[2:]) and (not known or small)


def _is_network(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text != "::"


def recipients(text: str) -> Iterator[str]:
    """Where words could be sent that is no address: telephones, channels, accounts, services.

    The check digits of a bank account must be right (ISO 13616).
    """
    for hit in pattern("addresses.recipient").finditer(text):
        what = flat(hit[0])
        bare = re.sub(r"^iban:?|\s", "", what) if hit["account"] else ""
        if not bare or int("".join(str(int(letter, 36)) for letter in bare[4:] + bare[:4])) % 97 == 1:
            yield what


def paths(match: Match) -> Iterator[str]:
    """Files and folders; a plain name such as notes.md, or `and/or`, is none."""
    if match.kind not in {"raw", "rendered", "target"}:
        return
    text = pattern("addresses.address").sub(
        lambda url: " " if "/" in url[0] and "." in url[0].split("/")[0] else url[0], match.what
    )
    for hit in pattern("addresses.path").finditer(text):
        what = hit[0].rstrip(_TRAILING)
        is_word = (
            pattern("addresses.agents_file").fullmatch(what) and not what.isupper() and what != "Makefile"
        )
        if not is_word and not what.endswith((" folder", " directory")):
            yield what
