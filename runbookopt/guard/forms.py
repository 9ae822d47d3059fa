"""Forms of lines that may merge by themselves: today's text and trusted tasks vouch for a line (pure)."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

from msgspec import Struct

from runbookopt.documents.markdown import LINE, front_matter, tokens_of
from runbookopt.documents.untrusted import spelled_out
from runbookopt.guard.patterns import pattern, word_lists

_MOST_CHANGED = 1000  # lines that differ and are compared: the work grows with their square
_LONGEST_PHRASE = 60
_LONGEST_LINE = 1000
_SHOWN = 90
_AT_LEAST = 2  # train tasks that must vouch for a phrase: what one task says anybody may have written
_QUOTED, _CODED = "\ue000", "\ue001"  # slots of a shape: for private use, so that no text means them
_SPANS = re.compile(
    r"(?<!`)`(?P<code>[^`\n]+)`(?!`)|\"(?P<straight>[^\"\n]+)\"|[“„«「](?P<curly>[^“”„«»「」\n]+)[”“»」]"
)
_WORD = re.compile(r"\w+(?:'\w+)*")
_ITEM = ("bullet_list_open", "list_item_open", "paragraph_open")
_CUSTOMER = {"someone", "somebody", "person", "people", "contact"}  # who writes, in a rule on messages
_ROW = ("table_open", "tbody_open")


class Example(Struct, frozen=True):
    """A train task of a trusted source: the text of its input, its group, and the outputs it refers to."""

    text: str
    group: str
    outputs: frozenset[str]


class Formless(Struct, frozen=True):
    """A line that a change adds or removes and that has no allowed form, and why.

    `line` counts from 1 in the text that holds it.
    """

    line: int
    text: str
    removed: bool
    reason: str

    @property
    def told(self) -> str:
        """One sentence with the line itself."""
        text = spelled_out(" ".join(self.text.split()))
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        where = f"line {self.line}, gone," if self.removed else f"line {self.line}"
        return f"{where} ({shown}): {self.reason}"


class Line(Struct, frozen=True):
    """An item of a list, a row of a table, or a raw line of anything else.

    `section` are the headings above it; `lead` is the last other line before it, or a table's first row.
    """

    kind: Literal["item", "row", "other"]
    section: tuple[str, ...]
    text: str
    number: int
    lead: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What is compared: where a line stands is told by the lines around it."""
        return (self.kind, *self.section, self.text)


class Rule(Struct, frozen=True):
    """A line that sorts: its words with slots for phrases and output; `pairs` are phrase and output."""

    shape: str
    phrases: tuple[str, ...]
    output: str

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each phrase in plain words, with the output."""
        return tuple((plain(phrase), self.output) for phrase in self.phrases)


def formless(
    before: str,
    after: str,
    examples: Sequence[Example],
    *,
    same_shape: bool = True,
    is_own: Callable[[str], bool] = lambda _: False,
) -> tuple[Formless, ...]:
    """The changed lines that have no allowed form, each with the reason, in the order of the new text.

    `same_shape`: a line may be new where its section has one of the same words today in the same list or
    table, but for quoted phrases and the output in code, and `examples` vouch for each phrase; a line of that
    kind may go where they speak against each phrase that goes with it. `is_own` tells the lines, as
    written, of which a team says that they may.
    """
    old, new = lines_of(before), lines_of(after)
    gone, come = _differences(old, new)
    if len(gone) + len(come) > _MOST_CHANGED:
        reason = f"{len(gone) + len(come)} lines differ, and more than {_MOST_CHANGED} are not compared"
        return (Formless(1, "", removed=False, reason=reason),)
    change = _Change(old, gone, come, examples)
    found = [
        Formless(line.number, line.text, removed, reason)
        for removed, lines in ((False, come), (True, gone))
        for line in lines
        if len(line.text) > _LONGEST_LINE or not is_own(line.text)
        if (reason := change.fault(line, removed=removed) if same_shape else "no form of the policy fits")
    ]
    return tuple(sorted(found, key=lambda each: (each.line, each.removed)))


def has_rules(text: str) -> bool:
    """Whether a text has a line of which another one could have the shape: prose has none."""
    return any(line.kind != "other" and not isinstance(rule_of(line), str) for line in lines_of(text))


class _Change:
    """A change of a text as its lines' forms are judged: what goes and what comes, and who speaks for it."""

    def __init__(
        self, old: Sequence[Line], gone: Sequence[Line], come: Sequence[Line], examples: Sequence[Example]
    ) -> None:
        self._examples = [(f" {plain(example.text)} ", example) for example in examples]
        self._shapes = {
            (line.kind, line.section, line.lead, rule.shape)
            for line in old
            if line.kind != "other" and not isinstance(rule := rule_of(line), str)
        }
        self._moved = {line.text for line in gone} & {line.text for line in come}
        self._kept = {(line.section, pair) for line in come for pair in pairs_of(line)}
        self._stood = {(line.section, shape_of(line), pair) for line in gone for pair in pairs_of(line)}

    def fault(self, line: Line, *, removed: bool) -> str:
        """The reason why a line may not come or go by itself; "" where it may."""
        if line.kind == "other":
            return "it is no item of a plain list and no row of a table, and prose never merges by itself"
        rule = rule_of(line)
        if isinstance(rule, str):
            return rule
        if line.text in self._moved:
            return "it stands elsewhere now, and the order of rules may count"
        touched = _touched(line, rule)
        if touched:
            return touched
        return self._against(line, rule) if removed else self._unvouched(line, rule)

    def _unvouched(self, line: Line, rule: Rule) -> str:
        """What is missing for a rule to come: a line of its shape, and tasks for each phrase that is new."""
        if (line.kind, line.section, line.lead, rule.shape) not in self._shapes:
            return "no line of this list or table has the same words today, but for its phrases and output"
        new = {
            phrase: words
            for phrase, (words, output) in zip(rule.phrases, rule.pairs, strict=True)
            if (line.section, rule.shape, (words, output)) not in self._stood
        }
        for phrase, words in new.items():
            why = self._unsupported(phrase, words, rule.output)
            if why:
                return why
        held = self._holding(set(new.values()))
        count = _count(held, rule.output)
        if new and (count < _AT_LEAST or 2 * count <= len(held)):
            return f"of {len(held)} trusted train tasks with its phrases {count} have {rule.output!r}"
        return ""

    def _unsupported(self, phrase: str, words: str, output: str) -> str:
        if not is_plain(phrase):
            return f'"{phrase}" is not one to six plain words'
        if not says_something(phrase):
            return f'"{phrase}" says nothing of a topic, or speaks of danger'
        held = self._holding({words})
        if len({example.group for example in held}) < _AT_LEAST:
            return f'"{phrase}" is not in {_AT_LEAST} train tasks of trusted sources'
        if 2 * _count(held, output) < len(held):
            return f'most trusted train tasks with "{phrase}" have another output than {output!r}'
        return ""

    def _against(self, line: Line, rule: Rule) -> str:
        """What keeps a rule from going: it needs an heir, and tasks against each phrase that goes with it."""
        heirs = [
            phrase for section, (phrase, to) in self._kept if (section, to) == (line.section, rule.output)
        ]
        if not heirs:
            return f"a rule for {rule.output!r} goes, and none comes in its place"
        for phrase, output in rule.pairs:
            if any(f" {heir} " in f" {phrase} " for heir in heirs):
                continue
            held = self._holding({phrase})
            other = len(held) - _count(held, output)
            if other < _AT_LEAST or 2 * other <= len(held):
                return f'no {_AT_LEAST} trusted train tasks speak against "{phrase}" for {output!r}'
        return ""

    def _holding(self, phrases: Collection[str]) -> list[Example]:
        return [
            example for text, example in self._examples if any(f" {phrase} " in text for phrase in phrases)
        ]


def _count(examples: Sequence[Example], output: str) -> int:
    return sum(output in example.outputs for example in examples)


def pairs_of(line: Line) -> tuple[tuple[str, str], ...]:
    """Phrase and output of each phrase of a rule; none where a line is no rule."""
    rule = rule_of(line)
    return () if isinstance(rule, str) else rule.pairs


def shape_of(line: Line) -> str:
    """The words of a rule with slots; empty where a line is none."""
    rule = rule_of(line)
    return "" if isinstance(rule, str) else rule.shape


def _touched(line: Line, rule: Rule) -> str:
    """What a line touches that no change may touch by itself: its own words, and those it stands under."""
    said = rule.shape.replace(_QUOTED, ' "" ').replace(_CODED, " `` ")
    around = " ".join((*line.section, line.lead if line.lead.rstrip().endswith(":") else ""))
    kinds = {
        "forbids something": "safeguards.forbids",
        "limits or requires something": "safeguards.requires",
        "brings in a person": "safeguards.escalates",
        "holds a number or a time": "forms.number",
    }
    for what, entry in kinds.items():
        if pattern(entry).search(said):
            return f"it {what}"
    if any(hit[0].casefold() not in _CUSTOMER for hit in pattern("safeguards.persons").finditer(said)):
        return "it brings in a person"
    names = ("safeguards.section", "safeguards.forbids", "safeguards.escalates")
    if any(pattern(name).search(around) for name in names):
        return "it stands where people and limits are spoken of"
    return ""


def is_plain(phrase: str) -> bool:
    """Whether a phrase is a few plain words and no order."""
    return (
        len(phrase) <= _LONGEST_PHRASE
        and pattern("forms.phrase").fullmatch(phrase) is not None
        and not pattern("forms.orders").search(phrase)
        and not pattern("safeguards.loosens").search(phrase)
    )


def is_odd(phrase: str) -> bool:
    """Whether a phrase is nothing that a message says: an order, an address, a number, a pattern."""
    return (
        pattern("forms.odd").search(phrase) is not None
        or pattern("forms.orders").search(phrase) is not None
        or pattern("safeguards.loosens").search(phrase) is not None
    )


def says_something(phrase: str) -> bool:
    """Whether a phrase has a word of a topic, and none of danger, which is for people to sort."""
    listed = word_lists("deceptive_text.small_words")["English"] | word_lists("forms.say_nothing")["English"]
    topical = any(
        len(word) > 1 and word not in listed and not word.isdigit() for word in plain(phrase).split()
    )
    return topical and not pattern("forms.danger").search(phrase)


def plain(text: str) -> str:
    """The words of a text in lower case, one blank between them, by which phrases are found."""
    return " ".join(_WORD.findall(text.casefold().replace("\u2019", "'")))


def rule_of(line: Line) -> Rule | str:
    """A line read as a rule, or why it is none."""
    if line.kind == "other" or _QUOTED in line.text or _CODED in line.text:
        return "it is no rule"
    phrases: list[str] = []
    outputs: list[str] = []

    def slot(hit: re.Match[str]) -> str:
        if hit["code"] is not None:
            outputs.append(hit["code"])
            return _CODED
        phrases.append(hit["straight"] or hit["curly"])
        return _QUOTED

    shape = _SPANS.sub(slot, line.text)
    if not phrases:
        return "it quotes no phrase of a message, so no task can vouch for it"
    if len(outputs) != 1:
        return f"it names {len(outputs) or 'no'} outputs in code, and a rule names one"
    between = pattern("forms.separator").pattern
    listed = rf"{_QUOTED}(?:(?:{between}){_QUOTED})+"
    shape = re.sub(listed, _QUOTED, shape, flags=re.VERBOSE)
    return Rule(" ".join(shape.split()).removesuffix("."), tuple(phrases), outputs[0])


def _differences(old: Sequence[Line], new: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines that go and those that come; one that moves does both."""
    keys, others = [line.key for line in old], [line.key for line in new]
    start = 0
    while start < min(len(keys), len(others)) and keys[start] == others[start]:
        start += 1
    end = 0
    while end < min(len(keys), len(others)) - start and keys[-1 - end] == others[-1 - end]:
        end += 1
    gone, come = old[start : len(old) - end], new[start : len(new) - end]
    if len(gone) + len(come) > 2 * _MOST_CHANGED:
        both = Counter(line.key for line in gone), Counter(line.key for line in come)
        if max((both[0] - both[1]).total(), (both[1] - both[0]).total()) > _MOST_CHANGED:
            return list(gone), list(come)
    matcher = SequenceMatcher(None, [line.key for line in gone], [line.key for line in come], autojunk=False)
    changed = [operation for operation in matcher.get_opcodes() if operation[0] != "equal"]
    return (
        [line for _, first, stop, _, _ in changed for line in gone[first:stop]],
        [line for _, _, _, first, stop in changed for line in come[first:stop]],
    )


def lines_of(text: str) -> list[Line]:
    """All lines of a text but blank ones and front matter, in their order."""
    raw = [line.rstrip("\r\n") for line in LINE.findall(text)]
    front = len(LINE.findall(front_matter(text)))
    places = dict(_places(text, raw))
    covered = {number for first, (stop, _, _) in places.items() for number in range(first, stop)}
    found: list[Line] = []
    section: tuple[str, ...] = ()
    lead = ""
    for number in range(front, len(raw)):
        if number in places:
            stop, kind, head = places[number]
            whole = "\n".join(line.rstrip() for line in raw[number:stop])
            found.append(Line(kind, section, whole, number + 1, head or lead))
        elif number not in covered and raw[number].strip():
            marks = re.match(r" {0,3}(#{1,6})(?:\s|$)", raw[number])
            level = len(marks[1]) if marks else 0  # as few as there are headings above it count
            section = (*section[: level - 1], raw[number].strip()) if level else section
            lead = raw[number]
            found.append(Line("other", () if level else section, raw[number], number + 1))
    return found


def _places(text: str, raw: Sequence[str]) -> Iterator[tuple[int, tuple[int, Literal["item", "row"], str]]]:
    """First line, line behind the last, kind, and a table's first row, of all items and rows; from 0."""
    around: list[Any] = []
    head = ""
    token: Any  # the parser's tokens have maps where these have them
    for token in tokens_of(text, tables=True):
        if token.nesting < 0:
            around.pop()
            continue
        kinds = tuple(each.type for each in around)
        if token.type == "inline" and kinds == _ITEM and token.map[0] == around[1].map[0]:
            yield token.map[0], (token.map[1], "item", "")
        elif token.type == "tr_open" and kinds == _ROW:
            yield token.map[0], (token.map[1], "row", head)
        elif token.type == "table_open":
            head = raw[token.map[0]]
        if token.nesting > 0:
            around.append(token)
