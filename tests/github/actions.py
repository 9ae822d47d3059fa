"""Runs of workflows over REST: listed, shown and run again."""

from tests.github.routing import Answer, Call, route
from tests.github.state import Run
from tests.github.views import Json
from tests.github.world import Refused, World


def _shown(world: World, run: Run) -> Json:
    return {
        "id": run.id,
        "head_sha": run.sha,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion if run.status == "completed" else None,
        "run_attempt": run.attempt,
        "path": f".github/workflows/{run.workflow}",
        "url": f"{world.repository_url}/actions/runs/{run.id}",
    }


@route("GET ~/actions/workflows/{workflow_id}/runs")
def runs_of(call: Call) -> Answer:
    call.need("actions")
    query, workflow = call.query, call.parameters["workflow_id"]
    found = [
        run
        for run in reversed(call.world.runs)
        if run.workflow == workflow
        and query.get("event") in {None, run.event}
        and query.get("head_sha") in {None, run.sha}
    ]
    shown = found[: int(query.get("per_page", 30))]
    return 200, {"total_count": len(found), "workflow_runs": [_shown(call.world, run) for run in shown]}


@route("GET ~/actions/runs/{run_id}")
def run(call: Call) -> Answer:
    call.need("actions")
    return 200, _shown(call.world, _run(call))


@route("POST ~/actions/runs/{run_id}/rerun")
def run_again(call: Call) -> Answer:
    call.need("actions", "write")
    found = _run(call)
    if found.status != "completed":
        raise Refused(403, "This workflow is already running")
    if found.too_old:
        raise Refused(403, "Unable to retry this workflow run because it was created over a month ago")
    found.status, found.attempt = "queued", found.attempt + 1
    return 201, {}


def _run(call: Call) -> Run:
    for each in call.world.runs:
        if str(each.id) == call.parameters["run_id"]:
            return each
    raise Refused(404, "Not Found")
