"""Places of runbooks, found: by runbookopt.yaml, in runbooks/, then where tools look (it alone decides)."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile, Problem, read_plain_yaml
from runbookopt.documents.path_patterns import quoted
from runbookopt.documents.repository_paths import (
    EvidencePaths,
    PagePaths,
    captures,
    fixed_folder,
    is_glob,
    name_of,
)
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.settings import FILE, entries_of, star_fault
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Source
from runbookopt.forge.git.repository import Revision
from runbookopt.project.default_places import NOTES, pages_around
from runbookopt.project.layout import (
    EVIDENCE,
    JUDGING,
    NAMES,
    PAGES,
    ROOT,
    RUBRIC,
    Layout,
    Places,
    Unfinished,
    inside,
    joined,
)
from runbookopt.project.links import Linked, followed
from runbookopt.project.roots import Below, roots_of
from runbookopt.project.safe_names import unsafe
from runbookopt.verifier.rubric_table import rubric_of_page

_KEPT_OUT = frozenset({".git", ".runbookopt"})


class _Declared(Struct, frozen=True):
    path: PagePaths | None = None
    evidence: tuple[EvidencePaths, ...] = ()


def layout_of(source: Source) -> Layout:
    """Find all runbooks: what runbookopt.yaml names, then what lies in runbooks/, then where tools look.

    Those of each root are found for themselves, and called by the root's path and their name. What of a
    runbookopt.yaml cannot be read names nothing: the lint has the problem.
    """
    return _of_commit(source) if isinstance(source, Revision) else _of_all_roots(source)


@lru_cache(maxsize=8)  # a commit stays as it is, and a verification asks for the same two many times
def _of_commit(source: Revision) -> Layout:
    return _of_all_roots(source)


def _of_all_roots(source: Source) -> Layout:
    roots = tuple(f"{root}/" for root in roots_of(source))
    whole = _layout(Below(source, "", roots) if roots else source)
    runbooks, others, problems = dict(whole.runbooks), [*whole.others], [*whole.problems]
    for root in roots:
        deeper = tuple(other for other in roots if other != root and other.startswith(root))
        own = _of_root(root.rstrip("/"), _layout(Below(source, root, deeper)))
        for name, places in own.runbooks.items():
            told = f"a runbook of {ROOT}/ is called '{plain(name)}', too: call one of them otherwise"
            fault = Problem(places.page or places.home, None, told) if name in runbooks else places.fault
            runbooks[name] = replace(places, fault=fault)
        others += own.others
        problems += own.problems
    return Layout(_apart(dict(sorted(runbooks.items()))), tuple(others), tuple(problems))


def _of_root(root: str, layout: Layout) -> Layout:
    """The layout of one root as the repository sees it."""

    def moved(problem: Problem) -> Problem:
        return replace(problem, path=f"{root}/{problem.path}")

    def placed(places: Places) -> Places:
        return replace(
            places,
            name=f"{root}/{places.name}",
            page=places.page and f"{root}/{places.page}",
            rubric=f"{root}/{places.rubric}",
            policy=f"{root}/{places.policy}",
            calibration=f"{root}/{places.calibration}",
            evidence=tuple(f"/{quoted(root)}{pattern}" for pattern in places.evidence),
            judging=tuple(f"{root}/{path}" for path in places.judging),
            fault=places.fault and moved(places.fault),
            root=root,
            links=tuple(f"{root}/{path}" for path in places.links),
        )

    others = (replace(each, path=f"{root}/{each.path}", name=f"{root}/{each.name}") for each in layout.others)
    runbooks = {each.name: each for each in map(placed, layout.runbooks.values())}
    return Layout(runbooks, tuple(others), tuple(map(moved, layout.problems)))


def _layout(whole: Source) -> Layout:
    """The layout of one root."""
    source = Linked(whole)
    entries = _entries(source)
    named, problems = _named(source, entries)
    inside = _inside_root(source)
    pages = {page for page in named.values() if page}
    found = {**{name: page for name, page in inside.items() if page not in pages}, **named}
    finding = _Finding(source, entries, found)
    others = finding.look_around(pages.union(filter(None, inside.values())))
    places = {name: _real(whole, finding.places(name, page)) for name, page in sorted(found.items())}
    return Layout(places, tuple(others), tuple(problems))


def _real(source: Source, places: Places) -> Places:
    """The same without links: every path is that of what they lead to."""
    own = (places.page, places.rubric, places.policy, places.calibration, places.home, places.stored)
    ends = [followed(source, path) if path else None for path in own]
    page, rubric, policy, calibration, _, stored = (
        end.path if end else path for end, path in zip(ends, own, strict=True)
    )
    more = [(pattern, followed(source, fixed_folder(pattern))) for pattern in places.evidence[1:]]
    evidence = [
        f"/{quoted(end.path)}{pattern[1 + len(fixed_folder(pattern)) :]}" if end and end.links else pattern
        for pattern, end in more
    ]
    if stored != places.stored:
        evidence.insert(0, f"/{quoted(stored or '')}/")
    links = {link for end in (*ends, *(end for _, end in more)) if end for link in end.links}
    if not links:
        return places
    told = None
    if page is not None and not page.endswith(PAGES):
        told = f"leads to {plain(page)}: expected a page ({', '.join(PAGES)})"
    fault = Problem(places.page or places.home, None, told) if told else places.fault
    return replace(
        places,
        page=page,
        rubric=rubric or places.rubric,
        policy=policy or places.policy,
        calibration=calibration or places.calibration,
        evidence=(places.evidence[0], *evidence),
        judging=tuple(dict.fromkeys([*places.judging, *filter(None, (rubric, policy, calibration))])),
        links=tuple(sorted(links)),
        fault=fault,
    )


def runbook_names(source: Source) -> list[str]:
    """The names of all runbooks, sorted, those of deeper roots with their root's path."""
    return list(layout_of(source).runbooks)


def places_of(source: Source, name: str) -> Places:
    """Where a runbook lies; raises RunbookoptError where there is no such."""
    return layout_of(source).of(name)


def runbook_file(source: Source, name: str) -> str:
    """The path of a runbook's file; raises RunbookoptError where there is no such runbook or file."""
    return places_of(source, name).file


def _entries(source: Source) -> Mapping[str, Any]:
    """The mapping `runbooks` as written; empty where nothing can be read."""
    try:
        written = read_plain_yaml(source.read(FILE), FILE)
    except (FileNotFoundError, RunbookoptError):
        return {}
    runbooks = written.get("runbooks") if isinstance(written, dict) else None
    return {str(key): entry for key, entry in runbooks.items()} if isinstance(runbooks, dict) else {}


def _declared(entry: object) -> _Declared:
    try:
        return msgspec.convert(entry, _Declared)
    except msgspec.ValidationError:
        return _Declared()


def _named(source: Source, entries: Mapping[str, Any]) -> tuple[dict[str, str | None], list[Problem]]:
    """The pages that runbookopt.yaml names, by name, those that it names one by one first."""
    found: dict[str, str | None] = {}
    problems: list[Problem] = []
    paths = [(key, path) for key, entry in entries.items() if (path := _declared(entry).path) is not None]
    for key, path in sorted(paths, key=lambda each: is_glob(each[1])):
        if star_fault(key, path) is not None:
            continue
        taken = set(found.values())
        hits = list(_matching(source, path)) if is_glob(path) else [(path, ())]
        for page, stood_for in hits:
            name = name_of(key, stood_for)
            if page in taken:
                told = "" if is_glob(path) else f"{page} is another runbook already"
            elif name in found:
                told = f"{page} would be called '{name}', as {found[name]} is: name one of them alone"
            else:
                told, found[name] = "", page
            problems += [Problem(FILE, None, f"runbooks.{plain(key)}.path: {plain(told)}")] if told else []
        if not hits:
            problems.append(Problem(FILE, None, f"runbooks.{key}.path: no page fits {path}"))
    return found, problems


def _matching(source: Source, pattern: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in source.files(fixed_folder(pattern)):
        stood_for = captures(pattern, path)
        if (
            stood_for is not None
            and path.endswith(PAGES)
            and _KEPT_OUT.isdisjoint(path.casefold().split("/"))
        ):
            yield path, stood_for


def _inside_root(source: Source) -> dict[str, str | None]:
    """The page of each folder below runbooks/ that is a runbook; None where it has none.

    A folder is one if RUNBOOK.md (or SKILL.md, ...) or a rubric.yaml stands in it, or else if it holds one
    *.md alone and no runbook lies above or below it: so a README beside runbooks is none.
    """
    files = _by_folder(source)
    files.pop("", None)
    runbooks = {folder for folder, names in files.items() if not names.isdisjoint({*NAMES, RUBRIC})}
    for folder in sorted(files.keys() - runbooks):
        apart = not any(inside(folder, other) or inside(other, folder) for other in runbooks)
        if apart and _lone(files[folder]):
            runbooks.add(folder)
    pages = {
        folder: next((file for file in NAMES if file in files[folder]), None) or _lone(files[folder])
        for folder in runbooks
    }
    return {folder: f"{ROOT}/{folder}/{page}" if page else None for folder, page in pages.items()}


class _Finding:
    """What was found so far: the page of each name, None where a folder below runbooks/ has none."""

    def __init__(self, source: Linked, entries: Mapping[str, Any], found: dict[str, str | None]) -> None:
        self.source = source
        self.entries = entries
        self.found = found
        self.faults: dict[str, str] = {}
        self.listed: dict[str, list[str]] = {}

    def look_around(self, taken: Collection[str]) -> list[Unfinished]:
        """Find what lies where tools look: runbooks are added, and the others given."""
        others: list[Unfinished] = []
        declared = {name for name, page in self.found.items() if page}
        seen = {self._end(path) for path in taken}
        around = [(self._end(path), path, name) for path, name in pages_around(self.source)]
        for real, path, name in sorted(around, key=lambda each: each[0] != each[1]):
            if real in seen or any(path.startswith(f"{folder}/") for folder in (ROOT, EVIDENCE)):
                continue
            seen.add(real)
            there = self.found.get(name)
            lacks_rubric = None if name in self.entries else self._lacking_rubric(path, name)
            if lacks_rubric is not None:
                stored = self.source.files(f"{EVIDENCE}/{name}")
                lacks = (lacks_rubric,) if stored else (lacks_rubric, f"trajectories ({EVIDENCE}/{name}/)")
                others.append(Unfinished(path, name, lacks))
            elif there is None:
                self.found[name] = path
            elif name in declared:
                own = f"a name of its own: {there} is called '{name}' (name it in {FILE})"
                others.append(Unfinished(path, name, (own,)))
            else:
                self.faults[name] = f"{there} and {path} have the same name: name one of them in {FILE}"
        return others

    def _names(self, folder: str) -> list[str]:
        """What stands in a folder: many pages lie in one, and it is listed once."""
        if folder not in self.listed:
            self.listed[folder] = self.source.names(folder)
        return self.listed[folder]

    def _end(self, path: str) -> str:
        end = followed(self.source.whole, path)
        return end.path if end else path

    def places(self, name: str, page: str | None) -> Places:
        """All places of a runbook, with what is wrong with them."""
        own, beside = f"{ROOT}/{name}", _folder(page)
        outside = page is not None and not page.startswith(f"{ROOT}/")
        folders = [beside, own] if outside and beside != own else [own if not outside else beside]
        rubric, policy, calibration = (self._first(folders, file) for file in JUDGING)
        return Places(
            name=name,
            page=page,
            rubric=rubric,
            policy=policy,
            calibration=calibration,
            evidence=self._evidence(name),
            judging=tuple(joined(folder, file) for folder in folders for file in JUDGING),
            named=any(_declared(entry) != _Declared() for entry in entries_of(name, self.entries)),
            fault=self._fault(name, page),
        )

    def _first(self, folders: list[str], file: str) -> str:
        """Where a file is, in these folders; in the last of them if it is in none."""
        there = (joined(folder, file) for folder in folders if file in self._names(folder))
        return next(there, joined(folders[-1], file))

    def _evidence(self, name: str) -> tuple[str, ...]:
        said = [_declared(entry).evidence for entry in entries_of(name, self.entries)]
        more = next((patterns for patterns in reversed(said) if patterns), ())
        own = f"/{EVIDENCE}/{quoted(name)}/"
        return (own, *(f"/{pattern.replace('{name}', quoted(name))}" for pattern in more))

    def _lacking_rubric(self, path: str, name: str) -> str | None:
        """What a page lacks of a rubric, which a file or a table of its own states; None where it has one."""
        folders = (_folder(path), f"{ROOT}/{name}")
        if any(RUBRIC in self._names(folder) for folder in folders):
            return None
        why = ""
        try:
            if rubric_of_page(self.source.read(path), path) is not None:
                return None
        except FileNotFoundError:
            pass
        except MalformedFile as error:
            why = f"; {error.problems[0]}"
        return f"a rubric ({joined(folders[0], RUBRIC)} or {ROOT}/{name}/{RUBRIC}{why})"

    def _fault(self, name: str, page: str | None) -> Problem | None:
        """What keeps a runbook from being used at all."""
        where = page if page and not page.startswith(f"{ROOT}/") else f"{ROOT}/{name}"
        if (reason := unsafe(name)) is not None:
            how = "rename the folder" if where.startswith(ROOT) else f"give it another in {FILE}"
            return Problem(where, None, f"{reason}, and a runbook's name becomes a branch's: {how}")
        if name in self.faults:
            return Problem(where, None, self.faults[name])
        if page is None:
            expected = f"expected a file {', '.join(NAMES[:-1])} or {NAMES[-1]}, or one other *.md alone"
            folder = next((file for file in NAMES if self.source.files(f"{ROOT}/{name}/{file}")), None)
            return Problem(where, None, f"{expected}; {folder} is a folder" if folder else expected)
        if page.rpartition("/")[2] not in self.source.names(_folder(page)):
            return Problem(FILE, None, f"runbooks.{plain(name)}.path: there is no file {plain(page)}")
        if not page.endswith(PAGES):
            expected = f"expected a page ({', '.join(PAGES)}), got {plain(page)}"
            return Problem(FILE, None, f"runbooks.{plain(name)}.path: {expected}")
        return None


def _apart(places: Mapping[str, Places]) -> dict[str, Places]:
    """The same, where a runbook whose name lies inside another's cannot be used: git has no such branches."""
    told: dict[str, Places] = {}
    for name, each in places.items():
        around = next((other for other in places if inside(name, other)), None)
        if around is not None and each.fault is None:
            home = places[around].home
            at = home if (places[around].page or home).startswith(home) else around
            problem = Problem(each.home, None, f"lies inside {at}, which is a runbook itself")
            told[name] = replace(each, fault=problem)
        else:
            told[name] = each
    return told


def _by_folder(source: Source) -> dict[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for path in source.files(ROOT):
        folder, _, file = path.removeprefix(f"{ROOT}/").rpartition("/")
        folders.setdefault(folder, set()).add(file)
    return folders


def _lone(files: Iterable[str]) -> str | None:
    """The page of a folder: its only one, notes apart, else the only *.md."""
    pages = [file for file in files if file.endswith(PAGES)]
    told = [file for file in pages if file.partition(".")[0] not in NOTES]
    alone = (some for some in (told, [page for page in pages if page.endswith(".md")]) if len(some) == 1)
    return next((some[0] for some in alone), None)


def _folder(page: str | None) -> str:
    return (page or "").rpartition("/")[0]
