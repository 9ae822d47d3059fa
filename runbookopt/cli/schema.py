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

    Editors complete and check the YAML files with it: the first lines of those that `init` writes name it.
    """
    from runbookopt.documents.schema_errors import nearest, plain
    from runbookopt.errors import WrongUsage
    from runbookopt.jobs.scaffold.schemas import schema_text

    if name not in KNOWN:
        raise WrongUsage(
            f"no schema '{plain(name)}'{nearest(name, KNOWN)}: expected one of {', '.join(KNOWN)}"
        )
    print(schema_text(name))
