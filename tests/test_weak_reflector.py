"""A reflector that gives garbage every other time, and what it costs."""

import random

import pytest
from msgspec.structs import replace

from benchmarks import weak
from benchmarks.catalogue import of_kinds
from benchmarks.quality import options_of
from benchmarks.replies import combined
from benchmarks.tasks.kinds import work_of
from benchmarks.weak import GARBAGE, Spoken, written
from benchmarks.work import Counted
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection, ReflectionFailure, Shown
from runbookopt.search.reflecting import prompt
from runbookopt.search.reflecting.reply import read

WORK = work_of("tail", 4)


def asked() -> Reflection:
    counted, runbook = Counted(WORK), WORK.seed
    told = [(case, counted.attempt(runbook.text, case)) for case in WORK.train[:12]]
    shown = [Shown(a.trajectory, c.id, c.input, a.output, a.score, a.feedback) for c, a in told]
    return Reflection(
        Candidate(runbook.text),
        tuple(Component(part.id, part.heading, part.text) for part in runbook.components),
        tuple(one for one in shown if one.feedback),
        tuple(one for one in shown if not one.feedback),
        (),
        10**6,
    )


def test_what_is_said_as_text_is_read_as_it_was_meant() -> None:
    ask = asked()
    meant = Counted(WORK).reflect(ask)
    said = read(ask, written(ask, meant), partly=True)
    assert isinstance(meant, Proposal)
    assert isinstance(said, Proposal)
    assert [edit.text for edit in said.edits] == [edit.text for edit in meant.edits][: len(said.edits)]
    parts = {part.id: part.text for part in ask.components}
    assert combined(parts, said.edits) != parts


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_read_as_such_but_for_a_part_that_is_said_anew(garbage: weak.Garbage) -> None:
    ask, chance = asked(), random.Random(0)
    meant = written(ask, Counted(WORK).reflect(ask))
    for _ in range(10):
        found = read(ask, garbage(ask, meant, prompt.prompt(ask), chance))
        if garbage.__name__ == "_retold" and isinstance(found, Proposal):
            assert len(found.text) < len(next(p.text for p in ask.components if p.id == found.component))
        else:
            assert isinstance(found, ReflectionFailure)


def test_half_of_the_replies_are_garbage_and_what_that_costs_is_little() -> None:
    """Of two runs of a few hundred rollouts, in the mean."""
    scores = {}
    for garbage in (0.0, 0.5):
        found = []
        for name in ("conflict", "rewrite"):
            work = next(entry for entry in of_kinds() if entry.name == name).make(5, 0.0)
            spoken = Spoken(work.reflector, 5, garbage)
            made = replace(work, reflector=spoken)
            course = weak.ours.run(made, options_of(made, 5), 300, free=True)
            found.append(Counted(work).true_score(course.steps[-1].text))
            assert spoken.spoilt <= spoken.replies
            assert (spoken.spoilt > spoken.replies / 4) == bool(garbage)
        scores[garbage] = sum(found) / len(found)
    assert scores[0.5] >= scores[0.0] - 0.05
