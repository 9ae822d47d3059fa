import asyncio
import json

from runbookopt.agents.offline_agent import OfflineAgent

RUNBOOK = """---
name: x
note: - "front" matter is no `rule`
---
# X
- "card" means `card`
- "fee" means `fee`
- Otherwise `other`
"""


def answer(agent: OfflineAgent, text: object, repeat: str = "0", runbook: str = RUNBOOK) -> str:
    produced = asyncio.run(agent.rollout(runbook, text, repeat))
    return str(json.loads(produced.output or "")["queue"])


def test_the_agent_follows_the_rules_and_says_why() -> None:
    produced = asyncio.run(OfflineAgent("queue").rollout(RUNBOOK, "my card", "0"))
    assert json.loads(produced.output or "") == {"queue": "card", "reason": "matched card"}


def test_an_input_that_is_no_text_is_read_as_json() -> None:
    assert answer(OfflineAgent("queue"), {"subject": "fee"}) == "fee"


def test_noise_errs_about_as_often_as_asked_and_always_the_same_way() -> None:
    noisy = OfflineAgent("queue", noise=0.1, random_seed=7)
    answers = [answer(noisy, f"my card {number}") for number in range(500)]
    assert 25 <= sum(given != "card" for given in answers) <= 75
    assert answers == [answer(noisy, f"my card {number}") for number in range(500)]


def test_noise_depends_on_seed_candidate_task_and_repeat() -> None:
    noisy = OfflineAgent("queue", noise=0.5)
    texts = [f"card {number}" for number in range(60)]
    first = [answer(noisy, text) for text in texts]
    assert first != [answer(noisy, text, repeat="1") for text in texts]
    assert first != [answer(OfflineAgent("queue", noise=0.5, random_seed=1), text) for text in texts]
    assert first != [answer(noisy, text, runbook=RUNBOOK + "\n") for text in texts]


def test_the_key_names_what_changes_an_answer() -> None:
    keys = {
        OfflineAgent("queue").key,
        OfflineAgent("reply").key,
        OfflineAgent("queue", noise=0.1).key,
        OfflineAgent("queue", noise=0.1, random_seed=1).key,
    }
    assert len(keys) == 4
    assert OfflineAgent("queue", random_seed=1).key == OfflineAgent("queue").key
