"""When a pull request may be merged, and what merging does: GitHub's rules over the double's state."""

from tests.github import codeowners
from tests.github.bare import Conflict
from tests.github.state import Demand, Pull
from tests.github.world import Refused, World

PASSED = frozenset({"success", "neutral", "skipped"})
DECIDING = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})


def opinions(world: World, pull: Pull) -> dict[str, str]:
    """Give the last deciding review of everybody whose review counts."""
    last = {each.login: each.state for each in pull.reviews if each.state in DECIDING}
    return {
        login: state for login, state in last.items() if login != pull.author and world.people[login].writes
    }


def approvals(world: World, pull: Pull) -> list[str]:
    return [login for login, state in opinions(world, pull).items() if state == "APPROVED"]


def review_decision(world: World, pull: Pull) -> str | None:
    asked = [demand.approvals for _, demand in world.demands(pull.base) if demand.approvals is not None]
    states = set(opinions(world, pull).values())
    if "CHANGES_REQUESTED" in states:
        return "CHANGES_REQUESTED"
    if any(_review_lacks(world, pull, demand) for _, demand in world.demands(pull.base)):
        return "REVIEW_REQUIRED"
    return "APPROVED" if "APPROVED" in states and (asked or states) else None


def merge_state(world: World, pull: Pull) -> str:
    """Give GraphQL's MergeStateStatus; REST says the same in small letters."""
    base = world.bare.sha(pull.base) or pull.base_sha
    if pull.unsettled_for:
        return "UNKNOWN"
    if world.bare.conflicts(base, pull.head_sha):
        return "DIRTY"
    if pull.draft or reasons(world, pull):
        return "BLOCKED"
    strict = any(demand.strict for _, demand in world.demands(pull.base))
    if strict and not world.bare.holds(base, pull.head_sha):
        return "BEHIND"
    return "CLEAN" if _all_green(world, pull.head_sha) else "UNSTABLE"


def reasons(world: World, pull: Pull) -> list[str]:
    """Give what blocks the merge, in GitHub's words; of rulesets and classic protection together."""
    found: list[str] = []
    for source, demand in world.demands(pull.base):
        lacks = [*_checks_lack(world, pull, demand), *_review_lacks(world, pull, demand)]
        if source == "ruleset" and lacks:
            lacks = ["Repository rule violations found\n\n" + "\n\n".join(lacks) + "\n\n"]
        found.extend(lacks)
    return found


def _review_lacks(world: World, pull: Pull, demand: Demand) -> list[str]:
    if demand.approvals is None:
        return []
    if "CHANGES_REQUESTED" in opinions(world, pull).values():
        return ["Changes have been requested."]
    given = [each for each in approvals(world, pull) if not (demand.last_push and each == pull.last_pusher)]
    lacks = []
    if len(given) < demand.approvals:
        plural = "s are" if demand.approvals > 1 else " is"
        text = (
            f"At least {demand.approvals} approving review{plural} required by reviewers with write access."
        )
        lacks.append(text)
    if demand.code_owners and not _owners_agree(world, pull, given):
        lacks.append("Waiting on code owner review")
    return lacks


def owners_of(world: World, pull: Pull) -> set[tuple[str, ...]]:
    """Give for each changed and owned file its owners."""
    found = world.codeowners(pull.base)
    base = world.bare.sha(pull.base)
    if found is None or base is None:
        return set()
    changed = world.bare.files(base, pull.head_sha)
    paths = {path for each in changed for path in (each.path, each.before) if path}
    return {owned for path in paths if (owned := codeowners.owners(found[1], path))}


def _owners_agree(world: World, pull: Pull, given: list[str]) -> bool:
    return all(
        any(_speaks_for(world, each, owner) for each in given for owner in group)
        for group in owners_of(world, pull)
    )


def _speaks_for(world: World, login: str, owner: str) -> bool:
    name = owner.removeprefix("@")
    team = world.teams.get(name.partition("/")[2])
    return login == name or (team is not None and login in team.members)


def _checks_lack(world: World, pull: Pull, demand: Demand) -> list[str]:
    return [
        f'Required status check "{name}" is {word}.'
        for name, app in demand.checks
        if (word := _check_word(world, pull.head_sha, name, app))
    ]


def _check_word(world: World, sha: str, name: str, app: int | None) -> str:
    """Give what is wrong with a required check, or nothing; a status is of no app."""
    runs = [each for each in world.latest_checks(sha).values() if each.name == name]
    runs = [each for each in runs if app in {None, -1, world.apps.get(each.app)}]
    status = world.latest_statuses(sha).get(name) if app in {None, -1} else None
    if not runs and status is None:
        return "expected"
    if any(each.status != "completed" for each in runs) or (status and status.state == "pending"):
        return "in progress"
    bad = any(each.conclusion not in PASSED for each in runs) or (status and status.state != "success")
    return "failing" if bad else ""


def _all_green(world: World, sha: str) -> bool:
    runs = world.latest_checks(sha).values()
    told = world.latest_statuses(sha).values()
    return all(each.conclusion in PASSED for each in runs) and all(each.state == "success" for each in told)


def merge(world: World, pull: Pull, by: str, method: str, message: tuple[str | None, str | None]) -> str:
    """Merge as GitHub does and give the commit; Conflict if it cannot."""
    base = world.bare.sha(pull.base)
    assert base is not None
    title, body = message
    author = (pull.author, f"{pull.author}@users.noreply.github.com")
    if method == "rebase":
        new = world.bare.rebased(base, pull.head_sha)
    else:
        tree = world.bare.merged_tree(base, pull.head_sha)
        default = f"Merge pull request #{pull.number} from {world.owner}/{pull.head}"
        headline = title or (f"{pull.title} (#{pull.number})" if method == "squash" else default)
        text = (
            f"{headline}\n\n{pull.title if body is None and method == 'merge' else body or ''}".rstrip()
            + "\n"
        )
        parents = [base, pull.head_sha] if method == "merge" else [base]
        new = world.bare.write(tree, parents, text, author)
    world.bare.move(f"refs/heads/{pull.base}", new, base)
    pull.state, pull.merge_sha, pull.merged_at, pull.closed_by = "closed", new, world.now(), by
    pull.closed_at, pull.auto_merge, pull.queued = pull.merged_at, None, False
    world.record(pull, "merged", by, new)
    if world.settings.delete_branch_on_merge and not pull.fork:
        world.bare.delete(pull.head_ref)
    return new


def sync(world: World, pusher: str = "") -> None:
    """Let open pull requests follow their branches, then merge by itself what waits for nothing more."""
    for pull in world.pulls.values():
        if pull.state == "open":
            _follow(world, pull, pusher)
    if not world.settings.auto_merge_happens:
        return
    for pull in world.pulls.values():
        waits = pull.state == "open" and pull.auto_merge is not None
        if waits and merge_state(world, pull) in {"CLEAN", "UNSTABLE"}:
            _merge_by_itself(world, pull)


def _merge_by_itself(world: World, pull: Pull) -> None:
    wish = pull.auto_merge
    assert wish is not None
    if any(demand.merge_queue for _, demand in world.demands(pull.base)):
        pull.queued, pull.auto_merge = True, None  # in the queue it shows no auto-merge request any more
        return
    try:
        merge(world, pull, wish.by, wish.method.lower(), (wish.headline, wish.body))
    except Conflict:
        pull.auto_merge = None


def _follow(world: World, pull: Pull, pusher: str) -> None:
    head, base = world.bare.sha(pull.head_ref), world.bare.sha(pull.base)
    if head is None:
        close(world, pull, pusher or pull.author)
        return
    if head != pull.head_sha:
        _pushed(world, pull, head, pusher or pull.author)
    if base and base != pull.base_sha and world.bare.holds(head, base):
        pull.state, pull.merge_sha, pull.merged_at = "closed", base, world.now()
        pull.closed_at, pull.closed_by = pull.merged_at, pusher or pull.author
        world.record(pull, "merged", pull.closed_by, base)


def _pushed(world: World, pull: Pull, head: str, pusher: str) -> None:
    forced = not world.bare.holds(pull.head_sha, head)
    pull.head_sha, pull.last_pusher = head, pusher
    world.bare.move(f"refs/pull/{pull.number}/head", head)
    if forced:
        world.record(pull, "head_ref_force_pushed", pusher, head)
    if any(demand.dismiss_stale for _, demand in world.demands(pull.base)):
        for review in pull.reviews:
            if review.state == "APPROVED":
                review.state = "DISMISSED"
                world.record(pull, "review_dismissed", pusher)
    if pull.auto_merge and not world.people[pusher].writes:
        pull.auto_merge = None  # only a push by somebody without write access switches it off


def close(world: World, pull: Pull, by: str) -> None:
    pull.state, pull.closed_by, pull.closed_at = "closed", by, world.now()
    pull.auto_merge, pull.queued = None, False
    world.record(pull, "closed", by)


def refuse_merge(world: World, pull: Pull, method: str, sha: str | None) -> None:
    """Raise what GitHub says to a merge that it does not do."""
    if pull.merged_at or pull.state != "open" or pull.draft:
        raise Refused(405, "Pull Request is still a draft" if pull.draft else "Pull Request is not mergeable")
    if sha is not None and sha != pull.head_sha:
        raise Refused(409, "Head branch was modified. Review and try the merge again.")
    if method not in methods(world, pull.base):
        word = {"merge": "Merge commits", "squash": "Squash merges", "rebase": "Rebase merges"}[method]
        raise Refused(405, f"{word} are not allowed on this repository.")
    if any(demand.merge_queue for _, demand in world.demands(pull.base)):
        text = "Repository rule violations found\n\nChanges must be made through the merge queue\n\n"
        raise Refused(405, text)
    if why := reasons(world, pull):
        raise Refused(405, why[0])
    if merge_state(world, pull) in {"DIRTY", "UNKNOWN"}:
        raise Refused(405, "Pull Request is not mergeable")


def methods(world: World, branch: str) -> list[str]:
    """Give the merge methods that repository and rulesets both allow."""
    here = world.settings
    on = {
        "merge": here.allow_merge_commit,
        "squash": here.allow_squash_merge,
        "rebase": here.allow_rebase_merge,
    }
    return [
        each for each in on if on[each] and all(each in demand.methods for _, demand in world.demands(branch))
    ]
