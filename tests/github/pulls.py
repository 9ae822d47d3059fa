"""Pull requests over REST: create, list, edit, merge, review, label, comment."""

from typing import Any

from tests.github import merging, views
from tests.github.bare import Conflict
from tests.github.routing import Answer, Call, route
from tests.github.state import Comment, Pull, Review
from tests.github.world import Refused, World, invalid

LONGEST_BODY, LONGEST_TITLE, MOST_REVIEWERS = 65536, 256, 15
PULL = "~/pulls/{pull_number}"
ISSUE = "~/issues/{issue_number}"
NOT_ACTIONS = "GitHub Actions is not permitted to create or approve pull requests."
NOT_COLLABORATOR = (
    "Reviews may only be requested from collaborators. "
    "One or more of the users or teams you specified is not a collaborator of the {} repository."
)


@route("GET ~/pulls")
def list_pulls(call: Call) -> Answer:
    call.need("pull_requests")
    world, shown = call.world, []
    for pull in reversed(world.pulls.values()):
        if _listed(call, pull):
            if pull.unlisted_for:
                pull.unlisted_for -= 1
            else:
                shown.append(views.pull_simple(world, pull))
    return 200, shown


def _listed(call: Call, pull: Pull) -> bool:
    state, head, base = (call.query.get(key) for key in ("state", "head", "base"))
    return (
        state in {pull.state, "all"} | ({None} if pull.state == "open" else set())
        and (head is None or ":" not in head or head == f"{pull.fork or call.world.owner}:{pull.head}")
        and base in {None, pull.base}
    )


@route("POST ~/pulls")
def create_pull(call: Call) -> Answer:
    call.need("pull_requests", "write")
    world, body = call.world, call.body
    if call.token and call.token.kind == "actions" and not world.settings.actions_may_approve:
        raise Refused(403, NOT_ACTIONS)
    head = body["head"].removeprefix(f"{world.owner}:")
    _check_text(body)
    pull = opened(world, call.who.login, {**body, "head": head})
    return 201, views.pull(world, pull)


def opened(world: World, who: str, body: dict[str, Any], fork: str | None = None) -> Pull:
    """Open a pull request, or refuse: no such branch, one is open already, nothing new."""
    number, head, base = len(world.pulls) + 1, body["head"], body["base"]
    pull = Pull(number, body["title"], body.get("body"), base, head, "", "", who, world.now(), fork=fork)
    head_sha, base_sha = world.bare.sha(pull.head_ref), world.bare.sha(f"refs/heads/{base}")
    if head_sha is None or base_sha is None:
        raise invalid("head" if head_sha is None else "base")
    if any(_same(each, pull) for each in world.pulls.values()):
        raise invalid("", "custom", f"A pull request already exists for {fork or world.owner}:{head}.")
    if world.bare.holds(head_sha, base_sha):
        raise invalid("", "custom", f"No commits between {base} and {head}")
    pull.head_sha, pull.base_sha = head_sha, base_sha
    pull.draft, pull.last_pusher = body.get("draft", False), who
    pull.unlisted_for, pull.unsettled_for = world.settings.unlisted_for, world.settings.unsettled_for
    world.pulls[number] = pull
    world.bare.move(f"refs/pull/{number}/head", pull.head_sha)
    for owner in sorted({each for group in merging.owners_of(world, pull) for each in group}):
        name = owner.removeprefix("@")
        if not world.owner_exists(owner) or name == who:
            continue
        if "/" in name:
            pull.teams.append(name.partition("/")[2])
        elif name in world.people:
            pull.reviewers.append(name)
    return pull


def _same(other: Pull, pull: Pull) -> bool:
    return other.state == "open" and (other.head_ref, other.base) == (pull.head_ref, pull.base)


def _check_text(body: dict[str, Any]) -> None:
    for field, longest in (("title", LONGEST_TITLE), ("body", LONGEST_BODY)):
        if len(body.get(field) or "") > longest:
            message = f"{field} is too long (maximum is {longest} characters)"
            raise invalid(field, "custom", message, resource="Issue")
    if "title" in body and not body["title"].strip():
        raise invalid("title", "missing_field", resource="Issue")


@route(f"GET {PULL}")
def get_pull(call: Call) -> Answer:
    call.need("pull_requests")
    return 200, views.pull(call.world, _pull(call))


def _pull(call: Call) -> Pull:
    return call.world.pull(call.parameters.get("pull_number") or call.parameters["issue_number"])


@route(f"PATCH {PULL}")
def edit_pull(call: Call) -> Answer:
    call.need("pull_requests", "write")
    world, pull, body = call.world, _pull(call), call.body
    _check_text(body)
    pull.title, pull.body = body.get("title", pull.title), body.get("body", pull.body)
    if "base" in body and world.bare.sha(f"refs/heads/{body['base']}") is None:
        raise invalid("base")
    pull.base = body.get("base", pull.base)
    wanted = body.get("state", pull.state)
    if wanted == "closed" and pull.state == "open":
        merging.close(world, pull, call.who.login)
    elif wanted == "open" and pull.state == "closed":
        _reopen(world, pull, call.who.login)
    return 200, views.pull(world, pull)


def _reopen(world: World, pull: Pull, by: str) -> None:
    if pull.merged_at or world.bare.sha(pull.head_ref) is None:
        raise invalid("state", "invalid", "state cannot be changed. The pull request cannot be reopened.")
    if any(_same(each, pull) for each in world.pulls.values()):
        told = f"A pull request already exists for {world.owner}:{pull.head}."
        raise invalid("state", "invalid", f"state cannot be changed. {told}")
    pull.state, pull.closed_at, pull.closed_by = "open", None, None
    world.record(pull, "reopened", by)


@route(f"GET {PULL}/commits")
def pull_commits(call: Call) -> Answer:
    call.need("pull_requests")
    world, pull = call.world, _pull(call)
    start = world.bare.merge_base(pull.base_sha, pull.head_sha)
    return 200, [views.commit(world, each) for each in world.bare.commits(start, pull.head_sha)]


@route(f"GET {PULL}/files")
def pull_files(call: Call) -> Answer:
    call.need("pull_requests")
    world, pull = call.world, _pull(call)
    start = world.bare.sha(pull.base) if pull.state == "open" else pull.base_sha
    files = world.bare.files(start or pull.base_sha, pull.head_sha)
    return 200, [views.changed(world, each, pull.head_sha) for each in files]


@route(f"GET {PULL}/merge")
def is_merged(call: Call) -> Answer:
    call.need("contents")
    if not _pull(call).merged_at:
        raise Refused(404, "Not Found")
    return 204, None


@route(f"PUT {PULL}/merge")
def merge_pull(call: Call) -> Answer:
    call.need("contents", "write")
    world, pull, body = call.world, _pull(call), call.body
    method = body.get("merge_method", "merge")
    merging.refuse_merge(world, pull, method, body.get("sha"))
    text = (body.get("commit_title"), body.get("commit_message"))
    try:
        sha = merging.merge(world, pull, call.who.login, method, text)
    except Conflict as error:
        raise Refused(405, "Pull Request is not mergeable") from error
    return 200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route(f"GET {PULL}/requested_reviewers")
def requested(call: Call) -> Answer:
    call.need("pull_requests")
    world, pull = call.world, _pull(call)
    teams = [views.team(world, world.teams[each]) for each in pull.teams]
    return 200, {"users": [views.user(world, each) for each in pull.reviewers], "teams": teams}


@route(f"POST {PULL}/requested_reviewers")
def request_reviewers(call: Call) -> Answer:
    call.need("pull_requests", "write")
    world, pull = call.world, _pull(call)
    people, teams = call.body.get("reviewers", []), call.body.get("team_reviewers", [])
    if teams and not world.allowed(call.token, "members"):
        told = f"Could not resolve to a node with the global id of '{_node(world, teams[0])}'."
        raise Refused(422, "Validation Failed", [told])
    refused = NOT_COLLABORATOR.format(world.full_name)
    for login in people:
        if login.lower() == pull.author.lower():
            raise Refused(422, "Review cannot be requested from pull request author.")
        if login not in world.people or world.people[login].role == "none":
            raise Refused(422, refused)
    if any(slug not in world.teams or not world.teams[slug].collaborator for slug in teams):
        raise Refused(422, refused)
    if len({*pull.reviewers, *people, *pull.teams, *teams}) > MOST_REVIEWERS:
        raise Refused(422, "Validation Failed", ["Could not add requested reviewers to pull request."])
    pull.reviewers = list(dict.fromkeys([*pull.reviewers, *people]))
    pull.teams = list(dict.fromkeys([*pull.teams, *teams]))
    return 201, views.pull_simple(world, pull)


def _node(world: World, slug: str) -> str:
    return world.teams[slug].node if slug in world.teams else "T_00000000"


@route(f"DELETE {PULL}/requested_reviewers")
def unrequest_reviewers(call: Call) -> Answer:
    call.need("pull_requests", "write")
    world, pull = call.world, _pull(call)
    pull.reviewers = [each for each in pull.reviewers if each not in call.body.get("reviewers", [])]
    pull.teams = [each for each in pull.teams if each not in call.body.get("team_reviewers", [])]
    return 200, views.pull_simple(world, pull)


@route(f"GET {PULL}/reviews")
def reviews(call: Call) -> Answer:
    call.need("pull_requests")
    pull = _pull(call)
    return 200, [views.review(call.world, pull, each) for each in pull.reviews]


@route(f"GET {PULL}/reviews/{{review_id}}")
def one_review(call: Call) -> Answer:
    call.need("pull_requests")
    return 200, views.review(call.world, _pull(call), _review(call))


def _review(call: Call) -> Review:
    for each in _pull(call).reviews:
        if str(each.id) == call.parameters["review_id"]:
            return each
    raise Refused(404, "Not Found")


@route(f"POST {PULL}/reviews")
def create_review(call: Call) -> Answer:
    call.need("pull_requests", "write")
    world, pull, event = call.world, _pull(call), call.body.get("event", "PENDING")
    kind = call.token.kind if call.token else ""
    if event == "APPROVE" and kind == "actions" and not world.settings.actions_may_approve:
        raise Refused(422, "Unprocessable Entity", [f"Review {NOT_ACTIONS}"])
    review = reviewed(world, pull, call.who.login, event, call.body.get("body", ""))
    return 200, views.review(world, pull, review)


def reviewed(world: World, pull: Pull, login: str, event: str, body: str = "") -> Review:
    """Write down a review; nobody may approve or refuse what is their own."""
    if login == pull.author and event in {"APPROVE", "REQUEST_CHANGES"}:
        verb = "approve" if event == "APPROVE" else "request changes on"
        raise Refused(422, "Unprocessable Entity", [f"Review Can not {verb} your own pull request"])
    if event in {"REQUEST_CHANGES", "COMMENT"} and not body:
        raise Refused(422, "Unprocessable Entity", ["Review body can't be blank"])
    states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    review = Review(next(world.ids), login, states.get(event, "PENDING"), pull.head_sha, body, world.now())
    pull.reviews.append(review)
    pull.reviewers = [each for each in pull.reviewers if each != login]
    return review


@route(f"PUT {PULL}/reviews/{{review_id}}/dismissals")
def dismiss_review(call: Call) -> Answer:
    call.need("pull_requests", "write")
    review = _review(call)
    review.state = "DISMISSED"
    return 200, views.review(call.world, _pull(call), review)


# ---- the same pull request as an issue


@route(f"GET {ISSUE}")
def get_issue(call: Call) -> Answer:
    _need_either(call, "read")
    return 200, views.issue(call.world, _pull(call))


@route(f"GET {ISSUE}/events")
def events(call: Call) -> Answer:
    _need_either(call, "read")
    world, shown = call.world, []
    for each in _pull(call).events:
        url = f"{world.repository_url}/issues/events/{each.id}"
        told = {
            "id": each.id,
            "node_id": f"EV_{each.id}",
            "url": url,
            "event": each.event,
            "commit_id": each.sha,
        }
        commit = f"{world.repository_url}/commits/{each.sha}" if each.sha else None
        told |= {"actor": views.user(world, each.login), "created_at": each.at, "commit_url": commit}
        shown.append({**told, "performed_via_github_app": None})
    return 200, shown


@route(f"GET {ISSUE}/comments")
def comments(call: Call) -> Answer:
    _need_either(call, "read")
    pull = _pull(call)
    return 200, [views.comment(call.world, pull, each) for each in pull.comments]


@route(f"POST {ISSUE}/comments")
def create_comment(call: Call) -> Answer:
    _need_either(call)
    pull = _pull(call)
    _check_text({"body": call.body["body"]})
    comment = Comment(next(call.world.ids), call.who.login, call.body["body"], call.world.now())
    pull.comments.append(comment)
    return 201, views.comment(call.world, pull, comment)


@route("PATCH ~/issues/comments/{comment_id}")
def edit_comment(call: Call) -> Answer:
    _need_either(call)
    for pull in call.world.pulls.values():
        for comment in pull.comments:
            if str(comment.id) == call.parameters["comment_id"]:
                comment.body = call.body["body"]
                return 200, views.comment(call.world, pull, comment)
    raise Refused(404, "Not Found")


def _need_either(call: Call, level: str = "write") -> None:
    """Of a pull request, issues' permission or pull requests' own will do."""
    if not call.world.allowed(call.token, "pull_requests", level):
        call.need("issues", level)


@route(f"GET {ISSUE}/labels")
def labels(call: Call) -> Answer:
    _need_either(call, "read")
    return 200, [views.label(call.world, each) for each in _pull(call).labels]


@route(f"POST {ISSUE}/labels")
def add_labels(call: Call) -> Answer:
    return _label(call, _pull(call).labels)


@route(f"PUT {ISSUE}/labels")
def set_labels(call: Call) -> Answer:
    return _label(call, [])


def _label(call: Call, already: list[str]) -> Answer:
    """Put labels on; an unknown one comes into being, as GitHub does for whoever may push."""
    _need_either(call)
    world, pull, names = call.world, _pull(call), call.body.get("labels", [])
    names = [each if isinstance(each, str) else each["name"] for each in names]
    unknown = [each for each in names if each not in world.labels]
    if unknown and not world.settings.missing_labels_created:
        raise invalid("name", "invalid", resource="Label")
    for each in unknown:
        world.labels[each] = next(world.ids)
    pull.labels = list(dict.fromkeys([*already, *names]))
    return 200, [views.label(world, each) for each in pull.labels]


@route(f"DELETE {ISSUE}/labels/{{name}}")
def remove_label(call: Call) -> Answer:
    _need_either(call)
    pull, name = _pull(call), call.parameters["name"]
    if name not in pull.labels:
        raise Refused(404, "Label does not exist")
    pull.labels.remove(name)
    return 200, [views.label(call.world, each) for each in pull.labels]
