"""Mining: checks that tell outputs which show a failure from those that do not, from examples alone (pure).

Of each kind of check the best is kept: by Matthews' correlation on the examples, less a little for each part
beyond the first, so that a long list of phrases has to earn its length. What fits examples may not fit
others: whoever mines a check still has to hold it against labels that it has not seen.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from runbookopt.calibration.agreement import Table, mcc
from runbookopt.verifier.checks import (
    Contains,
    Equals,
    MaxChars,
    NotContains,
    OneOf,
    OutputCheck,
    Regex,
    StartsWith,
    examine,
)

FEWEST = 3
"""Examples of each class without which nothing is mined."""

_WORDS = 5  # of a phrase
_PHRASES = 4  # of a check
_LONGEST = 20_000  # characters of an output that are looked at
_CANDIDATES = 3_000  # phrases that are tried
_A_PART = 0.03  # of correlation that a further phrase has to earn
_THERE = 0.9  # of the outputs that have to have a field
_WORD = re.compile(r"\w+(?:['\u2019.-]\w+)*")

_SHAPES = (
    r"\d",
    r"https?://",
    r"\w@[\w-]+\.\w",
    r"[$€£]\s?\d",
    r"\d\s?%",
    r"\b\d{4}-\d{2}-\d{2}\b",
    r"\b[A-Z]{4,}\b",
    r"!",
    r"\?",
    r"(?m)^[ \t]*[-*\u2022] ",
    r"\*\*",
    r"(?m)^#{1,6} ",
    r"```",
    r"\n[ \t]*\n",
)
"""What may give an output away by its form: figures, addresses, dates, capitals, lists, headings, code."""


class Example(Struct, frozen=True):
    """An output, the task's reference, and whether people say that it shows the failure."""

    output: str
    failed: bool
    reference: Any = None


class Mined(Struct, frozen=True):
    """A check, and how it does on the examples that it was mined from: better than it will elsewhere."""

    check: OutputCheck
    on_examples: Table
    score: float


class _View(Struct, frozen=True):
    """The part of each output that checks with this path look at; "" where there is none."""

    path: str | None
    texts: tuple[str, ...]


class _Signs(Struct, frozen=True):
    """What is said of the examples, a bit each: whether they fail."""

    failed: int
    everybody: int

    def table(self, caught: int) -> Table:
        """The counts of a check that fails the examples in `caught`."""
        passed = self.everybody & ~self.failed
        return Table(
            tp=(passed & ~caught).bit_count(),
            fn=(passed & caught).bit_count(),
            tn=(self.failed & caught).bit_count(),
            fp=(self.failed & ~caught).bit_count(),
        )

    def score(self, caught: int, parts: int = 1) -> float:
        """The correlation with what people say, less for what it takes."""
        return (mcc(self.table(caught)) or 0.0) - _A_PART * (parts - 1)


def enough(examples: Sequence[Example]) -> bool:
    """Whether there are examples of both classes to mine from."""
    failed = sum(each.failed for each in examples)
    return min(failed, len(examples) - failed) >= FEWEST


def rules(examples: Sequence[Example]) -> tuple[Mined, ...]:
    """The best check of each kind that looks at outputs alone, the best first; none of too few examples."""
    if not enough(examples):
        return ()
    signs = _Signs(_bits(each.failed for each in examples), (1 << len(examples)) - 1)
    found: dict[str, Mined] = {}
    for view in _views(examples):
        for check in _checks(view, signs):
            mined = _mined(check, examples)
            kind = type(check).__name__
            if mined.score > 0 and (kind not in found or mined.score > found[kind].score):
                found[kind] = mined
    return tuple(sorted(found.values(), key=lambda each: -each.score))


def against_references(examples: Sequence[Example]) -> tuple[Mined, ...]:
    """The checks that hold a part of the output against a part of the reference, the best first."""
    if not enough(examples):
        return ()
    checks: dict[OutputCheck, None] = {}
    for example in examples:
        fields = [path for path, _ in _leaves(_json(example.output))]
        for path, value in _leaves(example.reference):
            checks |= dict.fromkeys(_holding(fields, path, value))
    mined = (_mined(check, examples) for check in checks)
    return tuple(sorted((each for each in mined if each.score > 0), key=lambda each: -each.score))


def given(check: OutputCheck, example: Example) -> str:
    """What a check says of an example: pass, fail or error."""
    return examine(check, output=example.output, reference=example.reference).result


def _mined(check: OutputCheck, examples: Sequence[Example]) -> Mined:
    counts = Counter((each.failed, given(check, each)) for each in examples)
    table = Table(
        tp=counts[False, "pass"],
        fn=counts[False, "fail"],
        tn=counts[True, "fail"],
        fp=counts[True, "pass"],
        errors=counts[False, "error"] + counts[True, "error"],
    )
    parts = len(getattr(check, "values", None) or ("",))
    answered = table.judged / table.asked
    return Mined(check, table, (mcc(table) or 0.0) * answered - _A_PART * (parts - 1))


# Where to look ------------------------------------------------------------------------------------------


def _views(examples: Sequence[Example]) -> Iterator[_View]:
    """The fields of outputs that are JSON, then the whole text: of two that tell as much the narrower."""
    outputs = [each.output[:_LONGEST] for each in examples]
    fields = [
        {path: value for path, value in _leaves(_json(output)) if isinstance(value, str)}
        for output in outputs
    ]
    counts = Counter(path for each in fields for path in each)
    for path in sorted(path for path, count in counts.items() if count >= _THERE * len(outputs)):
        yield _View(path, tuple(each.get(path, "") for each in fields))
    yield _View(None, tuple(outputs))


def _json(text: str) -> Any:  # noqa: ANN401 - a JSON value has any type
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _leaves(value: Any, path: str = "$", depth: int = 3) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The paths in objects that lead to text, a number, true or false, or a list, with what stands there."""
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if not isinstance(key, str) or not key or re.search(r"[.\[\]]", key):
            continue
        if isinstance(inner, Mapping) and depth > 1:
            yield from _leaves(inner, f"{path}.{key}", depth - 1)
        elif isinstance(inner, str | int | float | bool | list):
            yield f"{path}.{key}", inner


def _holding(fields: Sequence[str], path: str, value: object) -> Iterator[OutputCheck]:
    """Checks that hold a field, or the whole text, against what stands in a reference."""
    if isinstance(value, list):
        yield from (OneOf(path=field, reference=path) for field in fields)
        return
    yield from (Equals(path=field, reference=path) for field in fields)
    if isinstance(value, str) and value:
        yield Contains(reference=path)


# What to look for ---------------------------------------------------------------------------------------


def _checks(view: _View, signs: _Signs) -> Iterator[OutputCheck]:
    phrases = _phrases(view.texts)
    there = {phrase: _bits(phrase in text for text in view.texts) for phrase in phrases}
    if chosen := _grown(there, signs):
        yield NotContains(path=view.path, **_listed(chosen))
    lacking = {phrase: signs.everybody & ~caught for phrase, caught in there.items()}
    if chosen := _grown(lacking, signs):
        yield Contains(path=view.path, **_listed(chosen))
    yield from _beginnings(view, signs)
    yield from _lengths(view, signs)
    yield from _patterns(view, signs, phrases)


def _listed(texts: tuple[str, ...]) -> dict[str, Any]:
    """The texts of a check as a person would write them: one alone, or a list."""
    return {"value": texts[0]} if len(texts) == 1 else {"values": texts}


def _bits(shown: Iterable[object]) -> int:
    """A number with a bit for each of these, in order, that is true."""
    return sum(1 << place for place, each in enumerate(shown) if each)


def _phrases(texts: Sequence[str]) -> list[str]:
    """Phrases of up to five words as they stand in the texts, those that stand in most of them first."""
    counts: Counter[str] = Counter()
    for text in texts:
        words = list(_WORD.finditer(text))
        counts.update(
            {
                text[words[at].start() : words[at + more].end()]
                for at in range(len(words))
                for more in range(min(_WORDS, len(words) - at))
            }
        )
    often = ((phrase, count) for phrase, count in counts.items() if count > 1 or len(texts) < 2 * FEWEST)
    return [phrase for phrase, _ in sorted(often, key=lambda each: (-each[1], each[0]))[:_CANDIDATES]]


def _grown(caught_by: Mapping[str, int], signs: _Signs) -> tuple[str, ...]:
    """Phrases each of which is reason to fail: the best, then those that add to it; none that tell nothing.

    Of phrases that tell as much the longest counts: it says most about what it is that fails.
    """
    ordered = sorted(caught_by, key=lambda phrase: (-len(phrase), phrase))
    chosen: tuple[str, ...] = ()
    caught, best = 0, 0.0
    while len(chosen) < _PHRASES and ordered:
        top = max(ordered, key=lambda phrase: signs.score(caught | caught_by[phrase], len(chosen) + 1))
        score = signs.score(caught | caught_by[top], len(chosen) + 1)
        if score <= best:
            break
        chosen, caught, best = (*chosen, top), caught | caught_by[top], score
    return chosen


def _beginnings(view: _View, signs: _Signs) -> Iterator[StartsWith]:
    """What those that are good begin with: an output that begins otherwise fails."""
    heads: dict[str, int] = {}
    for place, text in enumerate(view.texts):
        words = list(_WORD.finditer(text))
        for word in words[:_WORDS]:
            heads[text[: word.end()]] = heads.get(text[: word.end()], 0) | 1 << place
    starts = {head: _bits(text.startswith(head) for text in view.texts) for head in heads if head}
    passing = signs.everybody & ~signs.failed
    turned = _Signs(passing, signs.everybody)  # to catch what passes is to let the rest fail
    if chosen := _grown(starts, turned):
        yield StartsWith(path=view.path, **_listed(chosen))


def _lengths(view: _View, signs: _Signs) -> Iterator[MaxChars]:
    sizes = sorted({len(text) for text in view.texts if text})
    scores = {size: signs.score(_bits(len(text) > size for text in view.texts)) for size in sizes[:-1]}
    if scores:
        yield MaxChars(path=view.path, value=max(scores, key=scores.__getitem__))


def _patterns(view: _View, signs: _Signs, phrases: Iterable[str]) -> Iterator[Regex]:
    """Regular expressions: shapes, phrases in any capitals, and values of a field, to have or not to have."""
    shapes = [*_SHAPES, *(rf"(?i)\b{_literal(phrase)}\b" for phrase in phrases)]
    caught = {shape: _bits(map(re.compile(shape).search, view.texts)) for shape in dict.fromkeys(shapes)}
    scores = {shape: signs.score(shown) for shape, shown in caught.items()}
    if scores:
        worst, best = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
        flags = re.match(r"\(\?[a-z]+\)", best)
        head = flags[0] if flags else ""
        lacks = rf"{head}\A(?![\s\S]*?(?:{best.removeprefix(head)}))"  # matches where `best` does not
        yield Regex(path=view.path, value=lacks)
        yield Regex(path=view.path, value=worst)
    values = {value: _bits(text == value for text in view.texts) for value in view.texts}
    if view.path is not None and len(values) <= len(view.texts) // 2:
        chosen = _grown(values, signs)
        if chosen:
            listed = "|".join(map(_literal, chosen))
            yield Regex(path=view.path, value=rf"\A(?!(?:{listed})\Z)")


def _literal(text: str) -> str:
    """A text as a pattern that people can read: what stands for itself is not escaped."""
    return re.sub(r"\\([^\w\\.^$*+?{}\[\]|()#])", r"\1", re.escape(text))
