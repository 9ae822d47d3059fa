import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from runbookopt.cli.schema import KNOWN, schema
from runbookopt.documents.parse import read_plain_yaml
from runbookopt.errors import WrongUsage
from runbookopt.jobs.scaffold import Choices, pieces, put
from runbookopt.jobs.scaffold.schemas import RECORDS

ROOT = Path(__file__).parents[2]


def printed(name: str) -> dict[str, object]:
    app = typer.Typer()
    app.command()(schema)
    found: dict[str, object] = json.loads(CliRunner().invoke(app, [name]).stdout)
    return found


@pytest.mark.parametrize("name", KNOWN)
def test_each_schema_is_one_and_says_what_it_is_of(name: str) -> None:
    found = printed(name)
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["title"] == f"runbookopt {name}"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("rubric", "runbooks/*/rubric.yaml"),
        ("policy", "runbooks/*/policy.yaml"),
        ("settings", "runbookopt.yaml"),
    ],
)
def test_our_own_files_are_valid_against_the_printed_schema(name: str, pattern: str) -> None:
    validator = Draft202012Validator(printed(name))
    paths = sorted(ROOT.glob(pattern))
    assert paths
    for path in paths:
        validator.validate(read_plain_yaml(path.read_bytes(), path.name))


def test_our_own_trajectories_are_valid_against_the_printed_schema() -> None:
    validator = Draft202012Validator(printed("trajectory"))
    for path in sorted(ROOT.glob("trajectories/*/*[!s].jsonl")):
        validator.validate(json.loads(path.read_text().splitlines()[0]))


def test_an_unknown_name_is_wrong_usage_with_the_known_ones() -> None:
    with pytest.raises(
        WrongUsage, match=r"did you mean 'rubric'\?\): expected one of rubric, policy, settings, traj"
    ):
        schema("rubrik")


def test_the_files_of_init_name_a_schema_that_lies_where_they_say_and_that_they_fit(tmp_path: Path) -> None:
    for piece in pieces(tmp_path, Choices(("ana",), "runbookopt==0.1.0")):
        put(tmp_path, piece)
    named = {}
    for path in (*tmp_path.rglob("runbookopt.yaml"), *tmp_path.glob("runbooks/*/*.yaml")):
        first = path.read_text().partition("\n")[0]
        schema = (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()
        named[path.name] = schema.relative_to(tmp_path.resolve()).as_posix()
        validator = Draft202012Validator(json.loads(schema.read_text()))
        validator.validate(read_plain_yaml(path.read_bytes(), path.name))
        assert not validator.is_valid({"no such key": 1})
    assert named == {
        "runbookopt.yaml": ".github/runbookopt-schemas/settings.json",
        "rubric.yaml": ".github/runbookopt-schemas/rubric.json",
        "policy.yaml": ".github/runbookopt-schemas/policy.json",
    }


def test_a_schema_is_the_same_text_whatever_was_imported_before() -> None:
    known = {}
    for first in ("runbookopt.verifier.rubric", "runbookopt.project.policy"):
        program = f"import {first}; from runbookopt.jobs.scaffold import schemas as s"
        program += "; print([*map(s.schema_text, s.RECORDS)])"
        known[first] = subprocess.check_output([sys.executable, "-c", program])
    assert tuple(RECORDS) == KNOWN
    assert len({*known.values()}) == 1
