"""Pictures of README.md, from one real run: its terminal, and its pull request."""  # noqa: INP001

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from markdown_it import MarkdownIt  # noqa: TID253 - a script has no start to keep quick
from rich.console import Console  # noqa: TID253
from rich.terminal_theme import DIMMED_MONOKAI  # noqa: TID253
from rich.text import Text  # noqa: TID253

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
RUNBOOK = "support-triage"
COLUMNS = 104
CUT = "\x1b[2m  ⋮\x1b[0m"

MASKS = [
    (r"\d+\.\d s, with", "0.8 s, with"),
    (r"the oldest of them \d+ days old", "the oldest of them 60 days old"),
    (r"(merged pull request .*) as [0-9a-f]{12}", r"\1 as 3f5996ea79d3"),
]
"""What differs from run to run (time, dates, commits), and what stands in the pictures for it."""


class Run(NamedTuple):
    """What two commands printed, with colours, and the pull request between them."""

    found: str
    merged: str
    title: str
    body: str
    branch: str
    base: str


def main() -> int:
    """Make both pictures in their place, or compare them with those that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where one is old")
    check = parser.parse_args().check
    with TemporaryDirectory() as folder:
        run = real_run(Path(folder))
    pictures = {"terminal.svg": terminal(run), "pull-request.svg": pull_request(run)}
    old = [name for name, svg in pictures.items() if not is_kept(HERE / name, svg)]
    if not check:
        for name in old:
            (HERE / name).write_text(pictures[name], encoding="utf-8")
    words = "not those of today, see `make pictures`" if check else "written"
    sys.stdout.writelines(f"docs/pictures/{name}: {words}\n" for name in old)
    return 1 if check and old else 0


def is_kept(path: Path, svg: str) -> bool:
    """Whether the picture is there already."""
    return path.exists() and path.read_text(encoding="utf-8") == svg


def real_run(folder: Path) -> Run:
    """Run the main job on a sample runbook, in a scratch clone with a bare origin, with the offline pair."""
    team = folder / "team"
    git = ["git", "-c", "user.name=Ana", "-c", "user.email=ana@example.com"]
    call([*git, "init", "-q", "--bare", "--initial-branch=main", "origin.git"], folder)
    call([*git, "init", "-q", "--initial-branch=main", "team"], folder)
    call([*git, "remote", "add", "origin", str(folder / "origin.git")], team)
    for name in ("runbooks", "trajectories"):
        shutil.copytree(PROJECT / name, team / name)
    shutil.copy(PROJECT / "runbookopt.yaml", team)
    call([*git, "add", "--all"], team)
    call([*git, "commit", "-q", "-m", "Runbooks"], team)
    call([*git, "push", "-q", "origin", "HEAD:refs/heads/main"], team)
    found = ours(["optimize-runbook", RUNBOOK], team)
    pull = json.loads(ours(["runbookopt", "pulls", "show", "1", "--json"], team))
    merged = ours(["runbookopt", "pulls", "merge", "--auto"], team)
    return Run(masked(found), masked(merged), pull["title"], pull["body"], pull["branch"], pull["base"])


def ours(command: Sequence[str], folder: Path) -> str:
    """Run one of the commands that are installed beside this Python."""
    return call([str(Path(sys.executable).with_name(command[0])), *command[1:]], folder)


def call(command: Sequence[str], folder: Path) -> str:
    """Run a program away from the user's settings, as on a terminal with colours; what it printed."""
    unwanted = ("GIT_", "RUNBOOKOPT_", "NO_COLOR", "COLORTERM")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environ |= {"HOME": str(folder), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environ |= {"TERM": "xterm-256color", "FORCE_COLOR": "1", "EMAIL": "ana@example.com", "LC_ALL": "C.UTF-8"}
    pipe = subprocess.PIPE
    return subprocess.run(command, cwd=folder, env=environ, stdout=pipe, encoding="utf-8", check=True).stdout


def masked(text: str) -> str:
    """Replace what no two runs have in common."""
    for pattern, fixed in MASKS:
        text = re.sub(pattern, fixed, text)
    return text


# The terminal ----------------------------------------------------------------------------------------------


def terminal(run: Run) -> str:
    """Draw what both commands print; `⋮` stands for lines that are left out."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    lines = [*prompt(f"optimize-runbook {RUNBOOK}"), *shortened(run.found.splitlines())]
    lines += ["", *prompt("runbookopt pulls merge --auto"), *run.merged.splitlines()]
    for line in lines:
        console.print(Text.from_ansi(line))
    svg = console.export_svg(title="runbookopt", theme=DIMMED_MONOKAI, unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # else a font is fetched
    fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    return re.sub(r"font-family: (Fira Code, monospace|arial);", f"font-family: {fonts};", svg)


def prompt(command: str) -> Iterator[str]:
    """Give a command line as somebody types it."""
    yield f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m"


def shortened(lines: Sequence[str]) -> Iterator[str]:
    """Keep the result, two of the reasons, some of the diff, some of the decision, and the pull request."""
    plain = [Text.from_ansi(line).plain for line in lines]
    yield from lines[: plain.index("  why:") + 3]
    for beginning, length in (("--- ", 2), ("+- ", 4), ("  decision: ", 7), ("  pull request ", 1)):
        start = next(number for number, line in enumerate(plain) if line.startswith(beginning))
        yield CUT
        yield from lines[start : start + length]


# The pull request ------------------------------------------------------------------------------------------

WIDTH, HEIGHT, FADE = 900, 1240, 160
REASONS = 8

STYLE = """
* { box-sizing: border-box; }
.page { width: 900px; height: 1240px; overflow: hidden; padding: 20px 28px; background: #fff; color: #1f2328;
  border: 1px solid #d1d9e0; border-radius: 8px;
  font: 15px/1.45 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
h1 { margin: 0 0 6px; font-size: 24px; font-weight: 400; }
h1 span { color: #59636e; }
.state { padding: 4px 12px; border-radius: 14px; background: #1f883d; color: #fff; font-weight: 600; }
.head { margin: 0; padding-bottom: 14px; border-bottom: 1px solid #d1d9e0; color: #59636e; }
.body { margin-top: 16px; padding: 14px 20px 0; border: 1px solid #d1d9e0; border-radius: 8px; }
h2 { margin: 18px 0 10px; padding-bottom: 5px; border-bottom: 1px solid #d1d9e0; font-size: 20px; }
p, ul, table { margin: 0 0 12px; }
ul { padding-left: 26px; }
table { border-collapse: collapse; }
th, td { padding: 5px 12px; border: 1px solid #d1d9e0; }
tr:nth-child(2n) td { background: #f6f8fa; }
code { padding: 2px 5px; border-radius: 5px; background: #eff1f3;
  font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
"""

PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"
  viewBox="0 0 {width} {height}">
<style>{style}</style>
<defs><linearGradient id="fade" x1="0" y1="0" x2="0" y2="1">
<stop offset="0" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#fff"/>
</linearGradient></defs>
<foreignObject width="{width}" height="{height}">
<div xmlns="http://www.w3.org/1999/xhtml" class="page">
{header}<div class="body">
{body}</div>
</div>
</foreignObject>
<rect x="2" y="{fade_from}" width="{inner}" height="{fade}" fill="url(#fade)"/>
</svg>
"""

HEADER = """<h1>{title} <span>#1</span></h1>
<p class="head"><span class="state">Open</span> &#160;1 commit into <code>{base}</code>
from <code>{branch}</code></p>
"""


def pull_request(run: Run) -> str:
    """Draw the top of the pull request as a forge renders it; its end fades out."""
    markdown = MarkdownIt("commonmark", {"html": False, "xhtmlOut": True}).enable("table")
    top, heading, reasons = run.body.partition("## What changed, and why\n")
    shown = reasons.lstrip("\n").splitlines()[: REASONS + 2]
    escaped = {
        name: value.replace("&", "&amp;").replace("<", "&lt;")
        for name, value in {"title": run.title, "base": run.base, "branch": run.branch}.items()
    }
    return PICTURE.format(
        width=WIDTH,
        height=HEIGHT,
        style=STYLE,
        header=HEADER.format(**escaped),
        body=markdown.render("\n".join([top + heading, *shown])),
        fade_from=HEIGHT - FADE,
        fade=FADE - 2,
        inner=WIDTH - 4,
    )


if __name__ == "__main__":
    sys.exit(main())
