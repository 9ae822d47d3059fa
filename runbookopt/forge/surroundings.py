"""What stands around a repository's protections: its switches, and what a token is worth there (pure)."""

from msgspec import Struct


class Surroundings(Struct, frozen=True, kw_only=True):
    """Switches of a repository and the token that was asked with; None is unknown.

    `enforces` is whether the forge has protections at all. `owners_refused` are sentences on lines of
    CODEOWNERS that the forge does not accept. `methods` are the ways to merge that the repository allows.
    `who` is in whose name the token speaks; `actions` whether that is GitHub Actions, whose pull requests
    start no workflows; `may_push` and `may_administrate` what the token may do.
    """

    enforces: bool = True
    owners_refused: tuple[str, ...] | None = None
    actions_may_approve: bool | None = None
    auto_merge_allowed: bool | None = None
    methods: tuple[str, ...] | None = None
    who: str | None = None
    actions: bool | None = None
    may_push: bool | None = None
    may_administrate: bool | None = None
