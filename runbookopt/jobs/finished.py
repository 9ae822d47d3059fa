"""Finished runs: their results as the journal keeps them, for what those hold, and whether they stand."""

from msgspec import MsgspecError, Struct, msgpack
from msgspec.structs import replace

from runbookopt import __version__
from runbookopt.documents.digest import digest_of
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.usage import Spent
from runbookopt.engine.journal import Journal
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Prepared
from runbookopt.jobs.result import Result
from runbookopt.landing.bundle import Bundle, read_bundle
from runbookopt.project.local_state import local_folder


class _Kept(Struct, frozen=True):
    """A result as the journal keeps it; its bundle, named by its digest, is a file of its own."""

    holds_for: str
    bundle: str | None
    result: Result


def kept(ready: Prepared, result: Result) -> bytes:
    """A result as bytes for the journal."""
    digest = result.bundle.digest if result.bundle else None
    return msgpack.encode(_Kept(_holds_for(ready), digest, replace(result, bundle=None)))


def standing(repository: Repository, ready: Prepared, journal: Journal) -> Result | None:
    """The result of the same run where nothing is new since it finished: there is nothing to search again.

    None where anything is, where the run lacked answers, or where its look or its bundle is not to be had.
    """
    data = journal.result(ready.run_id)
    try:
        record = msgpack.decode(data or b"", type=_Kept)
    except (MsgspecError, ValueError, RecursionError):
        return None
    result, bundle = record.result, None
    if record.bundle is not None:
        bundle = _bundle_that_stands(repository, ready, record.bundle)
    if record.holds_for != _holds_for(ready) or (bundle is None) != (record.bundle is None):
        return None
    known = result.spent.rollouts + result.spent.cached
    nothing = Spent(0, known, 0, tokens=0, usd=0.0)
    note = f"nothing is new since run {result.run} ended, so its result stands and nothing was searched again"
    return replace(result, bundle=bundle, spent=nothing, notes=(*result.notes, note), stands=True)


def _holds_for(ready: Prepared) -> str:
    """The digest of all that decides a run's result, but for what ledger and default branch hold besides."""
    job, project = ready.job, ready.project
    how = (job.propose, job.look, job.show_figures, job.begin_again)
    return digest_of([__version__, ready.terms, project.path, project.digests.policy, ready.notes, how])


def _bundle_that_stands(repository: Repository, ready: Prepared, digest: str) -> Bundle | None:
    """The bundle of a finished run, by its digest, where it can still be used as it is; None where not.

    The ledger must have its look, and a change that is to be proposed must be one of today's base.
    """
    path = local_folder(repository) / "bundles" / f"{digest.removeprefix('sha256:')}.json"
    try:
        bundle = read_bundle(path.read_bytes(), str(path))
    except (OSError, MalformedFile):
        return None
    looks = {look.key for look in ready.ledger.looks(*ready.names)}
    if bundle.digest != digest or bundle.look is None or bundle.look.key not in looks:
        return None
    if bundle.outcome == "accepted":
        return bundle if bundle.base == ready.base else None
    return bundle if repository.is_ancestor(bundle.base, ready.base) else None
