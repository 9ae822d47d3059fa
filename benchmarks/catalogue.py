"""The works that the search is measured on, by name, and the check of a CSV before it is used."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from benchmarks.tasks.desks import desks
from benchmarks.tasks.extraction import extraction
from benchmarks.tasks.kinds import KINDS, work_of
from benchmarks.tasks.messages import Sizes, messages
from benchmarks.tasks.samples import FIELDS, sample
from benchmarks.work import Case, Judgement, Work
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.protocol import Reflected
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import digest_of
from runbookopt.evidence.words import normalised
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure

BANKING = Path(__file__).parents[2] / "shared" / "data" / "messages" / "banking77.csv"
"""Banking77, where it stands beside the repository."""

SIZES = (Sizes(labels=10), Sizes(labels=25))
"""Of the classification works of the whole catalogue."""

BESIDE = ("lossy", "guessing")
"""Reflectors whose works are reported and count in no mean."""

Make = Callable[[int, float], Work]
"""Makes a work from a random seed and the agent's noise in 0..1."""


class Unusable(Exception):
    """A file of messages that no work can be made of; its argument says why."""


class Entry(Struct, frozen=True):
    """A work by name; one that stands `beside` the others is reported and counts in no mean."""

    name: str
    make: Make
    beside: bool = False

    def at(self, noise: float) -> str:
        """Name the work at a noise."""
        return f"{self.name}, noise {noise:g}" if noise else self.name


def works(file: Path | None, sizes: Sequence[Sizes] = SIZES) -> tuple[Entry, ...]:
    """Give the whole catalogue: the classification works where there is a file, the samples, the generated.

    The lossy and the guessing reflector stand beside: they take the first of the sizes. Raises Unusable.
    """
    beside = () if file is None else tuple(_classified(file, sizes[0], case) for case in BESIDE)
    cases = () if file is None else tuple(entry for each in sizes for entry in of_file(file, each))
    return (*cases, *of_repository(), *beside)


def of_file(file: Path, sizes: Sizes) -> tuple[Entry, ...]:
    """Give a file's works of these sizes: cold, warm, and warm with the wrong reflector. Raises Unusable."""
    check(file, sizes)
    return tuple(_classified(file, sizes, case) for case in ("cold", "warm", "wrong"))


def of_repository() -> tuple[Entry, ...]:
    """Give the works that need no file: the samples of this repository, and what is generated."""
    samples = tuple(Entry(name, partial(_sample, name)) for name in FIELDS)
    return (*samples, Entry("desks", _desks), Entry("extraction", _extraction))


def of_kinds() -> tuple[Entry, ...]:
    """Give the works whose edits do not add up."""
    return tuple(Entry(name, partial(work_of, name)) for name in KINDS)


def picked(entries: Sequence[Entry], names: str | None) -> tuple[Entry, ...]:
    """Give the entries with these names, "NAME,NAME", in their order, or all; raises ValueError."""
    known = {entry.name: entry for entry in entries}
    wanted = list(known) if names is None else [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no work {unknown[0]!r}: choose from {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wanted))


def check(file: Path, sizes: Sizes) -> None:
    """Raise Unusable, with one line that says what to change, unless every random seed can draw the sizes."""
    labels = Counter(_read(file).values())
    if len(labels) < sizes.labels:
        raise Unusable(f"{file}: {sizes.labels} labels are asked for, the file has {len(labels)}")
    fewest = sum(sorted(labels.values())[: sizes.labels])
    wanted = sizes.train + sizes.validation
    if fewest <= wanted:
        raise Unusable(
            f"{file}: {sizes.labels} labels may have as few as {fewest} different messages together;"
            f" {sizes.train} for train and {sizes.validation} for validation leave none held out"
        )


def _read(file: Path) -> dict[str, str]:
    """Give the label of each message, each message once."""
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = {"text", "label"} - set(rows.fieldnames or ())
            if missing:
                raise Unusable(
                    f"{file}: no column {' and no column '.join(sorted(missing))} in its first line"
                )
            for row in rows:
                if not row["text"] or not (row["label"] or "").replace("_", " ").strip():
                    raise Unusable(f"{file}:{rows.line_num}: a row without a text or a label")
                found[normalised(row["text"])] = row["label"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unusable(f"{file}: {reason}") from None
    return found


def _classified(file: Path, sizes: Sizes, case: str) -> Entry:
    return Entry(f"{sizes.labels} {case}", partial(_messages, file, sizes, case), beside=case in BESIDE)


def _messages(file: Path, sizes: Sizes, case: str, random_seed: int, noise: float) -> Work:
    reflector = case if case in ("wrong", *BESIDE) else "offline"
    return messages(file, sizes, random_seed, warm=case != "cold", reflector=reflector, noise=noise)


def _sample(name: str, random_seed: int, noise: float) -> Work:
    return sample(name, random_seed, noise=noise)


def _desks(random_seed: int, noise: float) -> Work:
    return desks(random_seed, noise=noise)


def _extraction(random_seed: int, noise: float) -> Work:
    return extraction(random_seed, noise=noise)


# Pure noise ---------------------------------------------------------------------------------------------

QUEUES = ("billing", "delivery", "returns", "account")
TRAIN, VALIDATION = 40, 40
"""How many cases of pure noise; train is there for a failure or two to reflect on."""


class Notes:
    """Adds one harmless line at each reflection, `most` times; then it has no more to say."""

    name = "notes"

    def __init__(self, most: int) -> None:
        self._left = most
        self.key = digest_of(["notes", most])

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        if not self._left:
            return Reflected(ReflectionFailure("no_lesson", "all notes are written"))
        self._left -= 1
        part = ask.components[0]
        return Reflected(Proposal("no lesson", part.id, f"{part.text.rstrip()}\n- Note {self._left}.\n"))


def pure_noise(random_seed: int, noise: float, candidates: int) -> Work:
    """Give a work on which all candidates are the seed's equals: the agent's noise alone tells them apart."""
    rules = [f'- If the message mentions "{queue}", answer `{queue}`.' for queue in QUEUES]
    cases = [
        Case(f"m-{number}", f"Message {number} is about {QUEUES[number % len(QUEUES)]}", number % len(QUEUES))
        for number in range(TRAIN + VALIDATION)
    ]
    return Work(
        name="pure noise",
        seed=runbooks.parse("\n".join(["## Rules", "", *rules, ""])),
        train=tuple(cases[:TRAIN]),
        validation=tuple(cases[TRAIN:]),
        held_out=(),
        agent=OfflineAgent("queue", noise, random_seed),
        reflector=Notes(candidates),
        judge=_right_queue,
    )


def _right_queue(output: str | None, reference: int) -> Judgement:
    right = json.loads(output or "{}").get("queue") == QUEUES[reference]
    return Judgement(
        float(right), {"queue": float(right)}, () if right else (f"expected {QUEUES[reference]}",)
    )
