"""One thing that a forge should see to, and what it is held against (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from runbookopt.forge.protection import Protection
from runbookopt.forge.surroundings import Surroundings
from runbookopt.landing.policy import Policy


class Demand(Struct, frozen=True):
    """One thing that the forge should see to; None is unknown, and unknown is not yes.

    `found` is how it is; where it does not hold, `danger` is what could happen and `setting` what closes it.
    """

    name: str
    holds: bool | None
    found: str
    danger: str
    setting: str

    @property
    def answer(self) -> Literal["yes", "no", "unknown"]:
        """Whether it holds, in a word."""
        return "unknown" if self.holds is None else "yes" if self.holds else "no"


class Declared(Struct, frozen=True):
    """A runbook's policy; `files` are what decides over it: rubric, policy and people's labels."""

    runbook: str
    policy: Policy
    files: tuple[str, ...]


class Enforced(Struct, frozen=True, kw_only=True):
    """What a forge enforces for the default branch.

    `codeowners` are the texts of its files of that name, by path. `members` are the logins of each team that
    a policy names, None where they are not told.
    """

    protection: Protection
    surroundings: Surroundings
    codeowners: Mapping[str, str] = {}
    members: Mapping[str, Sequence[str] | None] = {}


def few(items: Iterable[str], most: int = 5) -> str:
    """Name the first of them, and say how many more there are."""
    found = list(items)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
