"""Finished runs: for what their results hold, and whether what they proved can still be proposed."""

from runbookopt import __version__
from runbookopt.documents.digest import digest_of
from runbookopt.documents.parse import MalformedFile
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Prepared
from runbookopt.landing.bundle import Bundle, read_bundle
from runbookopt.project.local_state import local_folder


def holds_for(ready: Prepared) -> str:
    """The digest of all that decides a run's result, but for what ledger and default branch hold besides."""
    job, project = ready.job, ready.project
    how = (job.propose, job.look, job.show_figures, job.begin_again)
    return digest_of([__version__, ready.terms, project.path, project.digests.policy, ready.notes, how])


def bundle_that_stands(repository: Repository, ready: Prepared, digest: str) -> Bundle | None:
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
