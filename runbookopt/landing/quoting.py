"""Other people's words in our Markdown: shown as they are, and without any power (pure)."""

import re

_INVISIBLE = re.compile("[\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0d\U000e0100-\U000e01ef]")
_SAFE = re.compile(r"[\w.,;:!?%()'\"/+=-]+")
_UNSAFE = re.compile(r"//|(?<!\w)www\.|(?<![^\W_])_|_(?![^\W_])|\bGH-\d", re.IGNORECASE)
_OPENS_A_BLOCK = re.compile(r"[-+=]+|\d+[.)]")
# docs.github.com, "Linking a pull request to an issue": keyword, optional colon, reference.
_CLOSES = re.compile(r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+(?=https?://)", re.IGNORECASE)


def plain(text: str, most: int = 300) -> str:
    """Give `text` as one line of at most about `most` characters that mentions, closes and hides nothing.

    Invisible characters are spelt out (`[U+200B]`); where it is cut, three points follow. The line may
    still hold Markdown.
    """
    head = text[: 4 * most]  # enough for its white space, and no more work than that
    line = re.sub(r"(?<!\w)@(?=\w)", "\uff20", visible(head))
    line = re.sub(r"#(?=\d)", "\uff03", line)
    line = re.sub(r"\b(GH)-(?=\d)", "\\1\u2011", line, flags=re.IGNORECASE)
    line = _CLOSES.sub("\\1 \u2192 ", line)
    return line if len(line) <= most and len(head) == len(text) else f"{line[:most]}..."


def visible(text: str) -> str:
    """Give `text` as one line with every invisible character spelt out: `[U+200B]`."""
    return "".join(
        character
        if character.isprintable() and not _INVISIBLE.match(character)
        else f"[U+{ord(character):04X}]"
        for character in " ".join(text.split())
    )


def code(text: str, most: int = 300) -> str:
    """Give `text` as one code span that can stand anywhere, in a table too."""
    line = plain(text, most).replace("|", "\uff5c")
    if not line:
        return "(empty)"
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def prose(text: str, most: int = 400) -> str:
    """Give a sentence of ours that may quote others: words that Markdown could take for more become code."""
    words = plain(text, most).split()
    first = _OPENS_A_BLOCK.fullmatch(words[0]) if words else None
    return " ".join(
        word
        if _SAFE.fullmatch(word) and not _UNSAFE.search(word) and not (place == 0 and first)
        else code(word)
        for place, word in enumerate(words)
    )


def block(text: str) -> str:
    """Give `text` as a code block of one line."""
    line = plain(text, 2000)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence}\n{line}\n{fence}"


def label(text: str, most: int = 40) -> str:
    """Give `text` as the label of a node in a Mermaid chart: letters, digits and a few marks."""
    return " ".join(re.sub(r"[^\w .,:+-]", " ", plain(text, most)).split())
