"""Preflight: how a clone is set up, and what of that would let a run end in nothing once it was paid for."""

from collections.abc import Iterator

from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.propose import branch_of
from runbookopt.project.layout import EVIDENCE, ROOT
from runbookopt.project.roots import roots_of

_SUBMODULE = "160000"
_YES = frozenset({"true", "yes", "on", "1"})


def must_be_set_up(repository: Repository, name: str, *, propose: bool) -> None:
    """Refuse a clone in which the runbook `name` cannot be read whole, or, to `propose`, not be pushed.

    Raises RunbookoptError with all reasons.
    """
    reasons = [*unreadable(repository), *(_unpushable(repository, name) if propose else ())]
    if reasons:
        raise RunbookoptError("\n".join(f"{plain(name)}: {reason}" for reason in reasons))


def unreadable(repository: Repository) -> Iterator[str]:
    """Why this clone's working tree is not all that the repository declares."""
    if _is_on(repository, "core.sparsecheckout"):
        yield (
            "this clone is a sparse checkout, and files that it leaves out would not count:"
            " git sparse-checkout disable, or work in a whole clone"
        )
    head = repository.find("HEAD")
    roots = ["", *roots_of(repository.revision(head))] if head else []
    for folder in (f"{root}/{each}".lstrip("/") for root in roots for each in (ROOT, EVIDENCE)):
        for entry in repository.tree("HEAD", folder):
            if entry.mode == _SUBMODULE:
                yield (
                    f"{entry.path} is a submodule: its files are in another repository, which a pull request"
                    f" of this one cannot change; keep {ROOT}/ and {EVIDENCE}/ here, or run this there"
                )


def _unpushable(repository: Repository, name: str) -> Iterator[str]:
    if _is_on(repository, "push.gpgsign"):
        yield (
            "git is to sign each push (push.gpgSign), and nobody sits there to type a passphrase:"
            " git config push.gpgSign false"
        )
    branch = branch_of(name)
    wanted = f"refs/heads/{branch}"
    for ref in repository.origin.refs():
        if wanted.startswith(f"{ref}/") or ref.startswith(f"{wanted}/"):
            there = plain(ref.removeprefix("refs/heads/"))
            yield (
                f"origin has a branch {there}, and git keeps no branch {branch} beside it:"
                f" git push origin {there}:refs/heads/{there}-old :{there}"
            )


def _is_on(repository: Repository, key: str) -> bool:
    return (repository.setting(key) or "").casefold() in _YES
