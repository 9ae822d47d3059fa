"""How many wrong references the report finds: recall and precision where one in ten of a sample's is wrong.

    python benchmarks/suspects.py [--seeds 6]

The rule of `runbookopt/jobs/suspects.py` was chosen on support-triage; refund-reply tells what it is worth.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.e86100d import ReflectorOfE86100d
from benchmarks.ours import driven
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.engine.calls import attempt_of
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Task
from runbookopt.jobs.suspects import outputs_of, suspects
from runbookopt.project.project import Project, read_project
from runbookopt.search.asks import Ask, Attempt, Reply
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem
from runbookopt.verifier.rubric import assess

SAMPLES = {"support-triage": "queue", "refund-reply": "reply"}
"""The field of each sample's answers."""

SHARE = 10  # one reference in so many is wrong
ROOT = Path(__file__).parents[1]


class Found(Struct, frozen=True):
    """Counts of one search: references that were made wrong, those that are suspect, and those that are both.

    `agreed` are tasks on which all texts agree against the reference, whatever the nearest tasks say, and
    `agreed_wrong` those of them that were made wrong.
    """

    wrong: int
    suspect: int
    both: int
    agreed: int
    agreed_wrong: int


def found(name: str, seed: int) -> Found:
    """Make references of a sample wrong, search with the offline pair, and look for them."""
    project = read_project(Folder(ROOT), name)
    searched_tasks = [*project.split.train, *project.split.validation]
    field, rng = SAMPLES[name], random.Random(seed)
    wrong = set(rng.sample(sorted(searched_tasks), len(searched_tasks) // SHARE))
    answers = sorted({task.reference[field] for task in project.evidence.tasks})
    planted = {
        task.id: _wrong(task, field, answers, rng) if task.id in wrong else task
        for task in project.evidence.tasks
    }
    project = replace(project, evidence=replace(project.evidence, tasks=tuple(planted.values())))
    result = _searched(project, planted, field, seed)
    outputs = {
        "train": outputs_of(result, project.split.train),
        "validation": outputs_of(result, project.split.validation),
    }
    listed = {each.task for each in suspects(project.rubric, project.evidence, outputs)}  # type: ignore[arg-type]
    agreed = set(_agreed(result, searched_tasks))
    return Found(len(wrong), len(listed), len(listed & wrong), len(agreed), len(agreed & wrong))


def _wrong(task: Task, field: str, answers: Sequence[str], rng: random.Random) -> Task:
    other = rng.choice([answer for answer in answers if answer != task.reference[field]])
    reference = {**task.reference, field: other}
    if "safe" in reference:
        reference["safe"] = [other]
    return replace(task, reference=reference)


def _searched(project: Project, tasks: dict[str, Task], field: str, seed: int) -> SearchResult:
    agent, reflector = OfflineAgent(field), ReflectorOfE86100d(seed)
    known: dict[tuple[str, str], Attempt] = {}
    import asyncio

    loop = asyncio.new_event_loop()

    def attempt(text: str, task: str) -> Attempt:
        if (text, task) not in known:
            output = loop.run_until_complete(agent.rollout(text, tasks[task].input, "0")).output
            judged = assess(project.rubric, output=output, reference=tasks[task].reference)
            known[text, task] = attempt_of(task, output, judged, {})
        return known[text, task]

    def answer(ask: Ask) -> Reply:
        return Reply(
            tuple(attempt(rollout.candidate.text, rollout.task) for rollout in ask.rollouts),
            tuple(loop.run_until_complete(reflector.reflect(wanted)).said for wanted in ask.reflections),
        )

    split = project.split
    problem = Problem(
        seed=project.runbook,
        train={task: tasks[task].input for task in split.train},
        validation=split.validation,
        free={task: attempt(project.runbook.text, task) for task in (*split.train, *split.validation)},
        options=Options(random_seed=seed, doubt=1.0),
    )
    try:
        return driven(search(problem), answer)
    finally:
        loop.close()


def _agreed(result: SearchResult, tasks: Sequence[str]) -> Iterator[str]:
    """Tasks on which two texts or more were tried, and each of them failed in the same words."""
    for task in tasks:
        attempts = [each[task] for each in result.attempts.values() if task in each]
        if len(attempts) > 1 and attempts[0].failed and len({each.feedback for each in attempts}) == 1:
            yield task


def main() -> None:
    """Print both rates for each sample, by the rule and by agreement alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    seeds = range(parser.parse_args().seeds)
    for name in SAMPLES:
        counts = [found(name, seed) for seed in seeds]
        wrong, listed, both, agreed, of_them = (
            sum(getattr(each, field) for each in counts) for field in Found.__struct_fields__
        )
        print(
            f"{name}: of {wrong} wrong references {both} are suspect: recall {both / wrong:.2f}, precision"
            f" {both / max(1, listed):.2f}; by agreement alone {of_them / wrong:.2f} and"
            f" {of_them / max(1, agreed):.2f}"
        )


if __name__ == "__main__":
    main()
