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

    def widened(
        self, candidate: Candidate, tasks: Sequence[str], among: Sequence[str], most: int
    ) -> tuple[str, ...]:
        """Give more tasks to try a candidate on, drawn by chance; the same where there are no more.

        The first are all that it is known on, filled up to `most`; then come `most` more each time. Where all
        are taken no chance is drawn: so a run that has to pay for the seed's verdicts goes the way of one
        that has them.
        """
        first = tuple(tasks) or tuple(self.attempts(candidate, among))
        rest = [task for task in among if task not in set(first)]
        wanted = most if tasks else max(0, most - len(first))
        return (*first, *(rest if wanted >= len(rest) else self.rng.sample(rest, wanted)))

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
        """Give the last edits tried on a member and on what it was made from, no fewer than are shown."""
        found: list[Tried] = []
        line = [parent]
        for number in line:
            found = [*self._tried_on.get(number, []), *found]
            if len(found) >= self.options.remembered:
                break
            line += self.pool.members[number].parents
        return tuple(found)

    # Texts and minibatches ------------------------------------------------------------------------------

    def runbook(self, candidate: Candidate) -> Runbook:
        """Give a candidate as a runbook."""
        return runbooks.reparse(self.problem.seed, candidate.text)

    def minibatches(self, attempts: Mapping[str, Attempt], *, twice: bool = False) -> list[Minibatch]:
        """Divide the failures among train attempts into minibatches, the kinds with most failures first.

        To each comes a sample of what passes. `twice` adds each once more, in another order and beside
        others that pass, if all of that fits into a wave: a second opinion on the same evidence.
        """
        chunks = self._chunks(attempts)
        if twice and 2 * len(chunks) <= self.options.wave:
            chunks += self._chunks(attempts)
        passing = [task for task, attempt in attempts.items() if attempt.passed]
        few = min(self.options.passing, len(passing))
        batches = [
            Minibatch(chunk, tuple(self.rng.sample(passing, few))) for chunk in chunks[: self.options.wave]
        ]
        return list(dict.fromkeys(batches))  # the same evidence once more is no second opinion

    def _chunks(self, attempts: Mapping[str, Attempt]) -> list[tuple[str, ...]]:
        """Cut each kind of failure, shuffled, into chunks; each kind has its turn."""
        kinds: dict[str, list[str]] = {}
        size = self.options.minibatch
        for task, kind in self._kinds(attempts).items():
            kinds.setdefault(kind, []).append(task)
        cut = []
        for tasks in sorted(kinds.values(), key=lambda tasks: (-len(tasks), tasks)):
            self.rng.shuffle(tasks)
            cut.append([tuple(tasks[at : at + size]) for at in range(0, len(tasks), size)])
        return [chunk for turn in zip_longest(*cut, fillvalue=()) for chunk in turn if chunk]

    def _kinds(self, attempts: Mapping[str, Attempt]) -> dict[str, str]:
        """Give the kind of each failure: its mode that a person named, else the first criterion's feedback.

        Feedback that too few of them share joins what expected the same, whatever was got instead: chance
        makes many such, and a kind of one teaches little.
        """
        failing = {task: attempt.feedback[0] for task, attempt in attempts.items() if attempt.failed}
        if not self.options.grouped:
            return dict.fromkeys(failing, "")
        alike = Counter(failing.values())
        return {
            task: self.problem.modes.get(task)
            or (told if alike[told] >= self.options.apart else told.partition(GOT)[0])
            for task, told in failing.items()
        }
