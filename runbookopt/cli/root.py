"""Root of what a repository declares: the folder that runbookopt.yaml, or runbooks/, lies in."""

from pathlib import Path


def root_around(folder: Path) -> Path | None:
    """The nearest folder, this one or above it, with runbookopt.yaml or runbooks/; else the repository's.

    None where there is neither.
    """
    above = (folder, *folder.parents)
    said = (each for each in above if (each / "runbookopt.yaml").is_file() or (each / "runbooks").is_dir())
    return next(said, next((each for each in above if (each / ".git").exists()), None))
