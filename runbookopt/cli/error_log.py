"""Error log: the file that an unexpected error leaves behind, to be attached to a report."""

import os
import sys
from pathlib import Path

from runbookopt.cli import custody


def leave_log(error: BaseException) -> Path | None:
    """Write versions and traceback for nobody else to read, and say where; None where that is impossible.

    The traceback is without the values of variables, and what looks like a secret is taken out.
    """
    import tempfile

    try:
        text = _text(error)
        for folder in (Path.cwd() / ".runbookopt", Path(tempfile.gettempdir())):
            if folder.is_dir() and not folder.is_symlink() and os.access(folder, os.W_OK):
                descriptor, name = tempfile.mkstemp(".txt", "runbookopt-error-", folder)
                with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
                return Path(name)
    except (OSError, ImportError):  # a full disk, a folder that is gone, a broken installation
        return None
    return None


def _text(error: BaseException) -> str:
    import platform
    import re
    import traceback
    from importlib import metadata

    from runbookopt.documents.redaction import Redactor

    needs = [need for need in metadata.requires("runbookopt") or () if "extra ==" not in need]
    names = ["runbookopt", *(re.split(r"[^\w.-]", need)[0] for need in needs)]
    lines = [
        *(f"{name} {metadata.version(name)}\n" for name in names),
        f"Python {platform.python_version()} on {platform.platform()}\n",
        f"command: {' '.join(sys.argv)}\n\n",
        *traceback.format_exception(error),
    ]
    return Redactor(custody.environ()).clean("".join(lines))
