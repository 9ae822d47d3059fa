from hypothesis import given
from hypothesis import strategies as st

from runbookopt.search.crossover import Crossed, Rewrite, crossover

LINES = st.lists(st.sampled_from(["a", "b", "- rule", "", "  x", "\u2028y"]), max_size=8)
TEXTS = LINES.map("\n".join)
BASE = "intro\n- one\n- two\nend\n"


@given(TEXTS)
def test_crossover_of_a_text_with_itself_is_itself(text: str) -> None:
    assert crossover(text, [Rewrite(text, 1), Rewrite(text, 2)]).text == text


@given(TEXTS, TEXTS)
def test_one_edit_alone_gives_that_edit(base: str, text: str) -> None:
    assert crossover(base, [Rewrite(text, 1)]) == Crossed(text)


@given(TEXTS, st.lists(st.tuples(TEXTS, st.integers(0, 3)), max_size=4), st.randoms())
def test_the_order_of_edits_does_not_matter(base: str, edits: list[tuple[str, int]], rng: object) -> None:
    rewrites = [Rewrite(text, failures) for text, failures in edits]
    shuffled = list(rewrites)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert crossover(base, rewrites).text == crossover(base, shuffled).text


def test_insertions_at_the_same_place_both_stay_and_equal_ones_stay_once() -> None:
    first = Rewrite("intro\n- one\n- two\n- three\nend\n", 1)
    second = Rewrite("intro\n- one\n- two\n- four\n- three\nend\n", 1)
    combined = crossover(BASE, [first, second]).text.splitlines()
    assert sorted(combined[3:-1]) == ["- four", "- three"]
    assert combined[:3] + combined[-1:] == BASE.splitlines()


def test_of_two_changes_of_one_line_the_one_from_more_failures_is_taken() -> None:
    loser = Rewrite("intro\n- ONE\n- two\nend, too\n", 1)
    winner = Rewrite("intro\n- 1\n- two\nend\n", 2)
    assert crossover(BASE, [loser, winner]) == Crossed("intro\n- 1\n- two\nend, too\n", lost=(0,))


def test_an_insertion_inside_what_another_edit_rewrites_is_kept_behind_it() -> None:
    rewriting = Rewrite("intro\n- both\nend\n", 2)
    inserting = Rewrite("intro\n- one\n- between\n- two\nend\n", 1)
    assert crossover(BASE, [rewriting, inserting]) == Crossed("intro\n- both\n- between\nend\n")
