"""Pull requests at GitHub: proposed step by step, each step looked at first, so that any can be the last.

The body's last line is written when all is done, so a run that was cut is known by it and repaired by the
next one. Nothing here approves, passes by a protection, approves runs or edits a protection.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from msgspec.structs import replace

from runbookopt.errors import Refused
from runbookopt.forge.git.output import OriginUnreachable, PushRefused, PushRejected, RefUpdate
from runbookopt.forge.github import translate as words
from runbookopt.forge.github.answers import Unclear, read
from runbookopt.forge.github.checks import written
from runbookopt.forge.github.client import Refusal
from runbookopt.forge.github.pulls import GithubPulls
from runbookopt.forge.protection import against_merging_by_itself
from runbookopt.forge.protocol import CheckRun, Draft, PullRequest


class GithubForge(GithubPulls):
    """A `Forge` at GitHub."""

    in_git = False

    def open(self, draft: Draft, *, replaces: str | None) -> PullRequest:
        """Push the branch and open a pull request, or take up the one that is open for it by now.

        Raises PushRejected where the branch is no longer at `replaces`, GitFailed.
        """
        self._push(draft, replaces)
        return self._finished(self._created(draft), draft)

    def update(self, number: int, draft: Draft, *, replaces: str) -> PullRequest:
        """Push the branch and bring the pull request up to date.

        Raises PushRejected where the branch has moved or the pull request is not open any more, GitFailed.
        """
        there = self._must_be_open(number)
        if there.auto_merge is not None and draft.head != replaces:
            self.hold(number)  # or the new commit would be merged on the old one's word
        self._push(draft, replaces)
        return self._finished(self._must_be_open(number), draft)

    def hold(self, number: int) -> None:
        """Switch GitHub's auto-merge off, where it is on. Raises GitFailed."""
        there = self._answer(number)
        if there.state != "open" or there.auto_merge is None:
            return
        try:
            self._client.change(
                f"switch auto-merge of pull request {number} off",
                lambda: self._sent("disablePullRequestAutoMerge", {"pullRequestId": there.node_id}),
                lambda: True if self._answer(number).auto_merge is None else None,
            )
        except Refusal:
            if self._answer(number).auto_merge is not None:  # another run was faster
                raise

    def close(self, number: int) -> PullRequest:
        """Close without merging; the branch stays. Raises GitFailed."""
        self._edit(number, {"state": "closed"}, lambda there: there.state == "closed")
        return self.get(number)

    def approve(self, number: int) -> PullRequest:
        """Refuse: a person approves, at GitHub."""
        page = self._answer(number).html_url
        raise Refused(f"runbookopt approves nothing at GitHub: approve pull request {number} at {page}")

    def attest(self, number: int, audit: str) -> PullRequest:
        """Refuse: a person says so, in a review of their own."""
        raise Refused(
            "runbookopt speaks for nobody at GitHub: so that the audit counts, write a review of pull request"
            f" {number} (Comment will do) at {self._answer(number).html_url}/files with this line in it, and"
            f" never edit it: {words.audit_line(audit)}"
        )

    def merge(self, number: int, message: str, *, head: str, onto: str) -> str:
        """Refuse: GitHub merges, by itself or by a person's hand. `message`, `head`, `onto` are not used."""
        del message, head, onto
        there = self._answer(number)
        if there.auto_merge is not None:
            when = f"as soon as all is there that {there.base.ref} requires"
            raise Refused(f"GitHub merges pull request {number} by itself, {when}: {there.html_url}")
        raise Refused(f"runbookopt merges nothing at GitHub: merge pull request {number} at {there.html_url}")

    def report(self, check: CheckRun) -> None:
        """Write a check run, or bring the one of ours for this commit up to date. Raises GitFailed."""
        written(self._client, check)

    # The steps of a proposal --------------------------------------------------------------------------------

    def _push(self, draft: Draft, replaces: str | None) -> None:
        ref, origin = f"refs/heads/{draft.branch}", self._repository.origin
        if draft.head == replaces:
            return

        def look() -> Literal[True] | None:
            there = origin.refs(ref).get(ref)
            if there not in {draft.head, replaces}:
                raise PushRejected(f"{draft.branch} is at {there or 'nothing'} by now")
            return True if there == draft.head else None

        def send() -> Literal[True]:
            try:
                origin.push(RefUpdate(ref, replaces, draft.head))
            except OriginUnreachable as error:
                if any(no in str(error) for no in ("error: 403", "error: 401", "could not read Username")):
                    advice = "the token needs contents: write"
                    raise PushRefused(f"GitHub does not take the push ({advice}): {error}") from None
                raise
            return True

        self._client.change(f"take {draft.branch}", send, look)

    def _created(self, draft: Draft) -> words.Answer:
        def look() -> words.Answer | None:
            listed = self._listed(draft.branch, state="open")
            return next((pull for pull in listed if pull.base.ref == draft.base), None)

        def send() -> words.Answer | None:
            body = words.Body(draft.body).text()
            given = {"head": draft.branch, "base": draft.base, "title": draft.title, "body": body}
            return read(self._client.send("POST", "~/pulls", given), words.Answer)

        opened = look()
        if opened is not None:
            return opened
        try:
            created = self._client.change("open a pull request", send, look)
        except Refusal as error:
            if "No commits between" in error.words:
                raise PushRejected(f"the default branch has moved: {error.words}") from None
            if "already exists" not in error.words:
                raise
            created = self._client.awaited(look)
        if created is None:
            raise Unclear(
                f"GitHub says that {draft.branch} has an open pull request, and does not list it yet:"
                " run this again in a minute"
            )
        return created

    def _finished(self, there: words.Answer, draft: Draft) -> PullRequest:
        """Do what is still to be done, and then write so into the body."""
        there = self._at_its_head(there, draft)
        notes = [*self._labelled(there, draft), *self._requested(there, draft.reviewers, draft.teams)]
        against, again = self._waits_for_itself(there, draft)
        notes += against
        if against and draft.auto_merge:
            notes += self._requested(there, draft.otherwise, draft.teams_otherwise)
        if self._client.viewer().removesuffix("[bot]") == words.ACTIONS:
            notes.append(words.NOT_STARTED)
        self._describe(there, draft, words.Body(draft.body, tuple(notes)), again=again)
        self._supersede(there, draft)
        (now,) = self._shown(lambda: [self._answer(there.number)])
        return replace(now, notes=tuple(notes))

    def _at_its_head(self, there: words.Answer, draft: Draft) -> words.Answer:
        """Wait until the pull request is at what was pushed, which GitHub does not see at once."""

        def look() -> words.Answer | None:
            now = self._answer(there.number)
            return now if now.head.sha == draft.head else None

        now = there if there.head.sha == draft.head else self._client.awaited(look)
        if now is None:
            raise PushRejected(f"pull request {there.number} is not at {draft.head[:12]}, which was pushed")
        return now

    def _labelled(self, there: words.Answer, draft: Draft) -> Iterator[str]:
        def missing(pull: words.Answer) -> list[str]:
            return [name for name in draft.labels if name not in {label.name for label in pull.labels}]

        absent = missing(there)
        if not absent:
            return
        path = f"~/issues/{there.number}/labels"
        try:
            self._client.change(
                "put a label on",
                lambda: [self._client.send("POST", path, {"labels": absent})],
                lambda: None if missing(self._answer(there.number)) else [],
            )
        except Refusal as error:
            yield f"the label {', '.join(absent)} was not put on: {error.words}"

    def _requested(self, there: words.Answer, people: Sequence[str], teams: Sequence[str]) -> Iterator[str]:
        """Ask whom the policy names, besides the code owners whom GitHub asks by itself.

        Who is asked already, or has spoken of this commit, is not asked again. One that GitHub does not know
        keeps no other from being asked.
        """
        reviews = self._reviews(there.number) if people else []
        spoken = {r.user.login.casefold() for r in reviews if r.user and r.commit_id == there.head.sha}
        named = [login for login in people if login.casefold() not in spoken]
        if there.author.casefold() in {login.casefold() for login in named}:
            yield f"{there.author} opened this pull request, so cannot be asked to review it"
            named = [login for login in named if login.casefold() != there.author.casefold()]
        everybody = [("reviewers", login) for login in named]
        everybody += [("team_reviewers", team.rpartition("/")[2]) for team in teams]
        try:
            self._ask_for(there, everybody)
        except Refusal as error:
            for kind, name in everybody:
                yield from self._asked_alone(there, kind, name, error if len(everybody) == 1 else None)

    def _asked_alone(self, there: words.Answer, kind: str, name: str, known: Refusal | None) -> Iterator[str]:
        try:
            if known is not None:
                raise known
            self._ask_for(there, [(kind, name)])
        except Refusal as error:
            what = "reviewer" if kind == "reviewers" else "team"
            node = "Could not resolve to a node" in error.words
            why = " (the token may need members: read to ask a team)" if node else ""
            yield f"the {what} {name} could not be asked: {error.words}{why}"

    def _ask_for(self, there: words.Answer, wanted: Sequence[tuple[str, str]]) -> None:
        def missing() -> dict[str, list[str]]:
            now = self._answer(there.number)
            asked = {("reviewers", user.login.casefold()) for user in now.requested_reviewers}
            asked |= {("team_reviewers", team.slug.casefold()) for team in now.requested_teams}
            still = [(kind, name) for kind, name in wanted if (kind, name.casefold()) not in asked]
            kinds = dict.fromkeys(kind for kind, _ in still)
            return {kind: [name for other, name in still if other == kind] for kind in kinds}

        given = missing() if wanted else {}
        if not given:
            return
        path = f"~/pulls/{there.number}/requested_reviewers"
        self._client.change(
            "ask for a review",
            lambda: [self._client.send("POST", path, given)],
            lambda: None if missing() else [],
        )

    def _waits_for_itself(self, there: words.Answer, draft: Draft) -> tuple[list[str], bool]:
        """See to it that it merges by itself just where it should, and whether to ask again another time.

        Says why not, where the policy lets it and GitHub does not.
        """
        if not draft.auto_merge:
            self.hold(there.number)
            return [], False
        protection = self.protection(draft.base)
        against, again = list(against_merging_by_itself(protection)), False
        if not against and protection.merge_queue:
            against.append(_refused("merge queue"))
        if not against and there.auto_merge is None:
            refusal = self._enabled(there, draft)
            against += [] if refusal is None else [_refused(refusal)]
            again = refusal is not None and words.outcome_of(refusal)[0] in words.PASSING
        if against:
            self.hold(there.number)
            later = "; the next run asks again" if again else ""
            waits = "this does not merge by itself and waits for review"
            return [f"{waits}: {why}{later}" for why in against], again
        return [
            f"GitHub merges this by itself, and waits besides: {each}" for each in protection.others
        ], False

    def _enabled(self, there: words.Answer, draft: Draft) -> str | None:
        """Switch auto-merge on, and give GitHub's refusal.

        Just after opening GitHub has not begun the checks, and takes it for one that waits for nothing: it is
        asked again for as long as patience has it.
        """
        title, _, text = draft.message.partition("\n")
        wish = {
            "pullRequestId": there.node_id,
            "mergeMethod": draft.method.upper(),
            "expectedHeadOid": draft.head,
            "commitHeadline": f"{title} (#{there.number})",
            "commitBody": text.strip(),
        }
        if draft.method == "rebase":
            wish = {key: value for key, value in wish.items() if not key.startswith("commit")}

        def look() -> Literal[True] | None:
            now = self._answer(there.number)
            return None if now.auto_merge is None and now.merged_at is None else True

        def send() -> Literal[True]:
            return self._sent("enablePullRequestAutoMerge", wish)

        refused = ""
        for pause in (0.0, *self._client.pauses):
            self._client.wait(pause)
            try:
                self._client.change("switch auto-merge on", send, look)
            except Refusal as error:
                refused = error.words
                if words.outcome_of(refused)[0] not in words.PASSING:
                    return refused
            else:
                return None
        return refused

    def _describe(self, there: words.Answer, draft: Draft, body: words.Body, *, again: bool) -> None:
        """Write title and body, unless just this was written before; without its last line to ask `again`."""
        ours = (draft.head, words.fingerprint(draft, body))
        told = body.text("" if again else words.marker(draft, body))

        def is_so(now: words.Answer) -> bool:
            if again:
                return (now.title, words.lasting(now.body)) == (draft.title, words.lasting(told))
            return words.done(now.body) == ours

        if not is_so(there):
            self._edit(there.number, {"title": draft.title, "body": told}, is_so)

    def _supersede(self, there: words.Answer, draft: Draft) -> None:
        """Close what else we have open for the branch: of an earlier default branch, say."""
        for other in self._listed(draft.branch, state="open"):
            if other.number == there.number or other.author != there.author:
                continue
            self._point(other.number, there.number)
            self._edit(other.number, {"state": "closed"}, lambda now: now.state == "closed")

    def _point(self, number: int, to: int) -> None:
        path = f"~/issues/{number}/comments"

        def said() -> Literal[True] | None:
            comments = read(self._client.ask_all(path), list[words.Comment])
            return True if any(words.SUPERSEDED in (each.body or "") for each in comments) else None

        def send() -> Literal[True]:
            self._client.send("POST", path, {"body": words.superseded(to)})
            return True

        if not said():
            self._client.change("comment", send, said)

    # Below --------------------------------------------------------------------------------------------------

    def _sent(self, mutation: str, given: dict[str, str]) -> Literal[True]:
        self._client.mutate(mutation, given)
        return True

    def _edit(self, number: int, given: dict[str, str], is_so: Callable[[words.Answer], bool]) -> None:
        def look() -> words.Answer | None:
            now = self._answer(number)
            return now if is_so(now) else None

        def send() -> words.Answer:
            return read(self._client.send("PATCH", f"~/pulls/{number}", given), words.Answer)

        self._client.change(f"edit pull request {number}", send, look)

    def _must_be_open(self, number: int) -> words.Answer:
        there = self._answer(number)
        if there.state != "open":
            raise PushRejected(f"pull request {number} is {'merged' if there.merged_at else 'closed'} by now")
        return there


def _refused(refusal: str) -> str:
    """GitHub's refusal by its name and with what it means."""
    outcome, meaning = words.outcome_of(refusal)
    return f"{outcome.replace('_', ' ')}: {meaning}"
