import json
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from runbookopt.cli.schema import KNOWN, schema
from runbookopt.documents.parse import read_plain_yaml
from runbookopt.errors import WrongUsage

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
