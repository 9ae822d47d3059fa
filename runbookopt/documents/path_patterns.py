"""Pattern of paths, as CODEOWNERS has them (pure).

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

import re
from functools import lru_cache

_PART = re.compile(r"\*\*/|\*\*|\*|\?|\\.|[^*?\\]+|\\$")
_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def covers(pattern: str, path: str) -> bool:
    """Whether a pattern covers a path: a file, or whatever lies in a folder that it names."""
    return _expression(pattern).fullmatch(path) is not None


def quoted(path: str) -> str:
    """The pattern that covers a file of this path and no other file."""
    return re.sub(r"([*?\\])", r"\\\1", path)


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    """The expression for a path: a slash at the beginning or inside anchors it, one at its end: folder.

    Unlike in a .gitignore, `docs/*` owns the files of a folder and not what lies deeper.
    """
    anchored = "/" in pattern.rstrip("/")
    body = "".join(
        _GLOBS.get(part) or re.escape(part.removeprefix("\\")) for part in _PART.findall(pattern.strip("/"))
    )
    below = "/.+" if pattern.endswith("/") else "" if pattern.endswith("/*") else "(?:/.+)?"
    return re.compile(f"{'' if anchored else '(?:.*/)?'}{body}{below}")
