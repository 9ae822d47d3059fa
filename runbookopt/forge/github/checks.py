"""Check runs at GitHub: what our status check says of a commit, one for each commit and app."""

import msgspec
from msgspec import Struct

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
        told = client.ask(path, check_name=check.name, filter="all", per_page=100)
        found = msgspec.convert(told, _Checks).check_runs
        return next((each for each in found if each.external_id == OURS), None)

    def said() -> _Check | None:
        now = there()
        return now if now and (now.conclusion, now.output) == (conclusion, output) else None

    def send() -> _Check:
        now = there()
        if now is None:
            told = client.send("POST", "~/check-runs", {**given, "head_sha": check.head})
        else:
            told = client.send("PATCH", f"~/check-runs/{now.id}", given)
        return msgspec.convert(told, _Check)

    if not said():
        client.change("write a check run", send, said)
