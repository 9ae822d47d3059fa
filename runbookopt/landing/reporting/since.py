"""Changes in a pull request since it was opened or last reviewed, for who has read it then (pure)."""

from collections.abc import Iterator, Sequence
from difflib import unified_diff

from msgspec import Struct

from runbookopt.documents.untrusted import code
from runbookopt.landing.bundle import Bundle, text_of
from runbookopt.proof.comparison import Comparison

_MADE_FROM = {
    "runbook": "today's runbook",
    "rubric": "the rubric",
    "policy": "the policy",
    "held_out": "the held-out tasks",
}
_WIDE = 160


class Since(Struct, frozen=True):
    """A bundle that a pull request proposed once, and when that was: "it was opened" say."""

    was: Bundle
    when: str


def changed_since_then(then: Since, now: Bundle, comparison: Comparison | None) -> tuple[str, ...]:
    """What is other than then, a sentence each: the text, its held-out score, what both rest on."""
    lines = _differing(then, now)
    text = f"{len(lines)} lines of the proposed text are other" if lines else "the proposed text is the same"
    found = [text]
    if comparison is not None and then.was.comparison is not None:
        was = then.was.comparison
        on = (
            f"on {comparison.tasks} tasks"
            if was.tasks == comparison.tasks
            else (f"on {comparison.tasks} tasks instead of {was.tasks}")
        )
        same = (was.before, was.after) == (comparison.before, comparison.after)
        scores = f"{comparison.before:.3f} to {comparison.after:.3f} {on}"
        found.append(
            f"the held-out score is the same, {scores}"
            if same
            else f"the held-out score is {scores}, and was {was.before:.3f} to {was.after:.3f}"
        )
    digests = ((name, getattr(then.was.digests, name), getattr(now.digests, name)) for name in _MADE_FROM)
    if others := [_MADE_FROM[name] for name, before, after in digests if before != after]:
        found.append(f"{', '.join(others)}: other than then")
    return tuple(found)


def section(then: Since, now: Bundle, comparison: Comparison | None, rows: int) -> Iterator[str]:
    """The Markdown of a section: the sentences, then the lines themselves, quoted."""
    yield f"What is other than when {then.when}, in bundle {code(then.was.digest)}:"
    yield ""
    for sentence in changed_since_then(then, now, comparison):
        yield f"- {sentence[:1].upper()}{sentence[1:]}."
    lines = _differing(then, now)
    yield from (f"  - {code(line, _WIDE)}" for line in lines[: 2 * rows])
    if len(lines) > 2 * rows:
        yield f"  - and {len(lines) - 2 * rows} more lines"


def _differing(then: Since, now: Bundle) -> Sequence[str]:
    """The lines that one text has and the other has not, with their signs."""
    one, other = (text_of(bundle).splitlines() for bundle in (then.was, now))
    return [line for line in list(unified_diff(one, other, n=0, lineterm=""))[2:] if line[0] in "+-"]
