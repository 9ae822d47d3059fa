from runbookopt.agents.rules import decide, occurs, rules

RUNBOOK = """# Triage

- If the message mentions "card arrived" or "tracking", answer `card-arrival`.
- Read the whole message first.
- Say "thanks", then `one` or `two`.
1. Numbered: "card" means `card`.
   - nested "late" means `late`

```
- "fenced" is no `rule`
```

- Otherwise answer `other`.
- Otherwise answer `never`.
"""


def test_list_items_with_a_phrase_and_one_code_span_are_rules() -> None:
    found = [(rule.phrases, rule.answer) for rule in rules(RUNBOOK) if not rule.otherwise]
    assert found == [(("card arrived", "tracking"), "card-arrival"), (("card",), "card"), (("late",), "late")]


def test_a_phrase_votes_with_its_words_and_most_votes_win() -> None:
    assert decide(rules(RUNBOOK), "Has my CARD, arrived yet?").answer == "card-arrival"
    assert decide(rules(RUNBOOK), "my card is blue").answer == "card"


def test_phrases_match_whole_words_whatever_the_case_and_punctuation() -> None:
    assert occurs("can't log in", "I CAN\u2019T  log-in!")
    assert not occurs("card", "discarded")


def test_ties_go_to_the_earlier_rule_and_no_match_to_the_first_otherwise() -> None:
    assert decide(rules(RUNBOOK), "late card").answer == "card"
    assert decide(rules(RUNBOOK), "hello").answer == "other"
    assert decide((), "hello").answer == ""


def test_a_rule_knows_its_lines() -> None:
    first = rules(RUNBOOK)[0]
    assert RUNBOOK.split("\n")[first.first : first.stop] == [
        '- If the message mentions "card arrived" or "tracking", answer `card-arrival`.'
    ]
