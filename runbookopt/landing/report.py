"""What a reviewer reads: a bundle and a decision as the Markdown of a pull request (pure)."""

from msgspec import Struct

from runbookopt.landing.bundle import Bundle
from runbookopt.landing.guard import GuardReport
from runbookopt.landing.policy import Decision
from runbookopt.proof.allowance import Allowance
from runbookopt.proof.comparison import Comparison, Pair


class Findings(Struct, frozen=True):
    """All that a report is made of: the bundle, and what was derived anew from git.

    `comparison`, `allowance` and `pairs` are of the look as it stands in the ledger; None and empty where
    nobody looked. `notes` are further sentences for the reviewer.
    """

    bundle: Bundle
    comparison: Comparison | None
    allowance: Allowance | None
    pairs: tuple[Pair, ...]
    decision: Decision
    guard: GuardReport
    notes: tuple[str, ...] = ()
