"""Which runbooks a diff touches, and whether it touches what judges them (pure)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from runbookopt.gitwords import FileChange
from runbookopt.landing.codeowners import PLACES
from runbookopt.landing.guard import NO_FILES
from runbookopt.landing.protections import WORKFLOWS

ROOTS = ("runbooks", "trajectories")
SHARED = (*PLACES, WORKFLOWS)
"""What judges every runbook: who must agree to a change, and the check that asks."""


class Touched(Struct, frozen=True):
    """What a diff does to one runbook.

    `texts` are files that its agents are told by, `verifier` what judges it (rubric, policy, labels, programs
    of the rubric), `evidence` its other trajectories, which hold the tasks of later proofs.
    """

    runbook: str
    texts: tuple[str, ...] = ()
    verifier: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class Touches(Struct, frozen=True):
    """What a diff does to runbooks: only those whose text or verifier it touches are named.

    `shared` is what of it judges them all, `no_files` the links and submodules that it makes there.
    """

    runbooks: tuple[Touched, ...] = ()
    shared: tuple[str, ...] = ()
    no_files: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether it is no matter of ours."""
        return not self.runbooks and not self.no_files

    @property
    def paths(self) -> tuple[str, ...]:
        """Give every path that is a matter of ours."""
        own = (path for each in self.runbooks for path in (*each.texts, *each.verifier, *each.evidence))
        return tuple(sorted({*own, *self.shared}))


def touches(
    changes: Sequence[FileChange], names: Collection[str], programs: Mapping[str, Collection[str]]
) -> Touches:
    """Sort the paths of a diff by runbook.

    `names` are those of runbooks before and after it, `programs` the files that each one's rubric runs.
    """
    paths = sorted({path for each in changes for path in (each.old_path, each.new_path) if path})
    found = (_touched(name, names, paths, programs.get(name, ())) for name in sorted(names))
    return Touches(
        tuple(each for each in found if each.texts or each.verifier),
        tuple(path for path in paths if path in SHARED),
        tuple(_no_files(changes)),
    )


def _touched(name: str, names: Collection[str], paths: Iterable[str], programs: Collection[str]) -> Touched:
    texts: list[str] = []
    verifier: list[str] = []
    evidence: list[str] = []
    for path in paths:
        root, _, rest = path.partition("/")
        own = root in ROOTS and _nearest(rest, names) == name
        if path in programs or (own and _judges(path, name)):
            verifier.append(path)
        elif own:
            (texts if root == "runbooks" else evidence).append(path)
    return Touched(name, tuple(texts), tuple(verifier), tuple(evidence))


def _judges(path: str, name: str) -> bool:
    files = {f"runbooks/{name}/rubric.yaml", f"runbooks/{name}/policy.yaml"}
    return path in files or (path.startswith("trajectories/") and path.endswith(".labels.jsonl"))


def _nearest(path: str, names: Collection[str]) -> str | None:
    """Give the runbook in whose folder, or in a folder of which, a file lies."""
    above = [name for name in names if path.startswith(f"{name}/")]
    return max(above, key=len, default=None)


def _no_files(changes: Iterable[FileChange]) -> Iterator[str]:
    for each in changes:
        path = each.new_path
        if path and each.new_mode in NO_FILES and path.partition("/")[0] in ROOTS:
            yield f"{path!r} becomes {NO_FILES[each.new_mode]}"
