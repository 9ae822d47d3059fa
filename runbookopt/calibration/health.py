"""Health of a measurement, before what it measured: a broken one says nothing of a gain (pure)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from msgspec import Struct

from runbookopt.calibration.deciding import Standing
from runbookopt.documents.usage import Used
from runbookopt.proof.comparison import MOST_ERRORS, Pair


class Health(Struct, frozen=True):
    """Health of a measurement; what is None is unknown.

    `errors` is the share of attempts with a verdict that decides and could not be had, those included which
    have no score at all; these are `missing`. `failed_calls` were failed attempts to reach a model, tried
    again or not. `noise` is by how much two attempts of one and the same runbook at one task differ in score,
    in the mean, and 0 for an agent whose attempts come out alike. `suspects` are references that may be
    wrong. `nothing` says what was not done where `errors` is None.
    """

    errors: float | None
    missing: int
    failed_calls: int | None
    noise: float | None
    suspects: int | None
    standings: tuple[Standing, ...]
    nothing: str = "no held-out task was looked at"

    @property
    def broken(self) -> str | None:
        """Why it measures nothing; None where it does."""
        if self.errors is not None and self.errors > MOST_ERRORS:
            return f"{self.errors:.0%} of the attempts could not be judged, where {MOST_ERRORS:.0%} are borne"
        return None

    @property
    def line(self) -> str:
        """All of it, in one line."""
        broken = self.broken
        head = f"INVALID, the measurement is broken: {broken}" if broken else "sound"
        head = self.nothing if self.errors is None else head
        return f"{head}; {'; '.join(self._told())}"

    def as_record(self) -> Mapping[str, Any]:
        """The same for programs."""
        return {
            "valid": None if self.errors is None else self.broken is None,
            "broken": self.broken,
            "errors": self.errors,
            "missing": self.missing,
            "failed_calls": self.failed_calls,
            "noise": self.noise,
            "suspect_references": self.suspects,
            "criteria": self.standings,
        }

    def _told(self) -> Iterator[str]:
        if self.errors is not None:
            yield f"{self.errors:.1%} not judged"
        yield f"{self.missing} without a score"
        yield f"failed calls {'unknown' if self.failed_calls is None else self.failed_calls}"
        noise = "unknown, each was tried once" if self.noise is None else f"{self.noise:.3f}"
        yield f"noise {noise}"
        yield f"suspect references {'unknown' if self.suspects is None else self.suspects}"
        names = ", ".join(f"{each.criterion} {each.status}" for each in self.standings)
        yield f"criteria: {names or 'unknown'}"


def noise_of(pairs: Sequence[Pair], *, alike: bool) -> float | None:
    """How much two attempts of the seed at one task differ in score, in the mean; None where nothing says it.

    `alike`: the agent's attempts at one task come out alike.
    """
    if alike:
        return 0.0
    return spread(tuple(outcome.score for outcome in pair.before) for pair in pairs)


def spread(scores: Iterable[Sequence[float]]) -> float | None:
    """The mean difference of two scores of one task; None where no task has two."""
    differences = [abs(one - other) for same in scores for one, other in combinations(same, 2)]
    return fmean(differences) if differences else None


def failed_calls(used: Used) -> int | None:
    """Failed attempts to reach a model, by all roles; None where of none is known how it fared."""
    usages = (used.agent, used.reflector, used.judge)
    known = [sum(usage.failures.values()) for usage in usages if usage is not None]
    return sum(known) if known else None
