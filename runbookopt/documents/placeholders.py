"""Placeholders of what is taken out of texts: the same value stays the same, and none tells its value.

A digest of a value is no secret's end where the value can be guessed: a list of addresses, or all telephone
numbers, are tried against it in minutes. So only what a machine drew at random is told by a digest.
"""

import hmac
import math
import re
from collections import Counter
from hashlib import sha256

ENOUGH = 64
"""Bits that a value must have to be told by a digest of it."""

_CHOSEN = frozenset({"basic auth credentials", "password in a url", "token in a url", "npm token"})
"""Kinds of secrets that a person may have thought of: what looks random there may be a dictionary's."""

_MARK = re.compile(r"\[removed: ([^\]\n]{1,60}) (?:(\d{1,7})|\d{8,}|[0-9a-f]{8})\]")
"""A placeholder with its number, or with a digest."""


class Placeholders:
    """Placeholders of one record, or with a `key` that is nobody else's, of all that are made with it.

    What is random enough has the same placeholder everywhere. Of the rest, a key gives each value one that
    cannot be tried out without it; where there is none, values are numbered as they come. `counts` says how
    many of each kind were taken out. Placeholders that are `there` already keep their numbers to themselves.
    """

    def __init__(self, key: bytes | None = None, there: str = "") -> None:
        self._key = key
        self._numbers: dict[tuple[str, str], int] = {}
        self._of_kind: Counter[str] = Counter()
        for kind, number in _MARK.findall(there):
            self._of_kind[kind] = max(self._of_kind[kind], int(number or 0))
        self.counts: Counter[str] = Counter()

    def secret(self, kind: str, value: str) -> str:
        """The placeholder of a secret: "[removed: github token 3f9a1c07]"."""
        if kind not in _CHOSEN and bits(value) >= ENOUGH:
            self.counts[kind] += 1
            return f"[removed: {kind} {sha256(value.encode(errors='surrogatepass')).hexdigest()[:8]}]"
        return self.guessable(kind, value)

    def guessable(self, kind: str, value: str) -> str:
        """The placeholder of what could be guessed: "[removed: e-mail address 1]"."""
        self.counts[kind] += 1
        if self._key is not None:
            told = f"{kind}\0{value}".encode(errors="surrogatepass")
            return f"[removed: {kind} {hmac.new(self._key, told, sha256).hexdigest()[:8]}]"
        if (kind, value) not in self._numbers:
            self._of_kind[kind] += 1
            self._numbers[kind, value] = self._of_kind[kind]
        return f"[removed: {kind} {self._numbers[kind, value]}]"


def bits(value: str) -> float:
    """The information in a value, in bits, if its characters were drawn one by one as often as they stand."""
    counts = Counter(value)
    return -sum(count * math.log2(count / len(value)) for count in counts.values())


def without_marks(text: str) -> str:
    """The text with nothing but the kind in each placeholder: what another key took out is alike."""
    return _MARK.sub(r"[removed: \1]", text)
