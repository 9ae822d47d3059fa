"""Our search beside gepa where agent and reflector are language models, replayed from what they said."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from msgspec import Struct

from benchmarks import earlier
from benchmarks.catalogue import BANKING
from benchmarks.course import Course, value_at
from benchmarks.earlier import Earlier
from benchmarks.figures import aligned
from benchmarks.language.agent import Missing
from benchmarks.language.peer import run_peer
from benchmarks.language.record import Record
from benchmarks.language.reflectors import Answerer, Handoff, Litellm
from benchmarks.language.runs import GEMMA, Models, Table, run_earlier, run_ours
from benchmarks.language.served import Served
from benchmarks.language.works.banking import banking
from benchmarks.language.works.bookings import bookings
from benchmarks.language.works.expenses import expenses
from benchmarks.language.works.letters import letters
from benchmarks.language.works.spoken import Spoken
from runbookopt.search.problem import Options, of_replies
from runbookopt.search.reflecting.prompt import EDITS

BUDGET, BUDGETS = 300, (100, 200, 300)
PEER = {f"gepa, minibatch {size}": size for size in (3, 10, 30)}
MEASURED, EARLIER = "4d87952", "8c03d1a"
"""The commits of the search that was recorded, and of that before it: e86100d's but for names."""
OURS, BEFORE, TODAY = ("ours, free", "ours, paid"), "before, free", "today, free"
SEARCHES = {OURS[0]: MEASURED, OURS[1]: MEASURED, BEFORE: EARLIER}
ENGINES = (*OURS, BEFORE, *PEER)
WORKS: dict[str, Callable[[int], Spoken]] = {
    "banking": lambda seed: banking(BANKING, seed),
    "bookings": bookings,
    "expenses": expenses,
    "letters": letters,
}
RUNS = ("banking-0", "banking-1", "bookings-0", "expenses-0", "expenses-1", "letters-0")
OPTIONS = of_replies(Options(doubt=1.0), EDITS)
"""As for any agent that never errs by chance, and any reflector that gives several edits."""
TOKEN = 4
"""Characters of one, roughly; the same for all."""


class Result(Struct, frozen=True):
    """One engine on one work: `curve` is the held-out score of what is returned after so many rollouts."""

    work: str
    engine: str
    curve: tuple[tuple[int, float], ...]
    course: Course

    def at(self, rollouts: int) -> float:
        """Give the held-out score of what would be returned."""
        return value_at(self.curve, rollouts)

    def reaching(self, score: float) -> int | None:
        """Give the rollouts after which a score is reached, None where it never is."""
        return next((rollouts for rollouts, found in self.curve if found >= score), None)

    def tokens(self, rollouts: int) -> int:
        """Give the reflector's tokens, prompts and replies, by so many rollouts."""
        said: Sequence[tuple[int, int]] = self.course.details["said"]
        return max((characters for when, characters in said if when <= rollouts), default=0) // TOKEN


def main() -> int:
    """Replay or record what is asked for; give the exit status."""
    told = _words().parse_args()
    models = _models(told)
    tables = {name: table for name in told.works if (table := _table(name, models, told)) is not None}
    jobs = [(table, engine) for table in tables.values() for engine in told.engines]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(max(1, len(jobs))) as pool:
        commits = {SEARCHES[engine] for engine in told.engines if engine in SEARCHES}
        known = {each: earlier.loaded(earlier.exported(each, Path(folder))) for each in sorted(commits)}
        waiting = [pool.submit(_course, table, engine, told.budget, known) for table, engine in jobs]
        courses = [each.result() for each in waiting]
    results = [_result(*job, course) for job, course in zip(jobs, courses, strict=True)]
    found = [each for each in results if isinstance(each, Result)]
    missing = [each for each in results if isinstance(each, str)]
    print("\n".join([*_lines(found), *(["", *missing] if missing else [])]))
    if told.texts:
        told.texts.write_text("\n".join(_texts(found)), "utf-8")
    return 0


def _table(name: str, models: Models, told: argparse.Namespace) -> Table | None:
    kind, _, seed = name.rpartition("-")
    if kind == "banking" and not BANKING.exists():
        print(f"{name}: skipped, for its messages are not at {BANKING}", file=sys.stderr)
        return None
    spoken = WORKS[kind](int(seed))
    record = Record(spoken.name, spoken.others, replier=told.replier)
    return Table(spoken, record, models, told.agent_name or GEMMA)


def _course(table: Table, engine: str, budget: int, known: Mapping[str, Earlier]) -> Course | str:
    """Let an engine search, or say what the record lacks."""
    try:
        if engine in PEER:
            course = run_peer(table, {"reflection_minibatch_size": PEER[engine]}, budget, 0)
        elif engine in SEARCHES:
            course = run_earlier(table, known[SEARCHES[engine]], budget, free=engine != OURS[1])
        else:
            course = run_ours(table, OPTIONS, budget, free=True)
    except Missing as missing:
        return str(missing)
    told = course.details.get("ended", "done")
    print(f"{table.spoken.name}, {engine}: {course.rollouts} rollouts, {told}", file=sys.stderr, flush=True)
    return course


def _result(table: Table, engine: str, course: Course | str) -> Result | str:
    """Measure what an engine found on the held-out tasks, or say what the record lacks."""
    try:
        if isinstance(course, Course):
            steps = [step for step in course.steps if step.rollouts <= BUDGET]
            curve = tuple((step.rollouts, table.true_score(step.text)) for step in steps)
            return Result(table.spoken.name, engine, curve, course)
        missing = course
    except Missing as error:
        missing = str(error)
    return f"{table.spoken.name}, {engine}: not in the record: {missing}"


def _lines(results: Sequence[Result]) -> Iterator[str]:
    """Tell every run, and then all works together."""
    heads = ("work", "engine", "seed", *map(str, BUDGETS), "reflections", "tokens", "characters")
    yield from aligned([heads, *map(_row, results)])
    works = list(dict.fromkeys(each.work for each in results))
    reached = [row for work in works if (row := _reached([one for one in results if one.work == work]))]
    if reached:
        heads = ("work", "best arm", "its score", "its rollouts", "its tokens", "ours free", "tokens", "paid")
        yield from ("", "Rollouts and tokens to the score of gepa's best arm at the end", "")
        yield from aligned([heads, *reached])
    yield from ("", "Means over the works that all of these have", "")
    yield from aligned(list(_means(results, works)))


def _row(result: Result) -> list[str]:
    course = result.course
    return [
        result.work,
        result.engine,
        f"{result.curve[0][1]:.3f}",
        *(f"{result.at(budget):.3f}" for budget in BUDGETS),
        f"{course.details['replies']}",
        f"{result.tokens(BUDGET)}",
        f"{len(course.at(BUDGET).text)}",
    ]


def _reached(results: Sequence[Result]) -> list[str]:
    """Tell when ours reached what gepa's best arm ends at; nothing where one of them is missing."""
    arms = [each for each in results if each.engine in PEER]
    ours = {each.engine: each for each in results if each.engine in OURS}
    if not arms or len(ours) < len(OURS):
        return []
    best = max(arms, key=lambda arm: arm.curve[-1][1])
    score = best.curve[-1][1]
    theirs = best.reaching(score) or 0
    free, paid = (ours[engine].reaching(score) for engine in OURS)
    return [
        best.work,
        best.engine.partition(", ")[2],
        f"{score:.3f}",
        f"{theirs}",
        f"{best.tokens(theirs)}",
        "never" if free is None else f"{free}",
        "" if free is None else f"{ours[OURS[0]].tokens(free)}",
        "never" if paid is None else f"{paid}",
    ]


def _means(results: Sequence[Result], works: Iterable[str]) -> Iterator[list[str]]:
    yield ["engine", "works", "seed", *map(str, BUDGETS), "tokens", "characters"]
    by = {(each.work, each.engine): each for each in results}
    engines = [engine for engine in ENGINES if any(each.engine == engine for each in results)]
    shared = [work for work in works if all((work, engine) in by for engine in engines)]
    for engine in engines if shared else []:
        runs = [by[work, engine] for work in shared]
        yield [
            engine,
            f"{len(runs)}",
            f"{fmean(run.curve[0][1] for run in runs):.3f}",
            *(f"{fmean(run.at(budget) for run in runs):.3f}" for budget in BUDGETS),
            f"{fmean(run.tokens(BUDGET) for run in runs):.0f}",
            f"{fmean(len(run.course.at(BUDGET).text) for run in runs):.0f}",
        ]


def _texts(results: Sequence[Result]) -> Iterator[str]:
    for each in results:
        yield f"# {each.work}, {each.engine}: {each.curve[-1][1]:.3f}\n"
        yield f"~~~~markdown\n{each.course.at(BUDGET).text}\n~~~~\n"


def _models(told: argparse.Namespace) -> Models:
    if not told.record:
        return Models()
    from benchmarks.language.gemma import Gemma  # noqa: PLC0415 - of an extra that replays do without

    answerer: Answerer = (
        Litellm(told.model, told.address, told.tokens) if told.model else Handoff(told.handoff)
    )
    return Models(Served(told.agent, told.agent_name) if told.agent else Gemma(told.threads), answerer)


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--works", type=_listed, default=RUNS, help=f"of {', '.join(RUNS)}; parted by ;")
    words.add_argument("--engines", type=_listed, default=ENGINES, help=f"of {'; '.join((*ENGINES, TODAY))}")
    words.add_argument("--budget", type=int, default=BUDGET, help="rollouts of a search")
    words.add_argument("--record", action="store_true", help="ask models for what is not in the record")
    words.add_argument("--handoff", type=Path, default=Path("handoff"), help="folder of asks and replies")
    words.add_argument("--model", help="a reflector by its name with litellm, instead of the hand-off")
    words.add_argument("--address", help="where that model answers: any OpenAI-compatible address")
    words.add_argument("--tokens", type=int, default=4096, help="of a reply of that model, at most")
    words.add_argument("--replier", help="whose replies are meant, where it is not the strong model")
    words.add_argument("--agent", help="where another model answers as the agent: a server of llama.cpp")
    words.add_argument("--agent-name", default="", help="of that model; a replay needs it too")
    words.add_argument("--threads", type=int, default=1, help="of the agent")
    words.add_argument("--texts", type=Path, help="write what was returned into a file")
    return words


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(";")]


if __name__ == "__main__":
    sys.exit(main())
