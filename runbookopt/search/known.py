"""What a search knows so far: every attempt, every earlier edit, and the pool; it asks for nothing itself."""

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from runbookopt import runbook as runbooks
from runbookopt.runbook import Runbook
from runbookopt.search.asks import Attempt, Candidate, Proposal, ReflectionFailure, Rollout, Tried
from runbookopt.search.pool import Member, lineage
from runbookopt.search.problem import Minibatch, Problem, limits


class Known:
    """A search's memory; `pool` is in the order of entry, the seed first."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.options = problem.options
        self.limits = limits(problem)
        self.rng = random.Random(problem.options.random_seed)
        self.pool: list[Member] = []
        self.failures_in_a_row = 0
        self.broken: ReflectionFailure | None = None  # the failure that was one too many
        seed = Candidate(problem.seed.text).digest
        self._attempts = {(seed, task): attempt for task, attempt in problem.free.items()}
        self._tried: list[tuple[int, Tried]] = []

    def missing(self, wanted: Iterable[tuple[Candidate, str]]) -> tuple[Rollout, ...]:
        """Give the rollouts that are not known yet, each once, in the order wanted."""
        new = {(candidate.digest, task): Rollout(candidate, task) for candidate, task in wanted}
        return tuple(rollout for key, rollout in new.items() if key not in self._attempts)

    def learn(self, rollout: Rollout, attempt: Attempt) -> None:
        """Remember what a rollout came to."""
        self._attempts[rollout.candidate.digest, rollout.task] = attempt

    def remember(self, parent: int, proposal: Proposal, outcome: str) -> None:
        """Remember an edit of the pool's member `parent` and what became of it."""
        tried = Tried(proposal.component, proposal.diagnosis, proposal.text, outcome)
        self._tried.append((parent, tried))

    def fail(self, failure: ReflectionFailure) -> None:
        """Count a reflection that gave no proposal."""
        self.failures_in_a_row += 1
        if self.failures_in_a_row == self.options.max_failures:
            self.broken = self.broken or failure

    def tried(self, parent: int | None = None) -> tuple[Tried, ...]:
        """Give all earlier edits, or those of a member and of what it was made from, oldest first."""
        line = range(len(self.pool)) if parent is None else lineage(self.pool, parent)
        return tuple(tried for place, tried in self._tried if place in line)

    def runbook(self, place: int) -> Runbook:
        """Give a member of the pool as a runbook."""
        return runbooks.reparse(self.problem.seed, self.pool[place].candidate.text)

    def attempts(self, candidate: Candidate, tasks: Sequence[str]) -> dict[str, Attempt]:
        """Give a candidate's attempts at tasks that it has been rolled out on."""
        return {task: self._attempts[candidate.digest, task] for task in tasks}

    def gains(self, parent: Candidate, child: Candidate, tasks: Sequence[str]) -> list[float]:
        """Give the child's score less the parent's on each task."""
        before, after = self.attempts(parent, tasks), self.attempts(child, tasks)
        return [after[task].score - before[task].score for task in tasks]

    def chunks(self, failing: Mapping[str, Attempt]) -> list[tuple[str, ...]]:
        """Divide failing tasks into minibatches of one kind of failure, the kinds with most failures first.

        The kind is the failure mode that a person named, else the feedback of the first criterion failed.
        """
        kinds: dict[str, list[str]] = {}
        modes, size = self.problem.modes, self.options.minibatch
        for task, attempt in failing.items():
            kinds.setdefault(modes.get(task, attempt.feedback[0]), []).append(task)
        cut = []
        for tasks in sorted(kinds.values(), key=lambda tasks: (-len(tasks), tasks)):
            self.rng.shuffle(tasks)
            cut.append([tuple(tasks[at : at + size]) for at in range(0, len(tasks), size)])
        return [chunk for turn in zip_longest(*cut, fillvalue=()) for chunk in turn if chunk]

    def with_passing(self, failing: Sequence[str], passing: Sequence[str]) -> Minibatch:
        """Give a minibatch of these failing tasks and a sample of those that pass."""
        shown = self.rng.sample(passing, min(self.options.passing, len(passing)))
        return Minibatch(tuple(failing), tuple(shown))
