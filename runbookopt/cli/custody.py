"""Custody of the forge's token: taken out of the environment before a command does anything else.

What runs agents, or programs of the repository, is a process that never had it (`apart`).
"""

import os
from collections.abc import Mapping

from runbookopt.sandbox import secrecy

_HELD: dict[str, str] = {}


def take() -> None:
    """Take the variables of the forge into custody, and let no other process look into this one."""
    secrecy.hide()
    drop()
    _HELD.update(secrecy.forget(os.environ, secrecy.OF_THE_FORGE))


def environ() -> Mapping[str, str]:
    """The environment with what is in custody: for who speaks to the forge, and for who must know secrets."""
    return {**os.environ, **_HELD}


def holds() -> bool:
    """Whether there is anything in custody."""
    return bool(_HELD)


def drop() -> None:
    """Forget what is in custody: this process is about to run programs of the repository."""
    _HELD.clear()
