"""Checks, statuses, apps and limits over REST."""

from datetime import timedelta
from typing import Any

from tests.github import views
from tests.github.merging import PASSED
from tests.github.routing import Answer, Call, route
from tests.github.state import Check, Status
from tests.github.world import Refused, World

INSTALLATION, LONGEST = 77, 65535


@route("POST ~/check-runs")
def create_check(call: Call) -> Answer:
    if call.token is None or call.token.kind == "user":
        raise Refused(403, "You must authenticate via a GitHub App.")
    call.need("checks", "write")
    world, body = call.world, call.body
    if world.bare.sha(body["head_sha"]) is None:
        raise Refused(422, f"No commit found for SHA: {body['head_sha']}")
    app = call.token.app or call.token.login.removesuffix("[bot]")
    check = Check(next(world.ids), body["head_sha"], body["name"], app, "queued", None, at=world.now())
    _told(check, body)
    world.checks.append(check)
    return 201, views.check(world, check)


def _told(check: Check, body: dict[str, Any]) -> None:
    for text in (body.get("output", {}).get(key) or "" for key in ("summary", "text")):
        if len(text) > LONGEST:
            told = f"Only {LONGEST} characters are allowed; {len(text)} were supplied."
            raise Refused(422, f"Invalid request.\n\n{told}")
    check.conclusion = body.get("conclusion", check.conclusion)
    check.status = "completed" if check.conclusion else body.get("status", check.status)
    output = body.get("output", {})
    check.title, check.summary = output.get("title", check.title), output.get("summary", check.summary)
    check.external_id = body.get("external_id", check.external_id)
    check.details_url = body.get("details_url", check.details_url)


@route("GET ~/check-runs/{check_run_id}")
def get_check(call: Call) -> Answer:
    call.need("checks")
    return 200, views.check(call.world, _check(call))


def _check(call: Call) -> Check:
    for each in call.world.checks:
        if str(each.id) == call.parameters["check_run_id"]:
            return each
    raise Refused(404, "Not Found")


@route("PATCH ~/check-runs/{check_run_id}")
def edit_check(call: Call) -> Answer:
    call.need("checks", "write")
    check = _check(call)
    if call.token is None or (call.token.app or "") != check.app:
        raise Refused(
            403, "Invalid app_id `0` - check run can only be modified by the GitHub App that created it."
        )
    _told(check, call.body)
    return 200, views.check(call.world, check)


@route("GET ~/commits/{ref}/check-runs")
def checks_of(call: Call) -> Answer:
    call.need("checks")
    world, query = call.world, call.query
    found = list(world.latest_checks(_commit(call)).values())
    if query.get("filter") == "all":
        found = [each for each in world.checks if each.sha == _commit(call)]
    found = [each for each in found if query.get("check_name") in {None, each.name}]
    found = [each for each in found if query.get("app_id") in {None, str(world.app_id(each.app))}]
    return 200, {"total_count": len(found), "check_runs": [views.check(world, each) for each in found]}


def _commit(call: Call) -> str:
    found = call.world.bare.sha(call.parameters["ref"])
    if found is None:
        raise Refused(404, "Not Found")
    return found


@route("GET ~/commits/{ref}/status")
def combined(call: Call) -> Answer:
    call.need("statuses")
    world, sha = call.world, _commit(call)
    found = list(world.latest_statuses(sha).values())
    words = {each.state for each in found}
    bad = bool(words & {"error", "failure"})
    state = "failure" if bad else "success" if words == {"success"} else "pending"
    return 200, {
        "state": state,
        "sha": sha,
        "total_count": len(found),
        "statuses": [views.status(world, each, simple=True) for each in found],
        "repository": views.repository(world),
        "url": f"{world.repository_url}/commits/{sha}/status",
        "commit_url": f"{world.repository_url}/commits/{sha}",
    }


@route("GET ~/commits/{ref}/statuses")
def statuses(call: Call) -> Answer:
    call.need("statuses")
    sha = _commit(call)
    found = [each for each in reversed(call.world.statuses) if each.sha == sha]
    return 200, [views.status(call.world, each) for each in found]


@route("POST ~/statuses/{sha}")
def create_status(call: Call) -> Answer:
    call.need("statuses", "write")
    world, body, sha = call.world, call.body, call.parameters["sha"]
    if world.bare.sha(sha) is None:
        raise Refused(422, f"No commit found for SHA: {sha}")
    context, text = body.get("context", "default"), body.get("description")
    status = Status(next(world.ids), sha, context, body["state"], text, call.who.login, world.now())
    status.target_url = body.get("target_url")
    world.statuses.append(status)
    return 201, views.status(world, status)


def green(world: World, sha: str, name: str) -> bool:
    """Say whether the last check run of this name passed."""
    return any(each.name == name and each.conclusion in PASSED for each in world.latest_checks(sha).values())


# ---- apps


def _app(call: Call) -> str:
    if call.token is None or call.token.kind != "jwt":
        raise Refused(401, "A JSON web token could not be decoded")
    return call.token.app or ""


@route("GET /app")
def app(call: Call) -> Answer:
    return 200, views.app(call.world, _app(call))


def _installation(call: Call) -> dict[str, Any]:
    slug, world = _app(call), call.world
    url = f"{world.api_url}/app/installations/{INSTALLATION}"
    return {
        "id": INSTALLATION,
        "app_id": world.app_id(slug),
        "app_slug": slug,
        "account": views.organization(world),
        "target_id": 1,
        "target_type": "Organization",
        "permissions": world.granted[slug],
        "events": [],
        "access_tokens_url": f"{url}/access_tokens",
        "repository_selection": "selected",
        "html_url": f"{world.web_url}/settings/installations/{INSTALLATION}",
    }


@route("GET /app/installations")
def installations(call: Call) -> Answer:
    return 200, [_installation(call)]


@route("GET ~/installation")
def installation(call: Call) -> Answer:
    return 200, _installation(call)


@route("POST /app/installations/{installation_id}/access_tokens")
def access_token(call: Call) -> Answer:
    slug, world = _app(call), call.world
    if call.parameters["installation_id"] != str(INSTALLATION):
        raise Refused(404, "Not Found")
    held = world.granted[slug]
    wanted = call.body.get("permissions") or held  # PyGithub sends an empty one for all
    if any(held.get(name) != level and held.get(name) != "write" for name, level in wanted.items()):
        raise Refused(422, "The permissions requested are not granted to this installation.")
    token = world.add_token(f"{slug}[bot]", "app", dict(wanted), slug)
    token.expires = world.clock() + timedelta(hours=1)
    told = {"token": token.text, "expires_at": token.expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return 201, {**told, "permissions": wanted, "repository_selection": "selected"}


@route("GET /rate_limit")
def rate_limit(call: Call) -> Answer:
    left = max(0, call.world.settings.requests_left)
    rate = {
        "limit": 5000,
        "remaining": left,
        "reset": int(call.world.clock().timestamp()) + 60,
        "used": 5000 - left,
    }
    return 200, {"resources": {"core": rate, "search": rate}, "rate": rate}
