"""Purse of one command: dollars that all its runbooks may use together."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from runbookopt.errors import RunbookoptError


class Purse:
    """What is `left`, in dollars; None is no bound. Each runbook gets at most that."""

    def __init__(self, dollars: float | None) -> None:
        self.left = dollars

    def lend(self, name: str, own: float | None) -> float | None:
        """What a runbook may use whose own budget is `own`, in whole cents. Raises RunbookoptError: empty."""
        if self.left is None:
            return own
        cents = math.floor(self.left * 100 + 1e-6) / 100
        if cents <= 0:
            raise RunbookoptError(f"{name}: not run: what --all-usd allows for all runbooks is used up")
        return cents if own is None else min(own, cents)

    @contextmanager
    def charged(self, lent: float | None) -> Iterator["Charge"]:
        """Take what was used out of it: all that was lent, where a run ends without telling."""
        charge = Charge(lent or 0.0)
        try:
            yield charge
        finally:
            if self.left is not None:
                self.left -= charge.dollars


class Charge:
    """What one run takes: all that was lent to it, until it tells what it used."""

    def __init__(self, lent: float) -> None:
        self.dollars = lent

    def told(self, used: float | None, *, models: bool) -> None:
        """Take what a run tells; where it asked models and does not know what that cost, all stays taken."""
        if used is not None or not models:
            self.dollars = used or 0.0
