"""The works whose edits do not add up are what they are said to be."""

import random
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks import earlier, ours
from benchmarks.course import Course
from benchmarks.frozen import kinds_digest
from benchmarks.quality import options_of
from benchmarks.replies import combined
from benchmarks.tasks.kinds import HOUSE, KINDS, Truth, shortest, work_of
from benchmarks.tasks.remedies import (
    FRAMES,
    REMEDIES,
    World,
    bits,
    carried,
    cleaned,
    followed,
    items,
    needs,
    note_of,
    takes,
    written,
)
from benchmarks.tasks.wording import ASIDES
from benchmarks.work import Case, Counted, Work
from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection, Shown


@cache
def work(name: str, seed: int = 0) -> Work:
    return work_of(name, seed)


def asked(made: Work, cases: tuple[Case, ...], text: str | None = None, name: str = "") -> Reflection:
    """Show a reflector how these cases went with a text, under ids that begin with `name`."""
    runbook = runbooks.parse(text or made.seed.text)
    counted = Counted(made)
    attempts = [(case, counted.attempt(runbook.text, case)) for case in cases]
    shown = [
        Shown(name + a.trajectory, name + case.id, case.input, a.output, a.score, a.feedback)
        for case, a in attempts
    ]
    return Reflection(
        Candidate(runbook.text),
        tuple(Component(part.id, part.heading, part.text) for part in runbook.components),
        tuple(one for one in shown if one.feedback),
        tuple(one for one in shown if not one.feedback),
        (),
        10**6,
    )


def replied(made: Work, ask: Reflection) -> tuple[Proposal, ...]:
    said = Counted(made).reflect(ask)
    assert isinstance(said, Proposal)
    return (said, *said.also)


def many(made: Work, size: int = 10, count: int = 40) -> list[tuple[Reflection, tuple[Proposal, ...]]]:
    chance = random.Random(0)
    asks = [asked(made, tuple(chance.sample(made.train, size))) for _ in range(count)]
    return [(ask, replied(made, ask)) for ask in asks if ask.failing]


def text_of(names: list[str], *more: str) -> str:
    chance = random.Random(0)
    return "\n".join(["## Orders", "", *(written([name], chance) for name in names), *more, ""])


def score(made: Work, world: World, text: str) -> float:
    done = [len(followed(world, text, case.input)) / len(case.reference) for case in made.held_out]
    return sum(done) / len(done)


def world_of(made: Work) -> World:
    assert isinstance(made.truth, Truth)
    return made.truth.world


def test_every_word_for_a_remedy_is_its_own_and_no_other_text_holds_one() -> None:
    lines = [f"- {frame.format(topic=topic, action=action)}"
             for frame in FRAMES for remedy in REMEDIES.values()
             for topic in remedy.topics for action in remedy.actions]  # fmt: skip
    assert {len(carried(line)) for line in lines} == {1}
    assert [name for text in (*ASIDES, *HOUSE.values()) for name in (*needs(text), *carried(text))] == []


@pytest.mark.parametrize("name", KINDS)
def test_a_work_is_a_function_of_its_seed_with_cases_that_need_what_they_say(name: str) -> None:
    one, again, other = work_of(name, 0), work_of(name, 0), work_of(name, 1)
    assert (one.seed.text, one.train, one.held_out) == (again.seed.text, again.train, again.held_out)
    assert one.held_out != other.held_out
    cases = (*one.train, *one.validation, *one.held_out)
    assert (len(one.train), len(one.validation), len(one.held_out)) == (60, 50, 300)
    assert len({case.input for case in cases}) == len(cases)
    assert all(set(needs(case.input)) == case.reference.keys() for case in cases)
    assert 0 < Counted(one).true_score(one.seed.text) < 0.5


@pytest.mark.parametrize("name", KINDS)
def test_the_reviewer_answers_what_stands_there_whatever_it_is_called(name: str) -> None:
    made = work(name)
    ask, renamed = (asked(made, made.train[:12], name=prefix) for prefix in ("", "other-"))
    one, other = replied(made, ask), replied(made, renamed)
    assert [edit.text for edit in one] == [edit.text for edit in other]
    assert one[0].cites[0] in {shown.trajectory for shown in ask.failing}
    assert one == replied(work_of(name, 0), ask)


def test_a_reply_mends_the_first_failure_and_at_most_three_other_causes_each_apart() -> None:
    made = work("unlike")
    for ask, edits in many(made):
        assert len(edits) <= 4
        assert ask.failing[0].trajectory in edits[0].cites
        before = {part.id: part.text for part in ask.components}
        new = [set(items(edit.text)) - set(items(before[edit.component])) for edit in edits]
        assert [len(lines) for lines in new] == [1] * len(edits)
        together = "".join(combined(before, edits).values())
        assert set.union(*new) <= set(items(together))
    assert any(len(edits) == 4 for _, edits in many(made))


def test_of_two_edits_of_the_same_line_the_first_counts_and_insertions_all_stand() -> None:
    texts = ("a\nb\nc\n", "a\nB\nc\n", "a\nbb\nc\n", "a\nb\nd\nc\n", "a\nb\ne\nc\n")
    edits = [Proposal("", "part", text) for text in texts[1:]]
    assert combined({"part": texts[0]}, edits) == {"part": "a\nB\nd\ne\nc\n"}


def test_crowded_each_further_line_is_followed_less_and_so_all_that_help_alone_are_too_many() -> None:
    made = work("crowded")
    world = world_of(made)
    idle = [f"- Keep in mind number {number}." for number in range(24)]
    names = list(world.remedies)
    few, crowded = (score(made, world, text_of(names[:10], *idle[:more])) for more in (0, 24))
    assert crowded < few - 0.1
    assert score(made, world, text_of(names)) < few


def test_overlap_most_replies_hold_one_remedy_in_words_of_their_own() -> None:
    made = work("overlap")
    lines = [line for _, edits in many(made) for edit in edits for line in items(edit.text)]
    known = set(items(made.seed.text))
    head = world_of(made).remedies[0]
    said = [line for line in lines if line not in known and head in carried(line)]
    assert len(said) > 0.7 * len(many(made))
    assert len(set(said)) > 0.75 * len(said)


def test_overlap_the_shortest_text_holds_each_remedy_once_and_nothing_idle() -> None:
    chance = random.Random(0)
    one, other = (written(["the newsletter"], chance) for _ in range(2))
    text = f"## A\n\n- Be kind.\n{one}\n{other}\n- Read twice.\n"
    assert shortest(text, [one, other, "- Read twice."]) == len(text) - max(len(one), len(other)) - 15
    assert shortest(f"## A\n\n- Be kind.\n{one}\n", [one]) == len(f"## A\n\n- Be kind.\n{one}\n")


def test_conflict_two_lines_help_alone_and_harm_together_until_one_says_both() -> None:
    made = work("conflict")
    world = world_of(made)
    seed = [name for line in items(made.seed.text) for name in carried(line)]
    assert len(world.clashes) == 4
    for one, other in world.clashes:
        alone = [score(made, world, text_of([*seed, *names])) for names in ([], [one], [other])]
        together = score(made, world, text_of([*seed, one, other]))
        assert min(alone[1:]) > alone[0] > together
        both = written([one, other], random.Random(0))
        assert score(made, world, text_of(seed, both)) > min(alone[1:])


def test_poison_one_edit_in_four_takes_over_tasks_that_its_reflection_did_not_see() -> None:
    made = work("poison")
    world, replies = world_of(made), many(made)
    edits = [(ask, edit) for ask, told in replies for edit in told]
    harmful = []
    for ask, edit in edits:
        for note in (note for line in items(edit.text) if (note := note_of(line)) is not None):
            assert not any(takes(note, bits(str(one.input))) for one in (*ask.failing, *ask.passing))
            harmful.append(edit)
    assert 0.15 < len(harmful) / len(edits) < 0.3
    for edit in harmful[:5]:
        (line,) = (line for line in items(edit.text) if note_of(line) is not None)
        clean = edit.text.replace(line, cleaned(line))
        assert score(made, world, edit.text) < score(made, world, clean)
    told = made.truth.measures(harmful[0].text, [line, "- Be kind."]) if made.truth else {}
    assert told == {"harmful": 1, "harmful kept": float(line in harmful[0].text)}


def test_rewrite_a_part_comes_back_in_other_words_and_mends_several_causes_at_once() -> None:
    replies = many(work("rewrite"))
    assert all(len(edits) == 1 for _, edits in replies)
    for ask, (edit,) in replies:
        before = next(part.text for part in ask.components if part.id == edit.component)
        kept = set(items(before)) & set(items(edit.text))
        assert len(kept) <= len(items(before)) / 2
    held = [{name for line in items(edit.text) for name in carried(line)} for _, (edit,) in replies]
    assert sum(map(len, held)) / len(held) > 4


def test_unlike_no_two_failures_are_told_in_the_same_words_and_elsewhere_they_are() -> None:
    told = [[line for case in work(name).train for line in case.reference.values()] for name in KINDS]
    alike = {name: len(lines) - len(set(lines)) for name, lines in zip(KINDS, told, strict=True)}
    assert alike.pop("unlike") == 0
    assert min(alike.values()) > 20
    assert all("expected" not in line for line in told[list(KINDS).index("unlike")])


def test_tail_three_in_a_hundred_tasks_fail_in_a_way_of_their_own() -> None:
    made = work("tail")
    assert isinstance(made.truth, Truth)
    rare = world_of(made).remedies[-1]
    counts = [
        sum(rare in case.reference for case in part) for part in (made.train, made.validation, made.held_out)
    ]
    assert counts == [2, 2, 9]
    assert made.truth.measures(made.seed.text, ()) == {"tail": 0.0}
    line = written([rare], random.Random(0))
    assert made.truth.measures(f"{made.seed.text}{line}\n", ())["tail"] > 0.5


def gepas(made: Work) -> Course:
    peer = pytest.importorskip("benchmarks.peer", reason="gepa is there for the benchmarks alone")
    course: Course = peer.run(made, peer.arms()[0], 200, 0, 4000)
    return course


def of_ours(made: Work) -> Course:
    return ours.run(made, options_of(made, 0), 200, free=False)


@pytest.mark.parametrize("engine", [of_ours, gepas])
@pytest.mark.parametrize("name", ["poison", "rewrite"])
def test_both_engines_run_on_such_a_work_and_what_they_were_told_is_known(
    name: str, engine: Callable[[Work], Course]
) -> None:
    made = work_of(name, 0, 0.1)
    course = engine(made)
    assert course.rollouts >= 110
    assert all(line not in made.seed.text for line in course.details["proposed"])
    new = set(items(course.steps[-1].text)) - set(items(made.seed.text))
    assert new <= set(course.details["proposed"])


def test_an_earlier_search_runs_beside_todays_under_a_name_of_its_own(tmp_path: Path) -> None:
    if subprocess.run(
        ["git", "cat-file", "-e", "e86100d^{commit}"], cwd=earlier.ROOT, check=False
    ).returncode:
        pytest.skip("this clone has not the history")
    made = work("tail")
    before = earlier.loaded(earlier.exported("e86100d", tmp_path))
    course = earlier.run(before, made, 0, 300, free=True)
    assert course.rollouts <= 300
    assert Counted(made).true_score(course.steps[-1].text) > Counted(made).true_score(made.seed.text) + 0.1
    with pytest.raises(earlier.NoSuchSearch, match="nowhere"):
        earlier.exported("nowhere", tmp_path)


def test_noise_errs_in_one_of_ten_attempts() -> None:
    quiet, noisy = work("unlike"), work_of("unlike", 0, 0.1)
    text = text_of(list(world_of(quiet).remedies))
    pairs = [
        (Counted(quiet).attempt(text, case), Counted(noisy).attempt(text, case)) for case in quiet.held_out
    ]
    passing = [erring.score for true, erring in pairs if true.score]
    assert 0.05 < passing.count(0.0) / len(passing) < 0.15
    assert replace(quiet, agent=noisy.agent).agent.deterministic is False


def test_the_works_answer_as_they_did_when_their_figures_were_measured() -> None:
    assert kinds_digest() == "sha256:2429177c81c074d30bd41d6589848c2bbefcd2397a254b8176180d059218e30b"
