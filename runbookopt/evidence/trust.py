"""Trust in evidence: a repository's policy gives it by path, and a line may only take some away (pure)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, get_args

from msgspec import Meta, Struct

from runbookopt.documents.path_patterns import covers
from runbookopt.evidence.trajectory import Trust

LEAST: Trust = "public"
"""What is trusted that no pattern names."""

Paths = Annotated[
    str,
    Meta(
        pattern=r"^/?[^/*?\s]+/.*[^\s]$",
        description="a path of evidence, as in trajectories/NAME/2026.jsonl, or a pattern of some",
    ),
]


class Given(Struct, frozen=True):
    """What a policy says of evidence: how far it is trusted by path, and what is never reflected on.

    `personal`: whether personal data is taken out of it, wherever it stands.
    """

    trust: Mapping[str, Trust] = {}
    red_team: tuple[str, ...] = ()
    personal: bool = False

    def to(self, path: str) -> Trust:
        """The trust in the lines of a file: the least that a pattern which covers it gives."""
        return least((trust for paths, trust in self.trust.items() if covers(paths, path)), LEAST)

    def is_red_team(self, path: str) -> bool:
        """Whether nobody is to reflect on what stands in a file."""
        return any(covers(paths, path) for paths in self.red_team)


def lowered(of_file: Trust, said: Trust | None) -> Trust:
    """Trust in a record: what its file is given, less where it says so itself."""
    return least((of_file, said or of_file))


def least(trusts: Iterable[Trust], default: Trust = LEAST) -> Trust:
    """The least trust of some."""
    return min(trusts, key=rank, default=default)


def rank(trust: Trust) -> int:
    """Its place, from 0 for the least."""
    order: tuple[Trust, ...] = get_args(Trust)
    return order.index(trust)
