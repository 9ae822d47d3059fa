import re

import pytest
from msgspec.structs import replace

from runbookopt.proof.comparison import Comparison
from runbookopt.proof.disclosure import more_tasks, told

FEW = Comparison(
    tasks=72, groups=72, before=0.5, after=0.55, gain=0.05, low=-0.02, high=0.12, p=0.2,
    answer="inconclusive", reasons=(), objectives={}, tasks_needed=99, passing_today=36, errors=0.0,
)  # fmt: skip
REASONS = (
    "the held-out score goes from 50.0 % to 55.0 %: +5.0 points, at least -2.0 points",
    "p = 0.2 is above the 0.025 that this look may spend",
    "objective polite-tone is significantly worse: -3.0 points, p = 0.01",
    "objective style may be worse: -6.0 points, with -5.0 points tolerated",
    "gate no-secret fails significantly more often: 1 to 9 tasks, p = 0.02",
    "gate json.2 fails more often: 3 to 4 tasks",
    "about 99 more held-out groups would settle it",
    "harm that strikes less than 3 in 72 tasks is invisible here",
)


@pytest.mark.parametrize(
    ("needed", "size"),
    [
        (1, "fewer than 100"),
        (99, "fewer than 100"),
        (100, "fewer than 300"),
        (299, "fewer than 300"),
        (300, "fewer than 1,000"),
        (1_000, "1,000 or more"),
        (47_099, "1,000 or more"),
        (None, "1,000 or more"),
    ],
)
def test_what_would_settle_it_is_one_of_four_sizes(needed: int | None, size: str) -> None:
    found = replace(FEW, tasks_needed=needed)
    assert more_tasks(found) == size
    assert told(found) == (f"{size} more held-out tasks would settle it",)


def test_where_tasks_are_not_what_is_lacking_no_size_is_told() -> None:
    assert more_tasks(replace(FEW, answer="rejected", tasks_needed=None)) is None
    unjudged = replace(FEW, errors=0.2, tasks_needed=None)
    assert (more_tasks(unjudged), told(unjudged)) == (None, ("too many attempts could not be judged",))


def test_harm_is_named_without_a_figure() -> None:
    assert told(replace(FEW, answer="rejected", tasks_needed=None, reasons=REASONS)) == (
        "objective polite-tone is significantly worse",
        "objective style may be worse",
        "gate no-secret fails significantly more often",
        "gate json.2 fails more often",
    )


def test_no_reason_brings_a_figure_with_it() -> None:
    said = " ".join(told(replace(FEW, reasons=REASONS))).replace("json.2", "").replace("fewer than 100", "")
    assert re.search(r"\d", said) is None
