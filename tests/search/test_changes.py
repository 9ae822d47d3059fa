import pytest

from runbookopt.search.changes import applies, contributes, difference, stands

TEXT = "## Lessons\n\n- Be kind.\n- Be quick.\n\n"


def change(old: str, new: str, text: str = TEXT) -> str:
    return difference(text, text.replace(old, new))


ADDED, CHANGED, GONE = (
    change("- Be quick.\n", "- Be quick.\n- Be early.\n"),
    change("quick", "quicker"),
    change("- Be kind.\n", ""),
)


@pytest.mark.parametrize(
    ("text", "standing"),
    [
        (TEXT, []),
        (TEXT.replace("- Be quick.\n", "- Be quick.\n- Be early.\n"), [ADDED]),
        (TEXT.replace("quick", "quicker"), [CHANGED]),
        (TEXT.replace("- Be kind.\n", ""), [GONE]),
        (TEXT.replace("quick", "quickest"), []),
    ],
)
def test_an_edit_is_in_a_text_that_has_its_lines(text: str, standing: list[str]) -> None:
    assert [each for each in (ADDED, CHANGED, GONE) if stands(each, text)] == standing
    assert not stands("", text)


def test_an_edit_is_one_of_a_text_that_has_the_lines_around_it() -> None:
    assert applies(CHANGED, TEXT)
    assert not applies(CHANGED, TEXT.replace("quick", "quicker"))
    assert not applies(CHANGED, None)


def test_the_reasons_of_a_diff_are_those_of_edits_that_it_has_something_of() -> None:
    now = TEXT.replace("- Be quick.\n", "- Be quickest.\n- Be early.\n")
    whole = difference(TEXT, now)
    later = difference(TEXT.replace("quick", "quicker"), now)
    assert [contributes(each, whole) for each in (ADDED, CHANGED, later, GONE, "")] == [
        True,
        False,
        True,
        False,
        False,
    ]
