"""Flags that several commands share, and the settings that they are laid over."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt import __version__
from runbookopt.cli import custody
from runbookopt.errors import WrongUsage

if TYPE_CHECKING:
    from runbookopt.documents.settings import Settings
    from runbookopt.evidence.library import Source
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge

CONTEXT = {"help_option_names": ["-h", "--help"]}


def group(name: str, help_: str | None = None, *, completes: bool = False) -> typer.Typer:
    """A program, or a group of commands in it; `completes` is a program that shells can complete."""
    return typer.Typer(
        name=name,
        help=help_,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=completes,
        no_args_is_help=True,
        context_settings=CONTEXT,
    )


def runbooks_here(incomplete: str) -> list[str]:
    """The runbooks of the repository around whose names begin so, for shells; none where none are told."""
    from runbookopt.cli.root import names_here, whole_here
    from runbookopt.errors import RunbookoptError

    with suppress(RunbookoptError, OSError):
        return [name for name in names_here(whole_here()) if name.startswith(incomplete)]
    return []


Flags = Mapping[str, str | int | float | None]
"""What was given, by dotted key of runbookopt.yaml; None is not given."""

SETTINGS: Mapping[str, tuple[type[str | int | float], str]] = {
    "agent.kind": (str, "Who works on the tasks: offline, chat, command or handoff."),
    "agent.model": (str, "The agent's model, such as openai/gpt-5-mini."),
    "agent.field": (str, "The field of the output that holds the answer."),
    "agent.noise": (float, "Share of the answers that err at random."),
    "reflector.kind": (str, "Who reads the failures: offline, model or handoff."),
    "reflector.model": (str, "The reflector's model; by default that of a chat agent."),
    "budget.rollouts": (int, "Rollouts a run may use, the proof's too."),
    "budget.reflections": (int, "Reflections a run may use; by default one for 4 rollouts."),
    "budget.usd": (float, "Dollars that a run may use."),
    "budget.minutes": (float, "Minutes that the search may take."),
    "growth.share": (float, "How much longer the runbook may get, a share."),
    "growth.characters": (int, "The same in characters; the larger holds."),
    "width": (int, "Calls in flight at once."),
    "random_seed": (int, "Another seed may find another runbook."),
    "patience": (int, "Waves without a better text until it ends."),
    "max_failures": (int, "Failed reflections in a row until it ends."),
    "prefer": (str, "Objective by which the winner is chosen among those that are better."),
    "forge.kind": (str, "Where pull requests live: local or github; origin says it by itself."),
}
"""Type and help of the settings with a flag of their own, by dotted key, in the order of --help.

A test holds it to the record of settings, which a library reads that --help has no time for.
"""
_SHORT = {"agent.model": "model", "reflector.model": "reflector"}


def takes_settings(*keys: str, **other_help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put an option for each of these keys, and `--set`, in the place of a command's parameter `flags`.

    The command gets what was given as `Flags`. `other_help` goes by the name of the option's parameter.
    """
    names = {_SHORT.get(key, key.replace(".", "_")): key for key in keys}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:  # noqa: ANN401 - whatever the command line holds
            from runbookopt.documents.settings import flag

            others = written_out(given.pop("others") or ())
            own = {key: value for name, key in names.items() if (value := given.pop(name)) is not None}
            if twice := sorted(own.keys() & others):
                raise WrongUsage(f"{flag(twice[0])} and --set {twice[0]} say the same: give one of them")
            command(**given, flags={**others, **own})

        options = []
        for name, key in names.items():
            kind, help_ = SETTINGS[key]
            option = typer.Option(None, help=other_help.get(name, help_))
            options.append(Parameter(name, Parameter.KEYWORD_ONLY, default=option, annotation=kind | None))
        options.append(Parameter("others", Parameter.KEYWORD_ONLY, default=None, annotation=_Others))
        parameters = [*signature(command).parameters.values()]
        place = [each.name for each in parameters].index("flags")
        parameters[place : place + 1] = options
        called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {}  # else typer would read the command's
        return called

    return decorate


def written_out(others: Sequence[str]) -> Flags:
    """What `--set KEY=VALUE` gives; raises WrongUsage."""
    from runbookopt.documents.schema_errors import plain
    from runbookopt.documents.settings import setting_types

    settings = {}
    for each in others:
        key, equals, value = each.partition("=")
        if not equals or key not in setting_types():
            what = f"{plain(key)!r} is no key{_instead(key, value)}" if equals else "no '=' in it"
            raise WrongUsage(f"--set: expected KEY=VALUE with a key of runbookopt.yaml, got {each!r}: {what}")
        settings[key] = value
    return settings


def _instead(key: str, value: str) -> str:
    """What to say where a key is none: a parameter of models has another place."""
    from runbookopt.documents.parameters import HANDED_ON
    from runbookopt.documents.schema_errors import nearest, plain
    from runbookopt.documents.settings import NO_FLAG, setting_types

    if key in NO_FLAG:
        return " (it stands in runbookopt.yaml alone, and is read from the default branch)"
    party, _, name = key.partition(".")
    name = name.removeprefix("parameters.")
    if party not in {"agent", "reflector"} or name not in HANDED_ON:
        return nearest(key, setting_types())
    return f" (say it as {party}.parameters={{{name}: {plain(value)}}})"


def settings_of(source: "Source | Path", name: str, flags: Flags) -> "Settings":
    """The settings of a runbook: flag before variable before the file of `source`, which may be a folder.

    Raises MalformedFile.
    """
    from runbookopt.documents.settings import FILE, load_settings
    from runbookopt.evidence.library import Folder
    from runbookopt.project.root_of_name import root_and_name

    source = Folder(source) if isinstance(source, Path) else source
    root, short = root_and_name(source, name)
    path = f"{root}/{FILE}".lstrip("/")
    try:
        data = source.read(path)
    except FileNotFoundError:
        data = None
    return load_settings(data, path, short, environ=os.environ, flags=flags)


def forge_of(repository: "Repository", settings: "Settings") -> "Forge":
    """The forge that settings and origin say. Raises NoToken, RunbookoptError."""
    from runbookopt.forge.select import chosen

    return chosen(settings.forge, repository, custody.environ())


def authorize(repository: "Repository", name: str = "") -> None:
    """Let git show origin the token for GitHub, if there is one: for what asks origin and no forge.

    Raises MalformedFile, RunbookoptError where what there is cannot be used.
    """
    from runbookopt.forge.github.credentials import NoToken
    from runbookopt.forge.select import UnknownForge

    with suppress(NoToken, UnknownForge):
        forge_of(repository, settings_of(repository.root, name, {}))


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ShowFigures = Annotated[
    bool,
    typer.Option(
        "--show-figures",
        help="Show held-out figures of what is not accepted; recorded, and the next change goes to review.",
    ),
]
_Others = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key of runbookopt.yaml.")
]
