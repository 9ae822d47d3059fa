"""Pull requests, protections and teams as GitHub tells them; nothing here changes anything."""

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github import translate as words
from runbookopt.forge.github.answers import read
from runbookopt.forge.github.client import Client, Refusal
from runbookopt.forge.github.rules import combined, rulesets_of
from runbookopt.forge.github.settings import switches
from runbookopt.forge.protection import Protection, RepositorySwitches
from runbookopt.forge.protocol import CRITERIA, RUNBOOKS, Approval, Attestation, PullRequest

_COPIED = "refs/runbookopt/origin/github/"
_MOST_COMMITS = 250
_FORBIDDEN = 403
_DECIDING = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})


_QUEUE = """query($owner: String!, $name: String!, $branch: String!) {
  repository(owner: $owner, name: $name) { queue: mergeQueue(branch: $branch) { id } }
}"""


_EDITED = """query($id: ID!) { node(id: $id) { ... on PullRequestReview { body lastEditedAt } } }"""


class _Queued(Struct, frozen=True):
    queue: dict[str, str] | None = None


class _Told(Struct, frozen=True):
    repository: _Queued


class _Text(Struct, frozen=True):
    body: str
    lastEditedAt: str | None  # noqa: N815 - GitHub's name


class _Node(Struct, frozen=True):
    node: _Text | None


class _Moved(GitFailed):
    """The head that a pull request was said to have is gone before it was fetched."""


class GithubPulls:
    """What can be read at GitHub of the repository that `repository`'s origin is a remote of."""

    def __init__(self, repository: Repository, client: Client) -> None:
        self._repository, self._client = repository, client
        self._asked_name = False

    def pull_requests(self, branch: str | None = None) -> tuple[PullRequest, ...]:
        """Those of one branch, else of all branches of ours, oldest first. Raises GitFailed."""
        return self._shown(lambda: self._listed(branch))

    def get(self, number: int) -> PullRequest:
        """One, with its approvals and who had a hand in it. Raises GitFailed."""
        (pull,) = self._shown(lambda: [self._answer(number)])
        reviews = self._reviews(number)
        last = {each.user.login: each for each in reviews if each.user and each.state in _DECIDING}
        others = [each for each in reviews if each.user and each.user.login != pull.author]
        return replace(
            pull,
            makers=self._makers(number),
            approvals=tuple(
                Approval(login, each.commit_id or "", each.submitted_at)
                for login, each in last.items()
                if each.state == "APPROVED"
            ),
            objections=tuple(login for login, each in last.items() if each.state == "CHANGES_REQUESTED"),
            attestations=tuple(self._attested(reviews)),
            reviewed=next((each.commit_id for each in reversed(others) if each.commit_id), ""),
        )

    def protection(self, branch: str) -> Protection:
        """Classic protection and rulesets together; what a token is not shown is said to be unread."""
        unread: list[str] = []
        classic = self._classic(branch, unread)
        rules: object = None
        try:
            rules = self._client.ask_all(f"~/rules/branches/{quote(branch, safe='')}")
        except Refusal as error:
            if not _is_not_on_this_plan(error):
                unread.append(f"rulesets are not shown to this token ({error.words})")
        shown = [ruleset for number in rulesets_of(rules or []) if (ruleset := self._ruleset(number))]
        found = combined(branch, classic=classic, rules=rules, rulesets=shown, unread=unread)
        return replace(found, merge_queue=found.merge_queue or self._has_queue(branch) or found.merge_queue)

    def members(self, team: str) -> tuple[str, ...] | None:
        """The members of a team, "slug" or "organization/slug"; None where they are not shown."""
        owner, _, slug = team.rpartition("/")
        try:
            owner = owner or self._name().partition("/")[0]
            users = self._client.ask_all(f"/orgs/{owner}/teams/{quote(slug, safe='')}/members")
        except Refusal:
            return None
        return tuple(user.login for user in read(users, tuple[words.User, ...]))

    def switches(self) -> RepositorySwitches:
        """The repository's switches and what the token is worth, as far as the token is shown it."""
        return switches(self._client)

    # Below --------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        """The repository's name now: GitHub answers to an old one, and shows pull requests under the new."""
        if not self._asked_name:
            named = read(self._client.ask("~"), words.Repo).full_name
            if named.casefold() != self._client.repository.casefold():
                self._client.is_renamed(named)
            self._asked_name = True
        return self._client.repository

    def _answer(self, number: int) -> words.Answer:
        return read(self._client.ask(f"~/pulls/{number}"), words.Answer)

    def _listed(self, branch: str | None, state: str = "all") -> list[words.Answer]:
        """The pull requests from our branches, oldest first; a fork's are not ours."""
        here = self._name().casefold()
        head = {} if branch is None else {"head": f"{self._name().partition('/')[0]}:{branch}"}
        listed = self._client.ask_all("~/pulls", state=state, sort="created", direction="asc", **head)
        ours = (
            pull
            for pull in read(listed, list[words.Answer])
            if pull.head.repo is not None
            and pull.head.repo.full_name.casefold() == here
            and (pull.head.ref == branch if branch else pull.head.ref.startswith((RUNBOOKS, CRITERIA)))
        )
        return sorted(ours, key=lambda pull: pull.number)

    def _shown(self, ask: Callable[[], Sequence[words.Answer]]) -> tuple[PullRequest, ...]:
        """Pull requests, asked for anew where one was pushed to before its commits were here."""
        shown: tuple[PullRequest, ...] = ()
        for attempt in attempts(_Moved):
            with attempt:
                answers = ask()
                tip = self._fetched(answers)
                shown = tuple(self._read(answer, tip) for answer in answers)
        return shown

    def _fetched(self, answers: Sequence[words.Answer]) -> str:
        """Bring the commits of pull requests here, whose branch may be gone; give the default branch's."""
        absent = [each for each in answers if self._repository.find(each.head.sha) is None]
        if absent:
            numbers = [each.number for each in absent]
            self._repository.origin.fetch(*(f"+refs/pull/{n}/head:{_COPIED}{n}" for n in numbers))
        for each in absent:
            if self._repository.find(each.head.sha) is None:
                raise _Moved(f"pull request {each.number} is pushed to all the time: run this again")
        return self._repository.base()

    def _read(self, answer: words.Answer, tip: str) -> PullRequest:
        proposed, bundle = self._proposed(answer.head.sha, tip)
        finished = words.done(answer.body)
        return PullRequest(
            number=answer.number,
            url=answer.html_url,
            title=answer.title,
            body=answer.body or "",
            branch=answer.head.ref,
            base=answer.base.ref,
            head=answer.head.sha,
            proposed=proposed,
            author=answer.author,
            makers=(),
            state="merged" if answer.merged_at else answer.state,
            reviewers=tuple(user.login for user in answer.requested_reviewers),
            auto_merge=answer.auto_merge is not None,
            approvals=(),
            bundle=bundle,
            teams=tuple(team.slug for team in answer.requested_teams),
            complete=finished is not None and finished[0] == answer.head.sha,
            opened_at=answer.created_at,
            closed_at=answer.closed_at or "",
        )

    def _proposed(self, head: str, tip: str) -> tuple[str, str]:
        """The last commit that cites a bundle, and that bundle; the head where none does.

        Whoever writes a commit can cite one: the ledger tells what is ours.
        """
        for sha in reversed(self._repository.history(head, without=tip)[-_MOST_COMMITS:]):
            bundle = words.bundle_of(self._repository.commit(sha).message)
            if bundle is not None:
                return sha, bundle
        return head, words.bundle_of(self._repository.commit(head).message) or ""

    def _makers(self, number: int) -> tuple[str, ...]:
        """The accounts and addresses on all commits, and who pushed with force.

        GitHub does not tell who else pushed.
        """
        commits = read(self._client.ask_all(f"~/pulls/{number}/commits"), list[words.Made])
        if len(commits) >= _MOST_COMMITS:
            raise GitFailed(
                f"pull request {number} has {_MOST_COMMITS} commits or more, and GitHub shows no more:"
                " who made them is not known"
            )
        signed = [name for each in commits for name in (each.commit.author, each.commit.committer) if name]
        users = [user for each in commits for user in (each.author, each.committer) if user]
        events = read(self._client.ask_all(f"~/issues/{number}/events"), list[words.Happened])
        users += [each.actor for each in events if each.event == "head_ref_force_pushed" and each.actor]
        return tuple(sorted({*(name.email for name in signed), *(user.login for user in users)} - {""}))

    def _reviews(self, number: int) -> list[words.Review]:
        return read(self._client.ask_all(f"~/pulls/{number}/reviews"), list[words.Review])

    def _attested(self, reviews: Sequence[words.Review]) -> Iterator[Attestation]:
        """The audits that reviews say are their writers' own.

        Whoever may write can edit the text of somebody else's review, so one that was edited says nothing,
        nor one of which that is not told.
        """
        for each in reviews:
            if each.user is not None and each.audit is not None and self._is_as_written(each):
                yield Attestation(each.user.login, each.commit_id or "", each.submitted_at, each.audit)

    def _is_as_written(self, review: words.Review) -> bool:
        try:
            text = read(self._client.query(_EDITED, id=review.node_id), _Node).node
        except Refusal:
            return False
        return text is not None and text.lastEditedAt is None and text.body == review.body

    def _classic(self, branch: str, unread: list[str]) -> object:
        try:
            return self._client.ask(f"~/branches/{quote(branch, safe='')}/protection")
        except Refusal as error:
            if "Branch not protected" not in error.words and not _is_not_on_this_plan(error):
                unread.append(
                    "classic branch protection is not shown to this token, which needs"
                    f" administration: read ({error.words})"
                )
            return None

    def _has_queue(self, branch: str) -> bool:
        """Whether the branch has a merge queue: that of classic protection is shown by GraphQL alone."""
        owner, _, name = self._client.repository.partition("/")
        try:
            told = self._client.query(_QUEUE, owner=owner, name=name, branch=branch)
        except Refusal:
            return False
        return read(told, _Told).repository.queue is not None

    def _ruleset(self, number: int) -> object:
        try:
            return self._client.ask(f"~/rulesets/{number}")
        except Refusal:
            return None


def _is_not_on_this_plan(error: Refusal) -> bool:
    """Whether there is nothing to read: a private repository of the Free plan has no protections at all."""
    return error.code == _FORBIDDEN and "Upgrade to GitHub" in error.words
