"""Real records replayed (benchmarks/records.py): what is taken for an example, and how racing goes."""

import statistics
from random import Random

import pytest

from benchmarks.records import (
    RECORDS,
    Prompts,
    examples_of,
    is_better,
    items_of,
    itemwise,
    prompts_of,
    raced,
    replayed,
    summaries,
    together,
)

there = pytest.mark.skipif(not RECORDS.is_dir(), reason="the records do not stand beside the repository")


def made_up(seed: int, prompts: int = 30) -> Prompts:
    """Prompts of which each has its own chance on examples that are more or less hard for all."""
    rng = Random(seed)
    chances = [rng.uniform(0.6, 0.9) for _ in range(prompts)]
    blocks = [[rng.gauss(0, 0.3) for _ in range(30)] for _ in range(10)]
    right = [
        tuple(sum(rng.random() < chance + hard for hard in block) for block in blocks) for chance in chances
    ]
    return Prompts(f"x/made-up/{seed}", tuple(right), (0,) * prompts)


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.7])
def test_examples_have_as_many_right_as_the_block_and_are_as_alike_as_was_asked_for(likeness: float) -> None:
    rng, both = Random(1), []
    for _ in range(300):
        one, other = examples_of((24, 21), likeness, rng)
        assert (sum(one), sum(other)) == (24, 21)
        both.append(sum(a and b for a, b in zip(one, other, strict=True)) / 30)
    chance, together_ = 0.8 * 0.7, statistics.fmean(both)
    alike = (together_ - chance) / (0.8 * 0.2 * 0.7 * 0.3) ** 0.5
    assert alike == pytest.approx(likeness, abs=0.08)


def test_prompts_that_share_what_is_hard_are_found_to_be_alike_and_others_are_not() -> None:
    shared = statistics.fmean(made_up(seed).likeness() for seed in range(10))
    own = Random(2)
    apart = [tuple(own.choices(range(20, 28), k=10)) for _ in range(40)]
    assert Prompts("x/y/z", tuple(apart), (0,) * 40).likeness() < 0.1 < shared < 0.6


def test_a_paired_test_counts_only_examples_that_differ() -> None:
    assert not is_better(0b1100, 0b0011, 30)
    assert not is_better(0b1, 0b0, 150) or is_better(0b11, 0b00, 150)
    assert is_better((1 << 20) - 1, (1 << 12) - 1, 30)
    assert not is_better((1 << 12) - 1, (1 << 20) - 1, 30)


def test_who_is_clearly_worse_leaves_the_race_and_is_paid_for_no_more() -> None:
    good, bad = [1] * 60, [0] * 60
    found = raced("x", [bad, good, *[bad] * 8], [0.0, 1.0, *[0.0] * 8], keep=1, rng=Random(0))
    assert (found.true, found.told, found.spent) == (1.0, 1.0, 0.5), "one block of two"
    late = raced("x", [good, good, bad], [0.5, 1.0, 0.0], keep=2, rng=Random(0))
    assert (late.told, late.spent) == (1.0, 0.5)


def test_a_mean_is_over_runs_and_not_over_their_draws() -> None:
    runs = [replayed(made_up(seed, 8), draws=1) for seed in range(2)]
    told = {(each.size, each.rule): each for each in summaries(together(runs, "all"))}
    assert {each.optimism.count for each in told.values()} == {2}
    assert told[30, "CAPO's racing"].spent == 1
    assert all(each.regret.value >= 0 for each in told.values())


@there
def test_the_records_are_read_whole_and_their_prompts_are_alike() -> None:
    runs = prompts_of(RECORDS / "capo_block_scores.csv.gz")
    assert len(runs) == 154
    assert 0.5 < statistics.fmean(run.likeness() for run in runs) < 0.9
    items = items_of(RECORDS / "gepa_confidence_pairs.csv")
    assert sum(map(len, items.values())) == 4456


@there
def test_the_luck_of_the_best_of_real_prompts_is_taken_off_item_by_item() -> None:
    items = items_of(RECORDS / "gepa_confidence_pairs.csv")["emotion"]
    replays = itemwise("emotion", items, draws=40, sizes=(1,))
    told = {each.rule: each for each in summaries([replays])}["ours, no bar"]
    assert told.luck.value > 0.01
    assert told.optimism.value < 0.5 * told.luck.value
