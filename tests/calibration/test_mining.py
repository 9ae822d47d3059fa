import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbookopt.calibration.agreement import mcc
from runbookopt.calibration.mining import Example, against_references, rules
from runbookopt.calibration.mining import given as said_by
from runbookopt.verifier.checks import (
    Contains,
    Equals,
    MaxChars,
    NotContains,
    OneOf,
    OutputCheck,
    Regex,
    StartsWith,
)

SENTENCE = "the order left our store and the courier has it now please wait a little we will write"
WORDS = SENTENCE.split()


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(8, 20))) for _ in range(count)]


def examples(failing: list[str], passing: list[str]) -> list[Example]:
    return [Example(text, failed=True) for text in failing] + [
        Example(text, failed=False) for text in passing
    ]


def best(kind: type[OutputCheck], of: list[Example]) -> OutputCheck:
    return next(each.check for each in rules(of) if isinstance(each.check, kind))


def test_a_phrase_that_only_failures_hold_is_not_to_be_there() -> None:
    mined = examples([f"{text}, guaranteed by us" for text in texts(6, 1)], texts(6, 2))
    assert best(NotContains, mined) == NotContains(value="guaranteed by us")


def test_several_phrases_are_listed_where_each_adds_to_it() -> None:
    failing = [f"{text}, guaranteed" for text in texts(5, 1)] + [
        f"{text}, on my honour" for text in texts(5, 2)
    ]
    check = best(NotContains, examples(failing, texts(10, 3)))
    assert isinstance(check, NotContains)
    assert set(check.values or ()) == {"guaranteed", "on my honour"}


def test_what_every_good_answer_says_has_to_be_there() -> None:
    mined = examples(texts(6, 1), [f"{text}. Kind regards" for text in texts(6, 2)])
    assert best(Contains, mined) == Contains(value="Kind regards")


def test_what_every_good_answer_begins_with_has_to_begin_it() -> None:
    mined = examples(texts(6, 1), [f"Dear Ana, {text}" for text in texts(6, 2)])
    assert best(StartsWith, mined) == StartsWith(value="Dear Ana")


def test_what_is_too_long_is_told_by_its_length() -> None:
    mined = examples(["word " * 60 for _ in range(5)], [text[:40] for text in texts(5, 2)])
    check = best(MaxChars, mined)
    assert isinstance(check, MaxChars)
    assert check.value <= 40


def test_a_form_is_told_by_a_regular_expression() -> None:
    rng = random.Random(3)
    mined = examples([f"{text} {rng.randint(10, 99)}" for text in texts(6, 1)], texts(6, 2))
    check = best(Regex, mined)
    assert isinstance(check, Regex)
    assert not re.search(check.value, "it costs 12")
    assert re.search(check.value, "it costs\nnothing")


def test_a_field_of_an_answer_in_json_is_looked_at_by_its_path() -> None:
    failing = ['{"queue": "cards", "reason": "no rule matches"}' for _ in range(5)]
    passing = [f'{{"queue": "cards", "reason": "matched {word}"}}' for word in WORDS[:5]]
    assert best(NotContains, examples(failing, passing)) == NotContains(
        path="$.reason", value="no rule matches"
    )


def test_values_of_a_field_are_listed_as_people_would_write_them() -> None:
    failing = ['{"reason": "by a+b"}', '{"reason": "by c - d"}'] * 4
    passing = [f'{{"reason": "by a+b, c - d {at % 2}"}}' for at in range(8)]
    check = best(Regex, examples(failing, passing))
    assert isinstance(check, Regex)
    assert "\\ " not in check.value
    assert [bool(re.search(check.value, text)) for text in ("by a+b", "by c - d", "by a+b, c - d 1")] == [
        False,
        False,
        True,
    ]


def test_what_a_reference_tells_is_held_against_it() -> None:
    mined = [
        Example(
            f'{{"queue": "{answer}"}}', failed=answer != right, reference={"queue": right, "safe": [right]}
        )
        for answer, right in zip("abcdabcd", "abcdbcda", strict=True)
    ]
    checks = [each.check for each in against_references(mined)]
    assert checks[0] == Equals(path="$.queue", reference="$.queue")
    assert OneOf(path="$.queue", reference="$.safe") in checks


def test_nothing_is_mined_of_two_failures_or_of_outputs_that_are_all_alike() -> None:
    assert rules(examples(texts(2, 1), texts(9, 2))) == ()
    assert rules(examples(["the same"] * 5, ["the same"] * 5)) == ()


@settings(deadline=None, max_examples=8)
@given(st.lists(st.tuples(st.text(max_size=60), st.booleans()), min_size=6, max_size=14))
def test_whatever_the_outputs_hold_each_rule_does_on_them_what_it_says(drawn: list[tuple[str, bool]]) -> None:
    mined = [Example(text, failed=failed) for text, failed in drawn]
    for rule in rules(mined):
        table = rule.on_examples
        caught = sum(said_by(rule.check, each) == "fail" for each in mined if each.failed)
        assert caught == table.tn
        assert (mcc(table) or 0) >= rule.score > 0


@pytest.mark.parametrize("output", ["a" * 200_000, "\n" * 200_000, "a@" * 100_000, "(" * 5_000, "[" * 5_000])
def test_a_hostile_output_is_mined_in_passing(output: str) -> None:
    assert isinstance(rules(examples([output] * 3, texts(4, 1))), tuple)
