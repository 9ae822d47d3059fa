"""JSON Schemas of the files that people write: as editors read them, offline, where `init` puts them."""

from json import dumps

from runbookopt.documents.schema_errors import json_schema
from runbookopt.documents.settings import SettingsFile
from runbookopt.evidence.trajectory import Trajectory
from runbookopt.project.policy import Policy
from runbookopt.verifier.rubric import Rubric

RECORDS = {"rubric": Rubric, "policy": Policy, "settings": SettingsFile, "trajectory": Trajectory}
"""What is read of each file."""

FOLDER = ".github/runbookopt-schemas"
"""Where `init` puts those that the first lines of YAML files name."""

IN_YAML = ("policy", "rubric", "settings")


def schema_text(name: str) -> str:
    """The JSON Schema of a kind of file. Raises KeyError."""
    described = {**json_schema(RECORDS[name]), "title": f"runbookopt {name}"}
    return dumps(described, indent=2, ensure_ascii=False)
