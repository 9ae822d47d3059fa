"""What came of a run."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from runbookopt.calibration.health import Health
from runbookopt.documents.parse import Problem
from runbookopt.documents.usage import Spent
from runbookopt.landing.bundle import Bundle, Change, StoredVerdicts, Suspect, ValidationSummary
from runbookopt.landing.reporting.newest_quarter import Newest
from runbookopt.proof.allowance import Allowance
from runbookopt.proof.comparison import WORTH_A_LOOK, Comparison

Outcome = Literal["accepted", "rejected", "inconclusive", "no_candidate"]


class Result(Struct, frozen=True):
    """What came of a run.

    `bundle` and `allowance` are None where nobody looked at the held-out tasks; `patch` is the winner's diff
    against the base and `changes` are the reasons of what stands in it, both empty without a winner;
    `replaced` counts the edits on the way to it of which nothing stands. `notes` say why it ended
    as it did, `warnings` what of the evidence was left out; `newest` is of the newest quarter of the proof.
    `stored` is what was taken from stored verdicts, and `suspects` are tasks whose reference may be wrong.
    `unknown` says why nothing is known of a better runbook, where none could have been found: no draft was
    validated, or too little fails for a gain to show. `repliers` answered by hand-off: by role and by what
    they call themselves, with how many answers. `stands`: it is that of an earlier run, since which
    nothing is new. `health` is that of the measurement.
    """

    runbook: str
    run: str
    outcome: Outcome
    candidates: int
    spent: Spent
    validation: ValidationSummary
    patch: str
    changes: tuple[Change, ...]
    bundle: Bundle | None
    allowance: Allowance | None
    notes: tuple[str, ...]
    warnings: tuple[Problem, ...]
    newest: Newest | None = None
    stored: StoredVerdicts = StoredVerdicts()
    suspects: tuple[Suspect, ...] = ()
    repliers: Mapping[str, Mapping[str, int]] = {}
    unknown: str | None = None
    stands: bool = False
    replaced: int = 0
    health: Health | None = None

    @property
    def has_winner(self) -> bool:
        """Whether what was found is clearly better on validation, also less what is luck."""
        gained = self.validation.after > self.validation.before
        return self.outcome != "no_candidate" and gained and self.validation.p <= WORTH_A_LOOK

    @property
    def comparison(self) -> Comparison | None:
        """The comparison of the proof, where there was one."""
        return self.bundle.comparison if self.bundle else None
