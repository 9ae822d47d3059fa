"""Untrusted text as data: fences around it for models, Markdown escapes of it for people (pure).

A fence is derived from all that is shown: whoever writes one of the texts cannot guess it, for it depends on
his own text, and the same texts give the same prompt, so that caches hit.
"""

import hashlib
import re
from itertools import count

from runbookopt.documents.hidden_text import visible

DIGITS = 32  # hexadecimal ones, of a fence
FEW = 12  # of one that a model has to copy for each section of its reply: nobody guesses these either


def fence(*texts: str, digits: int = DIGITS) -> str:
    """Hexadecimal digits that occur in none of the texts; the same texts give the same digits."""
    encoded = [text.encode(errors="surrogatepass") for text in texts]
    data = b"".join(b"%d:" % len(each) + each for each in encoded)  # lengths: cut elsewhere is other texts
    codes = (hashlib.sha256(data + b"%d" % number).hexdigest()[:digits] for number in count())
    return next(each for each in codes if not any(each in text for text in texts))


def fenced(name: str, text: str, fence: str) -> str:
    """Text between the tags of a fence, what cannot be seen in it written out; see `enclosed`."""
    return enclosed(name, visible(text), fence)


def enclosed(name: str, text: str, fence: str) -> str:
    """Text between the tags of a fence as it is, for text that has to be copied exactly.

    `name` is a word of ours. Raises ValueError where the text holds the fence: it is then not its own.
    """
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


_INVISIBLE = re.compile("[\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0d\U000e0100-\U000e01ef]")
_SAFE = re.compile(r"[\w.,;:!?%()'\"/+=-]+")
_UNSAFE = re.compile(r"//|(?<!\w)www\.|(?<![^\W_])_|_(?![^\W_])|\bGH-\d", re.IGNORECASE)
_OPENS_A_BLOCK = re.compile(r"[-+=]+|\d+[.)]")
# docs.github.com, "Linking a pull request to an issue": keyword, optional colon, reference.
_CLOSES = re.compile(r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+(?=https?://)", re.IGNORECASE)


def plain(text: str, most: int = 300) -> str:
    """`text` as one line of about `most` characters at most that mentions, closes and hides nothing.

    Invisible characters are spelt out; where it is cut, three points follow. It may still hold Markdown.
    """
    head = text[: 4 * most]  # enough for its white space, and no more work than that
    line = re.sub(r"(?<!\w)@(?=\w)", "\uff20", spelled_out(head))
    line = re.sub(r"#(?=\d)", "\uff03", line)
    line = re.sub(r"\b(GH)-(?=\d)", "\\1\u2011", line, flags=re.IGNORECASE)
    line = _CLOSES.sub("\\1 \u2192 ", line)
    return line if len(line) <= most and len(head) == len(text) else f"{line[:most]}..."


def spelled_out(text: str) -> str:
    """`text` as one line with every invisible character spelt out: `[U+200B]`."""
    line = " ".join(text.split())
    if line.isprintable() and not _INVISIBLE.search(line):
        return line
    return "".join(
        character
        if character.isprintable() and not _INVISIBLE.match(character)
        else f"[U+{ord(character):04X}]"
        for character in line
    )


def code(text: str, most: int = 300) -> str:
    """`text` as one code span that can stand anywhere, in a table too."""
    line = plain(text, most).replace("|", "\uff5c")
    if not line:
        return "(empty)"
    ticks = "`" * (1 + _longest_run_of_ticks(line))
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def prose(text: str, most: int = 400) -> str:
    """A sentence of ours that may quote others: words that Markdown could take for more become code."""
    words = plain(text, most).split()
    first = _OPENS_A_BLOCK.fullmatch(words[0]) if words else None
    return " ".join(
        word
        if _SAFE.fullmatch(word) and not _UNSAFE.search(word) and not (place == 0 and first)
        else code(word)
        for place, word in enumerate(words)
    )


def block(text: str) -> str:
    """`text` as a code block of one line."""
    line = plain(text, 2000)
    fence = "`" * max(3, 1 + _longest_run_of_ticks(line))
    return f"{fence}\n{line}\n{fence}"


def _longest_run_of_ticks(line: str) -> int:
    return max(map(len, re.findall("`+", line)), default=0)


def label(text: str, most: int = 40) -> str:
    """`text` as the label of a node in a Mermaid chart: letters, digits and a few marks."""
    return " ".join(re.sub(r"[^\w .,:+-]", " ", plain(text, most)).split())
