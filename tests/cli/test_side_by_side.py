"""Two runs in one clone: what one has paid for, the other does not pay again."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import KEY

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import Modelling


@pytest.mark.slow
def test_two_runs_side_by_side_share_what_they_pay_for(modelling: "Modelling") -> None:
    modelled = modelling(latency=0.05)
    flags = ("--dry-run", "--json", "--width", "4")

    def run(_: int) -> "subprocess.CompletedProcess[str]":
        return modelled.clone.run("optimize-runbook", "desk", *flags, environ={"OPENAI_API_KEY": KEY})

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, range(2))
    assert (first.returncode, second.returncode) == (0, 0), (first.stderr, second.stderr)
    assert modelled.asked_again() == 0
    waited = "desk: waits for another run of it in this clone, and then goes on from its answers\n"
    assert sorted([first.stderr, second.stderr]) == ["", waited]
    assert first.stdout.partition('"spent"')[0] == second.stdout.partition('"spent"')[0]
