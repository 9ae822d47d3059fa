"""Who plays the parts of a run: agent, reflector and judge, made from settings and rubric."""

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from runbookopt.agents.chat import ChatAgent
from runbookopt.agents.command import CommandAgent
from runbookopt.agents.model.client import Model, begin_import, priced
from runbookopt.agents.model_judge import ModelJudge, model_settings
from runbookopt.agents.model_reflector import ModelReflector
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.agents.protocol import Agent, Judge, Reflector
from runbookopt.documents.redaction import Redactor
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.settings import (
    AgentSettings,
    CommandSettings,
    ModelSettings,
    ReflectorSettings,
    Settings,
)
from runbookopt.errors import RunbookoptError
from runbookopt.verifier.judge import self_judged
from runbookopt.verifier.rubric import JudgeSettings, Rubric


class Roles(Struct, frozen=True):
    """Agent and reflector of a run, and where its judge comes from.

    `models` names the model of each part that is one; `notes` say what is not promised of them. `settings`
    and `environ` are what they were made from; the environment holds the models' keys.
    """

    agent: Agent
    reflector: Reflector
    settings: Settings
    models: Mapping[str, str]
    notes: tuple[str, ...]
    environ: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Roles({self.agent.name!r}, {self.reflector.name!r})"

    def judge(self, rubric: Rubric) -> Judge | None:
        """Make the judge of a rubric, None where no criterion asks one.

        Raises RunbookoptError where it would judge its own work and the rubric does not allow that, and where
        there is a budget in dollars and nobody knows its price.
        """
        if rubric.judge is None or not rubric.judged:
            return None

        own = self.own_work(rubric.judge)
        if own is not None and not rubric.judge.allow_self_judge:
            raise RunbookoptError(
                f"rubric.yaml: {own}, and a judge is lenient with its own words: choose another model, or"
                " set judge.allow_self_judge: true, which every report then says"
            )
        asked = model_settings(rubric.judge)
        _must_be_priced("judge", asked, self.settings)
        return ModelJudge(
            _model(asked, self.settings, self.environ), rubric.judge, Redactor(self.environ).clean
        )

    def own_work(self, judge: JudgeSettings) -> str | None:
        """Say whose work the judge would judge with the model that made it, or None."""
        return self_judged(judge.model, self.models.get("agent"), self.models.get("reflector"))


def roles_of(settings: Settings, root: Path, environ: Mapping[str, str]) -> Roles:
    """Make agent and reflector as the settings say; `root` is the repository's.

    Raises RunbookoptError before any call: a program that is not there, an isolation that is not installed, a
    budget in dollars where nobody knows a price.
    """
    models = {}
    if settings.agent.kind == "chat":
        models["agent"] = settings.agent.model or ""
    if settings.reflector.kind == "model":
        models["reflector"] = settings.reflector.model or ""
    agent, notes = _agent(settings, root, environ)
    return Roles(agent, _reflector(settings, environ), settings, models, notes, environ)


def _agent(settings: Settings, root: Path, environ: Mapping[str, str]) -> tuple[Agent, tuple[str, ...]]:
    chosen = settings.agent
    match chosen.kind:
        case "offline":
            return OfflineAgent(chosen.field, chosen.noise, settings.random_seed), ()
        case "chat":
            asked = _asked(chosen)
            _must_be_priced("agent", asked, settings)
            return ChatAgent(_model(asked, settings, environ), deterministic=chosen.deterministic), ()
        case "command":
            if settings.budget.usd is not None:
                raise RunbookoptError(
                    "budget.usd is set, and what the program of agent.argv spends is not known:"
                    " take budget.usd away, and bound the run by budget.rollouts"
                )
            agent = CommandAgent(CommandSettings(**asdict(chosen)), root, environ)
            return agent, (agent.promises,)


def _reflector(settings: Settings, environ: Mapping[str, str]) -> Reflector:
    if settings.reflector.kind == "offline":
        return OfflineReflector(settings.random_seed)
    asked = _asked(settings.reflector)
    _must_be_priced("reflector", asked, settings)
    return ModelReflector(_model(asked, settings, environ), Redactor(environ).clean)


def _asked(chosen: AgentSettings | ReflectorSettings) -> ModelSettings:
    return ModelSettings(**{name: getattr(chosen, name) for name in ModelSettings.__struct_fields__})


def _model(asked: ModelSettings, settings: Settings, environ: Mapping[str, str]) -> Model:
    if re.search("//[^/?#]*@", asked.api_base or ""):
        raise RunbookoptError(
            f"api_base of {plain(asked.model)}: holds a user or a password, and every report shows it:"
            " give the address alone, and the key in the environment variable that key_variable names"
        )
    begin_import()  # takes seconds, while files are read
    return Model(asked, width=settings.width, environ=environ)


def _must_be_priced(role: str, asked: ModelSettings, settings: Settings) -> None:
    """Refuse a budget in dollars that could not be kept."""
    if settings.budget.usd is None:
        return
    if not priced(asked):
        place = "judge.price in rubric.yaml" if role == "judge" else f"{role}.price in runbookopt.yaml"
        raise RunbookoptError(
            f"budget.usd is set, and the price of {plain(asked.model)} is not known: give"
            f" {place} (dollars for a million tokens: prompt, completion), or take budget.usd away"
        )
