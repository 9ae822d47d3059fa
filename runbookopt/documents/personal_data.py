"""Personal data in texts that is known by its form: addresses, and numbers of cards, accounts, telephones.

Names of people have no form, and are not found. Numbers that carry a check are believed by it.
"""

import re
from collections.abc import Callable

from runbookopt.documents.redaction import Mark

_MAIL = r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"

_TELEPHONE = (
    r"(?<![\w+])\+[1-9](?:[ ().\-]{0,2}\d){7,14}(?![\w-])"
    r"|(?<!\w)(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w-])"
)
"""ITU-T E.164 with the sign in front, or as North America writes it."""

_ACCOUNT = r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)"
"""ISO 13616: country, check digits, and up to 30 more; `_is_account` tries its beginnings."""

_CARD = r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]?\d)"

_NETWORK = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]?\d)"

_SOCIAL = r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"
"""ssa.gov/employer/stateweb.htm: which areas, groups and serials were never given out."""


def _is_card(text: str) -> bool:
    """Whether the digits pass the check of ISO/IEC 7812-1, annex B, and begin as those of payment cards."""
    digits = [int(each) for each in text if each.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return digits[0] in {2, 3, 4, 5, 6} and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_account(text: str) -> bool:
    """Whether ISO 7064's check, modulo 97, holds."""
    bare = text.replace(" ", "")
    return int("".join(str(int(each, 36)) for each in bare[4:] + bare[:4])) % 97 == 1


def _is_public(text: str) -> bool:
    """Whether an address is one of the Internet's: those of a network of one's own are nobody's."""
    first, second, *rest = map(int, text.split("."))
    own = first in {0, 10, 127} or (first, second) in {(192, 168), (169, 254)} or first > 223  # noqa: PLR2004
    return max(first, second, *rest) <= 255 and not own and not (first == 172 and 16 <= second <= 31)  # noqa: PLR2004


_KINDS: tuple[tuple[str, re.Pattern[str], str, Callable[[str], bool]], ...] = (
    ("e-mail address", re.compile(_MAIL), "@", lambda _: True),
    ("bank account", re.compile(_ACCOUNT), "", _is_account),
    ("payment card", re.compile(_CARD), "", _is_card),
    ("social security number", re.compile(_SOCIAL), "-", lambda _: True),
    ("telephone number", re.compile(_TELEPHONE), "", lambda _: True),
    ("network address", re.compile(_NETWORK), ".", _is_public),
)


def marked_personal(text: str, mark: Mark) -> str:
    """The text with a mark in the place of each piece of personal data."""
    for kind, regex, needs, is_one in _KINDS:
        if needs in text:
            text = regex.sub(lambda match, of=kind, sure=is_one: _of(match[0], of, sure, mark), text)  # type: ignore[misc]
    return text


def _of(found: str, kind: str, is_one: Callable[[str], bool], mark: Mark) -> str:
    return mark(kind, found) if is_one(found) else found
