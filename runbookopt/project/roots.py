"""Roots of a repository: its own, and each folder with a runbookopt.yaml, which has runbooks for itself."""

from collections.abc import Iterator

from msgspec import Struct

from runbookopt.documents.settings import FILE
from runbookopt.evidence.library import Source

DEPTH = 4
"""Folders between the repository's root and another one: deeper nobody looks."""

_NO_ROOTS = frozenset({"runbooks", "trajectories", "node_modules"})


class Below(Struct, frozen=True):
    """A source as one root sees it: nothing above its folder, and nothing in the folders `others`.

    `root` is the folder with a slash at its end, "" for the repository's own; so are `others`.
    """

    whole: Source
    root: str
    others: tuple[str, ...] = ()

    def files(self, under: str) -> list[str]:
        """The files under a folder, by their paths from the root."""
        there = self.whole.files(f"{self.root}{under}".rstrip("/"))
        return [path.removeprefix(self.root) for path in there if not path.startswith(self.others)]

    def names(self, folder: str) -> list[str]:
        """The names of the files and folders in a folder, sorted."""
        return [] if self._is_hidden(folder) else self.whole.names(f"{self.root}{folder}".rstrip("/"))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, sorted."""
        return [] if self._is_hidden(folder) else self.whole.folders(f"{self.root}{folder}".rstrip("/"))

    def links(self, under: str) -> list[str]:
        """What stands under a folder and is not read, by its paths from the root."""
        there = self.whole.links(f"{self.root}{under}".rstrip("/"))
        return [path.removeprefix(self.root) for path in there if not path.startswith(self.others)]

    def linked(self, folder: str) -> list[str]:
        """The names of the symbolic links in a folder, sorted."""
        return [] if self._is_hidden(folder) else self.whole.linked(f"{self.root}{folder}".rstrip("/"))

    def link(self, path: str) -> str | None:
        """Where the symbolic link at a path leads, as it says; None where there is none."""
        return None if self._is_hidden(path) else self.whole.link(f"{self.root}{path}")

    def read(self, path: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError."""
        if self._is_hidden(path):
            raise FileNotFoundError(f"{path} is of another root")
        return self.whole.read(f"{self.root}{path}")

    def _is_hidden(self, path: str) -> bool:
        return f"{self.root}{path}/".startswith(self.others)


def roots_of(source: Source) -> tuple[str, ...]:
    """The folders below the repository's root that are roots as well, sorted.

    A folder whose name begins with a dot holds none, nor does what is below runbooks/ or trajectories/.
    """
    return tuple(sorted(_below(source, "", DEPTH)))


def _below(source: Source, folder: str, depth: int) -> Iterator[str]:
    for name in source.folders(folder) if depth else ():
        if may_lead_to_one(name):
            path = f"{folder}/{name}".lstrip("/")
            if FILE in source.names(path):
                yield path
            yield from _below(source, path, depth - 1)


def may_lead_to_one(name: str) -> bool:
    """Whether a folder of this name may be a root, or hold one."""
    return not name.startswith(".") and name not in _NO_ROOTS
