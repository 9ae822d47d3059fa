from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.digest import digest
from runbookopt.documents.finding import Finding
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.usage import Spent, Usage, Used
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.trajectory import Left
from runbookopt.landing.bundle import (
    AgentUsed,
    Beside,
    Bundle,
    Change,
    Digests,
    HeldOutOutputs,
    MemberSummary,
    ValidationSummary,
    changed_lines,
    encode,
    models_by_role,
    read_bundle,
    seal,
    text_of,
    write_bundle,
)
from runbookopt.proof.allowance import Look
from runbookopt.proof.comparison import Comparison, ObjectiveChange

A, B = digest(b"a"), digest(b"b")

EXAMPLE = Bundle(
    run="run-1",
    version="0.1.0",
    runbook="support-triage",
    path="runbooks/support-triage/RUNBOOK.md",
    base="0" * 40,
    patch="@@ -1 +1 @@\n-old\n+new\n",
    candidate="new\n",
    digests=Digests(A, B, A, None, A),
    agent=AgentUsed("offline", A, deterministic=True),
    models=(),
    offline=True,
    random_seed=0,
    changes=(Change("rules", "the rule is too wide", ("t-1", "t-2")),),
    members=(MemberSummary(B, (A,), 1, 0.75, 4, 2),),
    chosen=B,
    validation=ValidationSummary(40, 0.5, 0.75, 0.01),
    candidates=3,
    reflected_on=("t-1", "t-2"),
    look=Look(A, "support-triage", A, B, A, A, (A,), {B: A}, ("task",)),
    outputs=(HeldOutOutputs(B, A, (None,), ('{"queue": "x"}',)),),
    outcome="accepted",
    comparison=Comparison(
        60, 60, 0.5, 0.75, 0.25, 0.1, 0.4, 0.001, "accepted", (), {"accuracy": ObjectiveChange(0, 1, 0, 1)},
        None, 30, 0.0,
    ),
    spent=Spent(10, 2, 1),
    settings={"budget.rollouts": 900},
)  # fmt: skip

JUDGED = msgspec.structs.replace(
    EXAMPLE,
    models=("agent: openai/gpt-5", "judge: openai/gpt-5-mini"),
    spent=Spent(10, 2, 1, usage=Used(judge=Usage(3, 900, 300, 20, None, {"timeout": 1}))),
    outputs=(
        HeldOutOutputs(
            B,
            A,
            ("a",),
            ("b",),
            (Beside({"kind": Finding("fail", "It is not.")}),),
            (Beside({"kind": Finding("pass")}, Left(0, 1.5, ("a.txt",), ({"source": "agent"},))),),
        ),
    ),
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(WORDS, WORDS, NUMBERS, st.lists(WORDS), st.integers(-5, 5))
def test_what_was_sealed_is_what_is_read(
    text: str, output: str, number: float, ids: list[str], seed: int
) -> None:
    bundle = msgspec.structs.replace(
        EXAMPLE,
        candidate=text,
        outputs=(HeldOutOutputs(B, A, (output, None), (text,)),),
        validation=ValidationSummary(1, number, number, 0),
        reflected_on=tuple(ids),
        random_seed=seed,
    )
    sealed = seal(bundle)
    assert read_bundle(encode(sealed), "b.json") == sealed
    assert seal(sealed) == sealed


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    """Give the path of each scalar in a JSON value."""
    if isinstance(value, dict | list) and value:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def changed(value: object) -> object:
    if isinstance(value, str):
        return {"accepted": "rejected"}.get(value, value.replace("0", "1") if "0" in value else value + "0")
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "x" if value is None else None


@pytest.mark.parametrize("path", list(leaves(msgspec.json.decode(encode(seal(JUDGED))))), ids=str)
def test_a_change_to_any_field_is_found(path: tuple[Any, ...]) -> None:
    raw = msgspec.json.decode(encode(seal(JUDGED)))
    *way, last = path
    place = raw
    for key in way:
        place = place[key]
    place[last] = changed(place[last])
    with pytest.raises(MalformedFile):
        read_bundle(msgspec.json.encode(raw, order="sorted"), "b.json")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"\n",
        lambda data: data.replace(b'"run":', b'"more":1,"run":'),
        lambda data: data.replace(b'"run":', b'"run":"first","run":'),
        lambda data: data[:-1],
        lambda _: b"[]",
        lambda _: b"\xff",
        lambda _: b"[" * 100_000,
    ],
    ids=["newline", "unknown key", "key twice", "cut", "no object", "no UTF-8", "deep"],
)
def test_bytes_that_were_not_sealed_are_no_bundle(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedFile, match=r"^b\.json: "):
        read_bundle(spoil(encode(seal(EXAMPLE))), "b.json")


def test_what_stands_beside_the_outputs_is_read_back() -> None:
    sealed = seal(JUDGED)
    assert read_bundle(encode(sealed), "b.json") == sealed
    assert sealed.outputs == JUDGED.outputs
    assert models_by_role(sealed) == {"agent": "openai/gpt-5", "judge": "openai/gpt-5-mini"}


def test_a_bundle_of_the_format_before_is_what_it_was_and_is_read() -> None:
    before = seal(msgspec.structs.replace(EXAMPLE, format="runbookopt-bundle/1"))
    assert before.digest == "sha256:055dc87f74f5093feff28a7e1759715ac3388c6330fd392d97003331fe2dafa4"
    assert read_bundle(encode(before), "b.json") == before


@pytest.mark.parametrize(("number", "text"), [(1, "1.0.1"), (2, "1.0.0")])
def test_only_the_format_before_lacks_the_next_version_in_its_candidate(number: int, text: str) -> None:
    candidate, made_as = "---\nversion: 1.0.0\n---\nRules\n", f"runbookopt-bundle/{number}"
    bundle = msgspec.structs.replace(EXAMPLE, candidate=candidate, format=made_as)
    assert text_of(bundle) == candidate.replace("1.0.0", text)


@pytest.mark.parametrize("side", ["before", "after"])
def test_what_stands_beside_no_output_is_refused(side: str) -> None:
    found = msgspec.structs.replace(JUDGED.outputs[0], **{f"beside_{side}": (Beside(), Beside())})
    data = encode(seal(msgspec.structs.replace(JUDGED, outputs=(found,))))
    with pytest.raises(MalformedFile, match=rf"outputs\[0\]\.beside_{side}: expected 1, one an output"):
        read_bundle(data, "b.json")


def test_another_format_is_named() -> None:
    data = encode(seal(EXAMPLE)).replace(b"runbookopt-bundle/2", b"runbookopt-bundle/3")
    expected = r"expected 'runbookopt-bundle/2' or 'runbookopt-bundle/1', got 'runbookopt-bundle/3'"
    with pytest.raises(MalformedFile, match=expected):
        read_bundle(data, "b.json")


@pytest.mark.parametrize(
    "path", ["../x.md", "/etc/passwd", "-x.md", "a//b.md", ".git/config", "a\\b", "a\nb", ""]
)
def test_a_path_out_of_the_repository_is_refused(path: str) -> None:
    for key in ("path", "runbook"):
        with pytest.raises(MalformedFile, match=f"{key}: expected a path inside the repository"):
            read_bundle(encode(seal(msgspec.structs.replace(EXAMPLE, **{key: path}))), "b.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": "--upload-pack=x"},
        {"validation": ValidationSummary(1, float("nan"), 0, 0)},
        {"outputs": (HeldOutOutputs(B, "the machine ate my card", (), ()),)},
    ],
    ids=["base", "not a number", "group in clear"],
)
def test_values_that_do_not_fit_cannot_be_sealed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        seal(msgspec.structs.replace(EXAMPLE, **wrong))


def test_a_bundle_is_written_whole_under_its_digest(tmp_path: Path) -> None:
    sealed = seal(EXAMPLE)
    path = write_bundle(sealed, tmp_path)
    assert path == tmp_path / "bundles" / f"{sealed.digest.removeprefix('sha256:')}.json"
    assert read_bundle(path.read_bytes(), str(path)) == sealed
    assert write_bundle(sealed, tmp_path) == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    sealed = seal(EXAMPLE)
    (tmp_path / "bundles" / f"{sealed.digest.removeprefix('sha256:')}.json").mkdir(parents=True)
    with pytest.raises(RunbookoptError, match="cannot be written"):
        write_bundle(sealed, tmp_path)
    assert len(list((tmp_path / "bundles").iterdir())) == 1


def test_the_lines_of_a_patch_are_told_with_their_numbers() -> None:
    patch = (
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -2,3 +2,3 @@ ## A\n same\n--- old\n+++ new\n same\r\n"
        "@@ -10 +10,2 @@\n-a\n\\ No newline at end of file\n+b\n+c\n"
    )
    found = [(line.added, line.number, line.text) for line in changed_lines(patch)]
    assert found == [
        (False, 3, "-- old"),
        (True, 3, "++ new"),
        (False, 10, "a"),
        (True, 10, "b"),
        (True, 11, "c"),
    ]
