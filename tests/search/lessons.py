"""A search whose every task is solved by the lesson of its number, with a reflector that teaches them."""

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import (
    Ask,
    Attempt,
    Candidate,
    Proposal,
    Reflection,
    ReflectionFailure,
    Reply,
    Rollout,
)
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem

TEXT = """---
name: parcels
---
# Parcels

## Lessons

- Be kind to {{customer}}.

## Evaluation

Once a month.
"""
LONG = "my neighbour took the parcel in and has now gone on holiday"
TRAIN = {**{f"t{n}": f"where is parcel {n}" for n in range(8)}, "t8": LONG}
VALIDATION = tuple(f"v{n}" for n in range(9))
SEED = Candidate(TEXT)
OWN = runbooks.parse(TEXT).part("lessons").text
OPTIONS = Options(random_seed=1, minibatch=2, passing=2, wave=3)
PROBLEM = Problem(runbooks.parse(TEXT), TRAIN, VALIDATION, options=OPTIONS)
VERSIONED = runbooks.parse(TEXT.replace("name: parcels\n", "name: parcels\nversion: 1.0.9\n"))
REFUSED = ReflectionFailure("refused", "no")
MOST_ASKS = 400

Answer = Proposal | ReflectionFailure
Reflecting = Callable[[Reflection], Answer]
Judging = Callable[[Rollout], Attempt]


class Heard(Struct, frozen=True):
    """All asks of a search with their replies, and what it returned."""

    asks: tuple[Ask, ...]
    replies: tuple[Reply, ...]
    found: SearchResult

    @property
    def reflections(self) -> list[Reflection]:
        return [asked for ask in self.asks for asked in ask.reflections]

    @property
    def rollouts(self) -> list[Rollout]:
        return [asked for ask in self.asks for asked in ask.rollouts]

    @property
    def outcomes(self) -> list[str]:
        return [one.outcome for one in self.found.tried]

    @property
    def proposed(self) -> list[tuple[Candidate, Proposal]]:
        """All edits of all replies, each with the candidate that it is one of."""
        return [
            (asked.candidate, edit)
            for ask, reply in zip(self.asks, self.replies, strict=True)
            for asked, answer in zip(ask.reflections, reply.reflections, strict=bool(reply.reflections))
            if isinstance(answer, Proposal)
            for edit in answer.edits
        ]

    def on(self, split: str, candidate: Candidate) -> list[str]:
        """Give the tasks of train ("t") or validation ("v") that a candidate was rolled out on."""
        return [
            one.task for one in self.rollouts if one.candidate == candidate and one.task.startswith(split)
        ]


def number(task: str) -> int:
    return int(task[1:])


def scored(rollout: Rollout, score: float) -> Attempt:
    """Give an attempt; odd tasks fail for another reason than even ones."""
    feedback = () if score == 1 else (f"right: expected {number(rollout.task) % 2}, got nothing",)
    name = f"{rollout.task}@{rollout.candidate.digest[-6:]}"
    return Attempt(name, "", score, {"accuracy": score}, feedback)


def attempt(rollout: Rollout) -> Attempt:
    """A task is solved where the lesson of its number stands in the runbook."""
    return scored(rollout, float(f"lesson {number(rollout.task)}." in rollout.candidate.text))


def judging(solved: Mapping[str, set[int]]) -> Judging:
    """A judge for whom a candidate solves the tasks of the last of these words that stands in its text."""

    def judge(rollout: Rollout) -> Attempt:
        solves = [numbers for word, numbers in solved.items() if word in rollout.candidate.text]
        return scored(rollout, float(number(rollout.task) in solves[-1]))

    return judge


def teach(asked: Reflection, *numbers: int, more: str = "") -> Proposal:
    text = asked.components[-1].text.rstrip("\n")
    new = "".join(f"\n- This is lesson {number}.{more}" for number in numbers)
    cites = (asked.failing[0].trajectory, "never-shown")
    return Proposal(f"lesson {numbers[0]}.", "lessons", text + new + "\n\n", cites)


def teaching(asked: Reflection) -> Answer:
    """A reflector that learns the first failure that it is shown."""
    return teach(asked, number(asked.failing[0].task))


def teaching_all(asked: Reflection) -> Answer:
    """A reflector that learns all failures that it is shown."""
    return teach(asked, *(number(shown.task) for shown in asked.failing))


def for_all(reflect: Reflecting) -> Reflecting:
    """Give a reflector that cites nothing: its edits are for all failures that it was shown."""

    def uncited(asked: Reflection) -> Answer:
        answer = reflect(asked)
        return replace(answer, cites=()) if isinstance(answer, Proposal) else answer

    return uncited


def saying(component: str, text: str) -> Reflecting:
    return lambda _: Proposal("because", component, text)


def adding(*lines: str) -> Reflecting:
    """A reflector that says these lines one after the other, the last one for ever."""
    left = list(lines)

    def reflect(asked: Reflection) -> Answer:
        line = left.pop(0) if len(left) > 1 else left[0]
        return Proposal(line, "lessons", asked.components[-1].text.rstrip("\n") + f"\n- {line}\n\n")

    return reflect


def run(
    reflect: Reflecting = teaching,
    problem: Problem = PROBLEM,
    judge: Judging = attempt,
    *,
    cut: int = MOST_ASKS,
    why: str = "budget",
) -> Heard:
    """Answer a search; from ask number `cut` on it is told that it is stopped."""
    going, asks, replies = search(problem), [], []
    try:
        ask = next(going)
        while True:
            assert len(asks) < MOST_ASKS
            asks.append(ask)
            answers = tuple(map(judge, ask.rollouts)), tuple(map(reflect, ask.reflections))
            replies.append(Reply(*answers) if len(asks) <= cut else Reply(stopped=why))
            ask = going.send(replies[-1])
    except StopIteration as end:
        return Heard(tuple(asks), tuple(replies), end.value)


def optioned(problem: Problem = PROBLEM, **options: object) -> Problem:
    return replace(problem, options=replace(problem.options, **options))


def of_train(numbers: Mapping[int, object] | range | tuple[int, ...], **options: object) -> Problem:
    """Give the problem with other train tasks, by their numbers."""
    train = {f"t{n}": f"where is parcel {n}" for n in numbers}
    return optioned(replace(PROBLEM, train=train), **options)
