"""Journal of a clone: opened where local state is its own, and where the journal was made for it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from runbookopt.documents.digest import digest
from runbookopt.engine.journal import Journal
from runbookopt.engine.origin_of_journal import Maker, must_be_made_here
from runbookopt.forge.git.repository import Repository
from runbookopt.project.local_state import journal_file


@contextmanager
def open_journal(repository: Repository, environ: Mapping[str, str] = os.environ) -> Iterator[Journal]:
    """Open the journal of a clone, and make it where there is none.

    In a CI a journal comes from a cache, to which others may write: there it must say that it was made for
    this repository and branch. Raises Refused where it was made for another, or git tracks it; JournalError.
    """
    path = journal_file(repository)
    with Journal.open(path) as journal:
        must_be_made_here(journal, path, maker_of(repository, environ))
        yield journal


def maker_of(repository: Repository, environ: Mapping[str, str]) -> Maker:
    """For which repository and branch a journal is made here, as far as that can be known."""
    in_ci = environ.get("GITHUB_ACTIONS") == "true"
    url = repository.origin.url
    return Maker(
        ci=f"{environ.get('GITHUB_REPOSITORY', '')} {environ.get('GITHUB_REF', '')}" if in_ci else None,
        origin=digest(url.encode()) if url else None,
        first=repository.first_commit,
    )
