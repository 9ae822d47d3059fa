"""Which program is run as the agent and how, as settings: what runbookopt.yaml says of one."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1)]
Argv = Annotated[tuple[Text, ...], Meta(min_length=1)]
Variables = tuple[
    Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a variable's name")], ...
]
PlainName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="a file's name")]
Output = Annotated[
    str,
    Meta(
        pattern=r"^(stdout|results(/[A-Za-z0-9][A-Za-z0-9._-]*)*)$",
        description="stdout, results, or a file such as results/answer.txt",
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Bytes = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Processes = Annotated[int, Meta(ge=1, le=100_000)]
Megabytes = Annotated[int, Meta(ge=1)]
Isolation = Literal["bwrap"]


class CommandSettings(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="command"):
    """How to run an agent program; docs/agents.md says what it is handed and what may come back.

    `argv` is a template; `environment` names the variables that are passed on, besides those that every
    program gets; `sources` are globs of files in the repository that its answers depend on.
    """

    argv: Argv
    output: Output = "stdout"
    transcript: Text | None = None
    runbook_file: PlainName = "RUNBOOK.md"
    environment: Variables = ()
    sources: tuple[Text, ...] = ()
    seconds: Seconds = 600.0
    output_bytes: Bytes = 10_000_000
    processes: Processes = 128
    memory_megabytes: Megabytes | None = None
    isolate: Isolation | None = None
    deterministic: bool = False
