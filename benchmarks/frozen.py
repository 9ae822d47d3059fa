"""The digest of what the pair answers: results of two pairs do not compare."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from msgspec.structs import replace

from benchmarks.catalogue import Entry, of_kinds, of_repository
from benchmarks.pair import reflector_named
from benchmarks.work import Case, Counted, Work
from runbookopt.documents.digest import digest_of
from runbookopt.search.asks import Candidate, Component, Reflection, Shown

CASES = 60
"""How many train cases of each work the agents answer for the digest."""

SHOWN = 6
"""How many of them a reflector is shown of each kind, failing and passing."""


@cache
def pair_digest() -> str:
    """Give the digest of what agents and reflectors answer on the works that need no file.

    It is of answers, not of code: a change that makes the pair answer otherwise changes it, and no other.
    """
    return digest_of(list(_answers(of_repository(), ("wrong", "lossy"))))


@cache
def kinds_digest() -> str:
    """Give the same of the works whose edits do not add up."""
    return digest_of(list(_answers(of_kinds(), ())))


def _answers(entries: Sequence[Entry], others: Sequence[str]) -> Iterator[Any]:
    for entry in entries:
        for noise in (0.0, 0.1):
            work = entry.make(0, noise)
            counted = Counted(work)
            shown = [_shown(counted, case) for case in work.train[:CASES]]
            yield [entry.at(noise), [one.output for one in shown]]
            asks = list(_asks(work, shown))
            yield [counted.reflect(ask) for ask in asks]
            for name in others:
                other = Counted(replace(work, reflector=reflector_named(name, 0)))
                yield [other.reflect(ask) for ask in asks]


def _asks(work: Work, shown: list[Shown]) -> Iterator[Reflection]:
    failing = [one for one in shown if one.feedback]
    passing = tuple(one for one in shown if not one.feedback)[:SHOWN]
    parts = tuple(Component(part.id, part.heading, part.text) for part in work.seed.components)
    for start in range(0, len(failing), SHOWN):
        batch = tuple(failing[start : start + SHOWN])
        yield Reflection(Candidate(work.seed.text), parts, batch, passing, (), 10**6)


def _shown(counted: Counted, case: Case) -> Shown:
    attempt = counted.attempt(counted.work.seed.text, case)
    return Shown(attempt.trajectory, case.id, case.input, attempt.output, attempt.score, attempt.feedback)
