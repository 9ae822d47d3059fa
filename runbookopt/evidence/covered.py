"""Files that patterns of evidence cover: which of a source there are, and the source without all others."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from runbookopt.documents.path_patterns import covers
from runbookopt.documents.repository_paths import fixed_folder, is_glob


class Files(Protocol):
    """Where files come from; `library.Source` is one."""

    def files(self, under: str) -> list[str]:
        """The files under a folder: POSIX paths relative to the root, sorted."""
        ...

    def read(self, path: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError."""
        ...


def covered(source: Files, *patterns: str) -> list[str]:
    """The files at which evidence lies, by the paths of folders and by patterns of paths from the root."""
    return list(dict.fromkeys(path for each in patterns for path in _covered(source, each)))


def _covered(source: Files, pattern: str) -> Iterator[str]:
    """The files that a folder holds, or a pattern covers: hidden is what is hidden below where it begins."""
    folder = f"{fixed_folder(pattern)}/".lstrip("/") if is_glob(pattern) else f"{pattern.strip('/')}/"
    inside = [path.removeprefix(folder) for path in source.files(folder.strip("/"))]
    for path in with_records(inside):
        if not is_glob(pattern) or covers(f"/{pattern.lstrip('/')}", folder + path):
            yield folder + path


def with_records(paths: Iterable[str]) -> list[str]:
    """The paths below a folder without notes (`*.md`) and dot files, which are left in peace."""
    return [path for path in paths if not path.endswith(".md") and "/." not in f"/{path}"]


class Covered(Struct, frozen=True):
    """What some patterns cover of a source."""

    source: Files
    patterns: tuple[str, ...]

    def files(self, under: str) -> list[str]:
        """The covered files under a folder."""
        return [path for path in self.source.files(under) if self._covers(path)]

    def read(self, path: str) -> bytes:
        """The bytes of a covered file; raises FileNotFoundError."""
        if not self._covers(path):
            raise FileNotFoundError(f"{path} is covered by no pattern")
        return self.source.read(path)

    def _covers(self, path: str) -> bool:
        return any(covers(f"/{pattern.lstrip('/')}", path) for pattern in self.patterns)
