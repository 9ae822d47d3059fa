"""A reflector half of whose replies are garbage, against one that gives none, at equal rollouts."""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks import catalogue, ours
from benchmarks.catalogue import Entry, Unusable
from benchmarks.figures import Mean, Run, mean_of, run_of, side_by_side, together
from benchmarks.quality import count, options_of
from benchmarks.work import Counted
from runbookopt.agents.model.client import Completion
from runbookopt.agents.protocol import Reflected, Reflector, edits_of
from runbookopt.agents.repair import read_reply
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.usage import Message, Usage
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure
from runbookopt.search.reflecting import prompt as prompts
from runbookopt.search.reflecting.reply import read

HALF = 0.5
"""How much of what the weak reflector says is garbage."""

KEPT = 2 / 3
"""The share of a part's lines that is left where it is said anew."""

BUDGETS = (100, 200, 300, 500, 1000)
"""Rollouts at which scores are compared."""

PROSE = (
    "The agent was wrong in several places. I would make the instructions clearer and add examples."
    " It is important to read each message with care."
)


class Spoken:
    """Says a reflector's answers as text, read as a model's are: asked once more where one cannot be used.

    A share of the replies is `garbage`, drawn for each reply or, where it is `stubborn`, for both of an ask.
    `said` counts all replies, and those that were garbage.
    """

    name = "spoken"

    def __init__(self, inner: Reflector, random_seed: int, garbage: float, *, stubborn: bool = False) -> None:
        self._inner = inner
        self._random_seed = random_seed
        self._garbage = garbage
        self._stubborn = stubborn
        self.edits = edits_of(inner)
        self.key = digest_of(["spoken", inner.key, random_seed, garbage, stubborn])
        self.replies = self.spoilt = self.failed = 0

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        meant = written(ask, (await self._inner.reflect(ask)).said)
        chance = random.Random(canonical([self._random_seed, "spoken", digest_of(ask)]))
        drawn = [chance.random() < self._garbage for _ in range(2)]
        spoils = iter([drawn[0], drawn[0] if self._stubborn else drawn[1]])

        async def complete(messages: Sequence[Message]) -> Completion:
            spoilt = next(spoils)
            self.replies += 1
            self.spoilt += spoilt
            said = chance.choice(GARBAGE)(ask, meant, messages, chance) if spoilt else meant
            return Completion(said, Usage())

        answer, usage = await read_reply(
            complete,
            prompts.prompt(ask),
            partial(read, ask),
            partial(prompts.repair, ask),
            ReflectionFailure,
            partial(read, ask, partly=True),
        )
        self.failed += isinstance(answer, ReflectionFailure)
        return Reflected(answer, usage)


# Replies as text ----------------------------------------------------------------------------------------


def written(ask: Reflection, said: Proposal | ReflectionFailure) -> str:
    """Write an answer in the form that the prompt asks for; a failure says that no edit would help."""
    if isinstance(said, ReflectionFailure):
        first = ask.components[0]
        said = Proposal(said.message, first.id, first.text)
    before = {part.id: part.text for part in ask.components}
    cited = {one.trajectory: name for name, one in prompts.trajectories(ask).items()}
    sections: list[tuple[str, str]] = []
    for edit in said.edits:
        cites = " ".join(cited[one] for one in edit.cites if one in cited) or next(iter(cited.values()))
        sections += [("diagnosis", edit.diagnosis), ("cites", cites), ("part", edit.component)]
        sections += _change(before[edit.component], edit.text)
    return in_sections(ask, sections)


def in_sections(ask: Reflection, sections: Sequence[tuple[str, str]]) -> str:
    """Write sections with the code of an ask."""
    code, _ = prompts.codes(ask)
    return "".join(f"=== {code} {name}\n{text}\n" for name, text in (*sections, ("end", "")))


def _change(before: str, after: str) -> list[tuple[str, str]]:
    """Say an edit by the fewest whole lines that it changes and that stand there once, else by the part."""
    if before == after:
        return [("none", "")]
    old, new = before.split("\n"), after.split("\n")
    start = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), len(old)
    )
    most = min(len(old), len(new)) - start
    end = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    for more in range(len(old)):  # lines around it, until it is clear which place is meant
        first, behind = max(0, start - (more + 1) // 2), max(0, end - more // 2)
        piece = "\n".join(old[first : len(old) - behind])
        if piece.strip() and before.count(piece.strip("\n")) == 1:
            return [("old", piece), ("new", "\n".join(new[first : len(new) - behind]))]
    return [("text", after)]


# Garbage ------------------------------------------------------------------------------------------------

Garbage = Callable[[Reflection, str, Sequence[Message], random.Random], str]
"""Makes a useless reply, given the ask, the reply that is meant, the messages, and chance."""


def _prose(*_: object) -> str:
    return PROSE


def _nothing(*_: object) -> str:
    return "\n"


def _echo(ask: Reflection, meant: str, messages: Sequence[Message], chance: random.Random) -> str:  # noqa: ARG001
    """Say the end of the prompt once more, which shows the form of a reply."""
    told = messages[-1].content
    return told[chance.randrange(len(told)) :]


def _cut(ask: Reflection, meant: str, messages: Sequence[Message], chance: random.Random) -> str:  # noqa: ARG001
    """Open a code fence that nothing closes, and break off."""
    return "```markdown\n" + meant[: chance.randrange(len(meant))]


def _without_code(ask: Reflection, meant: str, *_: object) -> str:
    """Copy the form's example instead of the code."""
    return meant.replace(prompts.codes(ask)[0], "CODE")


def _elsewhere(ask: Reflection, meant: str, messages: Sequence[Message], chance: random.Random) -> str:  # noqa: ARG001
    """Name a part that there is not, or one in which the lines do not stand."""
    parts = [part.id for part in ask.components]
    names = iter([chance.choice([*parts[1:], "introduction"]), *[parts[0]] * len(meant)])
    code, _ = prompts.codes(ask)
    head, *rest = meant.split(f"=== {code} part\n")
    return head + "".join(f"=== {code} part\n{next(names)}\n{one.partition(chr(10))[2]}" for one in rest)


def _everything(ask: Reflection, *_: object) -> str:
    """Give the whole runbook as the text of its first part."""
    part = ask.components[0]
    return _anew(ask, part.id, ask.candidate.text)


def _retold(ask: Reflection, meant: str, messages: Sequence[Message], chance: random.Random) -> str:  # noqa: ARG001
    """Say a whole part anew, and lose a third of it: of all garbage this alone can be read."""
    part = chance.choice(ask.components)
    lines = part.text.splitlines()
    left = [line for line in lines if not line.startswith("- ") or chance.random() < KEPT]
    return _anew(ask, part.id, "\n".join(left))


def _anew(ask: Reflection, part: str, text: str) -> str:
    cites = next(iter(prompts.trajectories(ask)))
    sections = (("diagnosis", PROSE), ("cites", cites), ("part", part), ("text", text))
    return in_sections(ask, sections)


GARBAGE: tuple[Garbage, ...] = (
    _prose,
    _nothing,
    _echo,
    _cut,
    _without_code,
    _elsewhere,
    _everything,
    _retold,
)
"""All kinds, each as frequent."""


# Measurement --------------------------------------------------------------------------------------------

NONE = "no garbage"
ARMS: Mapping[str, tuple[float, bool]] = {
    NONE: (0.0, False),
    "each reply, half": (HALF, False),
    "each ask, half": (HALF, True),
}
"""The share of garbage by name, and whether what is asked once more is spoilt as well."""


class Job(Struct, frozen=True):
    """One random seed of one work, with all arms."""

    entry: Entry
    noise: float
    random_seed: int
    budget: int


class Tried(Struct, frozen=True):
    """A run of one arm: its scores, replies, those that were garbage, failed reflections, how it ended."""

    run: Run
    replies: int
    spoilt: int
    failed: int
    ended: str


Runs = Mapping[str, Mapping[str, Sequence[Tried]]]
"""Runs by arm and work, in the order of random seeds."""


def main() -> int:
    """Measure and print a Markdown table; give the exit status."""
    words = _words()
    told = words.parse_args()
    try:
        file = told.data or (catalogue.BANKING if catalogue.BANKING.exists() else None)
        known = [entry for entry in catalogue.works(file) if not entry.beside]
        entries = catalogue.picked((*known, *catalogue.of_kinds()), told.works)
    except (Unusable, ValueError) as error:
        words.error(str(error))
    first, _, last = told.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    jobs = [
        Job(entry, noise, seed, told.budget) for entry in entries for noise in (0.0, 0.1) for seed in seeds
    ]
    runs: dict[str, dict[str, list[Tried]]] = {arm: {} for arm in ARMS}
    results = side_by_side(
        tried, jobs, told.workers, lambda job: f"{job.entry.at(job.noise)}, {job.random_seed}"
    )
    for job, made in zip(jobs, results, strict=True):
        for arm, each in made.items():
            runs[arm].setdefault(job.entry.at(job.noise), []).append(each)
    if told.json:
        print(msgspec.json.encode(runs).decode())
    else:
        print("\n".join(tables(runs, [entry.name for entry in catalogue.of_kinds()], told.budget)))
    return 0


def tried(job: Job) -> dict[str, Tried]:
    """Run all arms of a job."""
    found = {}
    work = job.entry.make(job.random_seed, job.noise)
    truth = Counted(work).true_score
    for arm, (garbage, stubborn) in ARMS.items():
        reflector = Spoken(work.reflector, job.random_seed, garbage, stubborn=stubborn)
        spoken = replace(work, reflector=reflector)
        course = ours.run(spoken, options_of(spoken, job.random_seed), job.budget, free=True)
        run = run_of(job.random_seed, course, truth, work.truth)
        found[arm] = Tried(
            run, reflector.replies, reflector.spoilt, reflector.failed, course.details["ended"]
        )
    return found


def tables(runs: Runs, kinds: Sequence[str], budget: int) -> list[str]:
    """Give the lines of Markdown tables: the mean over the works of each group, and what arms lose there."""
    budgets = [*(one for one in BUDGETS if one < budget), budget]
    heads = ["works", "reflector", *map(str, budgets), "replies", "garbage", "asks without an edit"]
    lines = [_line([*heads, "runs given up"]), _line(["---"] * (len(heads) + 1))]
    for name, wanted in _groups(runs, kinds):
        for arm, by_work in runs.items():
            made = [each for work in wanted for each in by_work[work]]
            cells = [_cell(runs, arm, wanted, at) for at in budgets]
            lines.append(_line([name, arm, *cells, *_counts(made)]))
    worst = [
        (_loss(runs, arm, [work], budget), arm, work) for arm in runs if arm != NONE for work in runs[arm]
    ]
    behind = [f"{work}, {arm}: {lost}" for lost, arm, work in worst if lost.clear < 0]
    return [*lines, "", f"Clearly behind at {budget}:", *(behind or ["nowhere"])]


def _groups(runs: Runs, kinds: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    works = list(runs[NONE])
    apart = [work for work in works if work.partition(",")[0] in kinds]
    others = [work for work in works if work not in apart]
    return ((name, each) for name, each in (("add up", others), ("do not add up", apart)) if each)


def _cell(runs: Runs, arm: str, works: Sequence[str], at: int) -> str:
    if arm != NONE:
        return str(_loss(runs, arm, works, at))
    return f"{together([mean_of(one.run.at(at) for one in runs[arm][work]) for work in works]).value:.3f}"


def _loss(runs: Runs, arm: str, works: Sequence[str], at: int) -> Mean:
    """What an arm scores more than the one without garbage, paired over the seeds."""
    pairs = ([*zip(runs[arm][work], runs[NONE][work], strict=True)] for work in works)
    return together([mean_of(one.run.at(at) - other.run.at(at) for one, other in each) for each in pairs])


def _counts(made: Sequence[Tried]) -> list[str]:
    replies, spoilt = sum(one.replies for one in made), sum(one.spoilt for one in made)
    reflections, failed = sum(one.run.reflections for one in made), sum(one.failed for one in made)
    ended = sum("failed in a row" in one.ended for one in made)
    return [
        f"{replies / len(made):.0f}",
        f"{spoilt / max(1, replies):.0%}",
        f"{failed / max(1, reflections):.0%}",
        f"{ended} of {len(made)}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, help="a CSV with the columns text and label")
    words.add_argument("--works", metavar="NAME,...", help="only these of the works")
    words.add_argument("--seeds", default="4-7", metavar="FIRST-LAST", help="random seeds (4-7)")
    words.add_argument("--budget", type=count, default=1000, help="rollouts of a run")
    words.add_argument("--workers", type=count, default=2, help="processes")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    return words


if __name__ == "__main__":
    sys.exit(main())
