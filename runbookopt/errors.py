"""The errors that a user can act on: each says what, where and what next, and carries its exit status."""

from typing import ClassVar


class RunbookoptError(Exception):
    """Something the user can act on: exit status 1."""

    status: ClassVar[int] = 1


class WrongUsage(RunbookoptError):
    """The command line itself is wrong: exit status 2."""

    status: ClassVar[int] = 2


class Refused(RunbookoptError):
    """The answer is no (guard, policy, verify): exit status 3."""

    status: ClassVar[int] = 3


class Interrupted(RunbookoptError):
    """A person ended it: exit status 130."""

    status = 130
