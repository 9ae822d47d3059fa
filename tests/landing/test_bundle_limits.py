"""Limits of bundles: nobody reads, keeps or seals one above them, and a proof's attempts always fit."""

from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile
from runbookopt.evidence.trajectory import Left
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import Bundle, encode, read_bundle, seal, write_bundle
from runbookopt.landing.bundle_limits import (
    LEAST_SHARE,
    MOST_BESIDE_OUTPUTS,
    MOST_BYTES,
    MOST_OUTPUT,
    MOST_TEXT,
    no_room,
    share,
)
from runbookopt.landing.paired_outputs import why_too_large
from runbookopt.verifier.rubric import read_rubric

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

PROGRAM = b"criteria:\n- {id: a, check: {kind: python, function: 'checks.a:b'}}\n"
PLAIN = b"criteria:\n- {id: a, check: {kind: equals, value: x}}\n"


@pytest.fixture
def bundle(repo: "Callable[..., Clone]", first_half: ModuleType) -> Bundle:
    clone = repo(first_half.files())
    with Repository.open(clone.root) as repository:
        made: Bundle = first_half.FirstHalf(repository)()
    return made


def with_output(bundle: Bundle, text: str) -> Bundle:
    first, *others = bundle.outputs
    return replace(bundle, outputs=(replace(first, before=(text, *first.before[1:])), *others))


def test_what_is_as_large_as_the_limits_is_a_bundle(bundle: Bundle) -> None:
    largest = seal(with_output(replace(bundle, candidate="é" * (MOST_TEXT // 2)), "x" * MOST_OUTPUT))
    assert read_bundle(encode(largest), "b") == largest


@pytest.mark.parametrize("kind", ["output", "candidate", "diagnosis", "setting", "id"])
def test_what_is_larger_than_the_limits_is_no_bundle(bundle: Bundle, tmp_path: "Path", kind: str) -> None:
    changed = {
        "output": lambda: with_output(bundle, "x" * (MOST_OUTPUT + 1)),
        "candidate": lambda: replace(bundle, candidate="é" * (MOST_TEXT // 2 + 1)),
        "diagnosis": lambda: replace(
            bundle, changes=tuple(replace(each, diagnosis="x" * (MOST_TEXT + 1)) for each in bundle.changes)
        ),
        "setting": lambda: replace(bundle, settings={"agent.model": "x" * (MOST_TEXT + 1)}),
        "id": lambda: replace(bundle, reflected_on=("x" * (MOST_TEXT + 1),)),
    }[kind]()
    large = seal(changed)
    with pytest.raises(MalformedFile, match=r"bytes, and at most [\d,]+ are taken"):
        read_bundle(encode(large), "b")
    with pytest.raises(MalformedFile):
        write_bundle(large, tmp_path)
    assert not (tmp_path / "bundles").exists()


def test_more_than_all_is_not_even_read(bundle: Bundle) -> None:
    with pytest.raises(MalformedFile, match="more than 67,108,864 bytes"):
        read_bundle(encode(bundle) + b" " * MOST_BYTES, "b")


@pytest.mark.parametrize("attempts", [2, 100, 1_000, 20_000])
def test_attempts_that_are_taken_always_fit_into_one_bundle(attempts: int) -> None:
    assert attempts * share(attempts) + MOST_BESIDE_OUTPUTS <= MOST_BYTES or attempts < 1_000
    assert share(attempts) >= LEAST_SHARE
    rubric = read_rubric(PLAIN, "rubric.yaml")
    room = share(attempts)
    fitting = "x" * min(MOST_OUTPUT, room - 2)
    assert why_too_large(rubric, fitting, None, attempts) is None
    assert why_too_large(rubric, fitting + "x", None, attempts) is not None
    assert why_too_large(rubric, None, None, attempts) is None


def test_control_characters_count_as_they_are_written() -> None:
    rubric = read_rubric(PLAIN, "rubric.yaml")
    text = "\0" * (share(2_000) // 2)
    assert len(msgspec.json.encode(text)) > share(2_000)
    assert "has room for" in (why_too_large(rubric, text, None, 2_000) or "")


def test_what_is_left_counts_where_a_check_looks_at_it() -> None:
    left = Left(exit_code=0, steps=({"source": "agent", "message": "x" * MOST_TEXT},))
    assert why_too_large(read_rubric(PLAIN, "rubric.yaml"), "x", left, 100) is None
    why = why_too_large(read_rubric(PROGRAM, "rubric.yaml"), "x", left, 100)
    assert "what is left beside the output has " in (why or "")


def test_what_could_not_be_held_is_known_before_a_look() -> None:
    assert no_room("x" * MOST_TEXT, ["y"]) is None
    assert "262,145 bytes" in (no_room("x" * (MOST_TEXT + 1)) or "")
    assert "beside its outputs" in (no_room(["x" * MOST_TEXT] * 40) or "")
