import pytest

from runbookopt.search.asks import Attempt
from runbookopt.search.reflecting.nearest import nearest

INPUTS = {
    "f": "book a table for two",
    "g": "book me a table at eight",
    "given far": "i want a room",
    "given near": "book a room for two",
    "wanted": "is there a table for us",
    "other near": "book a flight for two",
    "other far": "what is my balance",
}
ANSWERS = {"given far": "hotel", "given near": "hotel", "wanted": "restaurant"}


def attempts(*, alike: bool = True) -> dict[str, Attempt]:
    """Attempts at all of them: the failing ones want a restaurant and got a hotel, the others pass."""
    failing = ("right: expected restaurant, got hotel" if alike else "It should have asked when.",)
    made = {}
    for task in INPUTS:
        output = f'{{"answer": "{ANSWERS.get(task, "hotel" if len(task) == 1 else "bank")}"}}'
        made[task] = Attempt(task, output if alike else task, 1.0, {}, failing if len(task) == 1 else ())
    return made


def test_by_turns_those_of_the_answer_given_of_the_one_wanted_and_of_others_the_nearest_first() -> None:
    assert nearest(INPUTS, attempts(), ("f", "g"), 9) == (
        "given near",
        "wanted",
        "other near",
        "given far",
        "other far",
    )


def test_where_answers_are_never_alike_words_decide() -> None:
    found = nearest(INPUTS, attempts(alike=False), ("f", "g"), 2)
    assert set(found) <= {"given near", "other near", "wanted"}
    assert nearest(INPUTS, attempts(alike=False), ("f",), 9)[-1] == "other far"


@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_more_are_given_than_are_asked_for_and_none_that_fails(most: int) -> None:
    assert len(nearest(INPUTS, attempts(), ("f",), most)) == most
    assert not {"f", "g"} & {*nearest(INPUTS, attempts(), ("f",), 9)}
