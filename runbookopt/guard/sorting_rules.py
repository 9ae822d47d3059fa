"""Rules that sort messages, and what a change does to them: taken away, contradicted, reworded (pure)."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from runbookopt.guard.forms import (
    Line,
    Rule,
    is_odd,
    lines_of,
    pairs_of,
    rule_of,
    says_something,
    shape_of,
)
from runbookopt.guard.patterns import pattern

_SHOWN = 90
_MOST_CHANGED = 400


def sorting(before: str, after: str) -> Iterator[tuple[str, int]]:
    """What a change does to rules that sort, each with a line of the new text, or of today's if it is gone.

    Nothing is known here of tasks: a rule that is taken away, given another output or order, or a phrase that
    another rule has for another output, may well be right.
    """
    old, new = lines_of(before), lines_of(after)
    stood = {line.key for line in old}
    stands = {line.key for line in new}
    gone, come = (
        [each for each in old if each.key not in stands],
        [each for each in new if each.key not in stood],
    )
    if len(gone) + len(come) > _MOST_CHANGED:
        yield f"{len(gone) + len(come)} lines change, more than are compared with each other", 1
        return
    yield from _lost(gone, new)
    yield from _sorted_elsewhere(gone, come)
    yield from _moved(old, new)
    spans = {span for line in old for span in pattern("text.code").findall(line.text)}
    shapes = {(line.section, shape_of(line)) for line in old}
    pairs_gone = [set(pairs_of(line)) for line in gone]
    for line in come:
        rule = rule_of(line)
        if isinstance(rule, Rule):
            for why in _faults(rule, old, spans):
                yield f"{why}: {_short(line)}", line.number
            has = set(pairs_of(line))  # the new form of another has half of its pairs
            follows = any(had and 2 * len(had & has) >= len(had) for had in pairs_gone)
            if follows and (line.section, rule.shape) not in shapes:
                yield f"a rule is reworded: {_short(line)}", line.number
        elif pattern("forms.otherwise").search(line.text):
            yield f"what is left goes elsewhere: {_short(line)}", line.number


def _lost(gone: Sequence[Line], new: Sequence[Line]) -> Iterator[tuple[str, int]]:
    """The phrases that no rule has for their output any more, nor a part of them."""
    now = {pair for line in new for pair in pairs_of(line)}
    for line in gone:
        rule = rule_of(line)
        if not isinstance(rule, Rule):
            if pattern("forms.otherwise").search(line.text):
                yield f"what is left is sorted no more: {_short(line)}", line.number
            continue
        for phrase, output in rule.pairs:
            if not any(is_part(other, phrase) for other, to in now if to == output):
                yield f'"{phrase}" is no longer for {output!r}', line.number


def _sorted_elsewhere(gone: Sequence[Line], come: Sequence[Line]) -> Iterator[tuple[str, int]]:
    """The lines with a name in code that say all the same of another name."""
    code = pattern("text.code")
    words = {code.sub("``", line.text): line for line in gone if code.search(line.text)}
    for line in come:
        before = words.get(code.sub("``", line.text))
        if before is not None and before.section == line.section:
            yield f"another name in code: {_short(line)}", line.number


def is_part(phrase: str, of: str) -> bool:
    """Whether the words of a phrase stand in another one in a row."""
    return bool(phrase) and f" {phrase} " in f" {of} "


def _moved(old: Sequence[Line], new: Sequence[Line]) -> Iterator[tuple[str, int]]:
    """Rules and other items that stand in another order than they did."""
    stands = {line.key for line in new if line.kind == "item"}
    kept = [line.key for line in old if line.key in stands]
    now = [line for line in new if line.key in set(kept)]
    for was, line in zip(kept, now, strict=False):
        if was != line.key:
            yield f"rules are in another order: {_short(line)}", line.number
            return


def _faults(rule: Rule, old: Sequence[Line], spans: set[str]) -> Iterator[str]:
    if rule.output not in spans and _bare(rule.output) in map(_bare, spans):
        yield f"the output {rule.output!r} looks like another one"
    known = {pair for line in old for pair in pairs_of(line)}
    for phrase, (words, output) in zip(rule.phrases, rule.pairs, strict=True):
        if (words, output) in known:
            continue
        if is_odd(phrase) or not says_something(phrase):
            yield f"a phrase that is no topic ({phrase!r})"
        for other, to in sorted(known):
            if to != output and is_part(words, other):
                yield f'"{phrase}" is for {to!r} today'


def _bare(output: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", output).casefold())


def _short(line: Line) -> str:
    text = " ".join(line.text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
