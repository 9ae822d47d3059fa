"""The offline agent: follows a runbook's written decision rules literally, with no model and no network."""

import hashlib
import json

from runbookopt.agents.protocol import Produced
from runbookopt.agents.rules import Rule, Votes, decide, rules
from runbookopt.documents.digest import as_text, canonical, digest, digest_of
from runbookopt.documents.markdown import front_matter


class OfflineAgent:
    """Answers `{"<field>": "<answer>", "reason": "..."}` by the rules of the runbook it is handed.

    It knows nothing but the runbook's text and the task's input. `noise` in 0..1 is the share of answers
    that err, a function of random seed, candidate, task and repeat alone; without noise it is deterministic
    and its key does not depend on the random seed.
    """

    name = "offline"

    def __init__(self, field: str = "answer", noise: float = 0.0, random_seed: int = 0) -> None:
        self._field = field
        self._noise = noise
        self._random_seed = random_seed
        self.deterministic = noise == 0
        settings = {"kind": "offline", "version": 1, "field": field}
        self.key = digest_of(settings | ({"noise": noise, "random_seed": random_seed} if noise else {}))

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        """Follow the runbook's rules on the input, or err by chance."""
        decisions = rules(runbook.removeprefix(front_matter(runbook)))
        votes = decide(decisions, as_text(task_input))
        if self._noise:
            votes = self._erring(votes, decisions, runbook, task_input, repeat)
        reason = f"matched {', '.join(votes.by)}" if votes.by else "no rule matches"
        return Produced(output=json.dumps({self._field: votes.answer, "reason": reason}, ensure_ascii=False))

    def unfollowed(self, runbook: str) -> str | None:
        """Say why there is no rule to follow; None where there is one."""
        return unfollowed(runbook)

    def _erring(
        self, votes: Votes, decisions: tuple[Rule, ...], runbook: str, task_input: object, repeat: str
    ) -> Votes:
        dice = canonical([self._random_seed, digest(runbook.encode()), task_input, repeat])
        chance = int.from_bytes(hashlib.sha256(dice).digest(), "big")
        if chance % 10**9 >= self._noise * 10**9:
            return votes
        others = sorted({rule.answer for rule in decisions} - {votes.answer}) or [""]
        return Votes(others[chance // 10**9 % len(others)], ())


def unfollowed(runbook: str) -> str | None:
    """Why the offline agent cannot follow a runbook; None where it can."""
    if rules(runbook.removeprefix(front_matter(runbook))):
        return None
    return (
        "agent.kind is offline, and the offline agent finds 0 rules here: it follows list items alone, such"
        ' as - If the message mentions "card", answer `cards`; for a runbook in prose name a model in'
        " runbookopt.yaml (agent: {kind: chat, model: PROVIDER/NAME}) or with --model"
    )
