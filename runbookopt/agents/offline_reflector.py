"""Offline reflector: from failing trajectories and their feedback to one more rule, by counting words."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, zip_longest

from msgspec import Struct

from runbookopt.agents.protocol import Reflected
from runbookopt.agents.rules import Rule, decide, occurs, rules, words
from runbookopt.documents.digest import as_text, canonical, digest_of
from runbookopt.documents.markdown import LINE
from runbookopt.search.asks import Component, Proposal, Reflection, ReflectionFailure, Shown

_FEEDBACK = re.compile(r"expected (?P<expected>.+?), got (?P<got>.*)$")
# the first ", got ": what stands behind it comes from an agent's output

_PHRASES = re.compile(r'"[^"\r\n]+"(?:(?:, or |, | or )"[^"\r\n]+")+')
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
    yours pound pounds euro euros dollar dollars wrong""".split()  # noqa: SIM905 - reads better than so many quotes
)
"""Words that say nothing of a topic, as amounts and complaints do not."""

_LOOSE = frozenset(["a", "an", "and", "but", "if", "or", "so", "the"])
"""Words that no phrase begins or ends with."""

SEVERAL = 2  # groups of failures that a phrase must be seen in: what one customer said is no rule
MANY = 6  # groups of failures of which a single word must be seen in one more
SHORTEST = 3  # letters of a word that says something of a topic
LONGEST = 4000  # characters of an input or a feedback that are read: the work grows with their square
CLEARLY = 3  # groups misled for each one led right: of what passes only a sample is shown
PHRASES = 4  # at most, in a rule of ours
BLAME = 1 / 3  # how often a misleading phrase is taken out, where there is one, rather than a rule added


class Lesson(Struct, frozen=True):
    """A shown trajectory, read: the input's text, the answer given, and the one that was expected.

    `group` is its task's group; a task without one is a group of its own.
    """

    trajectory: str
    text: str
    given: str
    expected: str
    group: str


class Evidence(Struct, frozen=True):
    """The lessons of one ask, seen from the answer that most failures expected.

    `taught` are failures that expected it, `others` fail or pass with another answer expected, `alike`
    with this one.
    """

    expected: str
    taught: tuple[Lesson, ...]
    others: tuple[Lesson, ...]
    alike: tuple[Lesson, ...]


class OfflineReflector:
    """Proposes a rule, or one with a misleading phrase less; it is handed the ask and nothing else.

    It works by counting words, and takes for a lesson only what several customers, cases or days have in
    common: a phrase in failures of several groups, and in nothing that passes with another answer.
    Deterministic for a random seed.
    """

    name = "offline"

    def __init__(self, random_seed: int = 0) -> None:
        self._random_seed = random_seed
        self.key = digest_of({"kind": "offline", "version": 3, "random_seed": random_seed})

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
                return Lesson(
                    shown.trajectory, _text(shown), match["got"], expected, shown.group or shown.task
                )
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
    return Lesson(shown.trajectory, _text(shown), given, given, shown.group or shown.task)


def _text(shown: Shown) -> str:
    return as_text(shown.input)[:LONGEST]


def _evidence(failing: Sequence[Lesson], passing: Sequence[Lesson]) -> Evidence:
    expected = Counter(lesson.expected for lesson in failing).most_common(1)[0][0]
    lessons = (*failing, *passing)
    return Evidence(
        expected,
        alike=tuple(lesson for lesson in lessons if lesson.expected == expected),
        taught=tuple(lesson for lesson in failing if lesson.expected == expected),
        others=tuple(lesson for lesson in lessons if lesson.expected != expected),
    )


def _telling(existing: Sequence[Rule], evidence: Evidence, chance: random.Random) -> tuple[str, ...]:
    """Phrases of several failing groups and of nothing else; each mends one more group.

    The first is drawn by how many it mends: other minibatches of a wave shall not all propose the same.
    """
    seen = sorted({phrase for lesson in evidence.taught for phrase in _phrases(lesson.text)})
    seen = [phrase for phrase in seen if not _groups(phrase, evidence.others)]
    seen = [phrase for phrase in seen if len(_groups(phrase, evidence.taught)) >= SEVERAL]
    seen = [phrase for phrase in seen if len(_groups(phrase, evidence.alike)) >= _enough(phrase, evidence)]
    chance.shuffle(seen)
    seen.sort(key=lambda phrase: -len(_groups(phrase, evidence.taught)))
    chosen: tuple[str, ...] = ()
    while len(chosen) < PHRASES:
        mended = {
            phrase: _mended(existing, (*chosen, phrase), evidence) for phrase in seen if phrase not in chosen
        }
        mends = {phrase: groups - _mended(existing, chosen, evidence) for phrase, groups in mended.items()}
        mends = {phrase: groups for phrase, groups in mends.items() if groups > 0}
        if not mends:
            break
        drawn = chance.choices([*mends], [*mends.values()])[0]
        chosen = (*chosen, max(mends, key=mends.__getitem__) if chosen else drawn)
    return chosen


def _enough(phrase: str, evidence: Evidence) -> int:
    """Groups with this answer that hold a phrase to be believed.

    A single word has many meanings, and of many messages some share a word by chance.
    """
    many = len({lesson.group for lesson in evidence.taught}) > MANY
    return SEVERAL + 1 if many and len(words(phrase)) == 1 else SEVERAL


def _mended(existing: Sequence[Rule], phrases: tuple[str, ...], evidence: Evidence) -> int:
    """How many groups of failures are answered as expected with one more rule."""
    decisions = [*existing, Rule(phrases, evidence.expected, 0, 0, 0)]
    lessons = evidence.taught
    return len({each.group for each in lessons if decide(decisions, each.text).answer == each.expected})


def _groups(phrase: str, lessons: Iterable[Lesson]) -> set[str]:
    return {lesson.group for lesson in lessons if occurs(phrase, lesson.text)}


def _phrases(text: str) -> set[str]:
    each = words(text)
    topics = {word for word in each if word not in _COMMON and len(word) >= SHORTEST and not word.isdigit()}
    runs = (each[at : at + length] for length in (1, 2, 3) for at in range(len(each) - length + 1))
    phrases = {" ".join(run) for run in runs if topics & {*run} and not {run[0], run[-1]} & _LOOSE}
    return {phrase for phrase in phrases if "_" not in phrase}  # which Markdown may take for emphasis


def _blamed(components: Sequence[Component], evidence: Evidence) -> list[tuple[Component, Rule, str]]:
    # those that mislead several groups, and for each that they are right in, of what is shown, clearly more
    def misled(phrase: str, rule: Rule) -> int:
        wrong = [lesson for lesson in evidence.taught if lesson.given == rule.answer]
        right = [lesson for lesson in evidence.others if lesson.expected == rule.answer]
        groups = len(_groups(phrase, wrong))
        return groups if groups > CLEARLY * len(_groups(phrase, right)) else 0

    return [
        (component, rule, phrase)
        for component in components
        for rule in rules(component.text)
        for phrase in rule.phrases
        if misled(phrase, rule) >= SEVERAL
    ]


def _without(component: Component, rule: Rule, phrase: str, evidence: Evidence) -> Proposal | None:
    """Take a phrase out of a rule, and the rule with its last one; what else the item holds stays.

    In a plain list of phrases nothing else changes; where it stands in a sentence of its own the rule is
    written anew.
    """
    left = tuple(other for other in rule.phrases if other != phrase)
    lines = LINE.findall(component.text)
    said = "".join(lines[rule.first : rule.said])
    lines[rule.first : rule.said] = [_PHRASES.sub(partial(_shortened, phrase), said)] if left else []
    meant = [
        (left if each == rule else each.phrases, each.answer)
        for each in rules(component.text)
        if left or each != rule
    ]
    if left and _meaning("".join(lines)) != meant:
        marker = _MARKER.match(said)
        anew = _item(marker[0] if marker else "- ", left, rule.answer) + _ending(said)
        lines[rule.first] = anew
    diagnosis = f'"{phrase}" leads to {rule.answer}, but here it stands in messages for {evidence.expected}'
    return _proposal(component, lines, meant, diagnosis, evidence)


def _shortened(phrase: str, listed: re.Match[str]) -> str:
    """A list of quoted phrases without one of them; as it is where that would leave no list or sentence."""
    quoted = re.split(r'(?<=")((?:,| or)[^"]*)(?=")', listed[0])
    phrases, between = quoted[::2], quoted[1::2]
    at = phrases.index(f'"{phrase}"') if f'"{phrase}"' in phrases else len(phrases)
    follows = listed.string[listed.end() :][:1]  # a word there belongs to the last: "sent" money
    if at == len(phrases) or (at == len(phrases) - 1 and follows not in {",", ".", ")"}):
        return listed[0]
    del phrases[at]
    del between[max(0, min(at, len(between) - 2))]  # the last of them is the "or"
    return "".join(chain.from_iterable(zip_longest(phrases, between, fillvalue="")))


def _with(components: Sequence[Component], phrases: Sequence[str], evidence: Evidence) -> Proposal | None:
    """Add a rule, or its phrases to the rule of ours with the same answer while that is short enough."""
    if not phrases:
        return None
    component, line = _home(components, evidence.expected)
    lines = LINE.findall(component.text)
    existing = rules(component.text)
    meant = [(rule.phrases, rule.answer) for rule in existing]
    ours = [each for each in existing if _is_ours(each, lines, evidence.expected)]
    short = [each for each in ours if len({*each.phrases, *phrases}) <= PHRASES]
    if short:
        rule = short[-1]
        longer = tuple(dict.fromkeys([*rule.phrases, *phrases]))
        lines[rule.first] = _item("- ", longer, evidence.expected) + _ending(lines[rule.first])
        meant[existing.index(rule)] = (longer, evidence.expected)
    else:
        ending = _ending(lines[0] if lines else "") or "\n"
        if line and not _ending(lines[line - 1]):
            lines[line - 1] += ending
            ending = ""
        lines.insert(line, _item("- ", phrases, evidence.expected) + ending)
        meant.insert(sum(rule.first < line for rule in existing), (tuple(phrases), evidence.expected))
    given = ", ".join(sorted({lesson.given for lesson in evidence.taught}))
    quoted = " or ".join(f'"{phrase}"' for phrase in phrases)
    diagnosis = f"messages with {quoted} were answered {given} instead of {evidence.expected}"
    return _proposal(component, lines, meant, diagnosis, evidence)


def _is_ours(rule: Rule, lines: Sequence[str], answer: str) -> bool:
    """Whether a rule with this answer is one line, in the words that rules are written in here."""
    line = lines[rule.first].rstrip("\r\n")
    return rule.answer == answer and bool(rule.phrases) and line == _item("- ", rule.phrases, answer)


def _proposal(
    component: Component,
    lines: Sequence[str],
    meant: Sequence[tuple[tuple[str, ...], str]],
    diagnosis: str,
    evidence: Evidence,
) -> Proposal | None:
    """The edit if it reads as it is meant, for Markdown around it may make something else of it."""
    text = "".join(lines)
    if _meaning(text) != meant:
        return None
    return Proposal(diagnosis, component.id, text, tuple(lesson.trajectory for lesson in evidence.taught))


def _meaning(text: str) -> list[tuple[tuple[str, ...], str]]:
    return [(rule.phrases, rule.answer) for rule in rules(text)]


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
