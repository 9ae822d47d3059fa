"""What guards a branch over REST: classic protection, rulesets, CODEOWNERS, and what Actions may do."""

from typing import Any

from tests.github import views
from tests.github.routing import Answer, Call, route
from tests.github.state import Demand, Protection, Ruleset
from tests.github.world import Refused, World

BRANCH = "~/branches/{branch}/protection"


def _protection(call: Call) -> Protection:
    """Read with `administration` only; not being told and not being protected are different sentences."""
    call.need("administration")
    _must_be_paid(call)
    name = call.parameters["branch"]
    if call.world.bare.sha(f"refs/heads/{name}") is None:
        raise Refused(404, "Branch not found")
    if name not in call.world.protections:
        raise Refused(404, "Branch not protected")
    return call.world.protections[name]


def _must_be_paid(call: Call) -> None:
    """Refuse as GitHub does for a private repository of the Free plan."""
    if call.world.settings.free_plan and call.world.settings.private:
        raise Refused(403, "Upgrade to GitHub Pro or make this repository public to enable this feature.")


@route(f"GET {BRANCH}")
def classic(call: Call) -> Answer:
    found, world = _protection(call), call.world
    url = f"{world.repository_url}/branches/{found.branch}/protection"
    shown: dict[str, Any] = {
        "url": url,
        "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": found.enforce_admins},
        "required_linear_history": {"enabled": False},
        "allow_force_pushes": {"enabled": False},
        "allow_deletions": {"enabled": False},
        "block_creations": {"enabled": False},
        "required_conversation_resolution": {"enabled": found.demand.threads},
        "lock_branch": {"enabled": found.demand.locked},
        "allow_fork_syncing": {"enabled": False},
        "required_signatures": {"url": f"{url}/required_signatures", "enabled": found.demand.signed},
    }
    if found.demand.pushers is not None:
        shown["restrictions"] = _pushers(world, url, found.demand.pushers)
    if found.demand.checks or found.demand.strict:
        shown["required_status_checks"] = _checks(url, found.demand)
    if found.demand.approvals is not None:
        shown["required_pull_request_reviews"] = _reviews(world, url, found)
    return 200, shown


def _pushers(world: World, url: str, logins: tuple[str, ...]) -> dict[str, Any]:
    places = {f"{kind}_url": f"{url}/restrictions/{kind}" for kind in ("users", "teams", "apps")}
    users = [views.user(world, each) for each in logins]
    return {"url": f"{url}/restrictions", **places, "users": users, "teams": [], "apps": []}


def _checks(url: str, demand: Demand) -> dict[str, Any]:
    return {
        "url": f"{url}/required_status_checks",
        "contexts_url": f"{url}/required_status_checks/contexts",
        "strict": demand.strict,
        "contexts": [name for name, _ in demand.checks],
        "checks": [{"context": name, "app_id": app} for name, app in demand.checks],
    }


def _reviews(world: World, url: str, found: Protection) -> dict[str, Any]:
    demand = found.demand
    shown = {
        "url": f"{url}/required_pull_request_reviews",
        "dismiss_stale_reviews": demand.dismiss_stale,
        "require_code_owner_reviews": demand.code_owners,
        "require_last_push_approval": demand.last_push,
        "required_approving_review_count": demand.approvals,
    }
    users = [views.user(world, each) for each in found.bypass]
    allowances = {"bypass_pull_request_allowances": {"users": users, "teams": [], "apps": []}}
    return {**shown, **(allowances if users else {})}


@route(f"GET {BRANCH}/required_status_checks")
def classic_checks(call: Call) -> Answer:
    found = _protection(call)
    if not found.demand.checks:
        raise Refused(404, "Required status checks not enabled")
    return 200, _checks(f"{call.world.repository_url}/branches/{found.branch}/protection", found.demand)


@route(f"GET {BRANCH}/required_pull_request_reviews")
def classic_reviews(call: Call) -> Answer:
    found = _protection(call)
    if found.demand.approvals is None:
        raise Refused(404, "Pull request reviews not enabled")
    return 200, _reviews(call.world, f"{call.world.repository_url}/branches/{found.branch}/protection", found)


# ---- rulesets


@route("GET ~/rules/branches/{branch}")
def rules(call: Call) -> Answer:
    """Whoever may see the repository sees the active rules; never who may pass them by."""
    call.need("metadata")
    _must_be_paid(call)
    world, shown = call.world, []
    for ruleset in world.rulesets_of(call.parameters["branch"]):
        where = {"ruleset_id": ruleset.id, "ruleset_source_type": ruleset.source}
        where["ruleset_source"] = _source(world, ruleset)
        shown.extend({**rule, **where} for rule in _rules(ruleset))
    return 200, shown


def _source(world: World, ruleset: Ruleset) -> str:
    return world.full_name if ruleset.source == "Repository" else world.owner


def _rules(ruleset: Ruleset) -> list[dict[str, Any]]:
    demand = ruleset.demand
    found: list[dict[str, Any]] = [{"type": each} for each in (*ruleset.others, *demand.others)]
    if demand.approvals is not None:
        reviews = {
            "required_approving_review_count": demand.approvals,
            "dismiss_stale_reviews_on_push": demand.dismiss_stale,
            "require_code_owner_review": demand.code_owners,
            "require_last_push_approval": demand.last_push,
            "required_review_thread_resolution": demand.threads,
            "required_reviewers": [_reviewer(team) for team in demand.reviewed_by],
            "allowed_merge_methods": list(demand.methods),
        }
        found.append({"type": "pull_request", "parameters": reviews})
    if demand.checks:
        named = [_pinned(name, app) for name, app in demand.checks]
        strict = {"strict_required_status_checks_policy": demand.strict, "do_not_enforce_on_create": False}
        found.append(
            {"type": "required_status_checks", "parameters": {**strict, "required_status_checks": named}}
        )
    if demand.merge_queue:
        found.append({"type": "merge_queue"})
    if demand.signed:
        found.append({"type": "required_signatures"})
    return found


def _reviewer(team: str) -> dict[str, Any]:
    return {"file_patterns": [f"{team}/*"], "minimum_approvals": 1, "reviewer": {"id": 1, "type": "Team"}}


def _pinned(name: str, app: int | None) -> dict[str, Any]:
    return {"context": name} if app is None else {"context": name, "integration_id": app}


@route("GET ~/rulesets")
def rulesets(call: Call) -> Answer:
    call.need("metadata")
    both = call.query.get("includes_parents", "true") != "false"
    found = [each for each in call.world.rulesets.values() if both or each.source == "Repository"]
    return 200, [_summary(call.world, each) for each in found]


def _summary(world: World, each: Ruleset) -> dict[str, Any]:
    told = {"id": each.id, "name": each.name, "target": "branch", "enforcement": each.enforcement}
    return {**told, "source_type": each.source, "source": _source(world, each), "node_id": f"RRS_{each.id}"}


@route("GET ~/rulesets/{ruleset_id}", "GET /orgs/{org}/rulesets/{ruleset_id}")
def ruleset(call: Call) -> Answer:
    """Who may bypass is shown only to whoever may write the ruleset."""
    call.need("organization_administration" if "org" in call.parameters else "metadata")
    found = call.world.rulesets.get(int(call.parameters["ruleset_id"]))
    if found is None:
        raise Refused(404, "Not Found")
    names = {"include": [f"refs/heads/{each}" for each in found.branches], "exclude": []}
    shown = {**_summary(call.world, found), "conditions": {"ref_name": names}, "rules": _rules(found)}
    writer = "administration" if found.source == "Repository" else "organization_administration"
    if call.world.allowed(call.token, writer, "write"):
        actors = [{"actor_type": e.kind, "actor_id": e.id, "bypass_mode": e.mode} for e in found.bypass]
        shown["bypass_actors"] = actors
        shown["current_user_can_bypass"] = "never"
    return 200, shown


# ---- around them


@route("GET ~/codeowners/errors")
def codeowners_errors(call: Call) -> Answer:
    call.need("contents")
    world = call.world
    found = world.codeowners(call.query.get("ref", world.default_branch))
    if found is None:
        raise Refused(404, "Not Found")
    place, lines = found
    errors = []
    for line in lines:
        for owner in line.owners:
            if not world.owner_exists(owner):
                column = line.text.index(owner) + 1
                errors.append(_unknown_owner(place, line.number, column, (line.text, owner)))
    return 200, {"errors": errors}


def _unknown_owner(path: str, number: int, column: int, told: tuple[str, str]) -> dict[str, Any]:
    source, owner = told
    advice = f"make sure {owner} exists and has write access to the repository"
    message = f"Unknown owner on line {number}: {advice}\n\n  {source}\n  {' ' * (column - 1)}^"
    where = {"line": number, "column": column, "source": source, "path": path}
    return {**where, "kind": "Unknown owner", "suggestion": advice, "message": message}


@route("GET ~/actions/permissions/workflow")
def workflow_permissions(call: Call) -> Answer:
    call.need("administration")
    here = call.world.settings
    return 200, {
        "default_workflow_permissions": here.default_workflow_permissions,
        "can_approve_pull_request_reviews": here.actions_may_approve,
    }
