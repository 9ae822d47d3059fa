"""What went wrong, on standard error: nothing in it can move a terminal's cursor."""

import sys


def complain(about: object) -> None:
    """Print an error or a warning in its own lines; what others may have written into it is escaped."""
    from runbookopt.explanation import plain

    for line in str(about).split("\n"):
        print(plain(line), file=sys.stderr)
