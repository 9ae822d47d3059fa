"""Ending of a search: why it went no further, by its cause (pure)."""

from typing import Literal

Cause = Literal["solved", "learnt", "unseen", "barren", "unfit", "budget", "minutes"]
"""Why a search went no further.

`solved`: every task passes. `learnt`: every train task does, and not all of validation: there is nothing to
reflect on. `unseen`: all of validation passes, and not every train task: nothing better could be seen.
`barren`: waves in a row brought nothing better. `unfit`: too many reflections in a row failed.
`budget`, `minutes`: the driver answers nothing more.
"""


def stopped(why: str) -> Cause:
    """The cause that a driver which answers nothing more gives: time where it says so, else the budget."""
    return "minutes" if why == "minutes" else "budget"


class Ended(Exception):
    """The search goes no further: its cause, and a sentence."""

    def __init__(self, cause: Cause, words: str) -> None:
        super().__init__(words)
        self.cause = cause
        self.words = words


class Learnt(Ended):
    """There is nothing left to reflect on."""
