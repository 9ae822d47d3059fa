"""Trial merge of a head onto the default branch: what it does to runbooks, read as data."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.runbook import decode
from runbookopt.documents.settings import FILE
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.reading import is_note
from runbookopt.forge.git.output import FileChange, MergeConflict
from runbookopt.forge.git.repository import Repository, Revision
from runbookopt.forge.protocol import Forge, PullRequest
from runbookopt.guard.guard import NO_FILES
from runbookopt.landing.approvals import Permission, may_merge
from runbookopt.landing.protection_audit import WORKFLOWS
from runbookopt.landing.requirements import programs_of
from runbookopt.landing.sources.changed_tasks import more_attempts
from runbookopt.project.codeowners import PLACES
from runbookopt.project.layout import EVIDENCE, JUDGING, PAGES, ROOT, Places
from runbookopt.project.local_state import is_local
from runbookopt.project.places import layout_of
from runbookopt.project.policy import Decision, Policy, Reason
from runbookopt.project.project import declared_policy
from runbookopt.project.root_of_name import agents_as_today
from runbookopt.verifier.program_files import belongs
from runbookopt.verifier.rubric_table import read_rubric_table


class Touched(Struct, frozen=True):
    """Files of one runbook in a diff.

    `texts` are files that its agents are told by, `verifier` what judges it (rubric, policy, calibration,
    programs of the rubric, tasks with their references, labels, whose stored outputs are believed),
    `evidence` what else lies with its trajectories: notes, and files to which more attempts at known tasks
    are added.
    """

    runbook: str
    texts: tuple[str, ...] = ()
    verifier: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class Touches(Struct, frozen=True):
    """What a diff does to runbooks: only those whose text or verifier it touches are named.

    `shared` is what of it judges them all, `no_files` the links and submodules that it makes there, and what
    it would bring of local state.
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
        """Every path that is a matter of ours."""
        own = (path for each in self.runbooks for path in (*each.texts, *each.verifier, *each.evidence))
        return tuple(sorted({*own, *self.shared}))


class Effect(Struct, frozen=True):
    """The default branch before and after a merge; `conflict` says why there is no merge.

    Where there is none, `after` is the head, and `touches` what it changed since it left the default branch.
    """

    before: Revision
    after: Revision
    touches: Touches
    conflict: str | None = None


class Case(Struct, frozen=True, dict=True):
    """A head that is to be merged onto `tip` of the default branch.

    `pull` is its pull request at `forge`; None where it is not known, and then no approval is. `now` is when
    that is asked.
    """

    repository: Repository
    tip: str
    head: str
    pull: PullRequest | None = None
    forge: Forge | None = None
    now: datetime | None = None

    @cached_property
    def effect(self) -> Effect:
        """What merging the head makes of the default branch."""
        return self.effect_of(self.head)

    def effect_of(self, commit: str) -> Effect:
        """What merging a commit makes of the default branch. Raises GitFailed."""
        repository, tip = self.repository, self.repository.revision(self.tip)
        since, conflict = self.tip, None
        try:
            after = repository.merge(self.tip, commit)
        except MergeConflict as error:
            since, after, conflict = repository.merge_base(self.tip, commit) or self.tip, commit, str(error)
        there = Revision(repository, after)
        sides = [(side, layout_of(side).runbooks) for side in (tip, there)]
        names = sorted({name for _, runbooks in sides for name in runbooks})
        places = {name: [runbooks[name] for _, runbooks in sides if name in runbooks] for name in names}
        programs = {
            name: [path for side, lie in sides for path in programs_of(side, name, lie.get(name))]
            for name in names
        }
        # what is believed of stored outputs, and a table of the page, judge as a program of a rubric does
        for name, lies in places.items():
            if len({agents_as_today(side, name) for side, _ in sides}) > 1:
                programs[name] += [each.settings for each in lies]
            if len({_table_rubric(side, lie[name]) for side, lie in sides if name in lie}) > 1:
                programs[name] += [each.page for each in lies if each.page]
        changes = repository.diff(since, after)
        more = more_attempts(changes, repository.revision(since), there, names)
        return Effect(tip, there, touches(changes, names, programs, more, places), conflict)

    def unlike(self, commit: str) -> Iterator[str]:
        """What is a matter of ours and other in a commit than merging the head would make it."""
        here, there = self.effect, self.effect_of(commit)
        for path in sorted({*here.touches.paths, *there.touches.paths}):
            trees = (self.repository.tree(effect.after.commit, path) for effect in (here, there))
            before, after = ([(entry.mode, entry.blob) for entry in tree] for tree in trees)
            if before != after:
                yield path
        yield from sorted({*there.touches.no_files} - {*here.touches.no_files})

    def asks(self, policy: Policy, decision: Decision) -> Permission:
        """Whether people agreed as a policy wants it; unknown, and so not granted, without `pull`."""
        if self.pull is not None and self.forge is not None:
            members = {team: self.forge.members(team) for team in policy.teams}
            return may_merge(policy, decision, self.pull, members)
        needed = f"{policy.approvals} approval(s) of {policy.who or 'nobody whom a policy names'} are needed"
        unknown = "who approved is not known here: verify with --pull-request N"
        return Permission(False, (*decision.reasons, Reason("approvals", None, f"{needed}, and {unknown}")))


ROOTS = (ROOT, EVIDENCE)
SHARED = (*PLACES, WORKFLOWS)
"""What judges every runbook: who must agree to a change, and the check that asks."""


def touches(
    changes: Sequence[FileChange],
    names: Collection[str],
    programs: Mapping[str, Collection[str]],
    attempts: Collection[str] = (),
    places: Mapping[str, Sequence[Places]] = {},
) -> Touches:
    """Sort the paths of a diff by runbook.

    `names` are those of runbooks before and after it, `programs` what each one's rubric
    runs, folders with a slash at the end, and `attempts` the files that only get more attempts. `places` are
    where each lies, before and after.
    """
    paths = sorted({path for each in changes for path in (each.old_path, each.new_path) if path})
    owning = _Owning(names, places)
    touched = (_touched(name, owning, paths, programs.get(name, ()), attempts) for name in sorted(names))
    made = ((each.new_path or "", each.new_mode) for each in changes)
    return Touches(
        tuple(each for each in touched if each.texts or each.verifier),
        tuple(path for path in paths if path in SHARED),
        tuple(
            f"{path!r} becomes {NO_FILES[mode]}"
            for path, mode in made
            if mode in NO_FILES and owning.is_ours(path)
        )
        + tuple(
            f"{each.new_path!r} is local state, which is nobody's word: no commit may bring it"
            for each in changes
            if each.new_path and is_local(each.new_path)
        ),
    )


class _Owning:
    """Whose file is where: by the folders of names below runbooks/ and trajectories/, and by their places."""

    def __init__(self, names: Collection[str], places: Mapping[str, Sequence[Places]]) -> None:
        self.places = places
        self.homes: dict[str, str] = {}
        self.roots = {"", *(f"{each.root}/" for sides in places.values() for each in sides if each.root)}
        for name in names:
            lie = [folder for each in places.get(name, ()) for folder in (each.home, each.stored)]
            self.homes |= {f"{folder}/": name for folder in lie or (f"{root}/{name}" for root in ROOTS)}
        self.folders = {
            each.folder: name for name, sides in places.items() for each in sides if each.folder is not None
        }

    def is_ours(self, path: str) -> bool:
        """Whether what becomes of a path is a matter of ours, whoever's it is."""
        if any(f"{path}/".startswith(f"{root}{folder}/") for root in self.roots for folder in ROOTS):
            return True
        return any(
            path == each.page or path in each.judging or each.is_evidence_elsewhere(path)
            for sides in self.places.values()
            for each in sides
        )

    def is_in_folders_of(self, path: str, name: str) -> bool:
        """Whether a path is below runbooks/NAME or trajectories/NAME, and in no nearer runbook's."""
        above = [folder for folder in self.homes if path.startswith(folder)]
        return bool(above) and self.homes[max(above, key=len)] == name

    def is_text(self, path: str, name: str) -> bool:
        """Whether a path is the page of a runbook, or in its folder, where evidence may lie, too."""
        own = self.is_in_folders_of(path, name) and not self._is_stored(path)
        if own or self.is_page(path, name):
            return True
        around = [folder for folder in self.folders if path.startswith(folder)]
        return bool(around) and self.folders[max(around, key=len)] == name

    def is_page(self, path: str, name: str) -> bool:
        """Whether a path is that of a runbook's page."""
        return any(path == each.page for each in self.places.get(name, ()))

    def is_moved(self, name: str) -> bool:
        """Whether a runbook is there before and after a change, and lies elsewhere or cannot be used then."""
        sides = self.places.get(name, ())
        return len(sides) == 2 and not _alike(sides)  # noqa: PLR2004 - before and after

    def movers(self, paths: Iterable[str]) -> list[str]:
        """The paths of a diff by which runbooks may be found elsewhere: pages of no runbook, else all."""
        pages = {each.page for sides in self.places.values() for each in sides}
        return [path for path in paths if path.endswith(PAGES) and path not in pages] or list(paths)

    def is_evidence(self, path: str, name: str) -> bool:
        """Whether a path is where evidence lies: in the runbook's folder, or where runbookopt.yaml says."""
        if self.is_page(path, name):
            return False
        own = self._is_stored(path) and self.is_in_folders_of(path, name)
        return own or any(each.is_evidence_elsewhere(path) for each in self.places.get(name, ()))

    def _is_stored(self, path: str) -> bool:
        return any(path.startswith(f"{root}{EVIDENCE}/") for root in self.roots)

    def judging(self, name: str) -> set[str]:
        """The paths of what judges a runbook."""
        sides = self.places.get(name, ())
        return {
            *(f"{ROOT}/{name}/{file}" for file in JUDGING),
            *(path for each in sides for path in (*each.judging, *each.links)),
        }

    def places_it(self, path: str, name: str) -> bool:
        """Whether a runbookopt.yaml that changes has a runbook lie elsewhere, or makes or ends its root."""
        sides = self.places.get(name, ())
        if path.rpartition("/")[2] != FILE or _alike(sides):
            return False
        return any(each.named for each in sides) or path not in {each.settings for each in sides}


def _table_rubric(side: Revision, places: Places) -> bytes:
    """The rubric that a table of a runbook's page states, else what is wrong with it; empty without any."""
    try:
        side.read(places.rubric)
    except FileNotFoundError:
        pass
    else:
        return b""
    try:
        locks = declared_policy(side, places.name, places).locks
        page = decode(side.read(places.file), locks=locks, path=places.file)
        rubric = read_rubric_table(page, places.file)
    except FileNotFoundError:
        return b""
    except RunbookoptError as error:
        return str(error).encode(errors="replace")
    return canonical(rubric) if rubric else b""


def _alike(sides: Sequence[Places]) -> bool:
    """Whether a runbook lies before and after a change where it lay."""
    return len(sides) == 2 and sides[0] == sides[1]  # noqa: PLR2004 - before and after


def _touched(
    name: str,
    owning: _Owning,
    paths: Iterable[str],
    programs: Collection[str],
    attempts: Collection[str],
) -> Touched:
    texts: list[str] = []
    verifier: list[str] = []
    evidence: list[str] = []
    judging = owning.judging(name)
    for path in paths:
        text = owning.is_text(path, name)
        stored = owning.is_evidence(path, name)
        tasks = stored and path not in attempts and not is_note(path)
        if belongs(path, programs) or path in judging or tasks or owning.places_it(path, name):
            verifier.append(path)
            if owning.is_page(path, name):  # its table is the rubric, and agents read that, too
                texts.append(path)
        elif text:  # agents may be told by it, whatever else it is
            texts.append(path)
        elif stored:
            evidence.append(path)
    if not verifier and not texts and owning.is_moved(name):
        verifier += owning.movers(paths)
    return Touched(name, tuple(texts), tuple(verifier), tuple(evidence))
