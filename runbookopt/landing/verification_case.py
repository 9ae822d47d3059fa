"""What a head would make of the default branch: the merge is tried, and read as data."""

from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct

from runbookopt.dossier import ROOT, runbook_names
from runbookopt.forge.forge import Forge, PullRequest
from runbookopt.gitwords import MergeConflict
from runbookopt.landing.approvals import Permission, may_merge, reviews_of
from runbookopt.landing.enforcement import programs_of
from runbookopt.landing.policy import Decision, Policy, Reason
from runbookopt.landing.verification_touched import Touches, touches
from runbookopt.repository import Repository, Revision

_UNASKED = "who approved is not known here: verify with --pull-request N"


class Effect(Struct, frozen=True):
    """The default branch before and after a merge; `conflict` says why there is no merge.

    Where there is none, `after` is the head, and `touches` what it changed since it left the default branch.
    """

    before: Revision
    after: Revision
    touches: Touches
    conflict: str | None = None


class Case(Struct, frozen=True, dict=True):
    """A head that is to be merged onto `tip` of the default branch.

    `pull` is its pull request at `forge`; None where it is not known, and then no approval is.
    """

    repository: Repository
    tip: str
    head: str
    pull: PullRequest | None = None
    forge: Forge | None = None

    @cached_property
    def effect(self) -> Effect:
        """What merging the head makes of the default branch."""
        return self.effect_of(self.head)

    def effect_of(self, commit: str) -> Effect:
        """Give what merging a commit makes of the default branch. Raises GitFailed."""
        repository, tip = self.repository, self.repository.revision(self.tip)
        since, conflict = self.tip, None
        try:
            after = repository.merge(self.tip, commit)
        except MergeConflict as error:
            since, after, conflict = repository.merge_base(self.tip, commit) or self.tip, commit, str(error)
        there = Revision(repository, after)
        names = sorted({*runbook_names(tip), *runbook_names(there)})
        programs = {
            name: programs_of(content(tip, f"{ROOT}/{name}/rubric.yaml") or b"", "", repository.root)
            for name in names
        }
        found = touches(repository.diff(since, after), names, programs)
        return Effect(tip, there, found, conflict)

    def unlike(self, commit: str) -> Iterator[str]:
        """Name what is a matter of ours and other in a commit than merging the head would make it."""
        here, there = self.effect, self.effect_of(commit)
        for path in sorted({*here.touches.paths, *there.touches.paths}):
            if self._entry(here.after, path) != self._entry(there.after, path):
                yield path
        yield from sorted({*there.touches.no_files} - {*here.touches.no_files})

    def asks(self, policy: Policy, decision: Decision) -> Permission:
        """Say whether people agreed as a policy wants it; unknown, and so not granted, without `pull`."""
        if self.pull is not None and self.forge is not None:
            members = {team: self.forge.members(team) for team in policy.teams}
            return may_merge(policy, decision, reviews_of(self.pull, members))
        told = f"{policy.approvals} approval(s) of {policy.who or 'nobody whom a policy names'} are needed"
        return Permission(False, (*decision.reasons, Reason("approvals", None, f"{told}, and {_UNASKED}")))

    def _entry(self, revision: Revision, path: str) -> list[tuple[str, str]]:
        return [(entry.mode, entry.blob) for entry in self.repository.tree(revision.commit, path)]


def content(revision: Revision, path: str) -> bytes | None:
    """Give the bytes of a file; None where it is not there, or is no file."""
    try:
        return revision.read(path)
    except FileNotFoundError:
        return None
