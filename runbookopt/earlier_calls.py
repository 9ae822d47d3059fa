"""What the journal knows of earlier calls to the agent, the reflector and the judge of a run."""

from pathlib import Path

from runbookopt.expectation import Earlier
from runbookopt.journal import Calls, Journal
from runbookopt.preparation import LOCAL, Ready


def earlier_calls(root: Path, ready: Ready) -> Earlier:
    """Give what they came to, whichever run of the repository at `root` made them; makes no journal.

    Raises JournalError where a run could not open its journal either.
    """
    path = root / LOCAL / "journal.sqlite3"
    if not path.exists():
        return Earlier()
    with Journal.open(path) as journal:
        return Earlier(
            agent=journal.calls("rollout", ready.job.agent.key),
            reflector=journal.calls("reflection", ready.job.reflector.key),
            judge=journal.calls("judgement", ready.judge.key) if ready.judge else Calls(),
        )
