"""Drift in windows: its test against an oracle, a year of nights without any, and moves that are seen."""

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, hypergeom

from runbookopt.calibration.drift import NOT_NAMED, Drift, Seen, drift
from runbookopt.calibration.exact_test import Share, fall_p, move_p

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
VERDICTS = Path(__file__).parents[3] / "shared/data/judges/llmbar_verdicts.csv"
shares = st.integers(0, 400).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))


@given(shares, shares)
def test_the_test_is_fishers(before: Share, after: Share) -> None:
    way = after.count * before.of - before.count * after.of
    table = [[after.count, after.of - after.count], [before.count, before.of - before.count]]
    tail = fisher_exact(table, alternative="less" if way < 0 else "greater").pvalue if way else 0.5
    assert move_p(before, after) == pytest.approx(min(1, 2 * tail), rel=1e-7, abs=1e-300)


def test_tens_of_thousands_are_as_exact_as_few() -> None:
    table = [[24_000, 26_000], [25_000, 25_000]]
    expected = 2 * fisher_exact(table, alternative="less").pvalue
    assert move_p(Share(25_000, 50_000), Share(24_000, 50_000)) == pytest.approx(expected, rel=1e-6)


few = st.integers(1, 40).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))


@given(st.tuples(few, few), st.tuples(few, few))
def test_the_test_within_classes_is_the_sum_of_two_draws(
    one: tuple[Share, Share], two: tuple[Share, Share]
) -> None:
    draws = [hypergeom(b.of + a.of, b.count + a.count, a.of) for b, a in (one, two)]
    seen = one[1].count + two[1].count
    expected = sum(draws[0].pmf(count) * draws[1].cdf(seen - count) for count in range(seen + 1))
    assert fall_p([one, two]) == pytest.approx(expected, abs=1e-9)


def attempt(day: int, number: int, rng: random.Random, rate: float) -> Seen:
    passed = {"right": rng.random() < rate, "polite": rng.random() < 0.9}
    people = {"polite": (rng.random() < 0.7, rng.random() < 0.5)} if rng.random() < 0.3 else {}
    failed = " and ".join(name for name, good in passed.items() if not good)
    mode = (rng.choices(["late", "rude", NOT_NAMED])[0],) if failed and rng.random() < 0.5 else None
    at = START + day * DAY + timedelta(minutes=rng.randrange(1440))
    return Seen(at, f"g-{day}-{number}", passed, failed or None, mode, people)


def days(first: int, last: int, rng: random.Random, rate: float = 0.8, a_day: int = 6) -> list[Seen]:
    return [attempt(day, number, rng, rate) for day in range(first, last) for number in range(a_day)]


def night(seen: list[Seen], day: int, window: int = 30, *, since: datetime | None = None) -> Drift:
    now = START + day * DAY + timedelta(hours=3)
    known = [each for each in seen if now - (3 * window + 2) * DAY < each.at <= now]
    return drift(known, criteria=["right", "polite"], judged=["polite"], now=now, days=window, since=since)


def years_with_an_alarm(seeds: range, *, every: int) -> int:
    return sum(
        any(night(year, day, 14).moved for day in range(0, 365, every))
        for year in (days(-60, 365, random.Random(seed), a_day=4) for seed in seeds)
    )


def test_stationary_years_of_looks_are_hardly_ever_called_drift() -> None:
    assert years_with_an_alarm(range(4), every=10) == 0


@pytest.mark.nightly
def test_of_a_hundred_years_of_nightly_looks_at_most_one_in_twenty_has_a_false_alarm() -> None:
    assert years_with_an_alarm(range(100, 200), every=1) <= 5


def test_a_fall_is_seen_and_says_to_optimize() -> None:
    rng = random.Random(1)
    seen = days(0, 60, rng) + days(60, 90, rng, rate=0.4)
    found = night(seen, 90)
    assert found.moved
    assert [advice.todo for advice in found.advice] == ["optimize"]
    assert {(each.subject, each.moved) for look in found.looks for each in look.moved} == {("right", "fell")}


def test_a_collapse_of_one_week_is_seen_before_its_window_is_over() -> None:
    rng = random.Random(2)
    seen = days(0, 65, rng) + days(65, 73, rng, rate=0.0)
    assert not night(seen, 64).moved
    assert night(seen, 73).moved


def test_nothing_is_known_of_a_day_that_is_not_over() -> None:
    rng = random.Random(3)
    seen = days(0, 60, rng)
    before = night(seen, 60)
    today = [attempt(60, number, rng, 0.0) for number in range(200)]
    at = [Seen(START + 60 * DAY, each.group, each.passed) for each in today]
    assert night(seen + at, 60) == before


def test_attempts_of_one_group_count_once_in_a_window() -> None:
    same = [Seen(START + 70 * DAY, "one customer", {"right": False}) for _ in range(500)]
    assert not night(days(0, 60, random.Random(4)) + same, 90, since=START + 65 * DAY).moved


def test_more_of_one_kind_of_failure_says_to_relabel() -> None:
    def failures(first: int, kind: str, modes: tuple[str, ...]) -> Iterator[Seen]:
        for number in range(120):
            yield Seen(START + (first + number % 30) * DAY, f"g-{first}-{number}", {}, kind, modes)

    seen = [*failures(0, "fails right", ("late",)), *failures(30, "fails polite", ("rude",))]
    found = night(seen, 60, since=START + 30 * DAY)
    assert [advice.todo for advice in found.advice] == ["relabel"]
    assert found.looks[0].unseen == ("fails polite", "rude")


def judged(items: list[tuple[bool, bool]], first: int, passed: float = 0.5) -> list[Seen]:
    """Give a month of outputs that people and a judge have judged."""
    return [
        Seen(
            START + (first + number % 30) * DAY,
            f"g-{first}-{number}",
            {"right": number < passed * len(items), "polite": said},
            agreed={"polite": (label, said)},
        )
        for number, (label, said) in enumerate(items)
    ]


def test_a_judge_that_agrees_less_is_to_be_recalibrated_and_its_word_says_nothing_of_the_agent() -> None:
    good = [(number % 2 == 0, number % 2 == 0) for number in range(160)]
    bad = [(label, False) for label, _ in good]
    found = night(judged(good, 0) + judged(bad, 30), 60, since=START + 30 * DAY)
    assert [advice.todo for advice in found.advice] == ["recalibrate"]


def test_less_that_passes_a_judge_without_labels_is_to_be_labelled_first() -> None:
    before = [(True, True)] * 200
    after = [Seen(each.at + 30 * DAY, f"b{each.group}", {"polite": False}) for each in judged(before, 0)]
    found = night(judged(before, 0) + after, 60, since=START + 30 * DAY)
    assert [advice.todo for advice in found.advice] == ["relabel"]
    assert "too few labels say whether the judge still agrees" in found.advice[0].why


def test_what_is_to_come_or_of_today_moves_no_window() -> None:
    seen = days(0, 60, random.Random(5))
    ahead = Seen(datetime(2999, 1, 1, tzinfo=UTC), "g", {"right": False})
    assert night([*seen, ahead], 60) == night(seen, 60)
    assert night([], 60) == Drift((), ())
    assert night(seen, 60, since=START + 400 * DAY).looks == ()


def llmbar_months(before: list[tuple[bool, bool]], after: list[tuple[bool, bool]]) -> Drift:
    seen = judged(before, 0) + judged(after, 30)
    since, now = START + 30 * DAY, START + 60 * DAY + timedelta(hours=3)
    return drift(seen, criteria=["polite"], judged=["polite"], now=now, since=since)


def llmbar(judge: str, prompt: str) -> dict[str, list[tuple[bool, bool]]]:
    """Give, for Natural and Adversarial items, the gold choice and the judge's, where there is one."""
    found: dict[str, list[tuple[bool, bool]]] = {"Natural": [], "Adv": []}
    with VERDICTS.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["judge"], row["prompt"]) == (judge, prompt) and row["verdict"]:
                subset = row["subset"].partition("-")[0]
                found[subset].append((row["gold"] == "2", row["verdict"] == "2"))
    return found


@pytest.mark.skipif(not VERDICTS.is_file(), reason="the data lies beside the repository, where it does")
@pytest.mark.parametrize(
    ("judge", "prompt"),
    [
        ("ChatGPT", "Vanilla"),
        ("ChatGPT-0301", "Vanilla"),
        ("GPT-4", "Vanilla"),
        ("GPT-4", "Vanilla_NoRules"),
    ],
)
def test_adversarial_items_against_natural_ones_are_drift_of_a_real_judge(judge: str, prompt: str) -> None:
    items = llmbar(judge, prompt)
    adversarial = items["Adv"]
    found = llmbar_months(items["Natural"], adversarial)
    assert [advice.todo for advice in found.advice] == ["recalibrate"]
    assert not llmbar_months(adversarial[::2], adversarial[1::2]).moved
    assert not llmbar_months(items["Natural"][::2], items["Natural"][1::2]).moved


@pytest.mark.skipif(not VERDICTS.is_file(), reason="the data lies beside the repository, where it does")
@pytest.mark.parametrize(("judge", "prompt"), [("GPT-4", "Metrics_Reference"), ("PaLM2", "Vanilla")])
def test_of_a_smaller_fall_a_hundred_labels_say_how_much_of_one_they_would_have_seen(
    judge: str, prompt: str
) -> None:
    items = llmbar(judge, prompt)
    found = llmbar_months(items["Natural"], items["Adv"])
    (shift,) = (each for each in found.looks[0].shifts if each.question == "judge against labels")
    assert not found.moved
    assert shift.level < shift.p < 0.05
    assert shift.seen_below is not None
    assert shift.after.share is not None
    assert shift.seen_below < shift.after.share < (shift.before.share or 0)
