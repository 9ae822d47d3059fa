"""The errors that a user can act on: each says what, where and what next, and carries its exit status."""

from typing import Any, ClassVar


class RunbookoptError(Exception):
    """Something the user can act on: exit status 1."""

    status: ClassVar[int] = 1


class Waiting(RunbookoptError):
    """Nothing is wrong, and nothing is to be done for now: the outcome is "waiting". Exit status 0."""

    status: ClassVar[int] = 0


class Invalid(RunbookoptError):
    """No result, for reasons that are nobody's fail: the outcome is "invalid". Exit status 1.

    `spent` is what it cost all the same, `look` the number of a look that is registered and not settled.
    What was answered is in the journal: the same command goes on with what lacks.
    """

    spent: object = None
    look: int | None = None


class Awaiting(RunbookoptError):
    """Replies are awaited of whoever answers asks by hand-off: exit status 4.

    `asks` are those that are open, `notes` sentences on files that answer none of them, `spent` is what it
    cost so far, `read` how many replies were, and `look` the number of a look that is registered and not
    settled. What was answered is in the journal: the same command goes on where the replies are there.
    """

    status: ClassVar[int] = 4
    asks: tuple[Any, ...] = ()
    read: int = 0
    notes: tuple[str, ...] = ()
    spent: object = None
    look: int | None = None


class WrongUsage(RunbookoptError):
    """The command line itself is wrong: exit status 2."""

    status: ClassVar[int] = 2


class Refused(RunbookoptError):
    """The answer is no (guard, policy, verify): exit status 3."""

    status: ClassVar[int] = 3


class Interrupted(RunbookoptError):
    """A person ended it: exit status 130."""

    status = 130
