"""What a search knows so far: every attempt, every earlier edit, and the pool; it asks for nothing itself."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from runbookopt import runbook as runbooks
from runbookopt.runbook import Runbook
from runbookopt.search.asks import Attempt, Candidate, ReflectionFailure, Rollout, Tried
from runbookopt.search.pool import Pool
from runbookopt.search.problem import Minibatch, Problem, limits

GOT = ", got "
"""Feedback says what was expected before these words, and what came instead behind them."""


class Known:
    """A search's memory; all chance of the search is drawn here."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.options = problem.options
        self.limits = limits(problem)
        self.rng = random.Random(problem.options.random_seed)
        self.pool = Pool()
        self.seed = Candidate(problem.seed.text)
        self.failures_in_a_row = 0
        self.broken: ReflectionFailure | None = None  # the failure that was one too many
        self.proposed: set[tuple[str, str]] = set()  # each component's texts so far
        self._attempts = {self.seed.digest: dict(problem.free)}
        self._tried: list[Tried] = []
        self._tried_on: dict[int, list[Tried]] = {}

    # Attempts -------------------------------------------------------------------------------------------

    def missing(self, candidate: Candidate, tasks: Iterable[str]) -> tuple[Rollout, ...]:
        """Give the rollouts of a candidate that are not known yet, each once, in the order of `tasks`."""
        known = self._attempts.get(candidate.digest, {})
        return tuple(Rollout(candidate, task) for task in dict.fromkeys(tasks) if task not in known)

    def learn(self, rollout: Rollout, attempt: Attempt) -> None:
        """Remember what a rollout came to."""
        self._attempts.setdefault(rollout.candidate.digest, {})[rollout.task] = attempt

    def attempts(self, candidate: Candidate, tasks: Iterable[str]) -> dict[str, Attempt]:
        """Give a candidate's attempts at those of the tasks that it has been rolled out on."""
        known = self._attempts.get(candidate.digest, {})
        return {task: known[task] for task in tasks if task in known}

    # Edits ----------------------------------------------------------------------------------------------

    def remember(self, parent: int, tried: Tried) -> None:
        """Remember an edit of the pool's member `parent` and what became of it."""
        self._tried.append(tried)
        self._tried_on.setdefault(parent, []).append(tried)

    def fail(self, failure: ReflectionFailure) -> None:
        """Count a reflection that gave no proposal."""
        self.failures_in_a_row += 1
        if self.failures_in_a_row == self.options.max_failures:
            self.broken = self.broken or failure

    @property
    def tried(self) -> tuple[Tried, ...]:
        """All earlier edits, oldest first."""
        return tuple(self._tried)

    def lately(self, parent: int) -> tuple[Tried, ...]:
        """Give the last edits tried on a member and on what it was made from, as many as are shown."""
        found: list[Tried] = []
        line = [parent]
        for number in line:
            found = [*self._tried_on.get(number, []), *found]
            if len(found) >= self.options.remembered:
                break
            line += self.pool.members[number].parents
        return tuple(found[max(0, len(found) - self.options.remembered) :])

    # Texts and minibatches ------------------------------------------------------------------------------

    def runbook(self, candidate: Candidate) -> Runbook:
        """Give a candidate as a runbook."""
        return runbooks.reparse(self.problem.seed, candidate.text)

    def minibatches(self, attempts: Mapping[str, Attempt]) -> list[Minibatch]:
        """Divide the failures among train attempts into minibatches, the kinds with most failures first.

        To each come samples of what passes, and of what passes in this respect and fails in another.
        """
        passing = [task for task, attempt in attempts.items() if attempt.passed]
        few = min(self.options.passing, len(passing))
        batches = []
        for failing in self._chunks(attempts)[: self.options.wave]:
            shown = tuple(self.rng.sample(passing, few))
            batches.append(Minibatch(failing, self._contrast(attempts, failing), shown))
        return batches

    def _chunks(self, attempts: Mapping[str, Attempt]) -> list[tuple[str, ...]]:
        """Cut each kind of failure, shuffled, into chunks; each kind has its turn."""
        size = self.options.minibatch
        cut = []
        for tasks in self._pressing(self._kinds(attempts)):
            self.rng.shuffle(tasks)
            cut.append([tuple(tasks[at : at + size]) for at in range(0, len(tasks), size)])
        return [chunk for turn in zip_longest(*cut, fillvalue=()) for chunk in turn if chunk]

    def _kinds(self, attempts: Mapping[str, Attempt]) -> dict[str, list[str]]:
        """Give the failures by kind: the mode that a person named, else the feedback of a criterion.

        What fails several criteria is of several kinds: those that are the first of some failure. (A
        criterion that never fails but with one before it has no lesson of its own.) Feedback that too few of
        them share joins what expected the same, whatever was got instead: chance makes many such, and a kind
        of one teaches little.
        """
        options, modes = self.options, self.problem.modes
        failing = {task: attempt.feedback for task, attempt in attempts.items() if attempt.failed}
        if not options.grouped:
            return {"": list(failing)}
        counted = {task: told if options.every else told[:1] for task, told in failing.items()}
        alike = Counter(line for told in counted.values() for line in told)
        kinds_of = {
            task: [line if alike[line] >= options.apart else _expected(line) for line in told]
            for task, told in counted.items()
        }
        firsts = {kinds[0] for kinds in kinds_of.values()}
        found: dict[str, list[str]] = {}
        for task, kinds in kinds_of.items():
            named = modes.get(task)
            for kind in [named] if named else dict.fromkeys(kind for kind in kinds if kind in firsts):
                found.setdefault(kind, []).append(task)
        return found

    def _pressing(self, kinds: Mapping[str, list[str]]) -> list[list[str]]:
        """Give the kinds to reflect on now, largest first.

        A small one waits where all of its failures are of larger ones too: mending these may mend it, and the
        room in the runbook goes to what fails most.
        """
        largest = max(map(len, kinds.values()), default=0)
        pressing, covered = [], set[str]()
        for tasks in sorted(kinds.values(), key=lambda tasks: (-len(tasks), tasks)):
            if len(tasks) >= self.options.waits * largest or not covered.issuperset(tasks):
                pressing.append(tasks)
                covered.update(tasks)
        return pressing

    def _contrast(self, attempts: Mapping[str, Attempt], failing: Sequence[str]) -> tuple[str, ...]:
        """Draw failures that meet the criteria which all of a minibatch fail: a lesson may not reach there.

        Nothing is expected as often among them as in the minibatch, for that is the lesson.
        """
        common = set[str].intersection(*(_criteria(attempts[task]) for task in failing))
        other = [
            task
            for task, attempt in attempts.items()
            if common and attempt.failed and not common & _criteria(attempt)
        ]
        self.rng.shuffle(other)
        found: list[str] = []
        expected: Counter[str] = Counter()
        for task in other:
            told = [_expected(line) for line in attempts[task].feedback]
            if len(found) < self.options.contrast and all(expected[one] < len(failing) - 1 for one in told):
                found.append(task)
                expected.update(told)
        return tuple(found)


def _expected(line: str) -> str:
    """Give a line of feedback without what came instead of the expected."""
    return line.partition(GOT)[0]


def _criteria(attempt: Attempt) -> set[str]:
    return {line.partition(": ")[0] for line in attempt.feedback}
