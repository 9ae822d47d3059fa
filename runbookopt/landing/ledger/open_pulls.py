"""Open pull requests, as forge or ledger last say: while a runbook has one, no run searches or looks."""

from collections.abc import Callable

from runbookopt.documents.digest import digest
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import PULLS, LocalForge
from runbookopt.forge.protocol import Forge
from runbookopt.landing.bundle import recorded_bundle, text_of
from runbookopt.landing.propose import branch_of
from runbookopt.landing.rederive import file_at
from runbookopt.landing.report import read_trailers
from runbookopt.proof.ledger import Ledger
from runbookopt.proof.records import LastPull, last_pull, last_pulls, note_pulls


def open_pull(repository: Repository, runbook: str, forge: Forge | None) -> LastPull | None:
    """The open pull request of a runbook, if it has one: by the forge's word, else by git's and the ledger's.

    Without a forge, as where nobody has a token, the pull requests that origin itself keeps are asked, and
    where it keeps none the ledger. Raises GitFailed, LedgerBroken, OriginUnreachable.
    """
    if not repository.has_origin():
        return None
    with repository.origin.asked_once():
        kept_in_git = any(ref.startswith(PULLS) for ref in repository.origin.refs())
        if forge is None and not kept_in_git:
            ledger = Ledger.open(repository, push=False, fetch=True)
            return _open_in_ledger(repository, ledger, runbook)
        pulls = (forge or LocalForge(repository)).pull_requests(branch_of(runbook))
        base = repository.origin.default_branch()
    mine = (pull for pull in reversed(pulls) if pull.state == "open" and pull.base == base)
    return next((LastPull.of(runbook, pull) for pull in mine), None)


def refresh(repository: Repository, forge_of: Callable[[str], Forge]) -> None:
    """Ask what became of each pull request that the ledger takes for open, and write it down.

    `forge_of` gives the forge of a runbook by its name. Raises what that raises, GitFailed, PushRefused,
    OriginUnreachable, LedgerBroken.
    """
    ledger = Ledger.open(repository, push=True)
    for pull in last_pulls(ledger):
        if pull.state == "open":
            note_pulls(ledger, pull.runbook, forge_of(pull.runbook).pull_requests(pull.branch))


def _open_in_ledger(repository: Repository, ledger: Ledger, runbook: str) -> LastPull | None:
    """The pull request that the ledger last heard to be open, unless git tells by now that it is not.

    It is not where its branch is gone from origin, or where what is checked out has its change: its text, or
    a commit that cites its bundle.
    """
    pull = last_pull(ledger, runbook)
    if pull is None or pull.state != "open":
        return None
    ref = f"refs/heads/{branch_of(runbook)}"
    is_there = ref in repository.origin.refs(ref)
    return pull if is_there and not _is_merged(repository, ledger, pull) else None


def _is_merged(repository: Repository, ledger: Ledger, pull: LastPull) -> bool:
    bundle, base = recorded_bundle(ledger, pull.bundle), repository.resolve("HEAD")
    if bundle is None:
        return False
    text = digest(text_of(bundle).encode())
    if (now := file_at(repository.revision(base), bundle.path)) is not None and digest(now) == text:
        return True
    since = bundle.base if repository.find(bundle.base) else None
    commits = repository.history(base, without=since) if since else ()
    cited = (read_trailers(repository.commit(commit).message) for commit in commits)
    return any(trailers is not None and trailers.bundle == pull.bundle for trailers in cited)
