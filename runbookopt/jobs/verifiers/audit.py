"""Audit of an open pull request: the pairs whose verdict changed, shown blind, and the answers in the ledger.

It shows what the recorded look put out and runs nothing. That the pairs were shown is written down before
they are: whoever has seen held-out outputs may write by them, so no later proof rests on these tasks.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.calibration.audit import (
    FEWEST,
    PAIRS,
    Changed,
    Found,
    changed_pairs,
    found,
    shuffled,
    winner_is_left,
)
from runbookopt.documents.digest import as_text, canonical
from runbookopt.documents.hidden_text import visible
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.evidence.trajectory import Task
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protocol import Forge, PullRequest
from runbookopt.landing.bundle import HeldOutOutputs, write_whole
from runbookopt.landing.ledger.audits import Audited, Heard, words_for
from runbookopt.landing.merge import Derived, Head, derive
from runbookopt.landing.propose import branch_of
from runbookopt.landing.rederive import must_be_recorded
from runbookopt.project.local_state import local_folder
from runbookopt.project.policy import Policy
from runbookopt.proof.audits import Answer, Audit, keep_audit
from runbookopt.proof.ledger import Ledger, Reading
from runbookopt.verifier.rubric import JudgeSettings


class Shown(Struct, frozen=True):
    """Two outputs on one task, as somebody sees them who is not told whose they are.

    `expected` is the reference of the task, None without one, and so is an output that there is none.
    """

    task: str
    input: str
    expected: str | None
    left: str | None
    right: str | None


class Sheet(Struct, frozen=True):
    """What is audited, and the pairs in the order in which they are shown.

    `changed` counts all pairs whose verdict changed; `look`, `bundle`, `head` and `seed` are as in `Audit`.
    """

    runbook: str
    pull_request: int
    look: str
    bundle: str
    head: str
    seed: str
    changed: int
    pairs: tuple[Shown, ...]


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer."""

    task: str
    answer: Answer


class Ended(Struct, frozen=True):
    """What came of an audit.

    `audit` is its digest in the ledger. `counts` is whether it counts for the pull request as the forge has
    it now; where it does not, `next` says why, or what there is to do.
    """

    runbook: str
    pull_request: int
    audit: str
    judge: str | None
    changed: int
    found: Found
    confirms: bool
    counts: bool
    next: str | None


class Kept(Struct, frozen=True):
    """Answers so far, beside what they are answers to; `path` is where they are kept."""

    seed: str
    look: str = ""
    bundle: str = ""
    answers: dict[str, Answer] = {}
    path: str = ""


class Ready(Struct, frozen=True):
    """An audit that can begin: what is shown, and what it is held against once it is done.

    `judge` is the rubric's.
    """

    sheet: Sheet
    policy: Policy
    audited: Audited
    judge: JudgeSettings | None


class Signed(Struct, frozen=True):
    """Who answered, and when (ISO 8601); `judge` is the model that did in a person's place."""

    by: str
    at: str
    judge: str | None = None


class Sitting:
    """One person's audit, from the first pair to the last.

    Each answer is in a file of this clone as soon as it is given, so that it can be gone on with. Another
    one may be given until the end.
    """

    def __init__(self, sheet: Sheet, kept: Kept) -> None:
        self.sheet, self._kept = sheet, kept

    @property
    def answers(self) -> Mapping[str, Answer]:
        """The answers so far, by task."""
        return self._kept.answers

    @property
    def left(self) -> tuple[Shown, ...]:
        """The pairs that are not answered yet."""
        return tuple(pair for pair in self.sheet.pairs if pair.task not in self.answers)

    def start(self) -> dict[str, object]:
        """All that a page shows: how far it is, the pairs, and the answers so far."""
        sheet = self.sheet
        about = {"runbook": sheet.runbook, "pull_request": sheet.pull_request, "changed": sheet.changed}
        return {**about, "pairs": msgspec.to_builtins(sheet.pairs), "answers": dict(self.answers)}

    def answer(self, given: Given) -> int:
        """Write an answer down; returns how many pairs are left. Raises RunbookoptError."""
        if given.task not in {pair.task for pair in self.sheet.pairs}:
            raise RunbookoptError("this is none of the pairs: load the page again")
        self._kept = replace(self._kept, answers={**self.answers, given.task: given.answer})
        write_whole(Path(self._kept.path), canonical(_words(self._kept)), "the answers so far")
        return len(self.left)


def prepared(repository: Repository, forge: Forge, name: str, number: int | None, seed: str) -> Ready:
    """What there is to audit of the open pull request of a runbook; nothing is written.

    Raises RunbookoptError where there is no such pull request, or nothing to audit, and what `derive` raises.
    """
    pull = _pull(forge, name, number)
    ledger = Ledger.open(repository, push=True)
    derived = derive(repository, ledger, Head(pull.head, pull.proposed, pull.branch), repository.base())
    proof, project = derived.proof, derived.checked.project
    _must_have_changed(derived)
    if proof is None:
        raise Refused(f"{name}: nobody looked at the held-out tasks, so there is nothing to audit")
    policy = replace(project.policy, audit_pairs=project.policy.audit_pairs or PAIRS)
    audited = Audited(proof.look, proof.record, proof.pairs)
    pairs = audited.chosen(policy.audit_pairs)
    if len(pairs) < FEWEST:
        raise RunbookoptError(
            f"{name}: the verdict changed on {len(pairs)} held-out pairs, and fewer than {FEWEST} confirm"
            " nothing: read the diff, and let a reviewer decide"
        )
    own = proof.record == derived.checked.bundle.digest
    record = derived.checked.bundle if own else must_be_recorded(ledger, proof.record)
    outputs = {each.task: each for each in record.outputs}
    sheet = Sheet(
        runbook=project.name,
        pull_request=pull.number,
        look=audited.look.key,
        bundle=audited.record,
        head=pull.head,
        seed=seed,
        changed=len(changed_pairs(audited.pairs)),
        pairs=tuple(
            _shown(each, project.evidence.task(each.task), outputs[each.task], seed)
            for each in shuffled(pairs, seed)
        ),
    )
    return Ready(sheet, policy, audited, project.rubric.judge)


def begun(repository: Repository, ready: Ready, at: str) -> None:
    """Write into the ledger that the tasks are read from now on. Raises what `Ledger.read` raises."""
    sheet = ready.sheet
    tasks = tuple(pair.task for pair in sheet.pairs)
    Ledger.open(repository, push=True).read(Reading(sheet.runbook, tasks, at))


def kept_answers(repository: Repository, name: str) -> Kept:
    """The answers so far to an audit of a runbook, and where they are kept; none with a new seed.

    Raises MalformedFile where they cannot be read, and what `local_folder` raises.
    """
    path = local_folder(repository) / "audits" / f"{quote(name, safe='')}.json"
    try:
        data = path.read_bytes()
        kept = msgspec.json.decode(data, type=Kept)
    except FileNotFoundError:
        kept = Kept(secrets.token_hex(16))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"not the answers to an audit ({error}): remove it, and begin again"
        raise MalformedFile([Problem(str(path), None, message)]) from error
    return replace(kept, path=str(path))


def sitting(ready: Ready, kept: Kept) -> Sitting:
    """A person's audit: gone on with where the answers so far are to the same look."""
    sheet = ready.sheet
    same = (kept.seed, kept.look, kept.bundle) == (sheet.seed, sheet.look, sheet.bundle)
    new = Kept(sheet.seed, sheet.look, sheet.bundle, path=kept.path)
    return Sitting(sheet, kept if same else new)


def recorded(
    repository: Repository, forge: Forge, ready: Ready, answers: Mapping[str, Answer], signed: Signed
) -> Ended:
    """Write answers into the ledger; a person gives their word for them at the forge, a model has none.

    Raises RunbookoptError where a pair is not answered, and what `Ledger.register` raises.
    """
    sheet = ready.sheet
    result = found([Changed(pair.task, 0) for pair in sheet.pairs], sheet.seed, answers)
    if result is None:
        missing = sum(pair.task not in answers for pair in sheet.pairs)
        raise RunbookoptError(f"{missing} pairs are not answered yet: skip those that you cannot tell")
    audit = Audit(
        runbook=sheet.runbook,
        look=sheet.look,
        bundle=sheet.bundle,
        head=sheet.head,
        seed=sheet.seed,
        answers={pair.task: answers[pair.task] for pair in sheet.pairs},
        by=signed.by,
        at=signed.at,
        judge=signed.judge,
    )
    ledger = Ledger.open(repository, push=True)
    keep_audit(ledger, audit)
    why = _NO_PERSON if signed.judge is not None else _attested(forge, ledger, ready, audit)
    return Ended(
        runbook=sheet.runbook,
        pull_request=sheet.pull_request,
        audit=audit.digest,
        judge=signed.judge,
        changed=sheet.changed,
        found=result,
        confirms=result.confirms,
        counts=why is None,
        next=why,
    )


_NO_PERSON = "a model answered, and an automatic merge waits for a person: run it without --judge"


def _attested(forge: Forge, ledger: Ledger, ready: Ready, audit: Audit) -> str | None:
    """Give one's word for an audit; why that does not count, or how it is done; None where it counts."""
    try:
        pull = forge.attest(ready.sheet.pull_request, audit.digest)
    except Refused as error:
        return str(error)
    members = {team: forge.members(team) for team in ready.policy.teams}
    words = words_for(ledger, ready.policy, ready.audited, Heard(pull, members))
    mine = [word for word in words if word.audit == audit.digest]
    return mine[-1].why_not if mine else "the forge does not tell of it yet: run this again in a minute"


def _pull(forge: Forge, name: str, number: int | None) -> PullRequest:
    """The open pull request of a runbook, of which there is at most one."""
    listed = forge.pull_requests(branch_of(name))
    numbers = [pull.number for pull in listed if pull.state == "open" and number in {None, pull.number}]
    if not numbers:
        which = "no open pull request" if number is None else f"no open pull request {number}"
        raise RunbookoptError(f"{name} has {which}: an audit is of a change that is proposed")
    return forge.get(numbers[-1])


def _must_have_changed(derived: Derived) -> None:
    """Refuse what an audit says nothing of."""
    name = derived.checked.project.name
    if derived.edited:
        raise Refused(f"{name}: {derived.edited}: the outputs are not of this text, so nothing is audited")
    if not derived.checked.project.rubric.judge_decides:
        raise RunbookoptError(f"{name}: no judge decides, so there is no verdict of one to audit")


def _shown(each: Changed, task: Task, seen: HeldOutOutputs, seed: str) -> Shown:
    sides = seen.after[each.attempt], seen.before[each.attempt]
    left, right = (
        None if text is None else visible(text)
        for text in (sides if winner_is_left(seed, each.task) else sides[::-1])
    )
    expected = None if task.reference is None else visible(as_text(task.reference))
    return Shown(each.task, visible(as_text(task.input)), expected, left, right)


def _words(kept: Kept) -> dict[str, object]:
    return {key: value for key, value in msgspec.to_builtins(kept).items() if key != "path"}
