"""Held-out tasks that a person is shown to label: the ledger says so before they are."""

from msgspec import Struct

from runbookopt.errors import RunbookoptError
from runbookopt.evidence.split import part_of_task
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.verifiers.labelling_order import Order
from runbookopt.project.project import Project
from runbookopt.proof.ledger import Ledger, Reading


class ReadFromNowOn(Struct, frozen=True):
    """How many held-out tasks a person is shown, and how many a later proof may rest on still."""

    tasks: int
    left: int


def read_from_now_on(repository: Repository, project: Project, order: Order, at: str) -> ReadFromNowOn | None:
    """Write into the ledger which held-out tasks are about to be shown; None where none is.

    Whoever has read their outputs may write by them, so no later proof rests on them. Raises RunbookoptError
    where there is no origin to keep the ledger, and what `Ledger.read` raises.
    """
    shown = (project.evidence.task_of(project.evidence.trajectory(id_)) for id_ in order.ids)
    shares = project.policy.proof.split
    tasks = {task.id for task in shown if part_of_task(task, shares) == "held-out"}
    if not tasks:
        return None
    if not repository.has_origin():
        raise RunbookoptError(
            "--held-out: the ledger at origin has to say which held-out tasks you were shown, and there is no"
            " origin: git remote add origin URL, or label without --held-out"
        )
    ledger = Ledger.open(repository, push=True)
    ledger.read(Reading(project.name, tuple(sorted(tasks)), at))
    left = project.with_burnt(ledger.burnt(project.name)).split.held_out
    return ReadFromNowOn(len(tasks), len(left))
