"""Personal data in texts that is known by its form: addresses, and numbers of cards, accounts, telephones.

Names of people have no form, and are not found. Numbers that carry a check are believed by it.
"""

import re
from functools import partial
from ipaddress import ip_address

from runbookopt.documents.redaction import Mark

_MAIL = r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"

_TELEPHONE = (
    r"(?<![\w+])\+[1-9](?:[ ().\-]{0,2}\d){7,14}(?![\w-])"
    r"|(?<!\w)(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w-])"
)
"""ITU-T E.164 with the sign in front, or as North America writes it."""

_ACCOUNT = r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)"
"""ISO 13616: country, check digits, and up to 30 more; words may stand behind them."""

_SHORTEST_ACCOUNT = 15  # Norway's

_CARD = r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]?\d)"

_NETWORK = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]?\d)"

_SOCIAL = r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"
"""ssa.gov/employer/stateweb.htm: which areas, groups and serials were never given out."""


_KINDS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("e-mail address", re.compile(_MAIL), "@"),
    ("bank account", re.compile(_ACCOUNT), ""),
    ("payment card", re.compile(_CARD), ""),
    ("social security number", re.compile(_SOCIAL), "-"),
    ("telephone number", re.compile(_TELEPHONE), ""),
    ("network address", re.compile(_NETWORK), "."),
)
"""Kinds with their forms, and what stands in every text that has one."""


def marked_personal(text: str, mark: Mark) -> str:
    """The text with a mark in the place of each piece of personal data."""
    for kind, regex, needs in _KINDS:
        if needs in text:
            text = regex.sub(partial(_marked, kind, mark), text)
    return text


def _marked(kind: str, mark: Mark, match: re.Match[str]) -> str:
    groups = match[0].split(" ")
    ends = range(len(groups), 0, -1) if kind == "bank account" else (len(groups),)  # "... 0130 00 EUR"
    for end in ends:
        if _is_one(kind, found := " ".join(groups[:end])):
            return mark(kind, found) + match[0][len(found) :]
    return match[0]


def _is_one(kind: str, text: str) -> bool:
    """Whether what has the form of a kind is one: by its check, if it carries one."""
    match kind:
        case "payment card":  # ISO/IEC 7812-1, annex B, and the digits with which payment cards begin
            digits = [int(each) for each in text if each.isdigit()]
            doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
            return digits[0] in {2, 3, 4, 5, 6} and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
        case "bank account":  # ISO 7064, modulo 97
            bare = text.replace(" ", "")
            number = int("".join(str(int(each, 36)) for each in bare[4:] + bare[:4]))
            return len(bare) >= _SHORTEST_ACCOUNT and number % 97 == 1
        case "network address":  # those of a network of one's own are nobody's
            try:
                return ip_address(text).is_global
            except ValueError:
                return False
        case _:
            return True
