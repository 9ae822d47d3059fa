"""`runbookopt schema`: the JSON Schema of each file that a user writes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

KNOWN = ("rubric", "policy", "settings", "trajectory")


def schema(
    name: Annotated[
        str, typer.Argument(help=f"One of {', '.join(KNOWN)}.", metavar="NAME", show_default=False)
    ],
) -> None:
    """Print the JSON Schema of rubric.yaml, policy.yaml, runbookopt.yaml or one line of trajectories.

    Editors complete and check the YAML files with it.
    """
    from runbookopt.documents.schema_errors import json_schema, nearest, plain
    from runbookopt.errors import WrongUsage

    if name not in KNOWN:
        raise WrongUsage(
            f"no schema '{plain(name)}'{nearest(name, KNOWN)}: expected one of {', '.join(KNOWN)}"
        )
    from json import dumps

    written: Mapping[str, Any] = json_schema(_record(name))
    print(dumps({**written, "title": f"runbookopt {name}"}, indent=2, ensure_ascii=False))


def _record(name: str) -> type:
    from runbookopt.documents.settings import SettingsFile
    from runbookopt.evidence.trajectory import Trajectory
    from runbookopt.project.policy import Policy
    from runbookopt.verifier.rubric import Rubric

    return {"rubric": Rubric, "policy": Policy, "settings": SettingsFile, "trajectory": Trajectory}[name]
