"""What a run that found nothing says: named after its cause, and never that nothing better was found."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.protocol import Reflected
from runbookopt.documents.settings import Settings
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.optimize import optimize
from runbookopt.jobs.prepare import Job
from runbookopt.search.asks import Reflection, ReflectionFailure


class Garbage:
    """A reflector of whose replies none can be used."""

    name = "garbage"
    key = "sha256:garbage"

    async def reflect(self, ask: Reflection) -> Reflected:
        return Reflected(ReflectionFailure("unparsable", f"found nothing of {len(ask.failing)}"))


def run(root: Path) -> None:
    with Repository.open(root) as repository:
        job = Job(
            "desk", Settings(), OfflineAgent("answer"), Garbage(), "2026-11-01T00:00:00Z", propose=False
        )
        optimize(repository, job)


def test_a_reflector_that_cannot_do_it_ends_the_run_and_says_what_it_cost(
    repo: Callable[..., Any], planted: ModuleType
) -> None:
    root = repo(planted.files()).root
    for _ in range(2):  # the run is closed, so that another time is another try
        with pytest.raises(RunbookoptError) as caught:
            run(root)
        told = str(caught.value)
        assert "desk: the reflector's replies cannot be used: " in told
        assert "the last of them: unparsable: found nothing of" in told
        assert "try another model as the reflector; it cost " in told
        assert caught.value.status == 1
