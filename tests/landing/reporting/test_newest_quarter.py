from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from runbookopt.evidence.library import Evidence, task_id
from runbookopt.evidence.trajectory import Task
from runbookopt.landing.report import render
from runbookopt.landing.reporting.newest_quarter import Newest, newest_quarter
from runbookopt.proof.comparison import Outcome, Pair
from tests.landing.test_report import FINDINGS

DAY = datetime(2026, 10, 1, 23, 0, tzinfo=UTC)


def seen(gains: list[float], groups: str = "", lacking: int | None = None) -> tuple[list[Pair], Evidence]:
    """Give pairs of a seed that scores .5 with these gains, a day after each other, and their evidence."""
    pairs, tasks = [], []
    for number, gain in enumerate(gains):
        id_, group = task_id(number), groups[number] if groups else str(number)
        pairs.append(Pair(id_, group, (Outcome(0.5, {}),), (Outcome(0.5 + gain, {}),)))
        began = None if number == lacking else DAY + timedelta(days=number)
        tasks.append(Task(id_, number, began=began))
    return pairs, Evidence(tuple(tasks), ())


def test_the_newest_quarter_is_of_when_tasks_began_and_not_of_their_order() -> None:
    pairs, evidence = seen([0.5] * 6 + [0.25, -0.25])
    expected = Newest(tasks=2, since="2026-10-07", before=0.5, after=0.5, gain=0.0)
    assert newest_quarter(pairs[::-1], evidence) == expected
    assert newest_quarter(pairs, evidence) == expected


def test_a_quarter_is_rounded_up_and_groups_count_once() -> None:
    pairs, evidence = seen([0.0] * 6 + [0.1, 0.3, 0.4], groups="abcdefggh")
    newest = newest_quarter(pairs, evidence)
    assert newest is not None
    assert (newest.tasks, newest.gain) == (3, pytest.approx((0.2 + 0.4) / 2))


@pytest.mark.parametrize("gains", [[], [0.1] * 5])
def test_where_a_time_is_unknown_nothing_is_said(gains: list[float]) -> None:
    assert newest_quarter(*seen(gains, lacking=2)) is None


def test_the_report_says_it_beside_the_whole() -> None:
    newest = Newest(tasks=15, since="2026-10-09", before=0.4, after=0.475, gain=0.075)
    report = render(replace(FINDINGS, newest=newest))
    assert (
        "On the newest quarter of them, 15 tasks that began on 2026-10-09 or later: 0.400 before, 0.475 after"
        " (+0.075). It decides nothing." in report
    )
    assert "newest quarter" not in render(FINDINGS)
