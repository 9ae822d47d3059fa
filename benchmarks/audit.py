"""How often the audit of changed verdicts holds a gain that a judge's blind spot invented, and a real one.

    python benchmarks/audit.py [--draws 2000] [--half choosing]

Proofs are drawn, accepted or not by `proof.comparison.compare` at a first look's level, and of those that are
accepted a person, who sees what is right, audits the pairs that `calibration.audit` chooses. The worlds were
chosen on one half of the seeds, and are reported on the other.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random

from msgspec import Struct

from benchmarks.ours import driven
from runbookopt.calibration.audit import PAIRS, Changed, Found, chosen, found, winner_is_left
from runbookopt.documents.digest import digest_of
from runbookopt.documents.finding import Finding
from runbookopt.documents.runbook import Runbook, decode
from runbookopt.evidence.trajectory import Task
from runbookopt.landing.paired_outputs import Tried, pairs, put_out
from runbookopt.proof.audits import Answer
from runbookopt.proof.comparison import Outcome, Pair, Terms, compare
from runbookopt.search.asks import Ask, Attempt, Proposal, Reflection, Reply, Rollout
from runbookopt.search.loop import search
from runbookopt.search.problem import Options, Problem
from runbookopt.verifier.rubric import Rubric, read_rubric

LEVEL = 0.025
"""What a first look may spend."""

SIZES = (160, 400)
HALVES = {"choosing": 0, "reporting": 1}


class World(Struct, frozen=True):
    """What is so on each task, and what a judge says of it; all are chances.

    Today's output is right (`right`); the winner's is right where that was wrong (`mends`), and wrong where
    it was right (`breaks`). The judge passes a right output (`believes`), and a wrong one of today's
    (`missed`) or of the winner's (`missed_after`).
    """

    name: str
    right: float
    mends: float
    breaks: float
    believes: float
    missed: float
    missed_after: float

    @property
    def gain(self) -> float:
        """What the winner truly gains."""
        return (1 - self.right) * self.mends - self.right * self.breaks


class Rates(Struct, frozen=True):
    """Of `draws` proofs: those accepted, and of these those whose audit confirmed the gain."""

    draws: int
    accepted: int
    confirmed: int

    @property
    def passing(self) -> float:
        """The share of the accepted that pass the audit."""
        return self.confirmed / max(1, self.accepted)


def _world(name: str, right: float, *, churn: float, gain: float = 0.0, more: float = 0.0) -> World:
    """A world by the share of all tasks that the winner mends and breaks alike, besides what it gains."""
    missed = 0.15
    return World(name, right, (gain + churn) / (1 - right), churn / right, 0.95, missed, missed + more)


def worlds() -> tuple[World, ...]:
    """The worlds of the table: first those of the promise, then those that are harder for an audit."""
    return (
        _world("misses 20 points more of the winner's failures", 0.65, churn=0.03, more=0.2),
        _world("gains 15 points", 0.65, churn=0.03, gain=0.15),
        _world("misses 20 points more, mends and breaks twice as many", 0.65, churn=0.06, more=0.2),
        _world("gains 15 points, mends and breaks twice as many", 0.65, churn=0.06, gain=0.15),
        World("misses 20 points more, each output right or wrong anew", 0.5, 0.5, 0.5, 0.95, 0.1, 0.3),
        World("gains 15 points, each output right or wrong anew", 0.5, 0.65, 0.35, 0.95, 0.1, 0.1),
    )


def simulated(world: World, tasks: int, draws: int, half: int) -> Rates:
    """Draw proofs in a world: which are accepted, and which of these a person confirms."""
    rng = Random(f"{world.name}/{tasks}/{half}")
    accepted = confirmed = 0
    for draw in range(draws):
        truths, judged = _drawn(world, tasks, rng)
        if is_accepted(judged):
            accepted += 1
            confirmed += audited(judged, f"look-{half}-{draw}", truths.__getitem__).confirms
    return Rates(draws, accepted, confirmed)


def is_accepted(judged: Sequence[Pair]) -> bool:
    """Whether the proof accepts the winner, by its verdicts alone."""
    return _accepts(*_counts(judged))


@cache
def _accepts(wins: int, losses: int, tasks: int) -> bool:
    """By the comparison itself: that of verdicts rests on nothing but how many changed which way."""
    alike = tasks - wins - losses
    sides = [(0.0, 1.0)] * wins + [(1.0, 0.0)] * losses + [(1.0, 1.0)] * alike
    made = [_pair(number, *side) for number, side in enumerate(sides)]
    return compare(made, Terms(), spend=LEVEL, next_spend=LEVEL).answer == "accepted"


def _counts(judged: Sequence[Pair]) -> tuple[int, int, int]:
    gains = [pair.after[0].score - pair.before[0].score for pair in judged]
    return sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains), len(gains)


def audited(judged: Sequence[Pair], look: str, truth: Callable[[str], tuple[bool, bool]]) -> Found:
    """What a person finds in the chosen pairs who knows whether today's and the winner's output are right."""
    shown, seed = chosen(judged, look, PAIRS), f"{look}/person"
    result = found(shown, seed, {each.task: _answer(each, seed, *truth(each.task)) for each in shown})
    if result is None:
        raise RuntimeError("a pair was not answered")
    return result


def _answer(each: Changed, seed: str, today: bool, winner: bool) -> Answer:
    if today == winner:
        return "equal"
    return "left" if winner == winner_is_left(seed, each.task) else "right"


def _drawn(world: World, tasks: int, rng: Random) -> tuple[dict[str, tuple[bool, bool]], list[Pair]]:
    truths, judged = {}, []
    for number in range(tasks):
        today = rng.random() < world.right
        winner = rng.random() >= world.breaks if today else rng.random() < world.mends
        before = rng.random() < (world.believes if today else world.missed)
        after = rng.random() < (world.believes if winner else world.missed_after)
        judged.append(_pair(number, float(before), float(after)))
        truths[judged[-1].task] = (today, winner)
    return truths, judged


def _pair(number: int, before: float, after: float) -> Pair:
    task = f"task-{number}"
    return Pair(task, task, (Outcome(before, {"right": before}),), (Outcome(after, {"right": after}),))


# A judge that likes a word ------------------------------------------------------------------------------

WORD = "certainly"
RULE = f'- Begin each answer with "{WORD}".'
RUNBOOK = "# Desk\n\n## Rules\n- Answer what is asked.\n"
RUBRIC = b"judge: {model: openai/gpt-5-mini}\ncriteria: [{id: right, judge: Is it right}]\n"
_EDITS = ("- Answer in one sentence.", "- Name the desk.", RULE, "- Repeat the question.", "- Be brief.")


def charmed(output: str) -> bool:
    """The verdict of a judge that takes whoever says the word for right."""
    return WORD in output or output.endswith("right")


def output_of(text: str, task: str) -> str:
    """What the agent puts out: right on two tasks of three whatever it is told, and with the word if told."""
    right = int(digest_of(["truth", task])[-4:], 16) % 3 > 0
    return f"{WORD + ', ' if RULE in text else ''}{'right' if right else 'wrong'}"


def searched(random_seed: int = 0, tasks: int = 40) -> str:
    """Let the search optimize against that judge, with a reflector that tries one rule after the other."""
    seed = decode(RUNBOOK.encode(), path="RUNBOOK.md")
    reflections = iter(range(10**9))

    def attempt(rollout: Rollout) -> Attempt:
        output = output_of(rollout.candidate.text, rollout.task)
        passed = charmed(output)
        score = {"right": float(passed)}
        feedback = () if passed else ("right: the answer is wrong",)
        return Attempt(rollout.task, output, float(passed), score, feedback)

    def edit(asked: Reflection) -> Proposal:
        part = next(each for each in asked.components if "Rules" in each.text)
        rule = _EDITS[next(reflections) % len(_EDITS)]
        return Proposal("It may help", part.id, f"{part.text.rstrip()}\n{rule}\n", asked_about(asked))

    def answer(ask: Ask) -> Reply:
        return Reply(tuple(map(attempt, ask.rollouts)), tuple(map(edit, ask.reflections)))

    result = driven(search(_problem(seed, tasks, random_seed)), answer)
    return result.pool[result.chosen].candidate.text


def asked_about(asked: Reflection) -> tuple[str, ...]:
    """A trajectory that an edit may cite."""
    return tuple(each.trajectory for each in asked.failing[:1])


def _problem(seed: Runbook, tasks: int, random_seed: int) -> Problem:
    train = {f"train-{number}": f"ticket {number}" for number in range(tasks)}
    validation = tuple(f"validation-{number}" for number in range(tasks))
    return Problem(seed=seed, train=train, validation=validation, options=Options(random_seed=random_seed))


def flattered(text: str, tasks: int, draws: int, half: int) -> Rates:
    """Prove that text against today's, by the verdicts of the charmed judge, as a bundle holds them."""
    rubric, accepted, confirmed = read_rubric(RUBRIC, "rubric.yaml"), 0, 0
    for draw in range(draws):
        names = [f"held-out-{half}-{draw}-{number}" for number in range(tasks)]
        judged = _by_outputs(rubric, [Task(id=name, input=name, trajectories=()) for name in names], text)
        if is_accepted(judged):
            accepted += 1
            confirmed += audited(judged, f"look-{half}-{draw}", lambda task: _truth(text, task)).confirms
    return Rates(draws, accepted, confirmed)


def _truth(text: str, task: str) -> tuple[bool, bool]:
    return output_of(RUNBOOK, task).endswith("right"), output_of(text, task).endswith("right")


def _by_outputs(rubric: Rubric, tasks: Sequence[Task], text: str) -> list[Pair]:
    def tried(runbook: str, task: Task) -> Tried:
        output = output_of(runbook, task.id)
        return Tried(output, {"right": Finding("pass" if charmed(output) else "fail", "")})

    outputs = [put_out(rubric, task, [tried(RUNBOOK, task)], [tried(text, task)]) for task in tasks]
    return pairs(outputs, {task.id: task for task in tasks}, rubric)


def table(draws: int, half: int) -> Iterator[str]:
    """The figures as Markdown."""
    yield "| world | true gain | pairs | accepted without an audit | of these, pass it |"
    yield "|---|--:|--:|--:|--:|"
    for world in worlds():
        for tasks in SIZES:
            rates = simulated(world, tasks, draws, half)
            yield _row(world.name, world.gain, tasks, rates)
    text = searched()
    for tasks in SIZES:
        name = f'the search\'s own winner, of a judge that likes "{WORD}"'
        yield _row(name, 0.0, tasks, flattered(text, tasks, draws, half))


def _row(name: str, gain: float, tasks: int, rates: Rates) -> str:
    accepted = f"{rates.accepted / rates.draws:.1%} of {rates.draws:,}"
    return f"| {name} | {gain:+.2f} | {tasks} | {accepted} | {rates.passing:.1%} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--half", choices=[*HALVES], default="reporting")
    given = parser.parse_args()
    for line in table(given.draws, HALVES[given.half]):
        print(line, flush=True)


if __name__ == "__main__":
    main()
