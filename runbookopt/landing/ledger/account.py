"""Account of a runbook's looks: what each spent, what is left, and what was read. It tells no gain."""

from msgspec import Struct

from runbookopt.forge.git.repository import Repository
from runbookopt.landing.ledger.identity import identity_of
from runbookopt.project.places import runbook_names
from runbookopt.project.project import read_project
from runbookopt.proof.allowance import Allowance, Look, allowance, allowances, group_digests
from runbookopt.proof.binding import Unbound, must_be_bound
from runbookopt.proof.ledger import Ledger


class LookTaken(Struct, frozen=True):
    """One look: its place, when it was taken (ISO 8601), what came of it and the chance that it spent.

    `answer` is None where it never came to one, and `begins_again` of what stands for lost looks. `candidate`
    and `base` are the first digits of the digests of the runbooks compared. `pushed`: origin has it.
    """

    number: int
    at: str
    runbook: str
    answer: str | None
    accepted: bool
    spent: float
    candidate: str
    base: str
    pushed: bool


class Account(Struct, frozen=True):
    """All that the ledger holds of one runbook.

    `spent` is what all looks spent, `left` what is left of the `allowance`, refilled by today's `groups`,
    and `next_spend` what the next look at these may spend. `burnt` counts the tasks that searches have read,
    `readings` the entries of those that did not look. `names` are those by which the ledger knows it.
    """

    runbook: str
    names: tuple[str, ...]
    looks: tuple[LookTaken, ...]
    spent: float
    left: float
    allowance: float
    next_look: int
    next_spend: float
    groups: int
    burnt: int
    readings: int
    notes: tuple[str, ...]


class Accounts(Struct, frozen=True):
    """The accounts of runbooks; `lost` says what the ledger lacks, None where it lacks nothing."""

    runbooks: tuple[Account, ...]
    lost: str | None


def accounts(repository: Repository, name: str | None, at: str) -> Accounts:
    """The accounts of one runbook of the default branch, or of all; without an origin of HEAD.

    What is left is told for the time `at` (ISO 8601). Raises RunbookoptError where there is no such runbook,
    MalformedFile, LedgerBroken, OriginUnreachable.
    """
    ledger = Ledger.open(repository, push=False, fetch=repository.has_origin())
    tip = repository.base()
    there = runbook_names(repository.revision(tip))
    chosen = there if name is None else (name,)
    lost = None
    if chosen:
        try:
            must_be_bound(repository, ledger, tip, chosen)
        except Unbound as error:
            lost = str(error)
    return Accounts(tuple(_account(repository, ledger, (tip, at), each) for each in chosen), lost)


def _account(repository: Repository, ledger: Ledger, when: tuple[str, str], name: str) -> Account:
    tip, at = when
    source = repository.revision(tip)
    identity = identity_of(repository, ledger, name, source, tip)
    read = ledger.burnt(*identity.names)
    project = read_project(source, name, burnt=read)
    looks, total = ledger.looks(*identity.names), project.policy.proof.allowance
    groups = group_digests(project.held_out_groups)
    may = allowance(looks, groups, project.split.held_out, total, at)
    each = zip(looks, allowances(looks, total), strict=True)
    taken = tuple(_taken(ledger, look, spent) for look, spent in each)
    return Account(
        runbook=name,
        names=identity.names,
        looks=taken,
        spent=may.spent - may.spend,
        left=may.left + may.spend,
        allowance=total,
        next_look=may.look,
        next_spend=may.spend,
        groups=len(groups),
        burnt=len(read),
        readings=len(ledger.readings(*identity.names)),
        notes=tuple(identity.told()),
    )


def _taken(ledger: Ledger, look: Look, may: Allowance) -> LookTaken:
    return LookTaken(
        number=may.look,
        at=look.at,
        runbook=look.runbook,
        answer=look.answer,
        accepted=look.answer == "accepted",
        spent=may.spend,
        candidate=_short(look.candidate),
        base=_short(look.seed),
        pushed=ledger.pushed(look),
    )


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:12]
