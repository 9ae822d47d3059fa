"""Our search beside gepa where agent and reflector are language models, replayed from what they said."""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from benchmarks.catalogue import BANKING
from benchmarks.course import Course
from benchmarks.figures import aligned
from benchmarks.language.agent import Chooser, Missing
from benchmarks.language.record import Record
from benchmarks.language.reflectors import Answerer, Handoff, Litellm
from benchmarks.language.runs import Models, Table, run_ours, run_peer
from benchmarks.language.works.banking import banking
from benchmarks.language.works.bookings import bookings
from benchmarks.language.works.expenses import expenses
from benchmarks.language.works.letters import letters
from benchmarks.language.works.spoken import Spoken
from runbookopt.search.problem import Options

BUDGET, BUDGETS = 300, (100, 200, 300)
PEER = {f"gepa, minibatch {size}": {"reflection_minibatch_size": size} for size in (3, 10, 30)}
ENGINES = ("ours", *PEER)
WORKS: dict[str, Callable[[int], Spoken]] = {
    "banking": lambda seed: banking(BANKING, seed),
    "bookings": bookings,
    "expenses": expenses,
    "letters": letters,
}
RUNS = tuple(f"{name}-{seed}" for name, seeds in (("banking", 2), ("bookings", 1), ("expenses", 2), ("letters", 1)) for seed in range(seeds))


class Result(Struct, frozen=True):
    """One engine on one work: scores at the budgets, and what it took by then; texts are what is returned."""

    work: str
    engine: str
    scores: tuple[float, ...]
    seed_score: float
    rollouts: int
    reflections: int
    tokens: int
    characters: int
    course: Course


def main() -> int:
    """Replay or record what is asked for; give the exit status."""
    told = _words().parse_args()
    models = _models(told)
    jobs = [(work, engine) for work in told.works for engine in told.engines]
    tables = {work: _table(work, models) for work in told.works}
    with ThreadPoolExecutor(len(jobs)) as pool:
        waiting = [(job, pool.submit(_result, tables[job[0]], job[1], told.budget)) for job in jobs]
        results: list[Result] = []
        for (work, engine), each in waiting:
            found = each.result()
            if isinstance(found, str):
                print(f"{work}, {engine}: {found}", file=sys.stderr)
            else:
                results.append(found)
    print("\n".join(_lines(results)))
    if told.texts:
        told.texts.write_text("\n".join(_texts(results)), "utf-8")
    return 0


def _table(name: str, models: Models) -> Table:
    kind, _, seed = name.rpartition("-")
    spoken = WORKS[kind](int(seed))
    return Table(spoken, Record(spoken.name, spoken.others), models)


def _result(table: Table, engine: str, budget: int) -> Result | str:
    """Measure one run, or say what the record lacks."""
    try:
        if engine in PEER:
            course = run_peer(table, PEER[engine], budget, 0)
        else:
            course = run_ours(table, Options(doubt=1.0), budget, free=engine != "ours, paid")
        print(f"{table.spoken.name}, {engine}: searched", file=sys.stderr, flush=True)
        scores = tuple(table.true_score(course.at(each).text) for each in BUDGETS if each <= budget)
        seed = table.true_score(table.spoken.seed)
    except Missing as missing:
        return f"not in the record: {missing}"
    except Exception:
        return traceback.format_exc()
    last = course.at(budget).text
    tokens = course.details["said"][-1][1] // 4
    return Result(table.spoken.name, engine, scores, seed, course.rollouts, course.reflections, tokens, len(last), course)


def _lines(results: Sequence[Result]) -> list[str]:
    heads = ["work", "engine", "seed", *map(str, BUDGETS), "rollouts", "reflections", "tokens", "characters"]
    rows = [
        [
            each.work,
            each.engine,
            f"{each.seed_score:.3f}",
            *(f"{score:.3f}" for score in each.scores),
            *(f"{number}" for number in (each.rollouts, each.reflections, each.tokens, each.characters)),
        ]
        for each in results
    ]
    return aligned([heads, *rows])


def _texts(results: Sequence[Result]) -> Iterator[str]:
    for each in results:
        yield f"# {each.work}, {each.engine}: {each.scores}\n\n~~~~markdown\n{each.course.steps[-1].text}\n~~~~\n"


def _models(told: argparse.Namespace) -> Models:
    if not told.record:
        return Models()
    from benchmarks.language.gemma import Gemma

    agent: Chooser = Gemma(told.threads)
    answerer: Answerer = Litellm(told.model, told.address) if told.model else Handoff(told.handoff)
    return Models(agent, answerer)


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--works", type=lambda text: text.split(","), default=RUNS, help=f"of {', '.join(RUNS)}")
    words.add_argument("--engines", type=lambda text: text.split(";"), default=ENGINES, help=f"of {'; '.join(ENGINES)}")
    words.add_argument("--budget", type=int, default=BUDGET, help="rollouts of a search")
    words.add_argument("--record", action="store_true", help="ask models for what is not in the record")
    words.add_argument("--handoff", type=Path, default=Path("handoff"), help="folder of asks and replies")
    words.add_argument("--model", help="a reflector by its name with litellm, instead of the hand-off")
    words.add_argument("--address", help="where that model answers, an OpenAI-compatible one")
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--texts", type=Path, help="write what was returned into a file")
    return words


if __name__ == "__main__":
    sys.exit(main())
