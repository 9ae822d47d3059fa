"""A real browser, where there is one, and a repository whose trajectories are labelled on its page."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser import Browser, Page
    from tests.conftest import Clone

RUBRIC = """judge: {model: openai/judge}
criteria:
  - id: right-desk
    statement: The ticket goes to the right desk.
    check: {kind: equals, path: $.desk, reference: $.desk}
  - id: polite
    judge: Is the answer polite?
"""


@pytest.fixture(scope="session")
def driver() -> ModuleType:
    """Give tests/browser.py, which drives a browser."""
    found = spec_from_file_location("browser", Path(__file__).parents[1] / "browser.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def browser(driver: ModuleType) -> "Iterator[Browser]":
    """Give a real browser; skip where none is installed."""
    path = driver.program()
    if path is None:
        pytest.skip(f"no browser is installed: expected one of {', '.join(driver.NAMES)}")
    with driver.browser(path) as browser:
        yield browser


class Labelling:
    """`runbookopt label desk` in a process of its own, and its page in a browser."""

    def __init__(self, clone: "Clone", browser: "Browser", *flags: str) -> None:
        command = [str(Path(sys.executable).with_name("runbookopt")), "label", "desk", *flags]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.child = subprocess.Popen(command, cwd=clone.root, env=environ, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout is not None
        self.told = ""
        for line in self.child.stdout:
            self.told += line
            if found := re.search(r"http://\S+", line):
                self.address = found[0]
                break
        self.page: Page = browser.page(self.address)
        self.page.wait("document.readyState === 'complete' && !!document.querySelector('article section')")

    def kill(self) -> None:
        """End it as a machine that loses its power does."""
        self.child.send_signal(signal.SIGKILL)
        with self.child:  # it is waited for, and its pipe closed
            pass

    def current(self) -> str:
        """The id of the trajectory that is shown."""
        return str(self.page.wait("document.querySelector('dd')?.textContent || ''"))


@pytest.fixture
def desk(repo: "Callable[..., Clone]") -> "Callable[..., Clone]":
    """Give a maker of clones of a repository with the runbook `desk` and these trajectories."""

    def make(*trajectories: dict[str, Any]) -> "Clone":
        clone = repo(
            {
                "runbooks/desk/RUNBOOK.md": "# Desk\n\nSend tickets to a desk.\n",
                "runbooks/desk/rubric.yaml": RUBRIC,
                "trajectories/desk/all.jsonl": "".join(f"{json.dumps(each)}\n" for each in trajectories),
            }
        )
        clone.is_used_by("octocat")
        return clone

    return make


@pytest.fixture
def labelling(browser: "Browser") -> "Iterator[Callable[..., Labelling]]":
    """Give a starter of `runbookopt label desk`, all of which end with the test."""
    started: list[Labelling] = []

    def start(clone: "Clone", *flags: str) -> Labelling:
        started.append(Labelling(clone, browser, *flags))
        return started[-1]

    yield start
    for each in started:
        each.kill()
