"""Fences around text that a model must read as data (pure).

A fence is derived from all that is shown: whoever writes one of the texts cannot guess it, for it depends on
his own text, and the same texts give the same prompt, so that caches hit.
"""

import hashlib
from itertools import count

from runbookopt.hidden import visible

DIGITS = 32
"""So many hexadecimal digits make a fence."""


def fence(*texts: str) -> str:
    """Give 32 hexadecimal digits that occur in none of the texts; the same texts give the same digits."""
    dice = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogatepass")
        dice.update(b"%d:" % len(data) + data)  # the length: texts cut elsewhere are other texts
    tried = (_digits(dice, number) for number in count())
    return next(digits for digits in tried if not any(digits in text for text in texts))


def fenced(name: str, text: str, fence: str) -> str:
    """Give text between the tags of a fence, what cannot be seen in it written out.

    `name` is a word of ours. Raises ValueError where the text holds the fence: it is then not its own.
    """
    return enclosed(name, visible(text), fence)


def enclosed(name: str, text: str, fence: str) -> str:
    """Give text between the tags of a fence as it is, for text that has to be copied exactly."""
    if fence in text:
        raise ValueError("the fence occurs in the text: derive it from all texts that are shown")
    return f"<{name} {fence}>\n{text}\n</{name} {fence}>"


def shortened(text: str, characters: int) -> str:
    """Cut the middle out of a text longer than that, and say how many characters were left out."""
    if len(text) <= characters:
        return text
    head, tail = characters - characters // 2, characters // 2
    note = f"\n[... {len(text) - characters:,} characters left out ...]\n"
    return text[:head] + note + text[len(text) - tail :]


def _digits(dice: "hashlib._Hash", number: int) -> str:
    again = dice.copy()
    again.update(b"%d" % number)
    return again.hexdigest()[:DIGITS]
