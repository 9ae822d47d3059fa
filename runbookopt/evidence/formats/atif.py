"""ATIF, the Agent Trajectory Interchange Format: one JSON document with `schema_version` and `steps`.

https://github.com/laude-institute/harbor/blob/main/docs/rfcs/0001-trajectory-format.md
"""

from collections.abc import Sequence
from typing import Any


def steps(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The steps of this trajectory, without those copied from an earlier one; None where it is none."""
    if len(records) != 1 or not str(records[0].get("schema_version")).startswith("ATIF-"):
        return None
    listed = records[0].get("steps")
    if not isinstance(listed, list):
        return None
    return [step for step in listed if isinstance(step, dict) and not step.get("is_copied_context")]
