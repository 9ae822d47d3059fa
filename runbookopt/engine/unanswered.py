"""Attempts without a score, by nobody's fail: so many of them are borne, and no more (pure)."""

from collections.abc import Sequence

from msgspec import Struct

from runbookopt.errors import Invalid
from runbookopt.proof.comparison import MOST_ERRORS
from runbookopt.search.asks import NoAnswer

_FIRST = 10  # outputs that were all cut: no later one would be whole
CUT = "truncated"


class TooManyUnanswered(Invalid):
    """More attempts came to nothing than a result can bear."""


class Attempts(Struct):
    """Attempts of one part of a run: those so far, and those of them without a score.

    `least` is how many there will be at least, where that is known before. `cut` counts the outputs that were
    cut, until one was whole.
    """

    least: int = 0
    count: int = 0
    lost: int = 0
    cut: int | None = 0

    def bear(self, more: int, lost: int, last: NoAnswer | None) -> None:
        """Refuse a part in which, of `more` attempts, so many are lost. Raises TooManyUnanswered."""
        count, lost = max(self.least, self.count + more), self.lost + lost
        if last is not None and lost > MOST_ERRORS * count:
            raise TooManyUnanswered(
                f"{lost} of {count} attempts came to nothing, and not by the agent's fail, where"
                f" {MOST_ERRORS:.0%} are borne; the last of them: {last.kind}: {last.message}"
            )

    def add(self, outcomes: Sequence[NoAnswer | str | None]) -> None:
        """Count new attempts: why there is no score, why there is no output, or None for each of the others.

        Raises TooManyUnanswered where too many of all have no score, or all of the first ones were cut.
        """
        lost = [each for each in outcomes if isinstance(each, NoAnswer)]
        self.bear(len(outcomes), len(lost), lost[-1] if lost else None)
        self.count, self.lost = self.count + len(outcomes), self.lost + len(lost)
        for each in outcomes:
            if self.cut is not None and not isinstance(each, NoAnswer):
                self.cut = self.cut + 1 if each is not None and each.startswith(CUT) else None
                if self.cut == _FIRST:
                    raise TooManyUnanswered(
                        f"all of the first {_FIRST} outputs were cut: raise max_tokens ({each})"
                    )
