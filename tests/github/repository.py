"""The repository over REST: its branches, refs, commits, files, labels, and the people around it."""

from typing import Any

from tests.github import views
from tests.github.routing import Answer, Call, route
from tests.github.state import Team
from tests.github.world import Refused, World, invalid


@route("GET ~")
def get_repository(call: Call) -> Answer:
    call.need("metadata")
    return 200, views.full_repository(call.world, call.token)


@route("GET ~/branches")
def branches(call: Call) -> Answer:
    call.need("contents")
    world, shown = call.world, []
    for ref, sha in world.bare.refs("refs/heads/").items():
        name = ref.removeprefix("refs/heads/")
        commit = {"sha": sha, "url": f"{world.repository_url}/commits/{sha}"}
        shown.append({"name": name, "commit": commit, "protected": bool(world.demands(name))})
    return 200, shown


@route("GET ~/branches/{branch}")
def branch(call: Call) -> Answer:
    call.need("contents")
    world, name = call.world, call.parameters["branch"]
    sha = world.bare.sha(f"refs/heads/{name}")
    if sha is None:
        raise Refused(404, "Branch not found")
    url = f"{world.repository_url}/branches/{name}"
    found = world.protections.get(name)
    names = [context for context, _ in found.demand.checks] if found else []
    level = "everyone" if names else "off"
    checks = {"enforcement_level": level, "contexts": names, "checks": []}
    return 200, {
        "name": name,
        "commit": views.commit(world, world.bare.commit(sha)),
        "protected": bool(world.demands(name)),  # by rulesets as well, which `protection` does not show
        "protection": {"enabled": found is not None, "required_status_checks": checks},
        "protection_url": f"{url}/protection",
        "_links": {"self": url, "html": f"{world.web_url}/{world.full_name}/tree/{name}"},
    }


# ---- git


@route("GET ~/git/ref/{ref}")
def get_ref(call: Call) -> Answer:
    call.need("contents")
    name = f"refs/{call.parameters['ref']}"
    sha = call.world.bare.refs().get(name)
    if sha is None:
        raise Refused(404, "Not Found")
    return 200, views.ref(call.world, name, sha)


@route("GET ~/git/matching-refs/{ref}")
def matching_refs(call: Call) -> Answer:
    call.need("contents")
    found = call.world.bare.refs(f"refs/{call.parameters['ref']}")
    return 200, [views.ref(call.world, name, sha) for name, sha in found.items()]


@route("POST ~/git/refs")
def create_ref(call: Call) -> Answer:
    call.need("contents", "write")
    name, sha = call.body["ref"], call.body["sha"]
    if name in call.world.bare.refs():
        raise Refused(422, "Reference already exists")
    if call.world.bare.sha(sha) is None:
        raise Refused(422, "Object does not exist")
    call.world.bare.move(name, sha)
    return 201, views.ref(call.world, name, sha)


@route("PATCH ~/git/refs/{ref}")
def move_ref(call: Call) -> Answer:
    call.need("contents", "write")
    world, name, sha = call.world, f"refs/{call.parameters['ref']}", call.body["sha"]
    old = world.bare.refs().get(name)
    if old is None:
        raise Refused(422, "Reference does not exist")
    if world.bare.sha(sha) is None:
        raise Refused(422, "Object does not exist")
    if not call.body.get("force") and not world.bare.holds(old, sha):
        raise Refused(422, "Update is not a fast forward")
    world.bare.move(name, sha)
    return 200, views.ref(world, name, sha)


@route("DELETE ~/git/refs/{ref}")
def delete_ref(call: Call) -> Answer:
    call.need("contents", "write")
    name = f"refs/{call.parameters['ref']}"
    if name not in call.world.bare.refs():
        raise Refused(422, "Reference does not exist")
    call.world.bare.delete(name)
    return 204, None


@route("GET ~/git/commits/{commit_sha}")
def git_commit(call: Call) -> Answer:
    call.need("contents")
    whole = views.commit(call.world, call.world.bare.commit(_sha(call.world, call.parameters["commit_sha"])))
    inner = whole["commit"]
    same = {key: whole[key] for key in ("sha", "node_id", "html_url", "parents")}
    verified = {
        "verified": False,
        "reason": "unsigned",
        "signature": None,
        "payload": None,
        "verified_at": None,
    }
    return 200, {**same, **inner, "verification": verified}


@route("GET ~/commits/{ref}")
def commit(call: Call) -> Answer:
    call.need("contents")
    world = call.world
    sha = _sha(world, call.parameters["ref"])
    found = world.bare.commit(sha)
    files = world.bare.files(found.parents[0], sha) if found.parents else []
    added, gone = sum(each.additions for each in files), sum(each.deletions for each in files)
    stats = {"additions": added, "deletions": gone, "total": added + gone}
    shown = [views.changed(world, each, sha) for each in files]
    return 200, {**views.commit(world, found), "stats": stats, "files": shown}


def _sha(world: World, revision: str) -> str:
    found = world.bare.sha(revision)
    if found is None:
        raise Refused(422, f"No commit found for SHA: {revision}")
    return found


@route("GET ~/compare/{basehead}")
def compare(call: Call) -> Answer:
    call.need("contents")
    world = call.world
    base, dots, head = call.parameters["basehead"].partition("...")
    one, other = world.bare.sha(base), world.bare.sha(head)
    if not dots or one is None or other is None:
        raise Refused(404, "Not Found")
    ahead, behind = world.bare.commits(one, other), world.bare.commits(other, one)
    words = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    return 200, {
        "url": f"{world.repository_url}/compare/{base}...{head}",
        "status": words.get((bool(ahead), bool(behind)), "identical"),
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "base_commit": views.commit(world, world.bare.commit(one)),
        "merge_base_commit": views.commit(world, world.bare.commit(world.bare.merge_base(one, other))),
        "commits": [views.commit(world, each) for each in ahead],
        "files": [views.changed(world, each, other) for each in world.bare.files(one, other)],
    }


@route("GET ~/contents/{path}")
def contents(call: Call) -> Answer:
    call.need("contents")
    world, path = call.world, call.parameters["path"]
    revision = call.query.get("ref", world.default_branch)
    text = world.bare.text(revision, path)
    if text is None:
        raise Refused(404, "Not Found")
    return 200, views.content(world, path, revision, text)


# ---- labels


@route("GET ~/labels")
def labels(call: Call) -> Answer:
    call.need("issues")
    return 200, [views.label(call.world, each) for each in call.world.labels]


@route("GET ~/labels/{name}")
def get_label(call: Call) -> Answer:
    call.need("issues")
    if call.parameters["name"] not in call.world.labels:
        raise Refused(404, "Not Found")
    return 200, views.label(call.world, call.parameters["name"])


@route("POST ~/labels")
def create_label(call: Call) -> Answer:
    call.need("issues", "write")
    name = call.body["name"]
    if name in call.world.labels:
        raise invalid("name", "already_exists", resource="Label")
    call.world.labels[name] = next(call.world.ids)
    return 201, views.label(call.world, name)


# ---- people


@route("GET /user")
def user(call: Call) -> Answer:
    if call.token is not None and call.token.kind != "user":
        raise Refused(403, "Resource not accessible by integration")
    return 200, {**views.user(call.world, call.who.login), "user_view_type": "public"}


@route("GET /users/{username}")
def one_user(call: Call) -> Answer:
    person = call.world.person(call.parameters["username"])
    return 200, {**views.user(call.world, person.login), "user_view_type": "public"}


@route("GET ~/collaborators/{username}")
def collaborator(call: Call) -> Answer:
    call.need("metadata")
    found = call.world.people.get(call.parameters["username"])
    if found is None or found.role == "none":
        raise Refused(404, "Not Found")
    return 204, None


@route("GET ~/collaborators/{username}/permission")
def permission(call: Call) -> Answer:
    call.need("metadata")
    person = call.world.person(call.parameters["username"])
    told = {**views.user(call.world, person.login), "role_name": person.role}
    return 200, {"permission": person.role, "role_name": person.role, "user": told}


@route("GET ~/teams")
def teams(call: Call) -> Answer:
    call.need("metadata")
    found = [each for each in call.world.teams.values() if each.collaborator]
    return 200, [views.team(call.world, each) for each in found]


def _team(call: Call) -> Team:
    call.need("members")
    team = call.world.teams.get(call.parameters["team_slug"])
    if team is None or call.parameters["org"] != call.world.owner:
        raise Refused(404, "Not Found")
    return team


@route("GET /orgs/{org}/teams/{team_slug}")
def team(call: Call) -> Answer:
    found = _team(call)
    counts = {"members_count": len(found.members), "repos_count": int(found.collaborator)}
    return 200, {**views.team(call.world, found), **counts}


@route("GET /orgs/{org}/teams/{team_slug}/members")
def members(call: Call) -> Answer:
    found: list[dict[str, Any]] = [views.user(call.world, each) for each in _team(call).members]
    return 200, found


@route("GET /orgs/{org}/teams/{team_slug}/memberships/{username}")
def membership(call: Call) -> Answer:
    found, login = _team(call), call.parameters["username"]
    if login not in found.members:
        raise Refused(404, "Not Found")
    url = f"{call.world.api_url}/orgs/{call.world.owner}/teams/{found.slug}/memberships/{login}"
    return 200, {"role": "member", "state": "active", "url": url}


@route("GET /orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}")
def team_repository(call: Call) -> Answer:
    if not _team(call).collaborator:
        raise Refused(404, "Not Found")
    return 204, None
