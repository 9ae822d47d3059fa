"""Allotment of rollouts: what a run gets where nobody says, and the least that can find anything (pure)."""

from msgspec import Struct

from runbookopt.documents.settings import Budget
from runbookopt.errors import RunbookoptError
from runbookopt.jobs.claims import MOST_TO_TRY, TRIED, Claims
from runbookopt.search.problem import Problem

DRAFTS = 10
"""Drafts that a run can try where its budget is not set."""

ROLLOUTS_A_REFLECTION = 4
"""A run may reflect once for so many rollouts of its budget, where the settings do not say how often."""


class Allotment(Struct, frozen=True):
    """Rollouts of a run in all, of which `reserved` are kept for the proof, and its reflections.

    `usual` are as many rollouts as it would have if nobody said anything.
    """

    rollouts: int
    reserved: int
    reflections: int
    usual: int


def allot(
    budget: Budget, *, tasks: int, reserved: int, least_reflections: int, borrowed: int = 0
) -> Allotment:
    """What a budget gives to a run with so many train and validation `tasks` together.

    `borrowed` is how many agents are tried whose stored outputs are said to be the configured one's.

    By default: the proof, claims, and all tasks once for today's runbook and once for each of ten drafts. A
    draft that is the best so far is rolled out on all of them, and any other on validation alone.
    """
    usual = reserved + MOST_TO_TRY + TRIED * borrowed + (1 + DRAFTS) * tasks
    rollouts = budget.rollouts or usual
    # reflections have a budget of their own, since a wave whose proposals all fail costs no rollout: of 2,000
    # rollouts 500, where the searches of the benchmarks made 119 in the mean, and two of 160 more (585)
    reflections = budget.reflections or max(rollouts // ROLLOUTS_A_REFLECTION, least_reflections)
    return Allotment(rollouts, reserved, reflections, usual)


def beginning(problem: Problem, claims: Claims) -> int:
    """Rollouts that every search begins with: what tries its claims, and today's runbook on all else."""
    return claims.rollouts + len({*problem.validation, *problem.train} - {*problem.free, *claims.first})


def least(problem: Problem, claims: Claims, reserved: int) -> int:
    """Rollouts until one draft is validated and proved, if the claims hold."""
    return beginning(problem, claims) + len(problem.validation) + reserved


def must_afford(name: str, given: Allotment, problem: Problem, claims: Claims) -> None:
    """Refuse a budget that covers no draft. Raises RunbookoptError with the number that does."""
    needed = least(problem, claims, given.reserved)
    if given.rollouts >= needed:
        return
    of = f" ({claims.rollouts} of them what is claimed of the agent and of old stored verdicts)"
    raise RunbookoptError(
        f"{name}: {given.rollouts} rollouts do not cover one draft: {given.reserved} are kept for the proof,"
        f" {beginning(problem, claims)} try today's runbook{of if claims.rollouts else ''},"
        f" {len(problem.validation)} try a draft on validation: raise budget.rollouts to {needed} at least,"
        f" or take it away for {given.usual}, which cover {DRAFTS} drafts"
    )
