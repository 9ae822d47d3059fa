"""Picture of docs/verifiers.md: the page of `runbookopt label`, after ten trajectories were labelled on it.

A browser draws letters a little otherwise in each of its versions, so nobody compares it with that of today:
`python docs/pictures/label_page.py` makes it anew. It needs a Chromium.
"""  # noqa: INP001

import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
RUNBOOK = "refund-reply"
SIZE = (1240, 820)

FAILED = {
    "r-0153": ("No rule knows a parcel of which one half came.", "no rule matches"),
    "r-0003": ("A voucher was taken back, and nothing is said of it.", "no rule matches"),
    "r-0059": ("A stain is damage: the shop pays for that, not the customer.", "damage taken for a return"),
}
"""What a reader of these three writes; the others are right."""

LAST = ("r-0131", "The wrong colour came. The customer waits for money that")


def main() -> None:
    """Label in a scratch clone as a person does, by keys, and take the picture."""
    driver = _driver()
    program = driver.program()
    if program is None:
        sys.exit(f"no browser is installed: expected one of {', '.join(driver.NAMES)}")
    with TemporaryDirectory() as folder:
        team = _team(Path(folder))
        command = [str(Path(sys.executable).with_name("runbookopt")), "label", RUNBOOK]
        with subprocess.Popen(command, cwd=team, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
            try:
                with driver.browser(program) as browser:
                    _label(browser.page(_address(child), *SIZE))
            finally:
                child.terminate()


def _label(page: Any) -> None:  # noqa: ANN401 - of tests/browser.py
    done = 0
    while (current := page.wait("document.querySelector('dd')?.textContent || ''")) != LAST[0]:
        if current in FAILED:
            note, mode = FAILED[current]
            page.press("f")
            page.type(note)
            page.press("Enter", "p", "p", "m")
            page.type(mode)
            page.press("Enter")
        else:
            page.press("p", "p", "p")
        done += 1
        page.wait(f"document.getElementById('count').textContent.startsWith('{done} ')")
        page.wait(f"document.querySelector('dd').textContent !== {current!r}")
    page.press("f")
    page.type(LAST[1])
    page.picture(HERE / "label-page.png")


def _team(folder: Path) -> Path:
    team = folder / "team"
    for name in ("runbooks", "trajectories"):
        shutil.copytree(PROJECT / name, team / name)
    for command in (["init", "-q"], ["config", "runbookopt.login", "maria-okafor"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=team, check=True)
    git = ["git", "-c", "user.name=Maria", "-c", "user.email=maria@fernhill.example"]
    subprocess.run([*git, "commit", "-q", "-m", "Runbooks"], cwd=team, check=True)
    return team


def _address(child: "subprocess.Popen[str]") -> str:
    for line in child.stdout or ():
        if found := re.search(r"http://\S+", line):
            return found[0]
    sys.exit("runbookopt label said no address")


def _driver() -> "ModuleType":
    found = spec_from_file_location("browser", PROJECT / "tests/browser.py")
    if found is None or found.loader is None:
        sys.exit("tests/browser.py is not there")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
