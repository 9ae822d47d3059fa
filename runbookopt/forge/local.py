"""Pull requests kept in `origin` itself, which may be a bare folder: for laptops and air-gapped teams.

Who somebody is comes from their git settings: a convention, not authentication. Whoever may push to origin
may push anything there, also to the default branch.
"""

from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import Commit, GitFailed, PushRejected, RefUpdate
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protection import Protection, RepositorySwitches, unknown_protection
from runbookopt.forge.protocol import CRITERIA, RUNBOOKS, Approval, Attestation, CheckRun, Draft, PullRequest

PULLS = "refs/runbookopt/pulls/"
_PULLS_COPIED = "refs/runbookopt/origin/pulls/"
_HEADS = {
    f"refs/heads/{RUNBOOKS}": "refs/runbookopt/origin/heads/",
    f"refs/heads/{CRITERIA}": "refs/runbookopt/origin/criteria/",
}
"""Where our branches are, and where they are copied to."""


class Event(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that happened to a pull request, at commit `head` of its branch.

    `draft` is there where it was opened or pushed, `commit` where it was merged, `audit` (a digest) where
    somebody gave their word for one. When it happened is the time of the commit that carries it.
    """

    kind: Literal["opened", "pushed", "approved", "audited", "closed", "merged"]
    by: str
    email: str
    head: str
    draft: Draft | None = None
    commit: str | None = None
    audit: str | None = None


class LocalForge:
    """A `Forge` in git alone: pull request n is the chain of events at `refs/runbookopt/pulls/<n>` of origin.

    Each event is a commit with the event as JSON in its message, the event before as its first parent,
    and the head of the branch as another, so that no judged commit is ever lost, pushed by hand or not.
    It keeps the branches `runbookopt/...` alone. Only the newest pull request of a branch can be open: one
    is opened where none was, so a newer one says that the branch of the older was deleted.
    """

    in_git = True

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def pull_requests(self, branch: str | None = None) -> tuple[PullRequest, ...]:
        """All of them, or those of one branch, oldest first. Raises GitFailed."""
        origin = self._fetch()
        pulls = (self._fold(number, origin) for number in sorted(origin.pulls))
        return tuple(pull for pull in pulls if branch in {None, pull.branch})

    def get(self, number: int) -> PullRequest:
        """The one of a number. Raises RunbookoptError where there is none, GitFailed."""
        origin = self._fetch()
        if number not in origin.pulls:
            raise RunbookoptError(f"there is no pull request {number}: runbookopt pulls list shows them")
        return self._fold(number, origin)

    def open(self, draft: Draft, *, replaces: str | None) -> PullRequest:
        """Push the branch and open a pull request with the next free number, both or neither.

        Raises PushRejected where the branch is no longer at `replaces` or has an open pull request by now.
        """
        with self._repository.origin.asked_once():
            for attempt in attempts(_NumberTaken):
                with attempt:
                    number = self._open(draft, replaces)
            return self.get(number)

    def update(self, number: int, draft: Draft, *, replaces: str) -> PullRequest:
        """Push the branch and say so in the pull request, both or neither.

        Raises PushRejected where the branch or the pull request has moved meanwhile.
        """
        with self._repository.origin.asked_once():
            self._must_be_open(self.get(number))
            branch = RefUpdate(f"refs/heads/{draft.branch}", replaces, draft.head)
            self._add(number, self._event("pushed", draft.head, draft=draft), branch)
            return self.get(number)

    def approve(self, number: int) -> PullRequest:
        """Approve the present head, as `git config runbookopt.login`, else user.email.

        Raises RunbookoptError where neither is set or the pull request is not open.
        """
        self._must_be_somebody("approve")
        return self._happens("approved", number)

    def attest(self, number: int, audit: str) -> PullRequest:
        """Give one's word for an audit at the present head. Raises as `approve` does."""
        self._must_be_somebody("audit")
        return self._happens("audited", number, audit)

    def close(self, number: int) -> PullRequest:
        """Close without merging; the branch stays. Raises RunbookoptError where it is not open."""
        return self._happens("closed", number)

    def hold(self, number: int) -> None:
        """Do nothing: here nothing merges by itself, and `pulls merge --auto` judges each head anew."""

    def protection(self, branch: str) -> Protection:
        """Nothing known: whoever may push to origin may push anything there."""
        return unknown_protection(branch, "a plain git server shows no rules of its own")

    def switches(self) -> RepositorySwitches:
        """None: a plain git server has no switches."""
        return RepositorySwitches(enforces=False)

    def members(self, team: str) -> None:  # noqa: ARG002 - as the protocol has it
        """Unknown: git knows no teams."""
        return

    def report(self, check: CheckRun) -> None:  # noqa: ARG002 - as the protocol has it
        """Refuse: git knows no check runs."""
        raise GitFailed("a plain git server has none")

    def merge(self, number: int, message: str, *, head: str, onto: str) -> str:
        """Squash: one commit with the branch's changes on the default branch; then delete the branch.

        The default branch and the event are pushed together, and only while the branch is at `head` and the
        default branch at `onto`: else PushRejected. Raises MergeConflict, and PushRefused by the server.
        """
        with self._repository.origin.asked_once():
            pull = self._must_be_open(self.get(number))
            branch, base = f"refs/heads/{pull.branch}", f"refs/heads/{pull.base}"
            tree = self._repository.merge(onto, head)
            new = self._repository.history(head, without=onto)
            if not new:
                raise GitFailed(f"{pull.branch} holds nothing that {pull.base} does not")
            author = self._repository.commit(new[0]).author
            squashed = self._repository.write_commit(tree, [onto], message, author)
            event = self._event("merged", head, commit=squashed)
            self._add(number, event, RefUpdate(base, onto, squashed), RefUpdate(branch, head, head))
        with suppress(GitFailed):  # pushed to just now, or origin keeps its branches: merged all the same
            self._repository.origin.push(RefUpdate(branch, head, None))
        return squashed

    def _must_be_somebody(self, doing: str) -> None:
        if self._repository.identity() is None:
            raise RunbookoptError(f"say who you are before you {doing}: git config runbookopt.login NAME")

    def _happens(
        self, kind: Literal["approved", "audited", "closed"], number: int, audit: str | None = None
    ) -> PullRequest:
        with self._repository.origin.asked_once():
            for attempt in attempts(PushRejected):
                with attempt:
                    head = self._must_be_open(self.get(number)).head
                    self._add(number, self._event(kind, head, audit=audit))
            return self.get(number)

    def _fetch(self) -> "_Origin":
        if not self._repository.has_origin():
            raise GitFailed("there is no origin to keep pull requests: git remote add origin URL")
        base, refs = self._repository.fetched(
            f"+{PULLS}*:{_PULLS_COPIED}*", *(f"+{ours}*:{copied}*" for ours, copied in _HEADS.items())
        )
        numbers = {ref.removeprefix(PULLS): last for ref, last in refs.items() if ref.startswith(PULLS)}
        return _Origin(
            url=self._repository.origin.url or "",
            base=base,
            pulls={int(number): last for number, last in numbers.items() if number.isdecimal()},
            heads={r.removeprefix("refs/heads/"): sha for r, sha in refs.items() if r.startswith((*_HEADS,))},
        )

    def _fold(self, number: int, origin: "_Origin") -> PullRequest:
        chain = self._chain(origin.pulls[number])
        events = [event for event, _ in chain]
        draft, proposed = _last_draft(events)
        state = _state(events[-1])
        if state == "open" and (draft.branch not in origin.heads or self._has_newer(number, draft, origin)):
            state = "closed"
        head = origin.heads[draft.branch] if state == "open" else events[-1].head
        return PullRequest(
            number=number,
            url=f"{origin.url}#{PULLS}{number}",
            title=draft.title,
            body=draft.body,
            branch=draft.branch,
            base=draft.base,
            head=head,
            proposed=proposed,
            author=events[0].by,
            makers=self._makers(events, head, origin.base) if state == "open" else (),
            state=state,
            reviewers=draft.reviewers,
            auto_merge=draft.auto_merge,
            approvals=tuple(Approval(e.by, e.head, c.at, e.email) for e, c in chain if e.kind == "approved"),
            attestations=tuple(
                Attestation(e.by, e.head, c.at, e.audit, e.email)
                for e, c in chain
                if e.kind == "audited" and e.audit is not None
            ),
            bundle=draft.bundle,
            teams=draft.teams,
            opened_at=chain[0][1].at,
            closed_at=chain[-1][1].at if _state(events[-1]) != "open" else "",
            reviewed=next((event.head for event in reversed(events) if event.kind == "approved"), ""),
            first=next(event.draft.bundle for event in events if event.draft is not None),
        )

    def _has_newer(self, number: int, draft: Draft, origin: "_Origin") -> bool:
        for newer in (other for other in origin.pulls if other > number):
            events = [event for event, _ in self._chain(origin.pulls[newer])]
            if _last_draft(events)[0].branch == draft.branch:
                return True
        return False

    def _chain(self, last: str) -> list[tuple[Event, Commit]]:
        commit = self._repository.commit(last)
        chain = [(_read(commit), commit)]
        while chain[-1][0].kind != "opened":
            commit = self._repository.commit(commit.parents[0])
            chain.append((_read(commit), commit))
        return chain[::-1]

    def _makers(self, events: list[Event], head: str, base: str) -> tuple[str, ...]:
        """All whose hand is in it; a login is known by the address that its events carry.

        Not by an address that is known to be the pusher's: whoever approves with that makes the approval
        worthless (see `may_merge`), and is no maker for it.
        """
        commits = [self._repository.commit(sha) for sha in self._repository.history(head, without=base)]
        addresses = {person.email for commit in commits for person in (commit.author, commit.committer)}
        owners = {event.email: event.by for event in events if event.kind in {"opened", "pushed"}}
        pushers = {event.by for event in events if event.kind in {"opened", "pushed"}}
        logins = {
            event.by
            for event in events
            if event.email in addresses and owners.get(event.email, event.by) == event.by
        }
        return tuple(sorted(addresses | pushers | logins))

    def _event(
        self,
        kind: Literal["opened", "pushed", "approved", "audited", "closed", "merged"],
        head: str,
        *,
        draft: Draft | None = None,
        commit: str | None = None,
        audit: str | None = None,
    ) -> Event:
        email = self._repository.person().email
        by = self._repository.identity() or email
        return Event(kind, by, email, head, draft, commit, audit)

    def _open(self, draft: Draft, replaces: str | None) -> int:
        origin = self._fetch()
        for number in origin.pulls:
            pull = self._fold(number, origin)
            if pull.branch == draft.branch and pull.state == "open":
                raise PushRejected(f"{draft.branch} has an open pull request by now, {number}")
        number = max(origin.pulls, default=0) + 1
        opened = self._written(self._event("opened", draft.head, draft=draft), [])
        try:
            self._repository.origin.push(
                RefUpdate(f"refs/heads/{draft.branch}", replaces, draft.head),
                RefUpdate(f"{PULLS}{number}", None, opened),
            )
        except PushRejected as error:
            if self._repository.origin.refs(f"{PULLS}{number}"):
                raise _NumberTaken(str(error)) from error
            raise
        return number

    def _add(self, number: int, event: Event, *more: RefUpdate) -> None:
        last = self._fetch().pulls[number]
        self._repository.origin.push(RefUpdate(f"{PULLS}{number}", last, self._written(event, [last])), *more)

    def _written(self, event: Event, parents: list[str]) -> str:
        message = f"{event.kind} by {event.by}\n\n{canonical(msgspec.to_builtins(event)).decode()}\n"
        return self._repository.write_commit(self._repository.write_tree({}), [*parents, event.head], message)

    def _must_be_open(self, pull: PullRequest) -> PullRequest:
        if pull.state != "open":
            raise RunbookoptError(f"pull request {pull.number} is {pull.state}")
        return pull


class _Origin(Struct, frozen=True):
    """What was fetched: the default branch, the last event of each pull request, the branches' heads."""

    url: str
    base: str
    pulls: dict[int, str]
    heads: dict[str, str]


class _NumberTaken(PushRejected):
    """Another pull request was opened at the same moment."""


def _last_draft(events: list[Event]) -> tuple[Draft, str]:
    """The last draft that was proposed, and its commit."""
    return [(event.draft, event.head) for event in events if event.draft is not None][-1]


def _state(last: Event) -> Literal["open", "closed", "merged"]:
    """Its state by its last event alone; whoever deletes the branch closes it too."""
    match last.kind:
        case "closed" | "merged":
            return last.kind
        case _:
            return "open"


def _read(commit: Commit) -> Event:
    """Read the event in the last line of a commit of a chain. Raises GitFailed."""
    try:
        event = msgspec.json.decode(commit.message.strip().rpartition("\n")[2], type=Event)
    except msgspec.DecodeError as error:
        raise GitFailed(f"commit {commit.id[:12]} under {PULLS} holds no event: {error}") from error
    if (event.kind == "opened" and event.draft is None) or (event.kind != "opened" and not commit.parents):
        raise GitFailed(f"commit {commit.id[:12]} under {PULLS} is an event without what came before")
    return event
