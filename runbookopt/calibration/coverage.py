"""Coverage: how many of the failure modes that people named a criterion that decides would notice (pure)."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from runbookopt.calibration.failure_modes import failing, mode_key, modes, unnamed
from runbookopt.calibration.labels import Rating
from runbookopt.calibration.status import Status

MOST = 0.5
"""A criterion covers a mode of whose failures it notices at least so many."""


class CoveredMode(Struct, frozen=True):
    """A mode, and the criteria that decide and notice it; none where nothing does."""

    key: str
    name: str
    failures: int
    criteria: tuple[str, ...]


class Coverage(Struct, frozen=True):
    """Coverage of the named modes; `unnamed` failures have no mode, and count as not covered by volume.

    `count` and `volume` are None where nobody has named a mode yet: nothing is known, which is not 0.
    """

    modes: tuple[CoveredMode, ...]
    unnamed: int = 0

    @property
    def covered(self) -> tuple[CoveredMode, ...]:
        """The modes that a criterion which decides notices."""
        return tuple(mode for mode in self.modes if mode.criteria)

    @property
    def uncovered(self) -> tuple[CoveredMode, ...]:
        """The modes that none does, the most frequent first."""
        return tuple(mode for mode in self.modes if not mode.criteria)

    @property
    def count(self) -> float | None:
        """The share of the modes that are covered."""
        return len(self.covered) / len(self.modes) if self.modes else None

    @property
    def volume(self) -> float | None:
        """The share of the failures that are of a covered mode."""
        failures = sum(mode.failures for mode in self.modes) + self.unnamed
        return sum(mode.failures for mode in self.covered) / failures if self.modes and failures else None

    def __str__(self) -> str:
        """The sentence that tells it."""
        if self.count is None or self.volume is None:
            return "coverage is not known: nobody has named a failure mode (see `runbookopt modes`)"
        names = ", ".join(mode.name for mode in self.uncovered[:3])
        more = f" and {len(self.uncovered) - 3} more" if len(self.uncovered) > 3 else ""  # noqa: PLR2004
        lacking = f"; not {names}{more}" if names else ""
        return (
            f"criteria that decide notice {len(self.covered)} of {len(self.modes)} failure modes"
            f" ({100 * self.count:.0f} %), which make {100 * self.volume:.0f} % of the failures that"
            f" people found"
            f"{lacking}"
        )


def coverage(
    ratings: Sequence[Rating],
    statuses: Mapping[str, Status],
    verdicts: Mapping[tuple[str, str], str] | None = None,
) -> Coverage:
    """Coverage of the modes by criteria with these statuses.

    A criterion that gates covers a mode by whose name it goes, or for which people failed it on half of the
    mode's failures and more: it has earned its say on them. One that is exempt covers a mode by whose name it
    goes alone: that an answer is other than the reference tells nothing of what is wrong with it. Neither
    does where its own verdict on most of the failures is known and is no fail: `verdicts`, by criterion and
    trajectory.
    """
    shown, blamed_for, found = failing(ratings), _blamed(ratings), []
    for mode in modes(ratings):
        ids, blamed = shown[mode.key], blamed_for.get(mode.key, {})
        criteria = []
        for criterion, status in sorted(statuses.items()):
            own = criterion == mode.key and status in {"gates", "exempt"}
            noticed = sum(
                (own or (status == "gates" and criterion in blamed.get(id_, ())))
                and (verdicts or {}).get((criterion, id_), "fail") == "fail"
                for id_ in ids
            )
            if ids and noticed >= MOST * len(ids):
                criteria.append(criterion)
        found.append(CoveredMode(mode.key, mode.name, mode.failures, tuple(criteria)))
    return Coverage(tuple(found), len(unnamed(ratings)))


def _blamed(ratings: Sequence[Rating]) -> dict[str, dict[str, set[str]]]:
    """The criteria that people failed, by the mode that they named for it and by trajectory."""
    blamed: dict[str, dict[str, set[str]]] = {}
    for rating in ratings:
        if rating.result == "fail" and rating.failure_mode:
            by_trajectory = blamed.setdefault(mode_key(rating.failure_mode), {})
            by_trajectory.setdefault(rating.trajectory, set()).add(rating.criterion)
    return blamed
