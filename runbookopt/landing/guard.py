"""What a diff may never do, and what it brings in that a person should see (pure)."""

from msgspec import Struct


class GuardReport(Struct, frozen=True):
    """What the guard found: violations, each a hard stop, and what is new, class by class."""

    violations: tuple[str, ...]
    introduces: dict[str, tuple[str, ...]]
