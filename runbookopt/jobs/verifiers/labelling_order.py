"""Order in which trajectories are labelled: what teaches most first, or drawn as all are (pure).

What teaches most is of several kinds, and each kind has its turn: verdicts that contradict one another,
failures that nobody has named, the class of a criterion that is short of labels, what a red team wrote, and
what another person has labelled, so that it is known how far people agree. Nobody is told of which kind one
is: that would give the verdict away.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import UNSET, Struct

from runbookopt.calibration.labels import Rating, disagreements
from runbookopt.calibration.status import LEAST
from runbookopt.evidence.split import part_of_task
from runbookopt.evidence.trajectory import Frame, Left, Trajectory
from runbookopt.evidence.words import words_of
from runbookopt.project.project import Project
from runbookopt.verifier.isolated_checks import examine
from runbookopt.verifier.program_checks import ProgramCheck

KINDS: Mapping[str, str] = {
    "contradicted": "on which verdicts contradict one another",
    "unnamed": "failures without a failure mode",
    "short": "of a class that is short of labels",
    "red team": "written by the red team",
    "second": "labelled by somebody else, to know how far people agree",
    "other": "others",
}
"""Kinds of trajectories in the order of their turns, with how they are told."""

Given = Mapping[str, frozenset[str]]
"""By criterion, the results that checks and stored verdicts give: "pass", "fail"."""


class Wanted(Struct, frozen=True):
    """What is to be labelled: how many at most, how chosen, of which failure mode, and of which tasks.

    `held_out`: also trajectories of held-out tasks, which else nobody is shown. `disputed`: only those on
    which people disagree, also where the same person has labelled them.
    """

    sample: int = 40
    frame: Frame = "discovery"
    failure_mode: str | None = None
    held_out: bool = False
    disputed: bool = False


class Order(Struct, frozen=True):
    """Ids of trajectories to label, best first; `kinds` counts what they are.

    `done` of the `sample` are labelled already; only where it is drawn, for else it is what comes next.
    `broken` attempts have no output, and those of `held_out` tasks are left out.
    """

    ids: tuple[str, ...]
    kinds: Mapping[str, int]
    done: int
    broken: int
    held_out: int


def order_of(project: Project, ratings: Sequence[Rating], rater: str, wanted: Wanted) -> Order:
    """What a person labels next. All that is there and has an output is a candidate, once for each person."""
    attempts = project.evidence.trajectories
    answered = [each for each in attempts if each.output is not None and each.error is None]
    task_of, split = project.evidence.task_of, project.policy.proof.split
    apart = "" if wanted.held_out else "held-out"
    open_to_people = [each for each in answered if part_of_task(task_of(each), split) != apart]
    candidates = {each.id: each for each in sorted(open_to_people, key=lambda each: _chance(each.id))}
    own = rated_by(ratings, rater)
    if wanted.frame == "representative":
        drawn = [id_ for id_, each in candidates.items() if not project.evidence.task_of(each).red_team]
        drawn = drawn[: wanted.sample]
        dealt = [(id_, "other") for id_ in drawn if id_ not in own]
        done = len(drawn) - len(dealt)
    elif wanted.disputed:
        disputed = {each.trajectory for each in disagreements(ratings)}
        dealt, done = [(id_, "second") for id_ in candidates if id_ in disputed][: wanted.sample], 0
    else:
        left = [each for id_, each in candidates.items() if id_ not in own]
        dealt = list(_dealt(_piles(project, left, ratings, rater, wanted.failure_mode)))[: wanted.sample]
        if wanted.failure_mode is None:  # whose turn it was would give the verdict away
            dealt.sort(key=lambda each: _chance(f"shown:{each[0]}"))
        done = 0
    counts = Counter(kind for _, kind in dealt)
    return Order(
        ids=tuple(id_ for id_, _ in dealt),
        kinds={kind: counts[kind] for kind in KINDS if counts[kind]},
        done=done,
        broken=len(attempts) - len(answered),
        held_out=len(answered) - len(open_to_people),
    )


def _chance(id_: str) -> bytes:
    """The place of a trajectory in the draw: by its digest, so that new ones move no other."""
    return hashlib.sha256(f"label:{id_}".encode(errors="surrogatepass")).digest()


def rated_by(ratings: Iterable[Rating], rater: str) -> set[str]:
    """What a person has labelled: with a result, or a word on why there is none."""
    return {
        each.trajectory
        for each in ratings
        if each.by == rater and (each.result != "unsure" or each.explanation)
    }


def _piles(
    project: Project, left: Sequence[Trajectory], ratings: Sequence[Rating], rater: str, mode: str | None
) -> dict[str, list[str]]:
    """The trajectories that are left, by kind; each in the first kind that is of it."""
    others = {each.trajectory for each in ratings if each.by != rater and each.result != "unsure"}
    if mode is not None:
        examples = {each.trajectory for each in ratings if each.failure_mode == mode}
        near = _nearest(project, left, examples)
        return {
            "second": [each.id for each in left if each.id in examples],
            "other": [id_ for id_ in near if id_ not in examples],
        }
    named = {each.trajectory for each in ratings if each.failure_mode}
    short = _short(project, ratings)
    piles: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for each in left:
        given = given_to(project, each)
        kinds = (
            ("second", each.id in others),
            ("contradicted", any(len(results) > 1 for results in given.values())),
            ("red team", project.evidence.task_of(each).red_team),
            ("unnamed", each.id not in named and any("fail" in results for results in given.values())),
            ("short", any((name, result) in short for name, results in given.items() for result in results)),
        )
        piles[next((kind for kind, holds in kinds if holds), "other")].append(each.id)
    return {kind: _apart(project, ids) for kind, ids in piles.items()}


def given_to(project: Project, trajectory: Trajectory) -> Given:
    """What checks and stored verdicts say of an output; programs are not run, and an agent's word is none."""
    given: dict[str, set[str]] = {criterion.id: set() for criterion in project.rubric.criteria}
    for verdict in trajectory.verdicts:
        by_agent = verdict.by is not None and verdict.by.kind == "agent"
        if verdict.criterion in given and verdict.result != "error" and not by_agent:
            given[verdict.criterion].add(verdict.result)
    reference, left = project.evidence.task_of(trajectory).reference, Left(steps=trajectory.steps or None)
    for criterion in project.rubric.criteria:
        if criterion.check is not UNSET and not isinstance(criterion.check, ProgramCheck):
            found = examine(criterion.check, output=trajectory.output, reference=reference, left=left)
            given[criterion.id] |= {found.result} - {"error"}
    return {criterion: frozenset(results) for criterion, results in given.items()}


def _short(project: Project, ratings: Iterable[Rating]) -> set[tuple[str, str]]:
    """Criteria with a result that too few labels give to calibrate them by."""
    counts = Counter[tuple[str, str]]((each.criterion, each.result) for each in ratings)
    classes = [(criterion.id, one) for criterion in project.rubric.criteria for one in ("pass", "fail")]
    return {each for each in classes if counts[each] < 2 * LEAST}  # some of them are kept as examples


def _apart(project: Project, ids: Sequence[str]) -> list[str]:
    """The same with the second attempt at a task behind the first of all, and so on."""
    seen: Counter[str] = Counter()
    turns = {}
    for id_ in ids:
        task = project.evidence.task_of(project.evidence.trajectory(id_)).id
        turns[id_], seen[task] = seen[task], seen[task] + 1
    return sorted(ids, key=lambda id_: turns[id_])


def _dealt(piles: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """One of each kind in turn, each with its kind; what is of no kind comes last."""
    first = {kind: ids for kind, ids in piles.items() if kind != "other"}
    for turn in range(max(map(len, first.values()), default=0)):
        yield from ((ids[turn], kind) for kind, ids in first.items() if turn < len(ids))
    yield from ((id_, "other") for id_ in piles.get("other", ()))


def _nearest(project: Project, left: Sequence[Trajectory], examples: Iterable[str]) -> list[str]:
    """The trajectories from the one that is most like an example: cosine of words, weighted by rareness."""
    words = {each.id: _words(project, each) for each in project.evidence.trajectories}
    counts = Counter(word for each in words.values() for word in each)
    weights = {word: math.log(1 + len(words) / count) ** 2 for word, count in counts.items()}

    def weight(some: Iterable[str]) -> float:
        return math.fsum(weights[word] for word in sorted(some))

    lengths = {id_: math.sqrt(weight(each)) or 1.0 for id_, each in words.items()}
    known = sorted(id_ for id_ in examples if id_ in words)

    def unlikeness(trajectory: Trajectory) -> float:
        own, length = words[trajectory.id], lengths[trajectory.id]
        alike = (weight(own & words[each]) / (length * lengths[each]) for each in known)
        return -max(alike, default=0.0)

    return [each.id for each in sorted(left, key=unlikeness)]


def _words(project: Project, trajectory: Trajectory) -> frozenset[str]:
    """Words of a task and its answer, and of why it failed."""
    why = (verdict.explanation or "" for verdict in trajectory.verdicts if verdict.result == "fail")
    answer = (trajectory.output or "")[:20_000]
    return frozenset(words_of(project.evidence.task_of(trajectory).input)) | frozenset(
        words_of(" ".join((answer, *why)))
    )
