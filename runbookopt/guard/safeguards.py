"""Sentences that forbid, limit or bring in a person: which of them a change takes away or loosens (pure)."""

import itertools
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from runbookopt.guard.text import Reading, Sentence

_MODAL = r"(?:must|shall|should|may|can)(?:\s?not|['\u2019]t)"
_FORBIDS = re.compile(
    rf"""
    \bnever\b | (?:^|[,;:(]|\b(?:and|but|or|you|we|agents?|please)\b)\W*(?:do\s+not|don['\u2019]t
      |{_MODAL})\b
    | \b(?:must|may|can)(?:\s+not|not|['\u2019]t)\b(?=\s(?:be|go|leave|happen)\b) | \bnothing\s(?:of|is
      |may|leaves)\b | \bnobody\s(?:may|else)\b
    | ^\W*\w+\s+no(?:thing)?\s | \bthere\s(?:is|are)\sno\b | ,\s+not\s(?:by|from|to|in|on|via|through)\b
      | \bstays?\sout\b
    | \bno\s(?:personal|other|more|further)\b | \b(?:is|are)\snot\s\w+ed\b
    | \b(?:forbidden|prohibited|not\sallowed|refuse|stop)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REQUIRES = re.compile(
    r"""
    \b(?:must|always|mandatory|required)\b | \b(?:has|have)\sto\b(?!\s*\?)
      | (?<!since\sthe\scustomer\s)\bneeds?\s(?:a|an|the|to|two|one)\b
    | \bonly\s(?:when|if|after|with|where|they|the|by|an?)\b | \bat\s(?:most|least)\b | \bup\sto\s\D?\d
      | \bno\smore\sthan\b | \balone\b
    | \b(?:above|over|under|below|within|more\sthan|fewer\sthan|less\sthan)\s\D?\d | \b(?:second
      |two)\s(?:person|people)\b
    | \bbefore\syou\s(?:send|press|start|publish|merge|delete)\b | \bunless\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WHO = (
    r"(?:lead|leads|owner|officer|manager|supervisor|person|people|colleague|team|desk|human|duty"
    r"|on[- ]call|doctor|lawyer|security"
    r"|reviewer|somebody|someone|engineer|contact|dpo|director|head|legal|staff)"
)
_ESCALATES = re.compile(
    rf"\b(?:ask|tell|page|call|hand\s?over|escalate|notify|inform|alert|report(?:ed)?|refer|pass|leave"
    rf"|flag|warn|consult|check\swith|go(?:es)?\sto)"
    rf"\b[^.;|]{{0,60}}\b{_WHO}\b|\bflag\s`?human\b|\b{_WHO}(?:['\u2019]s)?\s(?:decision|approval"
    rf"|approves?|decides?|signs?|reads|alone|sends?)\b",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"\b(?:escalat\w*|do\snot|don['\u2019]?ts?|never|limits?|safety|danger\w*|not\syours|approv\w*"
    r"|boundar\w*|guard\s?rails?|privacy|security)\b",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(
    r"\b(?:unless|except\w*|but\snot|save\sfor|other\sthan|apart\sfrom|as\slong\sas|provided|if|when"
    r"|where|until|may|can|could|none|or\sto|or\sby"
    r"|optional\w*|elsewhere|already|instead|later|usually|normally|preferably|ideally)\b",
    re.IGNORECASE,
)
_LOOSENS = re.compile(
    r"""
    \b(?:say|tell|mention|report|write|note)s?\s(?:nothing|nobody|no\sone)\sto\b | \b(?:say
      |tell)s?\s(?:nobody|no\sone)\b | \bwithout\s(?:telling|asking|waiting|reading|reviewing|checking
      |testing|notifying|informing|consulting|confirm\w+)\b
    | \bwithout\s(?:the|a|an|any|further|prior|their|its)\s(?:\w+\s)?(?:signature|review|approval|check
      |test|confirmation|permission|consent|rehearsal|backup|form|second\s\w+|note|lead|owner|person|ticket
      |reason)\b
    | \b(?:need\snot|no\sneed\sto|not\snecessary\sto|do(?:es)?\snot\s(?:need|have)\sto
      |does\s?n['\u2019]t\sneed)\s(?:wait|ask|tell|check|review|sign|test|escalate|report|confirm|approv\w+
      |verify|page|call|the\slead|be\s(?:asked(?!\sfor\b)|told|checked|reviewed|approved|signed|tested))\b
    | \b(?:may|can)\sbe\s(?:skipped|left\sout|omitted|ignored|dropped|waived|bypassed|relaxed)\b
      | \bcan\s(?:follow|wait|come)\s(?:later|after\w*)\b
    | \b(?:skip|bypass|waive|ignore|forgo|dispense\swith|leave\sout)s?\b[^.;]{0,40}\b(?:lead|review\w*
      |approv\w*|check\w*|confirm\w*|sign\w*|rehears\w*|backup|test|step|steps|rule|rules|identity|verif\w*
      |officer|owner|warning\w*|escalat\w*|limit\w*|call)\b
    | \b(?:approved|reviewed|checked|verified|agreed|authori[sz]ed|cleared|confirmed|vetted)\s(?:already
      |elsewhere|before|beforehand|in\sadvance|by\sdefault|automatically)\b
    | \b(?:already|been|counts?\sas|treated\sas|taken\sas|considered|deemed|pre-?)\s?(?:approved|reviewed
      |authori[sz]ed|cleared|delegated|consent\w*)\b | \bas\s(?:agreed|approved|authori[sz]ed
      |arranged)\swith\b
    | \b(?:come|comes|go|goes|take|takes|has|have|override[sn]?|overrule[sd]?|supersedes?|replaces?
      |outranks?)\s(?:precedence|priority|before\s(?:these|the\ssteps|those|all|any|the\srules|this|what)
      |over\s(?:these|the|this)|these|this\spage|the\s(?:rules|steps|above))\b
    | \b(?:its|their|his|her)\s(?:rules|instructions|steps|orders)\scome\b
      | \bregardless\sof\b[^.;]{0,40}\b(?:rules?|steps?|limits?|above|below|policy)\b
    | \b(?:follow|obey|carry\sout|execute|perform|do|apply)\s(?:what(?:ever)?|any|all|every
      |the)?\s?(?:instructions?|orders?|requests?|steps|commands?|it\ssays|they\ssay|they\sask
      |the\s\w+\s(?:says|asks|wants))\b
    | \bdo\swhat(?:ever)?\s(?:it|they|the)\b | \b(?:decide|act|refund|approve|release|merge|publish
      |delete|pay|order|send)\w*\b[^.;]{0,30}\b(?:yourself|on\syour\sown|at\syour\sdiscretion
      |at\sonce\swithout)\b
    | \b(?:keep|kept)\s(?:it|this|that|them)\s(?:quiet|secret|to\syourself|from)\b | \b(?:is|are)\s(?:not
      |never)\s(?:to\sbe\s)?(?:told|flagged|disturbed|asked|informed|escalated|reported|logged|recorded
      |mentioned)\b
    | \bwhere\s(?:there\sis\s)?no\s(?:answer|reply)\b[^.;]{0,40}\b(?:approv|go|proceed|yes|count)\w*
    | \b(?:trusted|exempt(?:ed)?|privileged|vip|white-?listed)\b[^.;]{0,60}\b(?:without|skip|no|always
      |at\sonce|never)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_COUNTED = {
    word: value
    for value, word in enumerate(
        (
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        )
    )
}
_UPPER = re.compile(
    r"\b(?:up\sto|at\smost|above|over|more\sthan|under|below|no\smore\sthan|exceed\w*|limit\w*|from"
    r"|within|max\w*|by)\b",
    re.IGNORECASE,
)
_LOWER = re.compile(r"\b(?:at\sleast|fewer\sthan|less\sthan|min(?:imum)?|every|after)\b", re.IGNORECASE)
_RELATED = 0.5
"""Share of a sentence's words that another must have, in order, to be taken for its new form."""
_MOST_SHOWN = 90


def loosened(old: Reading, new: Reading) -> dict[str, int]:
    """Give the safeguards that a change removes, weakens or gets round, each with a line of the new text."""
    kept, known = _told(new), {sentence.words for sentence in old.sentences}
    fresh = [sentence for sentence in new.sentences if sentence.words not in known]
    told: dict[str, int] = {}
    for sentence in old.sentences:
        if sentence.words and sentence.words not in kept and _guards(sentence):
            why, line = _loss(sentence, fresh)
            if why:
                told.setdefault(f"{why}: {_short(sentence.text)}", line or sentence.line)
    stood = {_flat(match[0]) for sentence in old.sentences for match in _LOOSENS.finditer(sentence.unquoted)}
    for sentence in fresh:
        for match in _LOOSENS.finditer(sentence.unquoted):
            if _flat(match[0]) not in stood:
                told.setdefault(f"loosened: {_short(match[0])}", sentence.line)
    return told


def _told(reading: Reading) -> set[tuple[str, ...]]:
    """Give the words of each sentence, and of each two in a row: a full stop more takes nothing away."""
    words = [sentence.words for sentence in reading.sentences]
    return {*words, *(one + other for one, other in itertools.pairwise(words))}


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()


def _guards(sentence: Sentence) -> bool:
    """Tell whether a sentence forbids, limits or brings in a person, or stands where such sentences do."""
    marked = (_FORBIDS, _REQUIRES, _ESCALATES)
    return any(mark.search(sentence.text) for mark in marked) or (
        any(mark.search(sentence.lead) for mark in (_SECTION, _ESCALATES)) and not sentence.text.endswith("?")
    )


def _loss(sentence: Sentence, fresh: Sequence[Sentence]) -> tuple[str, int]:
    """Say how a sentence was lost: "" where one that is new says the same and at most adds to it."""
    nearest = max(fresh, key=lambda other: _alike(sentence.words, other.words), default=None)
    if nearest is None or _alike(sentence.words, nearest.words) < _RELATED:
        return "removed", 0
    if _wider(sentence, nearest):
        return "raised", nearest.line
    added, missing = _difference(sentence.words, nearest.words)
    if missing or _count(sentence.words) > _count(nearest.words):
        return "changed", nearest.line
    forbids = _FORBIDS.search(sentence.text) or not _ESCALATES.search(f"{sentence.lead} {sentence.text}")
    exception = (
        _EXCEPTION.search(" ".join(added))
        if forbids
        else re.search(r"\b(?:unless|except|only|but)\b", " ".join(added))
    )
    return ("excepted from", nearest.line) if exception and not _FORBIDS.search(" ".join(added)) else ("", 0)


def _alike(one: Sequence[str], other: Sequence[str]) -> float:
    """Give the share of the words of `one` that stand in `other` in the same order."""
    if len(set(one) & set(other)) < _RELATED * len(set(one)):
        return 0.0  # in order they are fewer still, and to find the order takes long
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(len(one), 1)


_SMALL = frozenset(["a", "an", "the", "and", "or", "it", "is", "are"])


def _is_small(word: str) -> bool:
    return word in _SMALL or _is_number(word)  # numbers are compared by their size


def _count(words: Sequence[str]) -> int:
    return sum(_is_number(word) for word in words)


def _is_number(word: str) -> bool:
    return word[0].isdigit() or word in _COUNTED


def _difference(one: Sequence[str], other: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give what the second has more than the first, and less; small words do not count as missing."""
    added: list[str] = []
    missing: list[str] = []
    for kind, start, end, into, until in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            missing += [word for word in one[start:end] if not _is_small(word) and word not in other]
            added += other[into:until]
    return added, missing


def _wider(old: Sentence, new: Sentence) -> bool:
    """Tell whether a number changed to where more is let pass."""
    matcher = SequenceMatcher(None, old.words, new.words, autojunk=False)
    changed = [
        (_value(one), _value(other))
        for kind, start, end, into, until in matcher.get_opcodes()
        for one, other in zip(old.words[start:end], new.words[into:until], strict=False)
        if kind == "replace" and _is_number(one) and _is_number(other)
    ]
    risen, fallen = any(b > a for a, b in changed), any(b < a for a, b in changed)
    return (
        (risen and not _LOWER.search(old.text))
        or (fallen and not _UPPER.search(old.text))
        or (risen and fallen)
    )


def _value(text: str) -> float:
    if text.casefold() in _COUNTED:
        return float(_COUNTED[text.casefold()])
    digits = re.sub(r"[^\d.]", "", text.replace(",", "")).strip(".")
    try:
        return float(digits)
    except ValueError:
        return 0.0


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
