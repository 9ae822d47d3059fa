"""Switches around a repository's protections, as GitHub shows them to a token; nothing is changed here."""

from contextlib import suppress
from itertools import compress
from typing import TypeVar

from msgspec import Struct

from runbookopt.forge.github.answers import read
from runbookopt.forge.github.client import Client, Refusal
from runbookopt.forge.protection import RepositorySwitches

T = TypeVar("T")

_ACTIONS, _APP = "github-actions[bot]", "[bot]"


class _May(Struct, frozen=True):
    admin: bool | None = None
    push: bool | None = None


class _Repository(Struct, frozen=True):
    permissions: _May = _May()
    allow_auto_merge: bool | None = None
    allow_merge_commit: bool | None = None
    allow_squash_merge: bool | None = None
    allow_rebase_merge: bool | None = None

    @property
    def methods(self) -> tuple[str, ...] | None:
        """The ways to merge; None where the switches are not shown, which takes the right to push."""
        allowed = (self.allow_merge_commit, self.allow_squash_merge, self.allow_rebase_merge)
        return None if None in allowed else tuple(compress(("merge", "squash", "rebase"), allowed))


class _Actions(Struct, frozen=True):
    can_approve_pull_request_reviews: bool | None = None


class _Line(Struct, frozen=True):
    path: str
    line: int
    kind: str


class _Errors(Struct, frozen=True):
    errors: tuple[_Line, ...] = ()


def switches(client: Client) -> RepositorySwitches:
    """Ask for all that a token is shown; what it is not shown stays unknown. Raises GitFailed."""
    here = _asked(client, "~", _Repository) or _Repository()
    actions = _asked(client, "~/actions/permissions/workflow", _Actions) or _Actions()
    owners = _asked(client, "~/codeowners/errors", _Errors)
    who = None
    with suppress(Refusal):
        who = client.viewer()
    # of an app the repository shows what a person without a role has: it says nothing of its installation
    may = _May() if who is None or who.endswith(_APP) else here.permissions
    return RepositorySwitches(
        owners_refused=None
        if owners is None
        else tuple(f"{each.path}:{each.line}: {each.kind}" for each in owners.errors),
        actions_may_approve=actions.can_approve_pull_request_reviews,
        auto_merge_allowed=here.allow_auto_merge,
        methods=here.methods,
        who=who,
        actions=None if who is None else who == _ACTIONS,
        may_push=may.push,
        may_administrate=may.admin,
    )


def _asked(client: Client, path: str, type_: type[T]) -> T | None:
    """An answer; None where the token is not shown it."""
    try:
        return read(client.ask(path), type_)
    except Refusal:
        return None
