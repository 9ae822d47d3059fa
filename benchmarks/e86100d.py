"""Offline reflector of commit e86100d, kept under that name: what is measured with it stays comparable.

The tool's own has since become stricter (`runbookopt/agents/offline_reflector.py`); nothing here follows it.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from runbookopt.agents.protocol import Reflected
from runbookopt.agents.rules import Rule, decide, occurs, rules, words
from runbookopt.documents.digest import as_text, canonical, digest_of
from runbookopt.documents.markdown import LINE
from runbookopt.search.asks import Component, Proposal, Reflection, ReflectionFailure, Shown

_FEEDBACK = re.compile(r"expected (?P<expected>.+?), got (?P<got>.*)$")
# the first ", got ": what stands behind it comes from an agent's output

_MARKER = re.compile(r"[ \t>]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+")

_COMMON = frozenset(
    """a about after again ago all already also always am an and another answer any anyone anything are as
    ask asked at be because been before being between bit both but by came can can't cant come could
    day days dear did didn't do does doesn't doing don't dont each either else even evening ever
    every everything few first for friday from gave get give go going gone good got had has hasn't
    have haven't having he hello help her here hey hi him his hour hours how however i i'd i'll i'm
    i've if im in into is isn't it it's its just keep keeps kept know last later let like look lot
    made make many maybe me mine monday month months more morning most much my need never new next
    night no nobody not nothing now of off ok okay old on one only or other our ours out over own
    per please pls possible put quite really reason regards said same saturday say says second see
    she should since so some somebody someone something sorry still such sunday sure take tell than
    thank thanks that that's the their them then there these they they're thing things think this
    those though through thursday time times to today told tomorrow too tuesday two under until up
    upon us very via want was wasn't way we wednesday week weeks well were what when where which
    while who whose why will with within without won't would year years yes yesterday yet you your
    yours""".split()  # noqa: SIM905 - reads better than so many quotes
)
"""Words that say nothing of a topic."""

SHORTEST = 3  # letters of a word that says something of a topic
LONGEST = 4000  # characters of an input or a feedback that are read: the work grows with their square
PHRASES = 4  # at most, in a proposed rule
BLAME = 1 / 3  # how often a misleading phrase is taken out, where there is one, rather than a rule added


class Lesson(Struct, frozen=True):
    """A shown trajectory, read: the input's text, the answer given, and the one that was expected."""

    trajectory: str
    text: str
    given: str
    expected: str


class Evidence(Struct, frozen=True):
    """The lessons of one ask, seen from the answer that most failures expected.

    `taught` are failures that expected it, `alike` pass with it, `others` expected something else.
    """

    expected: str
    taught: tuple[Lesson, ...]
    alike: tuple[Lesson, ...]
    others: tuple[Lesson, ...]


class ReflectorOfE86100d:
    """Proposes a rule, or one with a misleading phrase less; it is handed the ask and nothing else.

    It works by counting words, so it overgeneralises from the few trajectories that it sees. Deterministic
    for a random seed.
    """

    name = "offline"

    def __init__(self, random_seed: int = 0) -> None:
        self._random_seed = random_seed
        self.key = digest_of({"kind": "offline", "version": 1, "random_seed": random_seed})

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        existing = [rule for component in ask.components for rule in rules(component.text)]
        failing = [lesson for shown in ask.failing if (lesson := _failed(shown))]
        passing = [_passed(shown, existing) for shown in ask.passing]
        if not failing or not ask.components:
            return Reflected(ReflectionFailure("no_lesson", "no feedback of the form 'expected X, got Y'"))
        chance = random.Random(canonical([self._random_seed, digest_of(ask)]))
        evidence = _evidence(failing, passing)
        blamed = _blamed(ask.components, evidence)
        if blamed and chance.random() < BLAME:
            proposal = _without(*chance.choice(blamed), evidence)
        else:
            proposal = _with(ask.components, _telling(existing, evidence, chance), evidence)
        if proposal is None:  # nothing to try is no failure: the search remembers it, at no rollout
            last = ask.components[-1]
            proposal = Proposal(
                f"nothing sets the failures for {evidence.expected} apart", last.id, last.text
            )
        return Reflected(proposal)


def _failed(shown: Shown) -> Lesson | None:
    for line in shown.feedback:
        if match := _FEEDBACK.search(line[:LONGEST]):
            # a rule cannot answer everything: no code span holds a backtick of ours or a line ending
            expected = match["expected"]
            if [rule.answer for rule in rules(_item("- ", ("x",), expected))] == [expected]:
                return Lesson(shown.trajectory, _text(shown), match["got"], expected)
    return None


def _passed(shown: Shown, existing: Sequence[Rule]) -> Lesson:
    """Lesson of a passing trajectory, which answered the value of its output that some rule answers."""
    answers = {rule.answer for rule in existing}
    try:
        output = json.loads(shown.output or "null")
    except (ValueError, RecursionError):
        output = None
    values = output.values() if isinstance(output, dict) else ()
    given = next((value for value in values if isinstance(value, str) and value in answers), "")
    return Lesson(shown.trajectory, _text(shown), given, given)


def _text(shown: Shown) -> str:
    return as_text(shown.input)[:LONGEST]


def _evidence(failing: Sequence[Lesson], passing: Sequence[Lesson]) -> Evidence:
    expected = Counter(lesson.expected for lesson in failing).most_common(1)[0][0]
    return Evidence(
        expected,
        taught=tuple(lesson for lesson in failing if lesson.expected == expected),
        alike=tuple(lesson for lesson in passing if lesson.expected == expected),
        others=tuple(lesson for lesson in (*failing, *passing) if lesson.expected != expected),
    )


def _telling(existing: Sequence[Rule], evidence: Evidence, chance: random.Random) -> tuple[str, ...]:
    """Phrases that occur in the failures and hardly elsewhere, and lead nothing else astray."""
    candidates = sorted({phrase for lesson in evidence.taught for phrase in _phrases(lesson.text)})
    chance.shuffle(candidates)
    worth = {
        phrase: _count(phrase, evidence.taught)
        + _count(phrase, evidence.alike) / 2
        - 2 * _count(phrase, evidence.others)
        for phrase in candidates
    }
    right = _right(existing, evidence.others)
    chosen: tuple[str, ...] = ()
    for phrase in sorted(candidates, key=lambda phrase: -worth[phrase]):
        if len(chosen) == PHRASES or worth[phrase] <= 0:
            break
        more = (*chosen, phrase)
        if _right([*existing, Rule(more, evidence.expected, 0, 0, 0)], evidence.others) >= right:
            chosen = more
    return chosen


def _right(decisions: Sequence[Rule], lessons: Iterable[Lesson]) -> int:
    return sum(decide(decisions, lesson.text).answer == lesson.expected for lesson in lessons)


def _count(phrase: str, lessons: Iterable[Lesson]) -> int:
    return sum(occurs(phrase, lesson.text) for lesson in lessons)


def _phrases(text: str) -> set[str]:
    each = words(text)
    runs = (each[at : at + length] for length in (1, 2, 3) for at in range(len(each) - length + 1))
    phrases = {" ".join(run) for run in runs if _says_something(run[0]) and _says_something(run[-1])}
    return {phrase for phrase in phrases if "_" not in phrase}  # which Markdown may take for emphasis


def _says_something(word: str) -> bool:
    return word not in _COMMON and len(word) >= SHORTEST and not word.isdigit()


def _blamed(components: Sequence[Component], evidence: Evidence) -> list[tuple[Component, Rule, str]]:
    # those that mislead more often than they are right in what is shown
    return [
        (component, rule, phrase)
        for component in components
        for rule in rules(component.text)
        for phrase in rule.phrases
        if _count(phrase, [lesson for lesson in evidence.taught if lesson.given == rule.answer])
        > _count(phrase, [lesson for lesson in evidence.others if lesson.expected == rule.answer])
    ]


def _without(component: Component, rule: Rule, phrase: str, evidence: Evidence) -> Proposal | None:
    """Take a phrase out of a rule, and the rule with its last one; what else the item holds stays."""
    left = tuple(other for other in rule.phrases if other != phrase)
    lines = LINE.findall(component.text)
    marker = _MARKER.match(lines[rule.first])
    start, ending = marker[0] if marker else "- ", _ending(lines[rule.said - 1])
    lines[rule.first : rule.said] = [_item(start, left, rule.answer) + ending] if left else []
    meant = [
        (left if each == rule else each.phrases, each.answer)
        for each in rules(component.text)
        if left or each != rule
    ]
    diagnosis = f'"{phrase}" leads to {rule.answer}, but here it stands in messages for {evidence.expected}'
    return _proposal(component, lines, meant, diagnosis, evidence)


def _with(components: Sequence[Component], phrases: Sequence[str], evidence: Evidence) -> Proposal | None:
    if not phrases:
        return None
    component, line = _home(components, evidence.expected)
    lines = LINE.findall(component.text)
    ending = _ending(lines[0] if lines else "") or "\n"
    item = _item("- ", phrases, evidence.expected)
    if line and not _ending(lines[line - 1]):
        lines[line - 1] += ending
        ending = ""
    lines.insert(line, item + ending)
    existing = rules(component.text)
    meant = [(rule.phrases, rule.answer) for rule in existing]
    meant.insert(sum(rule.first < line for rule in existing), (tuple(phrases), evidence.expected))
    given = ", ".join(sorted({lesson.given for lesson in evidence.taught}))
    quoted = " or ".join(f'"{phrase}"' for phrase in phrases)
    diagnosis = f"messages with {quoted} were answered {given} instead of {evidence.expected}"
    return _proposal(component, lines, meant, diagnosis, evidence)


def _proposal(
    component: Component,
    lines: Sequence[str],
    meant: Sequence[tuple[tuple[str, ...], str]],
    diagnosis: str,
    evidence: Evidence,
) -> Proposal | None:
    """The edit if it reads as it is meant, for Markdown around it may make something else of it."""
    text = "".join(lines)
    if [(rule.phrases, rule.answer) for rule in rules(text)] != meant:
        return None
    return Proposal(diagnosis, component.id, text, tuple(lesson.trajectory for lesson in evidence.taught))


def _home(components: Sequence[Component], answer: str) -> tuple[Component, int]:
    """Component and line where a new rule belongs: behind the last rule with that answer, or any."""
    places = [
        (rule.answer, component, rule.stop)
        for component in components
        for rule in rules(component.text)
        if not rule.otherwise
    ]
    end = (answer, components[-1], len(LINE.findall(components[-1].text)))
    _, component, line = ([place for place in places if place[0] == answer] or places or [end])[-1]
    lines = LINE.findall(component.text)
    while line and not lines[line - 1].strip():  # an item may end in blank lines
        line -= 1
    return component, line


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _item(marker: str, phrases: Sequence[str], answer: str) -> str:
    *head, last = (f'"{phrase}"' for phrase in phrases)
    mentions = f"{', '.join(head)} or {last}" if head else last
    return f"{marker}If the message mentions {mentions}, answer `{answer}`."
