"""What a reader does not see, cannot read, or takes for something else (pure)."""

import codecs
import re
import unicodedata
from collections.abc import Iterator

from runbookopt.guard.text import Match

_FAR_RIGHT = re.compile(r"(?<!\s)[^\S\n]{80,}+(\S.*)")


def unseen(found: Match) -> Iterator[str]:
    """Give what a reader of the rendered page, or of a window of ordinary width, does not see."""
    if found.kind == "unseen" and not found.what.startswith("<!--"):  # those are told by `hidden_text`
        yield found.what
    elif found.kind == "raw":
        for match in _FAR_RIGHT.finditer(found.what):
            yield f"far to the right: {match[1]}"


_TOKEN = re.compile(r"[^\W\d_]+")
_DASHES = re.compile(
    r"(?<![\w\s])[\u2010-\u2015\u2212\ufe58](?=[A-Za-z])|(?<=\s)[\u2010\u2011\u2012\u2212](?=[A-Za-z]+\s)"
)


def look_alikes(found: Match) -> Iterator[str]:
    """Give words that mix alphabets or pass for Latin ones, and dashes that pass for hyphens."""
    if found.kind not in {"raw", "span", "target"}:
        return
    for match in _TOKEN.finditer(found.what):
        if not match[0].isascii() and _is_mixed(match[0]):
            yield match[0]
    for match in _DASHES.finditer(found.what):
        yield found.what[match.start() : match.start() + 12]


def _is_mixed(word: str) -> bool:
    scripts = {_script(character) for character in word}
    if len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}) > 1:
        return True
    return (
        scripts <= {"CYRILLIC", "GREEK"} and len(word) > 1 and all(letter in _LATIN_LOOKS for letter in word)
    )


def _script(character: str) -> str:
    return unicodedata.name(character, "?").split()[0]


# Letters that are drawn as Latin ones in common fonts (Unicode TR 39, confusables), Cyrillic and Greek.
_LATIN_LOOKS = set(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u0410\u0412\u0415\u041a"
    "\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u03bf\u03c1\u03b1\u03bd\u0391\u0392\u0395\u0396\u0397"
    "\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
)

_ROW, _TURNED, _FOREIGN, _CODED = 4, 3, 8, 6  # codes in a row; small words; letters; letters of a code
_BLOB = re.compile(
    r"""
    (?<![\w/+=-])(?=[\w/+=-]*\d)(?=[\w/+=-]*[a-z])(?=[\w/+=-]*[A-Z])[A-Za-z0-9+/_=-]{28,}
    | (?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{18,}={1,2}(?![\w=])
    | (?<![\w-])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)(?:[0-9a-f]{2}[ :]?){12,}(?![\w-])
    | (?:\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|%[0-9a-f]{2}|&\#x?[0-9a-f]+;|\\[0-7]{3}){4,}
    | (?<![\w-])(?:[01]{8}[ ]?){3,}(?![\w-]) | (?<!\w)(?:\d{2,3}[ ,]+){11,}\d{2,3}(?!\w)
    | (?<![\w'])(?:[a-z]\s+|-\s+|/\s+){4,}[a-z](?![\w'])
    | \b(?:base-?(?:64|32|58|85)|rot-?13|hex(?:adecimal)?[ -](?:digits?|code|text|dump|encoded)|url-?encoded
        |(?:de|en)cod(?:e[sd]?|ing)|decipher\w*|unscramble|read\s+(?:\w+\s)?backwards
          |letters?\s+in\s+reverse)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ENGLISH = frozenset(
    [
        "the",
        "and",
        "for",
        "of",
        "to",
        "that",
        "with",
        "not",
        "is",
        "are",
        "was",
        "you",
        "this",
        "from",
        "have",
        "all",
        "your",
        "when",
        "if",
        "it",
        "on",
        "in",
        "be",
        "as",
        "no",
        "or",
    ]
)


def blobs(text: str) -> Iterator[str]:
    """Give what no reader reads: encoded text, letters spelt apart, rows of codes, the words for such."""
    for match in _BLOB.finditer(text):
        if not _is_plain(match[0]):
            yield " ".join(match[0].split())
    odd = [word for word in text.split() if _is_odd(word)]
    if len(odd) >= _ROW:
        yield " ".join(odd)
    turned = [word for word in re.findall(r"[a-z]+", text.casefold()) if word not in _ENGLISH]
    back = [word for word in turned if codecs.encode(word, "rot13") in _ENGLISH and len(word) > 1]
    if len(set(back)) >= _TURNED:
        yield " ".join(back)


def _is_plain(match: str) -> bool:
    """Tell what is a run of single letters for a reason, or a long identifier made of words."""
    parts = re.split(r"[/_-]", match)
    words = all((part.isalpha() and not _is_odd(part)) or part.isdigit() for part in parts)
    return len(parts) >= _TURNED and words


def _is_odd(word: str) -> bool:
    """Tell whether capitals stand within a word as they do in encoded text, and in no camelCase."""
    word = word.strip("`.,;:()\"'")
    return (
        len(word) >= _CODED
        and word.rstrip("=").isalnum()
        and word.isascii()
        and len(re.findall(r"[a-z][A-Z]|[A-Z]{1,2}[a-z]|\d[A-Za-z]|[A-Za-z]\d", word)) >= _TURNED
    )


_LANGUAGES = {
    "German": (
        "der die das und nicht ein eine einer eines ist sind mit auf für den dem des von zu im "
        "bei auch wird werden nach oder wie bitte sie an aus wenn vorher immer jede alle ohne "
        "kein keine"
    ),
    "Spanish": (
        "el la los las y no una un es son con para por del de que se en al sin cada aunque nunca "
        "siempre como su sus esta este pero todos todas sea"
    ),
    "French": (
        "le la les des et ne pas une un est sont avec pour par du de que dans au aux sans chaque "
        "toujours jamais leur ses cette ce mais tous vous qui sur toute"
    ),
    "Italian": (
        "il la gli le e non una un è sono con per del della di che si nel al senza ogni sempre "
        "mai questo questa ma tutti sulla dal i lo anche"
    ),
    "Portuguese": (
        "o a os as e não uma um é são com para por do da de que se no na sem cada sempre nunca "
        "este esta mas todos ao dos das como"
    ),
    "Dutch": (
        "de het een en niet is zijn met voor van naar op bij ook wordt worden altijd nooit deze "
        "dit maar alle zonder elke aan uit als geen"
    ),
    "Polish": "i nie jest są z na do się że dla po od bez każdy zawsze nigdy ten ta to ale oraz przez",
    "Swedish": (
        "och inte är en ett den det med för av till på som utan alltid aldrig varje alla men från vid ska"
    ),
    "Turkish": "ve bir bu için ile değil olarak her zaman asla olan gibi ama daha kadar tüm da de",
}
_STOP_WORDS = {name: frozenset(words.split()) for name, words in _LANGUAGES.items()}
_SHARED = frozenset(
    [
        "no",
        "a",
        "as",
        "me",
        "do",
        "i",
        "is",
        "on",
        "in",
        "an",
        "to",
        "so",
        "at",
        "we",
        "be",
        "of",
        "or",
        "he",
        "was",
    ]
)


def languages(text: str) -> Iterator[str]:
    """Give the language of a sentence outside quotations that is none of English, by its small words."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    english = sum(word in _ENGLISH for word in words)
    for name, known in _STOP_WORDS.items():
        found = [word for word in words if word in known and word not in _SHARED]
        if len(set(found)) >= _TURNED and len(found) > english:
            yield f"{name}: {' '.join(words)}"
            return
    letters = [character for character in text if character.isalpha()]
    foreign = sum(
        _script(character) not in {"LATIN", "GREEK"} and not character.isascii() for character in letters
    )
    if foreign > _FOREIGN and foreign * 3 > len(letters):
        yield f"another script: {' '.join(words)}"


_IMITATION = re.compile(
    r"""
    ^[\s>*_-]*[A-Z][a-z]+(?:-[A-Za-z]+)*-(?:by|bundle|id|to|on|off)\s*: | \brunbookopt\b
    | (?<!\w)@@\s-?\d | ^\s*(?:[-+]{2,3}|diff\s--git|index\s[0-9a-f]{7})\s\S
    | \b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\s*:?\s+(?:[\w.-]+/[\w.-]+)?\#\d+
      | (?<![\w.+/-])@[a-z][\w-]*(?:/[\w-]+)?(?![\w.]*\.\w)
    | \b(?:decision|guard|verify|status|checks?|approved|reviewed|merge)\s*:\s*(?:auto|passed|ok|none
      |green|approved|true|yes|success)\b
    | \bLGTM\b | \[(?:skip[ ]ci|ci[ ]skip|automerge)\] | \bsha256:[0-9a-f]{8,}
    | ^[\s>]*(?:system|assistant|user|developer|human)\s*:\s | <\|?/?(?:system|im_start|im_end|assistant
      |instructions?)\|?> | \[/?INST\]
    | \b(?:new|updated|system|developer|hidden|secret)\s(?:instructions?|prompt)\b
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)


def imitations(text: str) -> Iterator[str]:
    """Give what imitates metadata: trailers, mentions, closing words, results, roles."""
    for match in _IMITATION.finditer(text):
        yield " ".join(match[0].split()).casefold()
