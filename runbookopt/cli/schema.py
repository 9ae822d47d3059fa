"""`runbookopt schema`: the JSON Schema of each file that a user writes."""

from typing import Annotated

import typer

KNOWN = ("rubric", "policy", "settings", "trajectory")


def schema(
    name: Annotated[
        str, typer.Argument(help=f"One of {', '.join(KNOWN)}.", metavar="NAME", show_default=False)
    ],
) -> None:
    """Print the JSON Schema of rubric.yaml, policy.yaml, runbookopt.yaml or one line of trajectories.

    Editors complete and check the YAML files with it.
    """
    from json import dumps

    # first, since typing keeps the first of two equal types, and schemas print its bounds: 0.0, not 0
    from runbookopt.evidence.trajectory import Trajectory
    from runbookopt.project.policy import Policy

    # isort: split
    from runbookopt.documents.schema_errors import json_schema, nearest, plain
    from runbookopt.documents.settings import SettingsFile
    from runbookopt.errors import WrongUsage
    from runbookopt.verifier.rubric import Rubric

    if name not in KNOWN:
        raise WrongUsage(
            f"no schema '{plain(name)}'{nearest(name, KNOWN)}: expected one of {', '.join(KNOWN)}"
        )
    records = dict(zip(KNOWN, (Rubric, Policy, SettingsFile, Trajectory), strict=True))
    described = {**json_schema(records[name]), "title": f"runbookopt {name}"}
    print(dumps(described, indent=2, ensure_ascii=False))
