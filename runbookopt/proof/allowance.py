"""What looks at the held-out tasks have spent, and what the next one may: a fold over the ledger's entries (pure)."""

from msgspec import Struct


class Look(Struct, frozen=True):
    """One look at the held-out tasks, as the ledger keeps it.

    `seed`, `candidate`, `rubric` and `agent` are digests; `groups` are the digests of the held-out group
    keys, sorted; `tasks` maps each held-out task's id to the digest of its reference; `searched` are the
    ids of the train and validation tasks. A look is registered before the first held-out rollout, without
    `bundle` and `answer`; one that never settles stays spent. `at` is ISO 8601.
    """

    key: str
    runbook: str
    seed: str
    candidate: str
    rubric: str
    agent: str
    groups: tuple[str, ...]
    tasks: dict[str, str]
    searched: tuple[str, ...]
    bundle: str | None = None
    answer: str | None = None
    at: str = ""


class Allowance(Struct, frozen=True):
    """What a look may spend.

    `look` counts from 1; `spend` is the significance level of this look, `next_spend` that of the next one
    if no group is new by then, and `left` what remains of the allowance once this look has spent.
    """

    look: int
    spend: float
    next_spend: float
    left: float
