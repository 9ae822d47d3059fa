"""Check runs at GitHub: what our status check says of a commit, one for each commit and app."""

import msgspec
from msgspec import Struct

from runbookopt.forge.github.answers import read
from runbookopt.forge.github.client import Client
from runbookopt.forge.protocol import CheckRun

OURS = "runbookopt"
"""The external id of our check runs, by which they are found again."""


class _Output(Struct, frozen=True):
    title: str | None = None
    summary: str | None = None


class _Check(Struct, frozen=True):
    id: int
    conclusion: str | None = None
    external_id: str | None = None
    output: _Output = _Output()


class _Checks(Struct, frozen=True):
    check_runs: tuple[_Check, ...] = ()


def written(client: Client, check: CheckRun) -> None:
    """Write a check run, or bring the one of ours for this commit up to date. Raises GitFailed."""
    conclusion = "success" if check.passes else "failure"
    output = _Output(check.title, check.summary)
    given = {
        "name": check.name,
        "status": "completed",
        "conclusion": conclusion,
        "external_id": OURS,
        "output": msgspec.to_builtins(output),
    }

    def there() -> _Check | None:
        path = f"~/commits/{check.head}/check-runs"
        answer = client.ask(path, check_name=check.name, filter="all", per_page=100)
        runs = read(answer, _Checks).check_runs
        return next((run for run in runs if run.external_id == OURS), None)

    def done() -> _Check | None:
        run = there()
        return run if run and (run.conclusion, run.output) == (conclusion, output) else None

    def send() -> _Check:
        run = there()
        if run is None:
            answer = client.send("POST", "~/check-runs", {**given, "head_sha": check.head})
        else:
            answer = client.send("PATCH", f"~/check-runs/{run.id}", given)
        return read(answer, _Check)

    if not done():
        client.change("write a check run", send, done)
