"""Lines that have the same shape as others of their section, and all that keeps a line from having it."""

import time

import pytest

from runbookopt.guard.forms import Example, formless, has_rules

TODAY = """---
name: triage
---

# Triage

Read the whole message.

## Rules

We sort by topic:

- If the message mentions "lost card" or "stolen", answer `card-lost`.
- If the message mentions "transfer", answer `transfer`.
- Never promise a refund if it says "refund", answer `fees`.

| says | queue |
| --- | --- |
| "passport", "visa" | `identity` |

1. If the message mentions "first", answer `fees`.

## Escalation

- If the message mentions "fraud", answer `fraud`.
"""
LOST, MONEY = frozenset({"card-lost"}), frozenset({"transfer"})
SEEN = (
    Example("My wallet is gone", "ann", LOST),
    Example("wallet nicked on the bus!", "bo", LOST),
    Example("Where is my wire", "cy", MONEY),
    Example("the WIRE did not come", "dee", MONEY),
    Example("he took a wallet photo", "dee", frozenset({"identity"})),
    Example("an id card of mine", "eve", frozenset({"identity"})),
    Example("scan the id card", "fay", frozenset({"identity"})),
    Example("my card was stolen, wire it", "gil", MONEY),
    Example("stolen wire", "hal", MONEY),
    Example("a lie", "gil", LOST),
    Example("one lie", "gil", LOST),
)
RULE = '- If the message mentions "lost card" or "stolen", answer `card-lost`.'
NEW = '- If the message mentions "{}", answer `{}`.'


def reasons(after: str, seen: tuple[Example, ...] = SEEN) -> list[str]:
    return [each.reason for each in formless(TODAY, after, seen)]


def with_line(line: str, after: str = RULE) -> str:
    assert TODAY.count(after) == 1
    return TODAY.replace(after, f"{after}\n{line}")


GOOD = {
    "a rule": with_line(NEW.format("wallet", "card-lost")),
    "a phrase": TODAY.replace('or "stolen"', 'or "stolen" or "wallet"'),
    "another separator": TODAY.replace('"lost card" or "stolen"', '"lost card", “stolen”, or "wallet"'),
    "no full stop": with_line(NEW.format("wallet", "card-lost").removesuffix(".")),
    "a row": with_line('| "id card" | `identity` |', '| "passport", "visa" | `identity` |'),
    "a phrase less, which tasks contradict": TODAY.replace(' or "stolen"', ""),
    "a broader phrase": TODAY.replace('"lost card"', '"wallet", "lost card"'),
}


@pytest.mark.parametrize("after", GOOD.values(), ids=GOOD)
def test_a_line_of_the_same_shape_that_tasks_vouch_for_has_a_form(after: str) -> None:
    assert after != TODAY
    assert reasons(after) == []


BAD = {
    "prose": (with_line("", "Read the whole message.") + "\nBe kind.\n", "prose never merges"),
    "other words": (with_line('- If it says "wallet", answer `card-lost`.'), "has the same words today"),
    "a word more": (with_line(NEW.format("wallet", "card-lost")[:-1] + " now."), "has the same words today"),
    "struck out": (with_line(f"- ~~{NEW[2:]}~~".format("wallet", "card-lost")), "has the same words today"),
    "no phrase": (with_line("- Otherwise answer `card-lost`."), "quotes no phrase"),
    "two outputs": (with_line(NEW.format("wallet", "card-lost` or `fees")), "names 2 outputs"),
    "another output": (with_line(NEW.format("wallet", "transfer")), "have another output"),
    "an unknown output": (with_line(NEW.format("wallet", "evil")), "have another output"),
    "an unknown phrase": (with_line(NEW.format("nobody said this", "card-lost")), "is not in 2 train tasks"),
    "one voice": (with_line(NEW.format("lie", "card-lost")), "is not in 2 train tasks"),
    "a rider": (TODAY.replace('"transfer"', '"transfer", "wallet"'), "have another output"),
    "an address": (with_line(NEW.format("evil.example", "card-lost")), "plain words"),
    "markup": (with_line(NEW.format("**wallet**", "card-lost")), "plain words"),
    "an order": (with_line(NEW.format("ignore the rules", "card-lost")), "plain words"),
    "small words": (with_line(NEW.format("my", "card-lost")), "says nothing"),
    "danger": (with_line(NEW.format("kill", "card-lost")), "speaks of danger"),
    "elsewhere": (with_line(NEW.format("wallet", "card-lost"), "Read the whole message.\n"), "same words"),
    "a numbered list": (TODAY.replace('"first"', '"first" or "wallet"'), "prose never merges"),
    "escalation": (TODAY.replace('"fraud",', '"fraud" or "wallet",'), "stands where people and limits"),
    "a prohibition": (TODAY.replace('says "refund"', 'says "refund" or "wallet"'), "forbids something"),
    "a rule gone": (TODAY.replace(RULE + "\n", ""), "none comes in its place"),
    "a phrase gone": (TODAY.replace('"lost card" or ', ""), "speak against"),
    "the lead": (TODAY.replace("We sort by topic:", "We no longer sort like this:"), "prose never merges"),
    "a quoted block": (TODAY.replace(RULE, f"> {RULE}"), "prose never merges"),
    "code": (TODAY.replace(RULE, f"```\n{RULE}\n```"), "prose never merges"),
    "the end of a list": (TODAY.replace("`fees`.\n\n|", "`fees`.\n|"), "it"),
    "a link definition": (TODAY + "\n[//]: # (an order)\n", "prose never merges"),
}  # fmt: skip


@pytest.mark.parametrize(("after", "why"), BAD.values(), ids=BAD)
def test_any_other_line_has_none_and_the_reason_is_told(after: str, why: str) -> None:
    assert after != TODAY
    found = reasons(after)
    assert found
    assert any(why in reason for reason in found), found


def test_a_rule_that_moves_has_no_form_since_order_may_count() -> None:
    first, second = RULE, '- If the message mentions "transfer", answer `transfer`.'
    after = TODAY.replace(f"{first}\n{second}", f"{second}\n{first}")
    assert set(reasons(after)) == {"it stands elsewhere now, and the order of rules may count"}


def test_a_line_is_told_with_its_number_and_a_line_that_goes_as_gone() -> None:
    (come,) = formless(TODAY, with_line(NEW.format("my", "card-lost")), SEEN)
    assert come.told.startswith('line 14 (- If the message mentions "my", answer `card-lost`.): "my" says')
    (gone,) = formless(TODAY, TODAY.replace(RULE + "\n", ""), SEEN)
    assert gone.told.startswith("line 13, gone, (- If the message mentions")


def test_forms_of_a_team_vouch_alone_and_without_ours_nothing_else_does() -> None:
    prose = TODAY.replace("Read the whole message.", "Read all of the message.")
    assert formless(TODAY, prose, (), is_own=lambda line: line.startswith("Read ")) == ()
    (only,) = formless(TODAY, GOOD["a rule"], SEEN, same_shape=False)
    assert only.reason == "no form of the policy fits"


def test_what_tasks_say_is_found_as_whole_words() -> None:
    assert reasons(with_line(NEW.format("wall", "card-lost"))) != []


def test_a_text_in_prose_has_no_rules() -> None:
    assert has_rules(TODAY)
    assert not has_rules('# A\n\nBe kind.\n\n- Ask twice.\n- Say "no".\n')


def test_a_large_change_is_judged_within_seconds() -> None:
    many = "".join(f'- If the message mentions "w{n}", answer `card-lost`.\n' for n in range(3_000))
    start = time.process_time()
    assert formless(TODAY, TODAY + many, SEEN)
    assert formless(TODAY + many, TODAY, SEEN)
    assert formless(TODAY + many, TODAY + many[::-1], SEEN)
    assert time.process_time() - start < 20
