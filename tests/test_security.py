"""SECURITY.md promises what tests hold: each test that it names is there."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_every_test_that_the_promises_name_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (PROJECT / "SECURITY.md").read_text())
    assert len(named) > 60
    lacking = [(path, test) for path, test in named if f"def {test}(" not in (PROJECT / path).read_text()]
    assert lacking == []
