"""Asks and replies of a search: the only words between it and its driver."""

from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import digest, digest_of
from runbookopt.documents.finding import Finding
from runbookopt.evidence.trajectory import Left


class Candidate(Struct, frozen=True, dict=True):
    """A full text of the runbook."""

    text: str

    @cached_property
    def digest(self) -> str:
        """Digest of the file, in its next version unless it is today's."""
        return digest(self.text.encode())


AGAIN = "@"
"""What stands behind it in the name of a repeat makes an answer a new one; no agent is told of it."""


class Rollout(Struct, frozen=True):
    """One attempt wanted: `candidate` on the task with this id.

    `repeat` numbers several attempts; the proof puts its look in front ("<look>/0"), so that its are fresh.
    Of a repeat "0@..." the agent is told the "0" alone: the same question, asked once more.
    """

    candidate: Candidate
    task: str
    repeat: str = "0"


class Attempt(Struct, frozen=True, gc=False):  # a long run has many, and none holds itself
    """The result of a rollout: the output, and what the verifier says of it.

    `score` and `objectives` lie in 0..1; `feedback` is the reasons of the criteria that did not pass, and
    `advice` those of criteria that decide nothing;
    `trajectory` is the id by which reports cite this attempt. `output` is None where the agent gave none.
    `verdicts`, by criterion, and what it `left` are for a proof, which has to be judged again elsewhere.
    """

    trajectory: str
    output: str | None
    score: float
    objectives: dict[str, float]
    feedback: tuple[str, ...] = ()
    gates_failed: tuple[str, ...] = ()
    errors: int = 0
    verdicts: dict[str, Finding] = {}
    left: Left | None = None
    advice: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every criterion that decides passed."""
        return not self.feedback

    @property
    def failed(self) -> bool:
        """Whether some criterion failed: what the verifier could not judge teaches nothing."""
        return len(self.feedback) > self.errors


class NoAnswer(Struct, frozen=True):
    """What stands for an attempt that came to nothing for reasons that are not the agent's: it has no score.

    `kind` is "timeout", "server", ...; `message` is one line.
    """

    kind: str
    message: str


class Stored(Struct, frozen=True):
    """A stored attempt that counts as no score, and in words of which agent and runbook it was."""

    attempt: Attempt
    origin: str


class Shown(Struct, frozen=True, omit_defaults=True):
    """A trajectory as a reflector sees it: never the reference, only the feedback.

    `advice` is the same of criteria that decide nothing. `origin` says of which agent and runbook it was,
    where that is not the one to be improved. Tasks of one `group` are no evidence apart: they come of one
    customer, one case, one day.
    """

    trajectory: str
    task: str
    input: Any
    output: str | None
    score: float
    feedback: tuple[str, ...]
    origin: str | None = None
    group: str | None = None
    advice: tuple[str, ...] = ()


class Component(Struct, frozen=True):
    """A part of the runbook that a proposal may rewrite."""

    id: str
    heading: str | None
    text: str


class Tried(Struct, frozen=True, omit_defaults=True):
    """An earlier edit (`change`, a diff of its component) in a candidate's lineage, and what became of it.

    Where it was tried: with `beside` other edits, on `tasks` tasks, whose scores summed up to `before`
    without these edits and to `after` with them. A whole number stays one where an ask is read back, so that
    its digest stays the same.
    """

    component: str
    diagnosis: str
    change: str
    outcome: str
    beside: int = 0
    tasks: int = 0
    before: int | float = 0.0
    after: int | float = 0.0


class Kind(Struct, frozen=True):
    """Failures of which the verifier says the same (`feedback`), and how many `tasks` they are."""

    feedback: str
    tasks: int


class Reflection(Struct, frozen=True, omit_defaults=True):
    """One reflection wanted: all that a reflector gets to know; `length_budget` is in characters.

    `agent` says in a sentence or two who follows the runbook, and how it is put together with a task. Of the
    `tasks` that the candidate was tried on, `failed` fail, most of them as the `kinds` say. `wave` is what
    each reviewer of this wave looks at, and `reviewer` the place of this one among them.
    """

    candidate: Candidate
    components: tuple[Component, ...]
    failing: tuple[Shown, ...]
    passing: tuple[Shown, ...]
    lineage: tuple[Tried, ...]
    length_budget: int
    agent: str = ""
    tasks: int = 0
    failed: int = 0
    kinds: tuple[Kind, ...] = ()
    wave: tuple[tuple[Kind, ...], ...] = ()
    reviewer: int = 0


class Proposal(Struct, frozen=True, omit_defaults=True):
    """A reflector's answer: what went wrong, and one component's new text; `cites` are trajectory ids.

    `also` are further edits of the same reply, each for a cause of its own: `text` is the component with this
    edit alone, and so it is in each of them.
    """

    diagnosis: str
    component: str
    text: str
    cites: tuple[str, ...] = ()
    also: tuple["Proposal", ...] = ()

    @property
    def edits(self) -> tuple["Proposal", ...]:
        """All edits of the reply, each as an answer of its own."""
        return (replace(self, also=()), *self.also)


class ReflectionFailure(Struct, frozen=True):
    """A reflection that gave no proposal: never adopted, counted, and shown.

    `unanswered`: no reply came, which is no fault of the reflector's.
    """

    kind: str
    message: str
    unanswered: bool = False


class SoFar(Struct, frozen=True):
    """Mean validation scores so far, 0..1: of today's runbook, and of the best text, which may be that.

    `step` says in a few words what the search is at.
    """

    today: float
    best: float
    step: str = ""


class Ask(Struct, frozen=True):
    """A search's next questions; rollouts and reflections of one ask may run side by side.

    `so_far` is told to whoever watches: it is no part of the question.
    """

    rollouts: tuple[Rollout, ...] = ()
    reflections: tuple[Reflection, ...] = ()
    so_far: SoFar | None = None

    @property
    def digest(self) -> str:
        """Digest of the ask, by which a resumed run knows that it walks the same path."""
        rollouts = [(r.candidate.digest, r.task, r.repeat) for r in self.rollouts]
        return digest_of([rollouts, self.reflections])


class Reply(Struct, frozen=True):
    """The answers, in the order of the ask.

    `stopped` says why the driver answers nothing more ("budget", "minutes"): the lists are then empty.
    """

    rollouts: tuple[Attempt | NoAnswer, ...] = ()
    reflections: tuple[Proposal | ReflectionFailure, ...] = ()
    stopped: str | None = None
