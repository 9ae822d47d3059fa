"""Audits that count: records of the ledger that reviewers gave their word for, as the forge reports it.

The ledger alone does not say who wrote a record, since anybody who may push may have. So a record counts
where somebody whom the policy lists says at the forge, for the present head, that it is their own; never
where that is the author, or a maker of the branch, and never where a model answered in it.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from runbookopt.calibration.audit import Changed, Found, chosen, found
from runbookopt.forge.protocol import PullRequest
from runbookopt.landing.approvals import Members, why_not_attested
from runbookopt.project.policy import Audits, Policy
from runbookopt.proof.allowance import Look
from runbookopt.proof.audits import Audit, kept_audit
from runbookopt.proof.comparison import Pair
from runbookopt.proof.ledger import Ledger


class Heard(Struct, frozen=True):
    """What people said of a pull request at a forge; `pull` is None where there is none yet."""

    pull: PullRequest | None
    members: Members = {}


Hear = Callable[[Policy], Heard]
"""Asks the forge, once it is known whose word counts."""


class Audited(Struct, frozen=True):
    """What is audited: a look, the digest of the bundle that holds its outputs, and its pairs."""

    look: Look
    record: str
    pairs: Sequence[Pair]

    def chosen(self, most: int) -> tuple[Changed, ...]:
        """The pairs that are shown, of which there are at most so many."""
        return chosen(self.pairs, self.look.key, most)


class Word(Struct, frozen=True):
    """Somebody's word for an audit: what it found, or `why_not` it counts; `audit` is its digest."""

    by: str
    audit: str
    found: Found | None
    why_not: str | None


def audits_of(ledger: Ledger, policy: Policy, audited: Audited, heard: Heard) -> Audits:
    """The audits of a look that people gave their word for, those that count and those that do not.

    Of somebody who gave their word twice each audit counts: that one is better liked than another is no
    reason.
    """
    words = words_for(ledger, policy, audited, heard)
    return Audits(
        len(audited.chosen(policy.audit_pairs)),
        tuple((word.by, word.found) for word in words if word.found is not None),
        tuple(f"{word.by}'s audit does not count: {word.why_not}" for word in words if word.found is None),
    )


def words_for(ledger: Ledger, policy: Policy, audited: Audited, heard: Heard) -> tuple[Word, ...]:
    """Each word that was given for an audit, once.

    The record is held against the look: pairs and sides are derived, never read.
    """
    pairs, pull = audited.chosen(policy.audit_pairs), heard.pull
    words: dict[tuple[str, str, str], Word] = {}
    for each in () if pull is None else pull.attestations:
        audit = kept_audit(ledger, each.audit)
        why = why_not_attested(policy, pull, heard.members, each) if pull else None
        why = why or _why_not(audit, audited, each.head)
        result = None if audit is None or why else found(pairs, audit.seed, audit.answers)
        if why is None and result is None:
            why = f"it does not answer each of the {len(pairs)} pairs"
        words[each.by.casefold(), each.head, each.audit] = Word(each.by, each.audit, result, why)
    return tuple(words.values())


def _why_not(audit: Audit | None, audited: Audited, head: str) -> str | None:
    """Why a record is no audit of this look by a person, made at this head."""
    if audit is None:
        return "the ledger does not hold it"
    if audit.judge is not None:
        return "a model answered in it, and a model is no person"
    if (audit.look, audit.bundle) != (audited.look.key, audited.record):
        return "it is of another look"
    return None if audit.head == head else f"it was made at {audit.head[:12]}, another head"
