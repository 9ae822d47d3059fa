"""Things that a new text brings in and that a person should see before it ships, class by class (pure)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from runbookopt.documents.untrusted import spelled_out
from runbookopt.guard.addresses import addresses, paths, recipients
from runbookopt.guard.commands import commands, families, tools_of_known
from runbookopt.guard.deceptive_text import blobs, languages, look_alikes, unseen
from runbookopt.guard.kinds import Introduced
from runbookopt.guard.patterns import phrases
from runbookopt.guard.safeguards import loosened
from runbookopt.guard.sensitive_words import credentials, permissions, personal
from runbookopt.guard.sorting_rules import sorting
from runbookopt.guard.text import Match, Reading, Sentence, read

_LONGEST = 120
_WALL_LINES = 25
_WALL_CHARACTERS = 2000


def introduced(before: str, after: str) -> dict[Introduced, tuple[str, ...]]:
    """All that `after` holds and `before` does not, class by class, each as "what (line n)".

    Moving text introduces nothing. Words are counted: one more of a word is introduced. `weaker-rules` is
    also what `before` holds and `after` no longer does.
    """
    old, new = read(before), read(after)
    known = {family for match in old.matches for family in families(match)}
    vocabulary = {word for sentence in old.sentences for word in sentence.words}
    return {
        "urls": _news(addresses, old, new),
        "recipients": _more(_in_text(recipients), old, new),
        "commands": (*_news(commands, old, new), *_more(_matching("commands.typed"), old, new)),
        "tools": (
            *_more(_matching("commands.tool"), old, new),
            *_news(lambda match: tools_of_known(match.what, known), old, new),
        ),
        "permissions": _more(permissions, old, new),
        "packages": _more(_matching("commands.package"), old, new),
        "credentials": (*_more(credentials, old, new), *_more(personal, old, new)),
        "paths": _news(paths, old, new),
        "hidden-text": (*_news(unseen, old, new), *_news(look_alikes, old, new)),
        "blobs": (*_more(_in_text(blobs), old, new), *_walls(old, new)),
        "languages": _more(lambda sentence: languages(sentence.unquoted, vocabulary), old, new),
        "imitations": _more(_matching("deceptive_text.imitation"), old, new),
        "verifier": _more(_matching("sensitive_words.verifier"), old, new),
        "weaker-rules": _told(loosened(old, new)),
        "sorting": _told(dict(sorting(before, after))),
    }


def _told(found: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{_shown(what)} (line {line})" for what, line in found.items())


def _in_text(find: Callable[[str], Iterator[str]]) -> Callable[[Sentence], Iterator[str]]:
    return lambda sentence: find(sentence.text)


def _matching(name: str) -> Callable[[Sentence], Iterator[str]]:
    return _in_text(partial(phrases, name))


def _news(find: Callable[[Match], Iterator[str]], old: Reading, new: Reading) -> tuple[str, ...]:
    there = new.first_lines(find, without=old)
    known = old.first_lines(find) if there else {}
    return _told({what: line for what, line in there.items() if what not in known})


def _more(find: Callable[[Sentence], Iterator[str]], old: Reading, new: Reading) -> tuple[str, ...]:
    """What occurs more often than before, with the lines of the new sentences that hold it."""
    texts, kept = ({sentence.text for sentence in reading.sentences} for reading in (old, new))
    fresh = [sentence for sentence in new.sentences if sentence.text not in texts]
    gone = [sentence for sentence in old.sentences if sentence.text not in kept]
    twice = [sentence for sentence in _again(old, new) if sentence.text in texts]
    count = Counter(what for sentence in (*fresh, *twice) for what in find(sentence))
    count -= Counter(what for sentence in gone for what in find(sentence)) if count else Counter()
    lines: dict[str, set[int]] = {what: set() for what in count}
    for sentence in fresh if count else ():
        for what in find(sentence):
            lines.get(what, set()).add(sentence.line)
    return tuple(
        f"{_shown(what)} (line {', '.join(map(str, sorted(places)))})" if places else _shown(what)
        for what, places in lines.items()
    )


def _again(old: Reading, new: Reading) -> Iterator[Sentence]:
    """The sentences that stand more often in the new text, once for each time."""
    more = Counter(s.text for s in new.sentences) - Counter(s.text for s in old.sentences)
    for sentence in new.sentences:
        if more[sentence.text] > 0:
            more[sentence.text] -= 1
            yield sentence


def _walls(old: Reading, new: Reading) -> Iterator[str]:
    """What is pasted in at such a length that nobody reads it."""
    known = {match.what.strip() for match in old.matches if match.kind == "raw"}
    first, size, lines = 0, 0, 0
    for match in (*(match for match in new.matches if match.kind == "raw"), Match("raw", "", 0)):
        bare = match.what.strip()
        if match.line and (not bare or bare not in known):
            first, size, lines = first or match.line, size + len(match.what), lines + bool(bare)
            continue
        if lines > _WALL_LINES or size > _WALL_CHARACTERS:
            yield f"{lines} lines, {size} characters (line {first})"
        first, size, lines = 0, 0, 0


def _shown(what: str) -> str:
    line = spelled_out(what)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
