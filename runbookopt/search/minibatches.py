"""Minibatches: failures of a candidate that are reflected on together, and others beside them."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from msgspec import Struct

from runbookopt.search.asks import Attempt
from runbookopt.search.problem import Options, Problem

GOT = ", got "  # feedback says what was expected before these words, and what came instead behind them
Attempts = Mapping[str, Attempt]  # attempts of one candidate at train tasks, by task


class Minibatch(Struct, frozen=True):
    """Train tasks of one kind of failure, some that fail in another respect, and some that pass, by id."""

    failing: tuple[str, ...]
    contrast: tuple[str, ...]
    passing: tuple[str, ...]


def minibatches(
    problem: Problem, attempts: Attempts, blame: Mapping[str, int], rng: random.Random
) -> list[Minibatch]:
    """Divide the failures among attempts into minibatches, the kinds with most failures first.

    To each come samples of what passes, and of what passes in this respect and fails in another. Failures
    for which edits were tried in vain (`blame`, how often) come last.
    """
    options = problem.options
    passing = [task for task, attempt in attempts.items() if attempt.passed]
    few = min(options.passing, len(passing))
    chunks = _chunks(_pressing(_kinds(problem, attempts), options.waits), options, rng)
    if options.edits > 1:
        chunks = _packed(chunks, options.minibatch)
    if blame:
        chunks.sort(key=lambda tasks: sum(blame.get(task, 0) for task in tasks) / len(tasks))
    batches = []
    for failing in chunks[: options.wave]:
        shown = tuple(rng.sample(passing, few))
        batches.append(Minibatch(failing, _contrast(attempts, failing, options.contrast, rng), shown))
    return batches


def _kinds(problem: Problem, attempts: Attempts) -> dict[str, list[str]]:
    """The failures by kind: the mode that a person named, else the feedback of a criterion.

    What fails several criteria is of several kinds: those that are the first of some failure. (A
    criterion that never fails but with one before it has no lesson of its own.) Feedback that too few of
    them share joins what expected the same, whatever was got instead: chance makes many such, and a kind
    of one teaches little.
    """
    options, modes = problem.options, problem.modes
    failing = {task: attempt.feedback for task, attempt in attempts.items() if attempt.failed}
    if not options.grouped:
        return {"": list(failing)}
    counted = {task: lines if options.every else lines[:1] for task, lines in failing.items()}
    alike = Counter(line for lines in counted.values() for line in lines)
    kinds_of = {
        task: [line if alike[line] >= options.apart else _expected(line) for line in lines]
        for task, lines in counted.items()
    }
    firsts = {kinds[0] for kinds in kinds_of.values()}
    tasks_of: dict[str, list[str]] = {}
    for task, kinds in kinds_of.items():
        named = modes.get(task)
        for kind in [named] if named else dict.fromkeys(kind for kind in kinds if kind in firsts):
            tasks_of.setdefault(kind, []).append(task)
    return tasks_of


def _pressing(kinds: Mapping[str, list[str]], waits: float) -> list[list[str]]:
    """The kinds to reflect on now, largest first.

    A small one waits where all of its failures are of larger ones too: mending these may mend it, and the
    room in the runbook goes to what fails most.
    """
    largest = max(map(len, kinds.values()), default=0)
    pressing, covered = [], set[str]()
    for tasks in sorted(kinds.values(), key=lambda tasks: (-len(tasks), tasks)):
        if len(tasks) >= waits * largest or not covered.issuperset(tasks):
            pressing.append(tasks)
            covered.update(tasks)
    return pressing


def _chunks(kinds: Sequence[list[str]], options: Options, rng: random.Random) -> list[tuple[str, ...]]:
    """Cut each kind of failure, shuffled, into chunks; each kind has its turn."""
    cut = []
    for tasks in kinds:
        rng.shuffle(tasks)
        starts = range(0, len(tasks), options.minibatch)
        cut.append([tuple(tasks[at : at + options.minibatch]) for at in starts])
    return [chunk for turn in zip_longest(*cut, fillvalue=()) for chunk in turn if chunk]


def _packed(chunks: Sequence[tuple[str, ...]], most: int) -> list[tuple[str, ...]]:
    """Put small chunks together, each whole, for a reflector that gives several edits at once.

    A kind is in one minibatch only, so that no two reflectors look for the same remedy.
    """
    packed: list[tuple[str, ...]] = []
    for chunk in sorted(chunks, key=len, reverse=True):
        fresh = tuple(task for task in chunk if not any(task in one for one in packed))
        place = next((at for at, one in enumerate(packed) if len(one) + len(fresh) <= most), None)
        if place is not None:
            packed[place] += fresh
        elif fresh:
            packed.append(fresh)
    return packed


def _contrast(attempts: Attempts, failing: Sequence[str], most: int, rng: random.Random) -> tuple[str, ...]:
    """Draw failures that meet the criteria which a minibatch fails, most with other lessons than it has."""
    common = set[str].intersection(*(_criteria(attempts[task]) for task in failing))
    failed = [task for task, attempt in attempts.items() if common and attempt.failed]
    other = [task for task in failed if not common & _criteria(attempts[task])]
    rng.shuffle(other)
    drawn: list[str] = []
    taught: Counter[str] = Counter()
    for task in other:
        lines = attempts[task].feedback
        lessons = [_expected(line) if GOT in line else line.partition(": ")[0] for line in lines]
        if len(drawn) < most and all(taught[lesson] < len(failing) - 1 for lesson in lessons):
            drawn.append(task)
            taught.update(lessons)
    return tuple(drawn)


def _expected(line: str) -> str:
    return line.partition(GOT)[0]


def _criteria(attempt: Attempt) -> set[str]:
    return {line.partition(": ")[0] for line in attempt.feedback}
