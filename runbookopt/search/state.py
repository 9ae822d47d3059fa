"""State of a search: every attempt, every earlier edit, and the pool; it asks for nothing itself."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.runbook import Runbook
from runbookopt.search.asks import Attempt, Candidate, ReflectionFailure, Rollout, SoFar, Stored, Tried
from runbookopt.search.pool import Pool
from runbookopt.search.problem import Problem, limits

if TYPE_CHECKING:
    from runbookopt.search.drafts import Draft

CHANCE = 3
"""So many times as many failures in a row may be chance, of a reflector that has given proposals."""


class SearchState:
    """A search's memory; all chance of the search is drawn here.

    `drafts` are what the members of the pool but the seed were made of, by number. `reach` is how many edits
    the next draft may have, None as many as there are; `blame` counts, by member and train task, the edits
    for that task in drafts that fell. From members that are `lightened` nothing more is taken out.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.options = problem.options
        self.limits = limits(problem)
        self.rng = random.Random(problem.options.random_seed)
        self.wave = 0
        self.step = ""  # what the search is at, in a few words
        self.pool = Pool()
        self.drafts: dict[int, Draft] = {}
        self.reach: int | None = None
        self.blame: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.lightened: set[int] = set()
        self.seed = Candidate(problem.seed.text)
        self._next = runbooks.bump_version(problem.seed.text)
        self.answered = False  # whether the reflector has given a proposal
        self.failures_in_a_row = 0
        self.broken: ReflectionFailure | None = None  # the failure that was one too many
        self.attempts_by_digest = {self.seed.digest: dict(problem.free)}  # of each candidate, by task
        self._tried: list[Tried] = []
        self._tried_on: dict[int, list[Tried]] = {}

    @property
    def best(self) -> Candidate:
        """The best text of the pool."""
        return self.pool.members[self.pool.best].candidate

    def missing(self, candidate: Candidate, tasks: Iterable[str]) -> tuple[Rollout, ...]:
        """The rollouts of a candidate that are not known yet, each once, in the order of `tasks`."""
        attempts = self.attempts_by_digest.get(candidate.digest, {})
        return tuple(Rollout(candidate, task) for task in dict.fromkeys(tasks) if task not in attempts)

    def learn(self, rollout: Rollout, attempt: Attempt) -> None:
        """Remember what a rollout came to."""
        self.attempts_by_digest.setdefault(rollout.candidate.digest, {})[rollout.task] = attempt

    def attempts(self, candidate: Candidate, tasks: Iterable[str]) -> dict[str, Attempt]:
        """A candidate's attempts at those of the tasks that it has been rolled out on."""
        attempts = self.attempts_by_digest.get(candidate.digest, {})
        return {task: attempts[task] for task in tasks if task in attempts}

    def scores(self, candidate: Candidate, tasks: Iterable[str]) -> dict[str, float]:
        """A candidate's scores on those of the tasks that it has been rolled out on."""
        return {task: attempt.score for task, attempt in self.attempts(candidate, tasks).items()}

    def validated(self, candidate: Candidate) -> bool:
        """Whether a candidate was tried on validation, or on a part of it."""
        return bool(self.attempts(candidate, self.problem.validation))

    def to_read(self) -> dict[str, Stored]:
        """Stored attempts of others to reflect on before the seed is tried on train; none where none failed.

        A seed that does all of validation right is tried on train first: nothing could be better there.
        """
        own = self.attempts_by_digest[self.seed.digest]
        stored = {task: each for task, each in self.problem.evidence.items() if task not in own}
        wanting = any(attempt.failed for attempt in self.pool.members[0].validation.values())
        return stored if wanting and any(each.attempt.failed for each in stored.values()) else {}

    def remember(self, parent: int, tried: Tried) -> None:
        """Remember an edit of the pool's member `parent` and what became of it."""
        self._tried.append(tried)
        self._tried_on.setdefault(parent, []).append(tried)

    @property
    def most_failures(self) -> int:
        """How many reflections in a row may fail: more where some have not, which chance may explain."""
        return self.options.max_failures * (CHANCE if self.answered else 1)

    def fail(self, failure: ReflectionFailure) -> None:
        """Count a reflection that gave no proposal."""
        self.failures_in_a_row += 1
        if self.failures_in_a_row == self.most_failures:
            self.broken = self.broken or failure

    @property
    def tried(self) -> tuple[Tried, ...]:
        """All earlier edits, oldest first."""
        return tuple(self._tried)

    def lately(self, parent: int) -> tuple[Tried, ...]:
        """The last edits tried on a member and on what it was made from, as many as are shown."""
        edits: list[Tried] = []
        line = [parent]
        for number in line:
            edits = [*self._tried_on.get(number, []), *edits]
            if len(edits) >= self.options.remembered:
                break
            line += self.pool.members[number].parents
        return tuple(edits[max(0, len(edits) - self.options.remembered) :])

    @property
    def so_far(self) -> SoFar | None:
        """Today's score and the best, and what comes now; None before today's is known."""
        members = self.pool.members
        return SoFar(members[0].score, members[self.pool.best].score, self.step) if members else None

    def candidate(self, text: str) -> Candidate:
        """An edited text as it would be merged, with the seed's next version; the seed where that is all.

        So what is tried, proved and merged is one text, and what is known of it stays known after a merge.
        """
        bumped = runbooks.with_front_of(self._next, text)
        return self.seed if bumped == self._next else Candidate(bumped)

    def runbook(self, candidate: Candidate) -> Runbook:
        """A candidate as a runbook."""
        return runbooks.reparse(self.problem.seed, candidate.text)
