"""Calls of a doctor: one small one to each model that settings and rubrics name, and a trial of isolation.

It is done where runs do it: in a process that never had the forge's token.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.agents.handoff import Handoff
from runbookopt.agents.model.client import Model
from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.agents.roles import asked_of, roles_of
from runbookopt.documents.digest import digest_of
from runbookopt.documents.redaction import Redactor
from runbookopt.documents.settings import FILE, ModelSettings, Settings, load_settings, said_addresses
from runbookopt.documents.usage import Message
from runbookopt.engine.event_loop import EventLoop
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder
from runbookopt.jobs.readiness.doctor import Seen
from runbookopt.jobs.readiness.lint import Lint, lint
from runbookopt.landing.requirements import few
from runbookopt.project.local_state import LOCAL
from runbookopt.project.project import Project
from runbookopt.sandbox.bubblewrap import NoIsolation, bubblewrap

_ASKED = (Message("user", "Reply with the one word: ready"),)
_PATIENCE = 20.0  # seconds for a server that wants fewer requests


class Looked(Struct, frozen=True):
    """All that was seen."""

    seen: tuple[Seen, ...]


class _Asked(Struct):
    """A model, and who it is to be."""

    settings: ModelSettings
    roles: list[str]


def look_around(root: Path, environ: Mapping[str, str]) -> Looked:
    """Look at the files, at what the settings of each runbook name, and at isolation."""
    checked = lint(Folder(root))
    seen, models, isolating = [_files(checked)], dict[str, _Asked](), list[str]()
    for project in checked.projects:
        name = project.name
        try:
            settings = _settings(root, name, environ)
            isolating += [name] if settings.agent.isolate else []
            seen.append(Seen(f"roles of {name}", True, _roles(root, project, settings, environ)))
        except RunbookoptError as error:
            fix = f"change {FILE}, rubric.yaml or the environment as it says"
            seen.append(Seen(f"roles of {name}", False, str(error), fix))
            continue
        for role, chosen in asked_of(settings, project.rubric).items():
            models.setdefault(digest_of(chosen), _Asked(chosen, [])).roles.append(f"{role} of {name}")
    answers: list[Seen] = []
    with EventLoop() as loop:
        loop.run(_ask(tuple(models.values()), environ, answers.append))
    return Looked((*seen, *answers, _isolation(isolating)))


def _files(checked: Lint) -> Seen:
    named = f"runbooks: {len(checked.names)}, of which {len(checked.projects)} can be used"
    if not checked.problems:
        return Seen("files", True, named)
    more = f"{len(checked.problems)} problem(s), the first: {checked.problems[0]}"
    return Seen("files", False, f"{named}; {more}", "`runbookopt check` names all of them")


def _settings(root: Path, name: str, environ: Mapping[str, str]) -> Settings:
    try:
        data = Folder(root).read(FILE)
    except FileNotFoundError:
        data = None
    return load_settings(data, FILE, name, environ=environ, flags={})


def _roles(root: Path, project: Project, settings: Settings, environ: Mapping[str, str]) -> str:
    """Who plays the parts, made as a run makes them. Raises RunbookoptError."""
    handoff = Handoff(root, root / LOCAL / "handoff", project.name, Redactor(environ).clean)
    roles = roles_of(settings, root, environ, said=said_addresses(environ, {}), handoff=handoff)
    judge = roles.judge(project.rubric)
    parts = {"agent": roles.agent.name, "reflector": roles.reflector.name}
    parts |= {"judge": judge.name} if judge else {}
    return ", ".join(f"{role} {name}" for role, name in parts.items())


async def _ask(models: Sequence[_Asked], environ: Mapping[str, str], see: Callable[[Seen], None]) -> None:
    import asyncio

    for seen in await asyncio.gather(*(_answer(each, environ) for each in models)):
        see(seen)


async def _answer(asked: _Asked, environ: Mapping[str, str]) -> Seen:
    told: list[str] = []
    once = replace(asked.settings, attempts=1, patience_seconds=_PATIENCE)
    model = Model(once, width=1, environ=environ, role=asked.roles[0].partition(" ")[0], tell=told.append)
    what, who = f"model {model.name}", ", ".join(asked.roles)
    files = ["rubric.yaml" if role.startswith("judge") else FILE for role in asked.roles]
    fix = f"see {' and '.join(dict.fromkeys(files))}; where the server fails by itself, ask again later"
    try:
        reply = await model.complete(_ASKED)
    except (ModelBroken, ModelFailure) as error:
        return Seen(what, False, f"{str(error).removeprefix(f'{model.name}: ')} ({who})", fix)
    usage = reply.usage
    counted = f"{usage.prompt + usage.completion} tokens" if not usage.uncounted else "tokens not counted"
    return Seen(what, True, "; ".join((f"it answers ({who}; {counted})", *told)))


def _isolation(isolating: Sequence[str]) -> Seen:
    """Whether programs can be isolated, where settings say so; else what bubblewrap would do is mere news."""
    wanted = f"asked for by {few(isolating)}" if isolating else "asked for by nobody (agent.isolate: bwrap)"
    try:
        bubblewrap(os.defpath)
    except NoIsolation as error:
        fix = "install or allow bubblewrap, or take agent.isolate out"
        return Seen("isolation", not isolating, f"{wanted}; {error}", fix if isolating else "")
    return Seen("isolation", True, f"{wanted}; bubblewrap works here")
