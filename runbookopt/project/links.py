"""Links of a repository, followed where they stay in it: a source with its links as what they lead to."""

from msgspec import Struct

from runbookopt.evidence.library import Source

MOST = 8
"""Links on one path: more are a circle."""

LONGEST = 1_000
"""Characters of what a link says: more are no path."""

_KEPT_OUT = frozenset({".git", ".runbookopt"})


class Led(Struct, frozen=True):
    """Where a path leads in the end, and the links on the way."""

    path: str
    links: tuple[str, ...] = ()


def followed(source: Source, path: str) -> Led | None:
    """Follow the links of a path; None where it leads out of the source, in a circle, or into local state."""
    left, done, links = path.split("/"), list[str](), list[str]()
    while left:
        name = left.pop(0)
        here = "/".join([*done, name])
        target = None if name in {"", ".", ".."} else source.link(here)
        if name == ".." and not done:
            return None
        if name == "..":
            done.pop()
        elif target is not None:
            links.append(here)
            if target.startswith("/") or len(target) > LONGEST or len(links) > MOST:
                return None
            left = [*target.split("/"), *left]
        elif name not in {"", "."}:
            done.append(name)
    kept_out = not _KEPT_OUT.isdisjoint(part.casefold() for part in done)
    return None if kept_out else Led("/".join(done), tuple(links))


def leads_anywhere(source: Source, path: str) -> bool:
    """Whether a link leads to something in the repository."""
    led = followed(source, path)
    if led is None or not led.links or not led.path:
        return False
    folder, _, name = led.path.rpartition("/")
    return name in source.names(folder)


class Linked(Struct, frozen=True):
    """A source in which a link is the file, or the folder, that it leads to; within that, links are not."""

    whole: Source

    def files(self, under: str) -> list[str]:
        """The files under a folder, those behind links too: paths as one would type them, sorted."""
        led = followed(self.whole, under)
        if led is None:
            return []
        paths = [under + path.removeprefix(led.path) for path in self.whole.files(led.path)]
        for link in self.whole.links(led.path):
            target = followed(self.whole, link)
            if target is None or not target.path or f"{link}/".startswith(f"{target.path}/"):
                continue  # what leads up holds itself
            there = self.whole.files(target.path) or ([target.path] if self._is_file(target.path) else [])
            paths += [under + link.removeprefix(led.path) + path.removeprefix(target.path) for path in there]
        return sorted(paths)

    def names(self, folder: str) -> list[str]:
        """The names of the files and folders in a folder, links with a target included, sorted."""
        led = followed(self.whole, folder)
        if led is None:
            return []
        start = f"{led.path}/".lstrip("/")
        links = self.whole.linked(led.path)
        beside = [name for name in links if leads_anywhere(self.whole, start + name)]
        return sorted({*self.whole.names(led.path), *beside})

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, sorted; links are none."""
        return self.whole.folders(folder)

    def links(self, _under: str) -> list[str]:
        """No path: all are followed."""
        return []

    def linked(self, _folder: str) -> list[str]:
        """No name: all are followed."""
        return []

    def link(self, _path: str) -> str | None:
        """Nothing: all are followed."""
        return None

    def read(self, path: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError."""
        led = followed(self.whole, path)
        if led is None:
            raise FileNotFoundError(f"{path} leads out of the repository")
        return self.whole.read(led.path)

    def _is_file(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self.whole.names(folder) and name not in self.whole.folders(folder)
