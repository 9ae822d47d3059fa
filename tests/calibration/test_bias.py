"""Bias battery: what a judge does with changes that must not count, against one that errs by chance alone."""

import csv
import json
import random
from pathlib import Path

import pytest

from runbookopt.calibration.bias import (
    CHANGES,
    LEAST,
    Probe,
    ProbeResult,
    Verdict,
    changed,
    own_family,
    placebo,
    position,
    shifted,
)

VERDICTS = Path(__file__).parents[3] / "shared/data/judges/llmbar_verdicts.csv"


def verdicts(rng: random.Random, size: int, noise: float, bias: float = 0.0) -> tuple[list[Verdict], ...]:
    """Give a judge's verdicts on outputs half of which are good, beside a placebo and with a change."""
    good = [number % 2 == 0 for number in range(size)]

    def judged(leans: float) -> list[Verdict]:
        said = [each != (rng.random() < noise) for each in good]
        return ["pass" if each or rng.random() < leans else "fail" for each in said]

    return judged(0), judged(0), judged(bias)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_judge_that_errs_by_chance_alone_hardly_ever_fails(noise: float) -> None:
    draws = [verdicts(random.Random(seed), 60, noise) for seed in range(300)]
    assert sum(shifted(b, c).outcome == "failed" for _, b, c in draws) <= 5
    assert sum(placebo(a, b).outcome == "failed" for a, b, _ in draws) <= 15  # 9.5 % flip, and 10 % may


def test_a_judge_that_is_won_over_fails() -> None:
    draws = [verdicts(random.Random(seed), 60, 0.05, bias=0.4) for seed in range(100)]
    assert sum(shifted(b, c).outcome == "failed" for _, b, c in draws) >= 80


def test_a_judge_that_says_anything_fails_its_placebo() -> None:
    one, two, _ = verdicts(random.Random(1), 60, 0.3)
    assert placebo(one, two).outcome == "failed"
    assert placebo(one, one) == ProbeResult(
        60, one.count("fail"), 0, 0, 0, 0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 60)), None, "passed"
    )


def test_of_few_failing_outputs_nothing_is_known_and_nothing_of_none() -> None:
    few: list[Verdict] = ["pass"] * 40 + ["fail"] * (LEAST - 1)
    assert shifted(few, few).outcome == "unknown"
    assert shifted([None, "pass"], ["pass", None]).lost == 2
    assert shifted([], []).outcome == placebo([], []).outcome == own_family([], []).outcome == "unknown"
    assert position([], []).outcome == "unknown"


def test_a_judge_that_is_kind_to_its_own_family_fails_where_people_say_the_same_of_both() -> None:
    others = [("fail", "fail")] * 40 + [("pass", "pass")] * 40
    kind = [("fail", "pass")] * 20 + [("fail", "fail")] * 20 + [("pass", "pass")] * 40
    better = [("fail", "fail")] * 10 + [("pass", "pass")] * 70
    assert own_family(kind, others).outcome == "failed"  # type: ignore[arg-type]
    assert own_family(better, others).outcome == "passed"  # type: ignore[arg-type]


@pytest.mark.parametrize("probe", CHANGES)
def test_a_change_leaves_json_what_it_was_but_for_one_text(probe: Probe) -> None:
    output = json.dumps({"queue": "card", "reason": "It says that the card is gone.", "score": 3})
    value = json.loads(changed(output, probe, passes="met"))
    assert (value["queue"], value["score"]) == ("card", 3)
    assert value["reason"].startswith("It says that the card is gone.")
    assert (len(value["reason"]) > len("It says that the card is gone.")) == (probe != "placebo")
    assert changed("words", probe, passes="met").startswith("words")


@pytest.mark.skipif(not VERDICTS.is_file(), reason="the data lies beside the repository, where it does")
def test_position_of_real_judges() -> None:
    found = {}
    with VERDICTS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for judge in ("GPT-4", "ChatGPT"):
        own = [row for row in rows if (row["judge"], row["prompt"]) == (judge, "Vanilla")]
        words: dict[str, Verdict] = {"1": "pass", "2": "fail", "": None}
        # verdict_swapped names the item as in the first order: "1" is shown second there
        swapped: dict[str, Verdict] = {"1": "fail", "2": "pass", "": None}
        found[judge] = position(
            [words[row["verdict"]] for row in own], [swapped[row["verdict_swapped"]] for row in own]
        )
    places = {name: (each.toward, each.away, each.outcome) for name, each in found.items()}
    assert places == {"GPT-4": (20, 10, "passed"), "ChatGPT": (133, 10, "failed")}
