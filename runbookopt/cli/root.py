"""Root that a command works in: --root, or the nearest folder upwards with a runbookopt.yaml."""

from contextlib import chdir
from pathlib import Path
from typing import Annotated

import typer

from runbookopt.errors import RunbookoptError, WrongUsage


def _enter(context: typer.Context, folder: Path | None) -> Path | None:
    if folder is not None:
        if not folder.is_dir():
            raise WrongUsage(f"--root: expected a folder, got {str(folder)!r}")
        context.with_resource(chdir(folder))
    return folder


Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="Work there, as if started in it: names are those of the nearest runbookopt.yaml upwards.",
        show_default=False,
        is_eager=True,
        callback=_enter,
    ),
]


def whole(folder: Path) -> Path | None:
    """The repository's folder, this one or above it; else the nearest with runbookopt.yaml or runbooks/."""
    above = (folder, *folder.parents)
    said = (each for each in above if (each / "runbookopt.yaml").is_file() or (each / "runbooks").is_dir())
    return next((each for each in above if (each / ".git").exists()), next(said, None))


def whole_here() -> Path:
    """The repository's folder, or what stands for it, around where the command works; RunbookoptError."""
    top = whole(Path.cwd())
    if top is None:
        raise RunbookoptError("there is no runbooks/ here or above: go to a repository with runbooks")
    return top


def root_in(top: Path, folder: Path) -> str:
    """The root that a folder of the repository at `top` is in, by its path from there; "" for its own."""
    from runbookopt.evidence.library import Folder
    from runbookopt.project.roots import roots_of

    here, top = folder.resolve(), top.resolve()
    if here == top or not here.is_relative_to(top):
        return ""
    path = f"{here.relative_to(top).as_posix()}/"
    around = (root for root in roots_of(Folder(top)) if path.startswith(f"{root}/"))
    return max(around, key=len, default="")


def named(top: Path, name: str) -> str:
    """The whole name of a runbook that is named as the root that the command works in calls it."""
    from runbookopt.evidence.library import Folder
    from runbookopt.project.places import runbook_names

    root = root_in(top, Path.cwd())
    return f"{root}/{name}" if root and f"{root}/{name}" in runbook_names(Folder(top)) else name


def names_here(top: Path) -> list[str]:
    """The names of all runbooks of the root that the command works in; of all roots in the repository's."""
    from runbookopt.evidence.library import Folder
    from runbookopt.project.places import layout_of

    root, runbooks = root_in(top, Path.cwd()), layout_of(Folder(top)).runbooks
    return [name for name, places in runbooks.items() if not root or places.root == root]
