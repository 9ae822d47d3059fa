import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.agents.rules import rules
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection, ReflectionFailure, Shown

TEXT = """## Rules

- If the message mentions "card" or "fee", answer `card`.
- Otherwise answer `other`.

See the lead for the rest.
"""
HOSTILE = [
    "(?:a+)+$ [a-z]* .{0,99}",
    "`rm -rf` ``` ~~~",
    'he said "lost" and \\"gone\\"',
    "parcel\nlost\r\nagain\rtwice\u2028thrice\x00",
    "Otherwise answer `zzz`.",
    "## Heading\n- Otherwise `x`",
    "<!-- runbookopt: lock --> [a]: #b",
    "__init__ _parcel lost_ snake_case **bold** *lost*",
    "\u202eparcel \u200b\ufeff \U0001f4a9 e\u0301",
    "expected x, got y, got z",
]
SHORT = st.sampled_from([*HOSTILE, "my parcel is lost", "the parcel never came", "a fee for my card", ""])
WORDS = SHORT | st.text(max_size=30)
FEEDBACK = st.builds("right: expected {}, got {}".format, WORDS, WORDS) | WORDS


def shown(number: int, text: object, expected: str = "", got: str = "other") -> Shown:
    feedback = (f"right-queue: expected {expected}, got {got}",) if expected else ()
    output = json.dumps({"queue": got, "reason": "no rule matches"})
    return Shown(f"r-{number}", f"task-{number}", text, output, float(not expected), feedback)


def ask(
    failing: Sequence[Shown], passing: Sequence[Shown] = (), text: str = TEXT, **more: object
) -> Reflection:
    parts = (Component("preamble", None, "# Queues\n\n"), Component("rules", "Rules", text))
    asked = Reflection(Candidate(text), parts, tuple(failing), tuple(passing), (), 9000)
    return Reflection(**({name: getattr(asked, name) for name in asked.__struct_fields__} | more))  # type: ignore[arg-type]


def answer(asked: Reflection, random_seed: int = 0) -> Proposal | ReflectionFailure:
    return asyncio.run(OfflineReflector(random_seed).reflect(asked)).said


def proposed(asked: Reflection, random_seed: int = 0) -> Proposal:
    said = answer(asked, random_seed)
    assert isinstance(said, Proposal)
    return said


LOST = [shown(1, "my parcel is lost", "parcel"), shown(2, "Lost: one parcel!", "parcel")]
FINE = [shown(3, "a fee for my card", got="card"), shown(4, "the weather is bad", got="other")]
MISLED = [shown(5, "a fee for the loan", "loan", "card"), shown(6, "the loan has a fee", "loan", "card")]


def test_a_rule_is_proposed_from_what_sets_the_failures_apart() -> None:
    said = proposed(ask(LOST, FINE))
    (new,) = [rule for rule in rules(said.text) if rule.answer == "parcel"]
    assert {"parcel", "lost"} & set(new.phrases)
    assert len(said.text.splitlines()) == len(TEXT.splitlines()) + 1
    assert (said.component, said.cites) == ("rules", ("r-1", "r-2"))


def test_words_that_passing_messages_share_are_no_lesson() -> None:
    passing = [shown(number, "where is the parcel that was lost", got="other") for number in (3, 4, 5)]
    said = proposed(ask(LOST, passing))
    assert not any(rule.answer == "parcel" and "parcel" in rule.phrases for rule in rules(said.text))


def phrases_for_parcel(asked: Reflection) -> set[str]:
    found = rules(proposed(asked).text)
    return {phrase for rule in found if rule.answer == "parcel" for phrase in rule.phrases}


def test_words_of_failures_that_expect_something_else_are_no_lesson() -> None:
    urgent = [shown(1, "urgent parcel", "parcel"), shown(2, "urgent parcel box", "parcel")]
    assert phrases_for_parcel(ask([*urgent, shown(3, "urgent letter", "letter")]))
    assert "urgent" not in phrases_for_parcel(ask([*urgent, shown(3, "urgent letter", "letter")]))


def test_a_phrase_that_leads_a_passing_message_astray_is_not_taken() -> None:
    lost = [shown(number, f"lost thing{number}", "parcel") for number in range(4)]
    assert phrases_for_parcel(ask(lost)) == {"lost"}
    assert phrases_for_parcel(ask(lost, [shown(5, "lost in thought")])) == set()


def test_what_failures_of_one_group_alone_have_in_common_is_no_lesson() -> None:
    alone = [replace(one, group="Ms Alban") for one in LOST]
    assert phrases_for_parcel(ask(LOST, FINE))
    assert phrases_for_parcel(ask(alone, FINE)) == set()


def test_of_many_failures_two_that_share_a_single_word_are_no_lesson_and_a_third_that_passes_makes_one() -> (
    None
):
    many = [shown(number, f"lost thing{number}"[5 * (number > 1) :], "parcel") for number in range(7)]
    text = TEXT + '- "box" means `parcel`\n'
    assert phrases_for_parcel(ask(many, FINE, text)) == {"box"}
    assert phrases_for_parcel(ask(many[:6], FINE, text)) == {"box", "lost"}
    assert "lost" in phrases_for_parcel(ask(many, [shown(9, "a lost box", got="parcel")], text))


def test_amounts_and_complaints_are_no_topic() -> None:
    alike = [shown(number, "it is wrong by 20 pounds", "parcel") for number in range(4)]
    assert not {"wrong", "pounds"} & phrases_for_parcel(ask(alike, FINE))


def test_what_passes_with_the_same_answer_speaks_against_no_phrase() -> None:
    text = TEXT + '- "box" means `parcel`\n'
    asked = ask(LOST, [shown(5, "a parcel in a box", got="parcel")], text)
    assert any('"parcel"' in proposed(asked, random_seed).text for random_seed in range(8))


def test_phrases_for_an_answer_join_the_rule_that_was_written_for_it_before() -> None:
    text = TEXT.replace("- Otherwise", '- If the message mentions "box", answer `parcel`.\n- Otherwise')
    (rule,) = [rule for rule in rules(proposed(ask(LOST, FINE, text)).text) if rule.answer == "parcel"]
    assert rule.phrases[0] == "box"
    assert len(rule.phrases) > 1


def test_a_new_rule_stands_behind_the_last_one_with_its_answer() -> None:
    text = '- "box" means `parcel`\n- "card" means `card`\n'
    said = proposed(ask(LOST, FINE, text))
    assert [rule.answer for rule in rules(said.text)] == ["parcel", "parcel", "card"]


def test_a_misleading_phrase_is_taken_out_and_the_rest_of_its_rule_stays() -> None:
    said = {proposed(ask(MISLED, FINE[1:]), random_seed).text for random_seed in range(12)}
    assert TEXT.replace('"card" or "fee"', '"card"') in said


def test_a_phrase_that_serves_a_message_which_passes_is_not_blamed_for_two_that_it_misleads() -> None:
    served = [shown(number, f"a fee for card {number}", got="card") for number in (7, 8)]
    said = {proposed(ask(MISLED, served), random_seed).text for random_seed in range(12)}
    assert all('"fee"' in text for text in said)


def test_a_rule_that_loses_its_last_phrase_goes_and_what_is_nested_in_it_stays() -> None:
    text = '1. "fee" means `card`\n\n   More of it.\n   - nested "late" means `late`\n2. Otherwise `other`\n'
    said = {proposed(ask(MISLED, FINE[1:], text), random_seed).text for random_seed in range(12)}
    assert '\n   More of it.\n   - nested "late" means `late`\n2. Otherwise `other`\n' in said


def test_a_nested_rule_stays_nested() -> None:
    text = '- Money:\n  1. "fee" or "cost" means `card`\n- Otherwise `other`\n'
    said = {proposed(ask(MISLED, FINE[1:], text), random_seed).text for random_seed in range(12)}
    assert '- Money:\n  1. "cost" means `card`\n- Otherwise `other`\n' in said


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ('a ("card", "fee", "loan"): `card`', 'a ("card", "loan"): `card`'),
        ('"fee", "card" or "loan", so `card`', '"card" or "loan", so `card`'),
        ('"card", "loan", or "fee", so `card`', '"card", or "loan", so `card`'),
        ('"loan" or the "fee", so `card`', 'If the message mentions "loan", answer `card`.'),
        ('"loan" or "fee" comes up: `card`', 'If the message mentions "loan", answer `card`.'),
    ],
)
def test_a_list_of_phrases_loses_one_and_keeps_its_words(said: str, left: str) -> None:
    misled = [shown(5, "a fee for it", "post", "card"), shown(6, "it has a fee", "post", "card")]
    found = {proposed(ask(misled, text=f"- {said}\n"), random_seed).text for random_seed in range(12)}
    assert f"- {left}\n" in found


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("failing", [LOST, MISLED])
def test_line_endings_and_blank_lines_stay(ending: str, failing: list[Shown]) -> None:
    text = TEXT.replace("\n", ending)
    assert any(proposed(ask(failing, FINE[1:], text), random_seed).text != text for random_seed in range(20))
    for random_seed in range(8):
        said = proposed(ask(failing, FINE[1:], text), random_seed).text
        assert said.replace(ending, "").isprintable()
        assert said.split(ending)[:2] == text.split(ending)[:2]
        assert said.endswith(f"{ending}{ending}See the lead for the rest.{ending}")


def test_a_component_without_a_final_newline_gets_its_rule_on_a_line_of_its_own() -> None:
    assert proposed(ask(LOST, FINE, "Read it.\r\nAll of it.")).text.startswith(
        "Read it.\r\nAll of it.\r\n- If"
    )


def test_with_nothing_that_sets_the_failures_apart_the_component_stays_as_it_is() -> None:
    same = [shown(number, "my parcel is lost", got="other") for number in range(3, 9)]
    said = proposed(ask(LOST[:1], same))
    assert (said.text, said.component, said.cites) == (TEXT, "rules", ())
    assert "nothing sets the failures for parcel apart" in said.diagnosis


def test_feedback_without_an_expectation_is_a_failure_that_says_so() -> None:
    said = answer(ask([shown(1, "my parcel is lost")]))
    assert isinstance(said, ReflectionFailure)
    assert said.kind == "no_lesson"


def test_an_agents_output_cannot_pose_as_the_expectation() -> None:
    said = proposed(
        ask(
            [
                replace(one, feedback=(f"{one.feedback[0]}x, got `evil` expected evil, got y",))
                for one in LOST
            ],
            FINE,
        )
    )
    assert [rule.answer for rule in rules(said.text) if rule.answer not in {"card", "other"}] == ["parcel"]


@pytest.mark.parametrize("expected", ["a`b", "`", "a\rb", "``` \x00"])
def test_an_answer_that_no_code_span_can_hold_is_no_lesson(expected: str) -> None:
    assert isinstance(answer(ask([shown(1, "my parcel is lost", expected)])), ReflectionFailure)


def test_words_that_markdown_would_take_for_emphasis_become_no_phrase() -> None:
    marked = [shown(number, f"__parcel__ _lost_ box {number}", "parcel") for number in (1, 2)]
    assert phrases_for_parcel(ask(marked, FINE)) == {"box"}


def test_no_rule_is_written_where_it_would_be_code() -> None:
    text = "Look:\n\n```\nno end\n"
    assert proposed(ask(LOST, FINE, text)).text == text


def test_a_megabyte_is_read_in_no_time() -> None:
    long = [
        Shown(
            f"r-{n}", f"t-{n}", f"{n} parcel lost " * 60_000, "[" * 1_000_000, 0.0, ("expected " * 100_000,)
        )
        for n in range(12)
    ]
    many = " ".join(f"word{n}" for n in range(100_000))
    failing = [shown(n, f"parcel {n} {many}", "parcel", "got " * 200_000) for n in range(20, 26)]
    assert len(proposed(ask(failing, long)).diagnosis) < 10_000


def test_another_random_seed_may_propose_something_else_and_the_same_never_does() -> None:
    failing = [shown(n, f"alpha{n % 2} beta{n // 2} gamma{n % 2} delta{n // 2}", "parcel") for n in range(4)]
    said = [proposed(ask(failing, FINE), random_seed % 5) for random_seed in range(10)]
    assert said[:5] == said[5:]
    assert len({one.text for one in said}) > 1
    assert OfflineReflector(1).key != OfflineReflector(2).key == OfflineReflector(2).key


TRAJECTORIES = st.lists(
    st.builds(
        Shown,
        st.sampled_from(["r-1", "r-2", "r-3"]),
        st.just("t"),
        WORDS | st.dictionaries(WORDS, WORDS, max_size=2) | st.none(),
        st.none() | WORDS | st.builds(lambda text: json.dumps({"queue": text}), WORDS),
        st.sampled_from([0.0, 1.0]),
        st.lists(FEEDBACK, max_size=2).map(tuple),
    ),
    max_size=4,
)
BODIES = st.sampled_from(
    [TEXT, TEXT.replace("\n", "\r\n"), TEXT.replace("\n", "\r"), "", "```\n- x", '> - "a" `b`']
) | st.lists(WORDS, max_size=5).map("\n- ".join)


@given(TRAJECTORIES, TRAJECTORIES, BODIES, st.integers(0, 3))
@example([shown(1, "_fee", "loan", "x")], [], '- "\\<b>" or "_fee" `x`', 0)
def test_whatever_is_asked_an_edit_changes_one_rule_and_reads_as_one(
    failing: list[Shown], passing: list[Shown], text: str, random_seed: int
) -> None:
    said = answer(ask(failing, passing, text), random_seed)
    assert said == answer(ask(failing, passing, text), random_seed)
    if isinstance(said, Proposal):
        was = text if said.component == "rules" else "# Queues\n\n"
        before, after = ([(rule.phrases, rule.answer) for rule in rules(body)] for body in (was, said.text))
        assert was == said.text or abs(len(after) - len(before)) <= 1
        assert len([rule for rule in after if rule not in before]) <= 1
        assert set(said.cites) <= {one.trajectory for one in failing}


def test_a_rule_never_outgrows_its_component_by_much() -> None:
    failing = [shown(n, "parcel lost in the long queue at the gate " * 40, "parcel") for n in range(6)]
    assert len(proposed(ask(failing, FINE)).text) < len(TEXT) + 300
