"""Labels of people as ratings that stand, and what raters agree on (pure)."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import combinations
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.trajectory import Frame, Label, time_of

LabelPart = Literal["examples", "test"]
"""Whether a label may be shown to whoever writes a criterion, or is kept to test it on."""

EXAMPLES = 0.3
"""Share of labels that are examples where their lines do not say."""

_HEX_DIGITS = 8


class Rating(Struct, frozen=True):
    """One person's verdict as it stands; `digest` is that of its line, whatever its explanation says.

    `by` is "" where nobody is named. The rest is as in `Label`.
    """

    trajectory: str
    criterion: str
    result: Literal["pass", "fail", "unsure"]
    by: str
    at: str | None
    frame: Frame | None
    split: LabelPart | None
    saw_verdict: bool
    failure_mode: str | None
    explanation: str | None
    digest: str

    @property
    def item(self) -> tuple[str, str]:
        """What was rated: the trajectory and the criterion."""
        return self.trajectory, self.criterion


class Gold(Struct, frozen=True):
    """What people say of one criterion of one trajectory, taken together.

    `result` is None where raters disagree, or all of them are unsure. `raters` are the names of those who
    said pass or fail, "" for somebody without one; `labels` the digests of all their ratings. `part` is
    `examples` where any of them may be shown.
    """

    trajectory: str
    criterion: str
    result: Literal["pass", "fail"] | None
    raters: tuple[str, ...]
    frame: Frame | None
    failure_mode: str | None
    labels: tuple[str, ...]
    part: LabelPart
    disputed: bool

    @property
    def item(self) -> tuple[str, str]:
        """What was rated: the trajectory and the criterion."""
        return self.trajectory, self.criterion


def label_digest(label: Label) -> str:
    """The digest of a label, by which another one `supersedes` it.

    It leaves the explanation out, from which secrets are taken as it is read.
    """
    return digest_of(replace(label, explanation=None))


def standing(labels: Iterable[Label]) -> tuple[Rating, ...]:
    """The ratings that stand, in the order of their lines.

    Lines that say the same count once. A line takes the place of the one that it `supersedes` where both are
    the same person's on the same item: nobody takes back what another one said. Of two by one named person on
    an item the later counts, and of two of one time the later line. People without a name are not told apart,
    so that what they say stays side by side.
    """
    by_digest: dict[str, Rating] = {}
    superseded: set[tuple[str, str, str, str]] = set()
    for label in labels:
        rating = _rating(label)
        by_digest.setdefault(rating.digest, rating)
        if label.supersedes is not None:
            superseded.add((label.supersedes, *rating.item, rating.by))
    left = [each for each in by_digest.values() if (each.digest, *each.item, each.by) not in superseded]
    last: dict[tuple[str, str, str], Rating] = {}
    for each in sorted(left, key=_time):
        last[(*each.item, each.by or each.digest)] = each
    kept = {each.digest for each in last.values()}
    return tuple(each for each in left if each.digest in kept)


def part_of(trajectory: str, criterion: str, split: LabelPart | None) -> LabelPart:
    """The part of an item: what its line says, else by its digest, so that no other label moves it."""
    if split is not None:
        return split
    digits = digest_of(["part", trajectory, criterion]).removeprefix("sha256:")[:_HEX_DIGITS]
    return "examples" if int(digits, 16) < EXAMPLES * 16**_HEX_DIGITS else "test"


def gold(ratings: Iterable[Rating]) -> tuple[Gold, ...]:
    """What people say of each item, in the order in which they first did."""
    return _gold(tuple(ratings))


@lru_cache(maxsize=64)  # of thousands of labels the same is asked over and over
def _gold(ratings: tuple[Rating, ...]) -> tuple[Gold, ...]:
    items: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        items.setdefault(rating.item, []).append(rating)
    return tuple(_together(ratings) for ratings in items.values())


def for_testing(ratings: Iterable[Rating]) -> tuple[Gold, ...]:
    """Gold on which a criterion may be tested, by what people said before they saw a verdict.

    No item of which any rating may be shown as an example, and none without a result.
    """
    ratings = tuple(ratings)
    shown = {each.item for each in gold(ratings) if each.part == "examples"}
    is_blind = not any(each.saw_verdict for each in ratings)
    blind = gold(ratings if is_blind else (each for each in ratings if not each.saw_verdict))
    return tuple(each for each in blind if each.item not in shown and each.result is not None)


def disagreements(ratings: Iterable[Rating]) -> tuple[Gold, ...]:
    """The items of which one person says pass and another one fail."""
    return tuple(each for each in gold(ratings) if each.disputed)


def between_raters(
    ratings: Iterable[Rating],
) -> Iterator[tuple[Literal["pass", "fail"], Literal["pass", "fail"]]]:
    """Each two people's results on one item; which of them comes first, a digest decides."""
    items: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        if rating.result != "unsure":
            items.setdefault(rating.item, []).append(rating)
    for same in items.values():
        for one, other in combinations(sorted(same, key=lambda each: each.digest), 2):
            if one.result != "unsure" and other.result != "unsure":  # for the type alone
                yield one.result, other.result


def _rating(label: Label) -> Rating:
    return Rating(
        trajectory=label.trajectory,
        criterion=label.criterion,
        result=label.result,
        by=label.by or "",
        at=label.at,
        frame=label.frame,
        split=label.split,
        saw_verdict=bool(label.saw_verdict),
        failure_mode=label.failure_mode,
        explanation=label.explanation,
        digest=label_digest(label),
    )


def _time(rating: Rating) -> datetime:
    return time_of(rating.at) or datetime.min.replace(tzinfo=UTC)


def _alone(rating: Rating) -> Gold:
    return Gold(
        trajectory=rating.trajectory,
        criterion=rating.criterion,
        result=None if rating.result == "unsure" else rating.result,
        raters=() if rating.result == "unsure" else (rating.by,),
        frame=rating.frame,
        failure_mode=rating.failure_mode,
        labels=(rating.digest,),
        part=part_of(rating.trajectory, rating.criterion, rating.split),
        disputed=False,
    )


def _together(ratings: list[Rating]) -> Gold:
    first = ratings[0]
    if len(ratings) == 1:  # as nearly all are
        return _alone(first)
    decided = [each for each in ratings if each.result != "unsure"]
    results = {each.result for each in decided}
    frames = {each.frame for each in ratings if each.frame is not None}
    parts = {part_of(each.trajectory, each.criterion, each.split) for each in ratings}
    result: Literal["pass", "fail"] | None = None
    if len(results) == 1:
        result = "pass" if "pass" in results else "fail"
    return Gold(
        trajectory=first.trajectory,
        criterion=first.criterion,
        result=result,
        raters=tuple(sorted({each.by for each in decided})),
        frame="discovery" if "discovery" in frames else next(iter(frames), None),
        failure_mode=next((each.failure_mode for each in ratings if each.failure_mode), None),
        labels=tuple(each.digest for each in ratings),
        part="examples" if "examples" in parts else "test",
        disputed=len(results) > 1,
    )
