"""Disclosure of a look: what is told of one that was not accepted (pure).

Figures that are printed after each look are a gradient: who keeps the edits whose held-out gain rose climbs
on the held-out tasks until luck passes for proof. So of such a look nothing is told but its answer, which
objective or gate spoke against it, and one of four sizes for what would settle it.
"""

import re

from runbookopt.proof.comparison import MINIMUM_GROUPS, MOST_ERRORS, Comparison

SIZES = (100, 300, 1_000)
"""How many more tasks would settle it is told as fewer than one of these, or not fewer than the last."""

UNTOLD = "not told of a look that was not accepted"

_HARM = re.compile(
    r"(?:objective|gate) [A-Za-z0-9._-]+"
    r" (?:is significantly worse|may be worse|fails significantly more often|fails more often)(?=:)"
)
"""What a comparison's reason says of harm, before its figures."""


def is_told(comparison: Comparison) -> bool:
    """Whether all figures of a comparison may be told: those of what was accepted."""
    return comparison.answer == "accepted"


def more_tasks(comparison: Comparison) -> str | None:
    """How many more tasks would settle it, as one of four sizes; None where that is not the question."""
    if comparison.answer != "inconclusive" or comparison.errors > MOST_ERRORS:
        return None
    needed = comparison.tasks_needed
    fitting = (f"fewer than {size:,}" for size in SIZES if needed is not None and needed < size)
    return next(fitting, f"{SIZES[-1]:,} or more")


def told(comparison: Comparison) -> tuple[str, ...]:
    """What may be told of a look that was not accepted, in sentences without a figure of its tasks."""
    harms = (_HARM.match(reason) for reason in comparison.reasons)
    size, few = more_tasks(comparison), comparison.groups < MINIMUM_GROUPS
    return (
        *(harm[0] for harm in harms if harm),
        *(["too many attempts could not be judged"] if comparison.errors > MOST_ERRORS else []),
        *([f"a proof takes {MINIMUM_GROUPS} held-out groups, and there are fewer"] if few else []),
        *([f"{size} more held-out tasks would settle it"] if size else []),
    )
