"""Scores that tracing tools keep beside a trace, as verdicts, and a person's as labels. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from runbookopt.evidence.formats.reader import Loss, share
from runbookopt.evidence.trajectory import Author, Label, StoredVerdict

_PASS = frozenset({"pass", "passed", "correct", "yes", "true", "good", "thumbs_up", "thumbs-up"})
_FAIL = frozenset({"fail", "failed", "incorrect", "no", "false", "bad", "thumbs_down", "thumbs-down"})

_UNNAMED = "scores without a name"
_IN_WORDS = "scores in words that say neither pass nor fail"
OUTSIDE = "scores that are no number from 0 to 1"
BETWEEN = "scores of people that are neither 0 nor 1, which are no labels"


class Score(Struct, frozen=True):
    """A score as it was given: its name, its value, and who gave it. `person` is a person's own id."""

    name: Any
    value: Any
    by: Author | None = None
    explanation: str | None = None
    person: str | None = None
    at: str | None = None


class Judged(Struct, frozen=True):
    """What scores say: verdicts by anybody, labels by people, and what could be neither."""

    verdicts: tuple[StoredVerdict, ...]
    labels: tuple[Label, ...]
    losses: tuple[Loss, ...]


def judged(id_: str, scores: Iterable[Score]) -> Judged:
    """Verdicts and labels of the trajectory with this id. 1, true and "yes" pass; 0, false and "no" fail.

    Any other number from 0 to 1 fails, as a verdict; it is no label.
    """
    verdicts, labels, lost = [], [], Counter[str]()
    for score in scores:
        verdict = _verdict(score)
        if verdict is None:
            in_words = isinstance(score.value, str)
            lost[_UNNAMED if not score.name else _IN_WORDS if in_words else OUTSIDE] += 1
            continue
        verdicts.append(verdict)
        if score.by is not None and score.by.kind == "human":
            if verdict.score not in (None, 0, 1):
                lost[BETWEEN] += 1
                continue
            result: Literal["pass", "fail"] = "pass" if verdict.result == "pass" else "fail"
            labels.append(
                Label(id_, verdict.criterion, result, None, score.explanation, score.person, score.at)
            )
    return Judged(tuple(verdicts), tuple(labels), tuple(Loss(*each) for each in sorted(lost.items())))


def _verdict(score: Score) -> StoredVerdict | None:
    value, name = score.value, score.name
    if not isinstance(name, str) or not name:
        return None
    if isinstance(value, str):
        word = value.strip().casefold()
        if word not in _PASS | _FAIL:
            return None
        return StoredVerdict(name, "pass" if word in _PASS else "fail", None, score.explanation, score.by)
    number = share(value)
    if number is None:
        return None
    return StoredVerdict(name, "pass" if number == 1 else "fail", number, score.explanation, score.by)
