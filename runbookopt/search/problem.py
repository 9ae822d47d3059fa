"""Problem of a search: the runbook, its tasks, attempts that are free, and options."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.runbook import Runbook
from runbookopt.evidence.words import runs_of_words
from runbookopt.search.asks import Attempt, Stored

COPIED_WORDS = 8  # a run of this many words shared with one task is a copy of it, not a lesson


class Options(Struct, frozen=True):
    """How the search goes about it: every idea of it can be switched off here, to measure what it is worth.

    `wave`: reflections at once, at most; `minibatch`, `contrast`, `passing`: failures of one kind, failures
    in another respect alone, and passing tasks shown to each, at most; `remembered`: earlier edits shown;
    `patience`: waves without a better text before it ends; `max_failures`: failed reflections in a row
    before it ends; `share` and `characters`: the growth cap, the larger of that share of the seed's length
    and that many characters; `doubt`: see `selection.choose`.

    `grouped`: a minibatch holds one kind of failure, else failures at random; `every`: what fails several
    criteria is of a kind for each of them, else for the first; `apart`: so many failures with the same
    feedback make a kind of their own; `waits`: a kind with less than this share of the largest one's failures
    waits where all of them are of larger kinds too; `crossed`: all edits of a wave are combined, else the one
    from most failures is taken alone. `stored`: reflections on stored outputs of others, at most, before
    today's runbook is tried on train.

    `halved`: where a draft fell, the next one has half as many edits, at least `least`; after these, one
    alone. `first`: validation tasks on which a draft is tried first where one fell before it, and `slack`
    what it may be behind in the sum of their scores. `adds`: where less than this share of what a draft's
    edits are for came right on train, those are taken out again that can go, each looked at on `checked` of
    its tasks. `tidied`: so it is done with the best text at the end. `widened`: so many reflections for each
    wave of patience are on members of the frontier, once that is at its end, each on `looked` train tasks.
    `edits`: of one reply, at most; see `of_replies`. `again`: where a reply is of no use, the same failures
    are reflected on so many times more, each time in another order, before anything is tried.
    """

    random_seed: int = 0
    wave: int = 24
    minibatch: int = 12
    contrast: int = 12
    passing: int = 18
    remembered: int = 24
    patience: int = 6
    max_failures: int = 5
    share: float = 0.5
    characters: int = 3000
    doubt: float = 0.09  # of pure noise comes another than the seed in 47 of 600 runs, at .1 in 57
    grouped: bool = True
    every: bool = True
    apart: int = 2
    waits: float = 0.5
    crossed: bool = True
    halved: bool = True
    least: int = 2
    first: int = 20
    slack: float = 1.0
    adds: float = 0.6
    checked: int = 2
    tidied: bool = True
    widened: int = 0
    looked: int = 12
    edits: int = 1
    again: int = 2
    stored: int = 6  # with 24 they took the room in the runbook that the failures of today's need


def of_replies(options: Options, edits: int) -> Options:
    """Set options for a reflector whose replies hold so many edits: with several it sees more, of all kinds.

    No kind is then in two minibatches, so that no two reflectors look for the same remedy. Edits of one rule
    each add up: none is looked at alone, and drafts are not made smaller (`benchmarks/README.md`).
    """
    if edits == 1:
        return replace(options, halved=False, first=0, adds=0.0, tidied=False)
    return replace(options, edits=edits, minibatch=20, contrast=0, passing=6, widened=5)


class Problem(Struct, frozen=True):
    """Train inputs and validation tasks by id, the seed's free attempts, and people's failure modes.

    `evidence` are stored attempts of other agents and runbooks at train tasks: reflected on, never a score.
    `impersonal`: reflectors are shown no personal data of what agents write. `groups` names the group of a
    train task, of those that are of one. `agent` says in a sentence or two who follows the runbook, and how
    it is put together with a task. `prefer` is an objective, see `selection.choose`.
    """

    seed: Runbook
    train: Mapping[str, Any]
    validation: tuple[str, ...]
    free: Mapping[str, Attempt] = {}
    modes: Mapping[str, str] = {}
    evidence: Mapping[str, Stored] = {}
    groups: Mapping[str, str] = {}
    options: Options = Options()
    impersonal: bool = False
    agent: str = ""
    prefer: str | None = None


class Limits(Struct, frozen=True):
    """Bounds of all proposals: a runbook of at most `characters`, and no runs of words copied from one task.

    `copies` counts in how many train tasks each run of `COPIED_WORDS` words occurs.
    """

    characters: int
    copies: Mapping[tuple[str, ...], int]


def limits(problem: Problem) -> Limits:
    """The limits of a run: growth is bounded by a share of the seed or by characters, the larger."""
    values = problem.train.values()
    copies = Counter(run for value in values for run in runs_of_words(value, COPIED_WORDS))
    length, options = len(problem.seed.text), problem.options
    return Limits(length + max(int(options.share * length), options.characters), copies)
