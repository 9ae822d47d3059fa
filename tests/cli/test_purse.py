"""Dollars of a whole night: no runbook gets more than the others have left."""

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.cli.purse import Purse
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling


def test_each_gets_what_the_others_have_left() -> None:
    purse = Purse(1.0)
    assert (purse.lend("a", None), purse.lend("a", 0.25), purse.lend("a", 7.0)) == (1.0, 0.25, 1.0)
    with purse.charged(1.0) as charge:
        charge.told(0.403, models=True)
    assert purse.lend("b", None) == 0.59  # whole cents
    with purse.charged(0.59) as charge:
        charge.told(None, models=False)
    assert purse.lend("c", None) == 0.59


@pytest.mark.parametrize("tells", [True, False])
def test_what_is_not_known_is_taken_whole(tells: bool) -> None:
    purse = Purse(0.5)

    def failing() -> None:
        with purse.charged(0.5) as charge:
            if tells:
                charge.told(None, models=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    with pytest.raises(RunbookoptError, match="b: not run: what --all-usd allows for all runbooks is used"):
        purse.lend("b", None)


def test_without_a_bound_each_has_its_own() -> None:
    purse = Purse(None)
    with purse.charged(3.0) as charge:
        charge.told(2.0, models=True)
    assert (purse.lend("a", None), purse.lend("a", 3.0)) == (None, 3.0)


@pytest.mark.slow
def test_a_night_over_all_runbooks_stays_within_its_dollars(
    modelling: "Modelling", planted: ModuleType
) -> None:
    alone = modelling()
    one = alone.found("--no-propose", "--all-usd", "50")["spent"]["usd"]
    assert one > 0.01
    other = {path.replace("desk", "zone"): text for path, text in planted.files().items() if "desk" in path}
    both = modelling(files=other)
    ran = both.clone.ask(
        "optimize-runbook", "--all", "--no-propose", "--json", "--all-usd", f"{one:.2f}",
        environ={"OPENAI_API_KEY": "made-up"},
    )  # fmt: skip
    assert ran.returncode == 1, ran
    spent = [json.loads(line)["spent"]["usd"] or 0.0 for line in ran.stdout.splitlines()]
    assert sum(spent) <= one + 0.005
    assert "zone: not run" in ran.stderr or "usd" in ran.stderr
