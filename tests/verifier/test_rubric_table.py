import pytest

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.parse import MalformedFile
from runbookopt.verifier.rubric_table import read_rubric_table

FRONT = "---\njudge: openai/gpt-5\n---\n"
TABLE = """## Rubric (how it is judged)

| # | Criterion | 5 (Excellent) | 3 (Acceptable) | 1 (Poor) | Pass threshold |
|---|---|---|---|---|---|
| 1 | **Evidence** | cites `ids` | some | none | >= 3 |
| 2 | Evidence | a | b | c | |
| 3 | {Criterion} | a | b | c | |
"""


def test_each_row_asks_for_a_mark_and_names_the_one_that_passes() -> None:
    rubric = read_rubric_table(runbooks.parse(FRONT + TABLE), "RUNBOOK.md")
    assert rubric is not None
    assert rubric.judge is not None
    assert rubric.judge.model == "openai/gpt-5"
    first, second = rubric.criteria
    assert (first.id, first.statement, second.id) == ("evidence", "Evidence", "evidence-2")
    assert first.judge == (
        'Give the output a mark for "Evidence". What earns which mark:\n5: cites ids\n3: some\n1: none\n'
        "Is the mark at least 3?"
    )
    assert str(second.judge).endswith("Is the mark at least 4?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TABLE, "RUNBOOK.md:3: 2 criteria are read from this table, .* nobody judges by them"),
        (FRONT + TABLE + TABLE, "there is another one in line 13"),
        (
            FRONT + TABLE.replace("Rubric (how it is judged)", "Quality"),
            "a search may rewrite it: add .*Quality",
        ),
        (
            FRONT.replace("openai/gpt-5", "{model: openai/x, votes: 2}") + TABLE,
            "front matter: votes: expected",
        ),
        (
            FRONT + TABLE.split("| 1 |", maxsplit=1)[0] + "| 1 | {A} | b | c | d | |\n",
            "that is no placeholder",
        ),
    ],
)
def test_a_table_that_cannot_be_the_rubric_says_why(text: str, words: str) -> None:
    with pytest.raises(MalformedFile, match=words):
        read_rubric_table(runbooks.parse(text), "RUNBOOK.md")


@pytest.mark.parametrize(
    "text", ["", "## Rubric\n\n| Criterion | Why |\n|---|---|\n| a | b |\n", f"```\n{TABLE}```"]
)
def test_other_tables_are_no_rubric(text: str) -> None:
    assert read_rubric_table(runbooks.parse(text), "RUNBOOK.md") is None
