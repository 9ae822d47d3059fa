"""The main job with agents that take their time: REPOSITORY CALLS SECONDS WIDTH. Prints what came of it."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.agents.protocol import Produced, Reflected
from runbookopt.documents.settings import Settings
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.optimize import optimize
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.result import Result
from runbookopt.search.asks import Reflection

repository, calls, seconds, width = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])


async def pay() -> None:
    """Write a byte, as a provider writes a bill, and take as long as one."""
    import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

    with calls.open("ab") as file:  # noqa: ASYNC230 - a byte
        file.write(b".")
    await asyncio.sleep(seconds)


class Agent(OfflineAgent):
    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401
        await pay()
        return await super().rollout(runbook, task_input, repeat)


class Reflector(OfflineReflector):
    async def reflect(self, ask: Reflection) -> Reflected:
        await pay()
        return await super().reflect(ask)


def found(result: Result) -> dict[str, object]:
    """Give all that must not depend on how often the run was cut."""
    assert result.bundle is not None
    made = {name: getattr(result, name) for name in ("run", "outcome", "candidates", "validation", "patch")}
    proof = {name: getattr(result.bundle, name) for name in ("outputs", "comparison", "members", "changes")}
    return made | proof


job = Job("desk", Settings(width=width), Agent(), Reflector(), at="2026-11-01T09:00:00Z", propose=False)
with Repository.open(repository) as opened:
    sys.stdout.write(msgspec.json.encode(found(optimize(opened, job))).decode())
