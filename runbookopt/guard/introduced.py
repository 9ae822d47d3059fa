"""What a new text brings in that a person should see before it ships, class by class (pure)."""

from collections import Counter
from collections.abc import Callable, Iterator

from runbookopt.documents.untrusted import spelled_out
from runbookopt.guard.addresses import addresses, paths, recipients
from runbookopt.guard.commands import commands, families, packages, tools, tools_of_known, typed
from runbookopt.guard.deceptive_text import blobs, imitations, languages, look_alikes, unseen
from runbookopt.guard.kinds import Introduced
from runbookopt.guard.safeguards import loosened
from runbookopt.guard.sensitive_words import credentials, permissions, personal, verifier
from runbookopt.guard.text import Match, Reading, Sentence, read

_LONGEST = 120
_WALL_LINES = 25
_WALL_CHARACTERS = 2000


def introduced(before: str, after: str) -> dict[Introduced, tuple[str, ...]]:
    """Give what `after` holds and `before` does not, class by class, each as "what (line n)".

    Moving text introduces nothing. Words are counted: one more of a word is introduced. `weaker-rules` is
    also what `before` holds and `after` no longer does.
    """
    old, new = read(before), read(after)
    known = {family for found in old.found for family in families(found)}
    return {
        "urls": _news(addresses, old, new),
        "recipients": _more(_of_text(recipients), old, new),
        "commands": (*_news(commands, old, new), *_more(_of_text(typed), old, new)),
        "tools": (
            *_more(_of_text(tools), old, new),
            *_news(lambda found: tools_of_known(found.what, known), old, new),
        ),
        "permissions": _more(permissions, old, new),
        "packages": _more(_of_text(packages), old, new),
        "credentials": (*_more(credentials, old, new), *_more(personal, old, new)),
        "paths": _news(paths, old, new),
        "hidden-text": (*_news(unseen, old, new), *_news(look_alikes, old, new)),
        "blobs": (*_more(_of_text(blobs), old, new), *_walls(old, new)),
        "languages": _more(_unquoted(languages), old, new),
        "imitations": _more(_of_text(imitations), old, new),
        "verifier": _more(verifier, old, new),
        "weaker-rules": tuple(f"{_shown(what)} (line {line})" for what, line in loosened(old, new).items()),
    }


def _news(find: Callable[[Match], Iterator[str]], old: Reading, new: Reading) -> tuple[str, ...]:
    there = new.matches(find, without=old)
    known = old.matches(find) if there else {}
    fresh = {what: line for what, line in there.items() if what not in known}
    return tuple(f"{_shown(what)} (line {line})" for what, line in fresh.items())


def _more(find: Callable[[Sentence], Iterator[str]], old: Reading, new: Reading) -> tuple[str, ...]:
    """Give what occurs more often than before, with the lines of the new sentences that hold it."""
    known, kept = ({sentence.text for sentence in reading.sentences} for reading in (old, new))
    fresh = [sentence for sentence in new.sentences if sentence.text not in known]
    gone = [sentence for sentence in old.sentences if sentence.text not in kept]
    twice = [sentence for sentence in _again(old, new) if sentence.text in known]
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
    """Give the sentences that stand more often in the new text, once for each time."""
    more = Counter(s.text for s in new.sentences) - Counter(s.text for s in old.sentences)
    for sentence in new.sentences:
        if more[sentence.text] > 0:
            more[sentence.text] -= 1
            yield sentence


def _of_text(find: Callable[[str], Iterator[str]]) -> Callable[[Sentence], Iterator[str]]:
    return lambda sentence: find(sentence.text)


def _unquoted(find: Callable[[str], Iterator[str]]) -> Callable[[Sentence], Iterator[str]]:
    return lambda sentence: find(sentence.unquoted)


def _walls(old: Reading, new: Reading) -> Iterator[str]:
    """Give what is pasted in at such a length that nobody reads it."""
    known = {found.what.strip() for found in old.found if found.kind == "raw"}
    first, size, lines = 0, 0, 0
    for found in (*(found for found in new.found if found.kind == "raw"), Match("raw", "", 0)):
        if found.line and found.what.strip() not in known - {""}:
            first, size, lines = first or found.line, size + len(found.what), lines + bool(found.what.strip())
            continue
        if lines > _WALL_LINES or size > _WALL_CHARACTERS:
            yield f"{lines} lines, {size} characters (line {first})"
        first, size, lines = 0, 0, 0


def _shown(what: str) -> str:
    line = spelled_out(what)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
