"""What went wrong, on standard error: nothing in it can move a terminal's cursor."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbookopt.records import Problem


def complain(about: object) -> None:
    """Print an error or a warning in its own lines; what others may have written into it is escaped."""
    from runbookopt.explanation import plain

    for line in str(about).split("\n"):
        print(plain(line), file=sys.stderr)


def warn(warnings: "Sequence[Problem]") -> None:
    """Say in one line what of the evidence was not read as it stands."""
    if warnings:
        more = f"; {len(warnings) - 1} more warnings: see `runbookopt check`"
        complain(f"warning: {warnings[0]}{more if len(warnings) > 1 else ''}")
