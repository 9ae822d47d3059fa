"""The whole first half against luck and cheats: what is no better must not be accepted."""

import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.agents.protocol import Reflected, Reflector
from runbookopt.agents.rules import decide, rules
from runbookopt.documents.settings import Budget, Growth, Settings
from runbookopt.evidence.library import Folder
from runbookopt.evidence.words import normalised
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.claims import CHECKED
from runbookopt.jobs.optimize import optimize
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.result import Result
from runbookopt.project.project import read_project
from runbookopt.proof.comparison import Comparison
from runbookopt.search.asks import Proposal, Reflection

ROOT = Path(__file__).parents[2]
NAME = "support-triage"
Line = dict[str, Any]
Clone = Any


def stored() -> list[Line]:
    """Give the sample's trajectories; their verdicts are given anew."""
    files = sorted((ROOT / "trajectories" / NAME).glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    return [{**line, "verdicts": []} for line in lines]


def shuffled(lines: Sequence[Line], chance: random.Random) -> list[Line]:
    """Deal the same answers out among the tasks anew: then there is nothing to learn."""
    answers = {line["task"]["input"]: line["task"]["reference"] for line in lines}
    dealt = dict(zip(answers, chance.sample(list(answers.values()), len(answers)), strict=True))
    return [{**line, "task": {**line["task"], "reference": dealt[line["task"]["input"]]}} for line in lines]


def sample(lines: Sequence[Line]) -> dict[str, str | bytes]:
    """Give the sample's runbook, whose "Otherwise" answers a real queue, with these trajectories."""
    folder = f"runbooks/{NAME}"
    files = ("RUNBOOK.md", "rubric.yaml", "policy.yaml")
    declared = {f"{folder}/{file}": (ROOT / folder / file).read_bytes() for file in files}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return {**declared, f"trajectories/{NAME}/all.jsonl": text}


def optimized(root: Path, reflector: Reflector, random_seed: int = 0, growth: int = 3000) -> Result:
    settings = Settings(
        budget=Budget(rollouts=1500), growth=Growth(characters=growth), random_seed=random_seed
    )
    at = "2026-11-01T00:00:00Z"
    with Repository.open(root) as repository:
        return optimize(repository, Job(NAME, settings, OfflineAgent("queue"), reflector, at, propose=False))


def compared(result: Result) -> Comparison:
    assert result.bundle is not None
    assert result.bundle.comparison is not None
    return result.bundle.comparison


@pytest.mark.slow
@pytest.mark.parametrize("random_seeds", [(0, 17), pytest.param(range(20), marks=pytest.mark.nightly)])
def test_where_nothing_can_be_learnt_at_most_one_of_twenty_is_accepted(
    repo: Callable[..., Clone], random_seeds: Sequence[int]
) -> None:
    lines, outcomes, looked = stored(), [], 0
    for random_seed in random_seeds:
        dealt = shuffled(lines, random.Random(random_seed))
        clone = repo(sample(dealt), f"shuffled-{random_seed}")
        result = optimized(clone.root, OfflineReflector(random_seed), random_seed)
        outcomes.append(result.outcome)
        looked += result.bundle is not None
    sys.stdout.write(
        f"{looked} of {len(random_seeds)} reached a look, {outcomes.count('accepted')} accepted: {outcomes}\n"
    )
    assert outcomes.count("accepted") <= 1
    assert looked > 0  # else the proof was never asked


# Cheats -----------------------------------------------------------------------------------------------------


class Told:
    """A reflector that was told the answers to some inputs and writes them all down, input by input.

    So many words of each input as the search lets pass, or with `whole` all of it.
    """

    name = "told"

    def __init__(self, answers: Mapping[str, str], *, whole: bool = False) -> None:
        self.key = f"sha256:told {whole}"
        self._answers = answers
        self._whole = whole

    async def reflect(self, ask: Reflection) -> Reflected:
        known = rules(ask.candidate.text)
        wrong = [text for text in self._answers if decide(known, text).answer != self._answers[text]]
        items = [
            f'- If the message is "{self._piece(text)}", answer `{self._answers[text]}`.' for text in wrong
        ]
        part = next(part for part in ask.components if rules(part.text))
        heading, _, rest = part.text.partition("\n")
        text = "\n".join([heading, "", *items, rest])
        return Reflected(Proposal("I know", part.id, text, (ask.failing[0].trajectory,)))

    def _piece(self, text: str) -> str:
        words = text.replace('"', " ").split()
        while not self._whole and len(normalised(" ".join(words)).split()) > 7:
            words.pop()
        return " ".join(words)


def answers(root: Path, *parts: str) -> dict[str, str]:
    """Give the answers to the inputs of these parts: train, validation, held_out."""
    project = read_project(Folder(root), NAME)
    tasks = [project.evidence.task(task) for part in parts for task in getattr(project.split, part)]
    return {task.input: task.reference["queue"] for task in tasks}


def test_a_reflector_that_copies_train_and_validation_answers_is_not_accepted(
    repo: Callable[..., Clone],
) -> None:
    root = repo(sample(stored())).root
    result = optimized(root, Told(answers(root, "train", "validation")), growth=60_000)
    assert result.validation.after > 0.95
    assert result.outcome in {"rejected", "inconclusive"}
    assert abs(compared(result).gain) < 0.05


def test_a_reflector_that_was_told_the_held_out_answers_is_accepted(repo: Callable[..., Clone]) -> None:
    root = repo(sample(stored())).root
    result = optimized(root, Told(answers(root, "train", "validation", "held_out")), growth=60_000)
    assert result.outcome == "accepted"
    assert compared(result).after > 0.95


def test_a_reflector_that_copies_whole_inputs_gets_no_rollout_for_it(repo: Callable[..., Clone]) -> None:
    root = repo(sample(stored())).root
    result = optimized(root, Told(answers(root, "train", "validation"), whole=True), growth=60_000)
    assert (result.outcome, result.candidates, result.spent.rollouts) == ("no_candidate", 1, CHECKED)
    assert result.spent.reflections > 0


@pytest.mark.slow
def test_the_validation_score_that_is_reported_is_no_more_than_the_winner_looked(
    repo: Callable[..., Clone],
) -> None:
    result = optimized(repo(sample(stored()), "as-it-is").root, OfflineReflector(0), random_seed=0)
    assert result.bundle is not None
    looked = {member.digest: member.validation for member in result.bundle.members}[result.bundle.chosen]
    assert result.validation.before < result.validation.after <= looked, "of so few there is little luck"
