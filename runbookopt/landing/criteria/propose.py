"""Proposal of criteria: one commit that adds them to rubric.yaml and touches nothing else, for review.

What judges is never changed together with what it judges, and never merges by itself: whoever may change both
could justify anything.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from runbookopt.documents.digest import digest
from runbookopt.documents.untrusted import code, prose
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.evidence.library import Folder
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import GitFailed, PushRejected
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protocol import CRITERIA, Draft, Forge, PullRequest
from runbookopt.landing.propose import LABEL, branch_of
from runbookopt.landing.verify import verify_pull_request
from runbookopt.project.places import places_of
from runbookopt.project.project import declared_policy
from runbookopt.verifier.rubric import Criterion
from runbookopt.verifier.rubric_patch import Patch, patch

TRAILER = "Runbookopt-Criteria"


class Described(Struct, frozen=True):
    """A criterion that is proposed, the failure mode that it is for, and how it agrees with labels."""

    criterion: Criterion
    mode: str
    figures: str


class ProposedCriteria(Struct, frozen=True):
    """What became of a proposal of criteria: its pull request, or why there is none."""

    patch: Patch
    branch: str
    pull_request: PullRequest | None
    note: str = ""


def propose_criteria(
    repository: Repository, forge: Forge, name: str, described: Sequence[Described]
) -> ProposedCriteria:
    """Open a pull request that adds criteria, or bring the open one up to date; it always goes to review.

    A branch that a person edited is left alone, and what was closed is not proposed again. Raises
    RunbookoptError where the rubric here is not the default branch's, GitFailed without an origin.
    """
    if not repository.has_origin():
        raise GitFailed("there is no origin to propose to: git remote add origin URL")
    path = places_of(Folder(repository.root), name).rubric
    for attempt in attempts(PushRejected):
        with attempt:
            proposed = _publish(repository, forge, name, path, described)
    return proposed


def _publish(
    repository: Repository, forge: Forge, name: str, path: str, described: Sequence[Described]
) -> ProposedCriteria:
    tip = repository.base()
    made = patch(path, _same_here(repository, tip, path), [each.criterion for each in described])
    branch = branch_of(name, CRITERIA)
    default = repository.origin.default_branch()
    pulls = [pull for pull in forge.pull_requests(branch) if pull.base == default]
    there = repository.origin.refs(f"refs/heads/{branch}").get(f"refs/heads/{branch}")
    if why := _spoken(repository, path, made, pulls, there):
        return ProposedCriteria(made, branch, None, why)
    policy = declared_policy(repository.revision(tip), name)
    title = f"{name}: {_count(described)} for failure modes that people named"
    message = f"{title}\n\n{_plain(described)}\n\n{TRAILER}: {digest(made.text.encode())}\n"
    head = repository.write_commit(
        repository.write_tree({path: made.text.encode()}, onto=tip), [tip], message
    )
    draft = Draft(
        branch=branch,
        base=default,
        head=head,
        title=title,
        body=_body(name, path, described),
        reviewers=policy.reviewers,
        teams=policy.teams,
        labels=(LABEL,),
        auto_merge=False,
        method=policy.method,
        message=message,
        bundle=digest(made.text.encode()),
    )
    is_open = next((pull for pull in pulls if pull.state == "open"), None)
    if is_open and there:
        return ProposedCriteria(made, branch, forge.update(is_open.number, draft, replaces=there), "updated")
    return ProposedCriteria(made, branch, forge.open(draft, replaces=there))


def _same_here(repository: Repository, tip: str, path: str) -> bytes:
    """The rubric, which has to be the same here and on the default branch."""
    try:
        here, base = Folder(repository.root).read(path), repository.revision(tip).read(path)
    except FileNotFoundError:
        raise RunbookoptError(
            f"{path}: not found here and on the default branch: commit and push a rubric.yaml, to which"
            " criteria can be added"
        ) from None
    if here != base:
        raise RunbookoptError(
            f"{path}: other than on the default branch: commit and push it, or take it back"
        )
    return base


def _spoken(
    repository: Repository, path: str, made: Patch, pulls: Sequence[PullRequest], there: str | None
) -> str | None:
    """Why a person has the word now: they edited the branch, closed just this, or have it before them."""
    text = made.text.encode()
    if there and not _is_ours(repository, path, there):
        return f"the branch is at {there[:12]}, which somebody else pushed: it is left alone"
    for pull in pulls:
        same = pull.state != "merged" and _at(repository, pull.head, path) == text
        if same and pull.state == "closed":
            return f"pull request {pull.number} proposed the same and was closed: it is not opened again"
        if same:
            return f"pull request {pull.number} proposes this already"
    return None


def _at(repository: Repository, commit: str, path: str) -> bytes | None:
    try:
        return repository.revision(commit).read(path)
    except (FileNotFoundError, GitFailed):
        return None


def _is_ours(repository: Repository, path: str, there: str) -> bool:
    """Whether a branch's head is what its trailer says: this file, changed alone."""
    text = _at(repository, there, path)
    commit = repository.commit(there)
    said = re.search(rf"^{TRAILER}: (\S+)$", commit.message, re.MULTILINE)
    if text is None or said is None or said[1] != digest(text) or len(commit.parents) != 1:
        return False
    repository.revision(commit.parents[0])
    return [(each.old_path, each.new_path) for each in repository.diff(commit.parents[0], there)] == [
        (path, path)
    ]


def _count(described: Sequence[Described]) -> str:
    return f"{len(described)} criteri{'on' if len(described) == 1 else 'a'}"


def _plain(described: Sequence[Described]) -> str:
    return "\n".join(f"- {each.criterion.id}: {each.figures}" for each in described)


def _body(name: str, path: str, described: Sequence[Described]) -> str:
    """The pull request's text: what each criterion is for, and how it agrees with people."""
    rows = [
        f"- {code(each.criterion.id)}, for the failure mode {code(each.mode)}: {prose(each.figures)}"
        for each in described
    ]
    return "\n".join(
        [
            f"This adds {_count(described)} to {code(path)}, and changes nothing else.",
            "",
            *rows,
            "",
            _AFTERWARDS.format(calibrate=code(f"runbookopt calibrate {name}")),
            "",
            "People merge this, whoever may merge a runbook: what judges is never changed by what is judged.",
        ]
    )


_AFTERWARDS = (
    "The figures are of labels that the criteria were not made of. Once this is merged, take the look over"
    " ({calibrate}) and commit calibration.json: it says what decides."
)


# Merging, where the forge is git alone ------------------------------------------------------------------


def is_of_criteria(pull: PullRequest) -> bool:
    """Whether a pull request proposes criteria: no bundle proves it, and people merge it."""
    return pull.branch.startswith(CRITERIA)


def missing(repository: Repository, forge: Forge, number: int) -> tuple[str, ...]:
    """What keeps a proposal of criteria from being merged now. Raises RunbookoptError, GitFailed."""
    verified = verify_pull_request(repository, forge, number)
    if verified.passes:
        return ()
    against = tuple(reason.text for reason in verified.reasons if reason.holds is False)
    return against or tuple(reason.text for reason in verified.reasons if reason.holds is None)


def merge_criteria(repository: Repository, forge: Forge, number: int) -> str:
    """Merge a proposal of criteria where those agree whom today's policy names, and return the commit.

    Raises Refused with all that is missing, MergeConflict, GitFailed.
    """
    for attempt in attempts(PushRejected):
        with attempt:
            tip, pull = repository.base(), forge.get(number)
            verified = verify_pull_request(repository, forge, number)
            if not verified.passes:
                listed = "".join(f"\n- {each}" for each in missing(repository, forge, number))
                raise Refused(f"pull request {number} may not be merged:{listed}")
            title = f"{pull.title} (#{pull.number})\n"
            merged = forge.merge(number, title, head=verified.head, onto=tip)
    return merged
