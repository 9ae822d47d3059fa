"""GitHub's GraphQL as far as auto-merge and the state of a pull request need it."""

from collections.abc import Callable
from typing import Any

from graphql import ExecutionResult, GraphQLError, execute_sync, parse, validate
from graphql.error import GraphQLSyntaxError

from tests.github import merging
from tests.github.contracts import ContractBroken, contracts
from tests.github.state import AutoMerge, Pull, Token
from tests.github.world import World

Json = dict[str, Any]
Act = Callable[[World, str, Json], Json]
MERGING = {"MERGE": "merge commits are", "SQUASH": "squash merging is", "REBASE": "rebase merging is"}
MODIFIED = "Head branch was modified. Review and try the merge again."


class Unprocessable(Exception):
    """GitHub's no to a GraphQL field; `kind` is its `type`."""

    def __init__(self, message: str, kind: str = "UNPROCESSABLE") -> None:
        super().__init__(message)
        self.kind = kind


def answer(world: World, token: Token | None, body: Json) -> Json:
    """Execute a query against the schema; ContractBroken for one that the schema does not know."""
    schema = contracts().graphql
    try:
        document = parse(body["query"])
    except GraphQLSyntaxError as error:
        raise ContractBroken(f"GraphQL: {error}") from error
    if wrong := validate(schema, document):
        raise ContractBroken(f"GraphQL: {'; '.join(each.message for each in wrong)}")
    root = {**_queries(world, token), **_mutations(world, token)}
    result = execute_sync(schema, document, root_value=root, variable_values=body.get("variables") or {})
    return _told(result)


def _told(result: ExecutionResult) -> Json:
    told: Json = {"data": result.data}
    errors = [_error(each) for each in result.errors or ()]
    return {**told, "errors": errors} if errors else told


def _error(error: GraphQLError) -> Json:
    cause = error.original_error
    if not isinstance(cause, Unprocessable):
        raise ContractBroken(f"GraphQL: {error}") from error
    where = [{"line": each.line, "column": each.column} for each in error.locations or ()]
    return {"type": cause.kind, "path": error.path, "locations": where, "message": str(cause)}


# ---- what can be asked


def _queries(world: World, token: Token | None) -> Json:
    def repository(_: object, owner: str, name: str, **__: object) -> Json:
        if f"{owner}/{name}".lower() != world.full_name.lower() or not world.allowed(token, "metadata"):
            told = f"Could not resolve to a Repository with the name '{owner}/{name}'."
            raise Unprocessable(told, "NOT_FOUND")
        return _repository(world)

    login = token.login if token else ""
    limit = {"limit": 5000, "remaining": world.settings.requests_left, "cost": 1, "resetAt": world.now()}
    return {
        "repository": repository,
        "node": lambda _, id: _node(world, id),  # noqa: A006 - the argument's name in the schema
        "viewer": lambda _: {**_actor(world, login), "login": login},
        "rateLimit": lambda _, **__: limit,
    }


def _node(world: World, node: str) -> Json:
    for review in (each for pull in world.pulls.values() for each in pull.reviews):
        if node == f"PRR_{review.id}":
            told = {"id": node, "body": review.body, "lastEditedAt": review.edited}
            return {"__typename": "PullRequestReview", **told, "author": _actor(world, review.login)}
    return _pull(world, _found(world, node))


def _found(world: World, node: str) -> Pull:
    for each in world.pulls.values():
        if each.node == node:
            return each
    raise Unprocessable(f"Could not resolve to a node with the global id of '{node}'", "NOT_FOUND")


def _actor(world: World, login: str) -> Json:
    person = world.person(login)
    page = f"{world.web_url}/{login}"
    name = login.removesuffix("[bot]")  # an app's name has no ending here, but has one as the viewer
    kind = {"__typename": person.kind, "id": person.node, "login": name}
    return {**kind, "url": page, "resourcePath": f"/{login}", "avatarUrl": f"{page}.png"}


def _queue(world: World, branch: str) -> Json | None:
    if not any(demand.merge_queue for _, demand in world.demands(branch)):
        return None
    return {"__typename": "MergeQueue", "id": f"MQ_{branch}", "url": f"{world.web_url}/queue/{branch}"}


def _repository(world: World) -> Json:
    def pull(_: object, number: int) -> Json:
        if number not in world.pulls:
            told = f"Could not resolve to a PullRequest with the number of {number}."
            raise Unprocessable(told, "NOT_FOUND")
        return _pull(world, world.pulls[number])

    here = world.settings
    return {
        "__typename": "Repository",
        "id": "R_00000001",
        "name": world.name,
        "nameWithOwner": world.full_name,
        "isPrivate": here.private,
        "autoMergeAllowed": here.allow_auto_merge,
        "mergeCommitAllowed": here.allow_merge_commit,
        "squashMergeAllowed": here.allow_squash_merge,
        "rebaseMergeAllowed": here.allow_rebase_merge,
        "defaultBranchRef": {"id": "REF_1", "name": world.default_branch},
        "mergeQueue": lambda _, branch=None: _queue(world, branch or world.default_branch),
        "pullRequest": pull,
    }


def _pull(world: World, it: Pull) -> Json:
    wish = it.auto_merge
    state = merging.merge_state(world, it)
    mergeable = {"DIRTY": "CONFLICTING", "UNKNOWN": "UNKNOWN"}.get(state, "MERGEABLE")
    entry = {"id": f"MQE_{it.number}", "position": 1, "state": "QUEUED"}
    shown = {
        "__typename": "PullRequest",
        "id": it.node,
        "number": it.number,
        "title": it.title,
        "body": it.body or "",
        "url": f"{world.web_url}/{world.full_name}/pull/{it.number}",
        "state": "MERGED" if it.merged_at else it.state.upper(),
        "closed": it.state == "closed",
        "merged": it.merged_at is not None,
        "isDraft": it.draft,
        "author": _actor(world, it.author),
        "baseRefName": it.base,
        "headRefName": it.head,
        "headRefOid": it.head_sha,
        "mergeable": mergeable,
        "mergeStateStatus": state if it.state == "open" else "UNKNOWN",
        "reviewDecision": merging.review_decision(world, it),
        "mergeQueue": _queue(world, it.base),
        "viewerCanEnableAutoMerge": world.settings.allow_auto_merge and state == "BLOCKED",
        "isInMergeQueue": it.queued,
        "mergeQueueEntry": entry if it.queued else None,
    }
    request = wish and {
        "mergeMethod": wish.method,
        "commitHeadline": wish.headline,
        "commitBody": wish.body,
        "enabledAt": wish.at,
        "enabledBy": _actor(world, wish.by),
        "pullRequest": shown,
    }
    return {**shown, "autoMergeRequest": request}


# ---- what can be done


def _mutations(world: World, token: Token | None) -> Json:
    def may_write(verb: str) -> str:
        if token is not None and world.allowed(token, "contents", "write"):
            return token.login
        person = f"{token.login if token else ''} does not have the correct permissions to execute `{verb}`"
        is_app = token is not None and token.kind != "user"
        raise Unprocessable("Resource not accessible by integration" if is_app else person, "FORBIDDEN")

    def doing(name: str, act: Act) -> Callable[..., Json]:
        return lambda _, **given: act(world, may_write(name[0].upper() + name[1:]), given["input"])

    acts = {"enablePullRequestAutoMerge": _enable, "disablePullRequestAutoMerge": _disable}
    return {name: doing(name, act) for name, act in {**acts, "enqueuePullRequest": _enqueue}.items()}


def _enable(world: World, login: str, wish: Json) -> Json:
    pull = _found(world, wish["pullRequestId"])
    method = wish.get("mergeMethod", "MERGE")
    told = _refusal(world, pull, method, wish.get("expectedHeadOid"))
    if told:
        raise Unprocessable(told)
    pull.auto_merge = AutoMerge(
        login, method, wish.get("commitHeadline"), wish.get("commitBody"), world.now()
    )
    world.record(pull, "auto_merge_enabled", login)
    return _done(world, login, pull, wish)


def _refusal(world: World, pull: Pull, method: str, expected: str | None) -> str:
    """Give GitHub's words for why auto-merge is not switched on, or nothing.

    Where the words are from: github.com/peter-evans/enable-pull-request-automerge issues 343, 355 and 1118,
    camunda/camunda issue 20675 (with the error's whole shape), iterative/cml pull request 955.
    """
    if pull.state != "open":
        return "Can't enable auto-merge for this pull request"
    if expected not in {None, pull.head_sha}:
        return MODIFIED
    return _refused_by_settings(world, pull, method) or _refused_by_state(world, pull)


def _refused_by_settings(world: World, pull: Pull, method: str) -> str:
    prefix = world.settings.auto_merge_prefix
    if not world.settings.allow_auto_merge:
        return f"{prefix}Auto merge is not allowed for this repository"
    if method.lower() not in merging.methods(world, pull.base):
        return f"Merge method {MERGING[method]} not allowed on this repository"
    if not world.demands(pull.base):
        return f"{prefix}Protected branch rules not configured for this branch"
    return ""


def _refused_by_state(world: World, pull: Pull) -> str:
    state = merging.merge_state(world, pull)
    if world.settings.unstarted_for > 0:
        world.settings.unstarted_for -= 1
        state = "CLEAN"
    if state in {"CLEAN", "UNSTABLE"} and _queue(world, pull.base) is None:
        return f"{world.settings.auto_merge_prefix}Pull request is in {state.lower()} status"
    return ""


def _disable(world: World, login: str, wish: Json) -> Json:
    pull = _found(world, wish["pullRequestId"])
    if pull.auto_merge is None:
        raise Unprocessable("Can't disable auto-merge for this pull request.")
    pull.auto_merge = None
    world.record(pull, "auto_merge_disabled", login)
    return _done(world, login, pull, wish)


def _enqueue(world: World, login: str, wish: Json) -> Json:
    pull = _found(world, wish["pullRequestId"])
    if _queue(world, pull.base) is None:
        raise Unprocessable("Pull request The merge queue is not enabled for this branch")
    pull.queued = True
    world.record(pull, "added_to_merge_queue", login)
    entry = {"id": f"MQE_{pull.number}", "position": 1, "state": "QUEUED"}
    return {"clientMutationId": wish.get("clientMutationId"), "mergeQueueEntry": entry}


def _done(world: World, login: str, pull: Pull, wish: Json) -> Json:
    said = {"clientMutationId": wish.get("clientMutationId"), "actor": _actor(world, login)}
    return {**said, "pullRequest": _pull(world, pull)}
