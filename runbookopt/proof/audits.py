"""Audits in the ledger: what somebody said who compared outputs of a look blind (one record an audit).

A record says by itself nothing of who wrote it: anybody who may push can. It counts where the forge reports
that somebody gave their word for it (`forge.protocol.Attestation`), by its digest.
"""

import re
from typing import Literal

import msgspec
from msgspec import Struct

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.proof.ledger import Ledger

Answer = Literal["left", "right", "equal", "skip"]
"""Which output was the better one, as it was shown."""

FOLDER = "audits"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Audit(Struct, frozen=True, forbid_unknown_fields=True):
    """Answers to the pairs of one look, by the id of the task.

    `look` is its key, `bundle` the digest of the bundle whose outputs were shown, and `head` the commit that
    proposed it. `seed` says which side and which order the outputs were shown in. `by` is what whoever ran it
    is called there, `judge` the model that answered in a person's place; None where a person did. `at` is
    ISO 8601.
    """

    runbook: str
    look: str
    bundle: str
    head: str
    seed: str
    answers: dict[str, Answer]
    by: str
    at: str
    judge: str | None = None

    @property
    def digest(self) -> str:
        """The digest of all of it, which is its name."""
        return digest_of(msgspec.to_builtins(self))


def keep_audit(ledger: Ledger, audit: Audit) -> None:
    """Write an audit into the ledger, where it stays. Raises what `Ledger.register` raises."""
    who = "a judge" if audit.judge else "somebody"
    ledger.record(
        _path(audit.digest), canonical(msgspec.to_builtins(audit)), f"{audit.runbook}: {who} audits a look"
    )


def kept_audit(ledger: Ledger, digest: str) -> Audit | None:
    """The audit of a digest; None where there is none, or what is there has another digest."""
    if not _DIGEST.fullmatch(digest):  # it came from the forge
        return None
    data = ledger.records(_path(digest)).get(_path(digest))
    try:
        audit = None if data is None else msgspec.json.decode(data, type=Audit)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return audit if audit is not None and audit.digest == digest else None


def _path(digest: str) -> str:
    return f"{FOLDER}/{digest.removeprefix('sha256:')}.json"
