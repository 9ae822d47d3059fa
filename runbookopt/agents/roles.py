"""Roles of a run: agent, reflector and judge, made from settings and rubric."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from runbookopt.agents.chat import ChatAgent
from runbookopt.agents.command import CommandAgent
from runbookopt.agents.handoff import KIND as HANDOFF
from runbookopt.agents.handoff import Handoff
from runbookopt.agents.handoff_agent import HandoffAgent
from runbookopt.agents.handoff_reflector import HandoffReflector
from runbookopt.agents.model.client import Model, Tell, begin_import, priced
from runbookopt.agents.model_judge import ModelJudge, model_settings
from runbookopt.agents.model_reflector import ModelReflector
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.agents.protocol import Agent, Judge, Reflector
from runbookopt.documents.api_address import must_be_allowed
from runbookopt.documents.redaction import Redactor
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.settings import AgentSettings, CommandSettings, ModelSettings, Settings
from runbookopt.errors import RunbookoptError
from runbookopt.sandbox.secrecy import OF_THE_FORGE
from runbookopt.verifier.judge import self_judged
from runbookopt.verifier.rubric import JudgeSettings, Rubric

T = TypeVar("T", CommandSettings, ModelSettings)


class Roles(Struct, frozen=True):
    """Agent and reflector of a run, and where its judge comes from.

    `models` names the model of each part that is one; `notes` say what is not promised of them. `settings`
    and `environ` are what they were made from; the environment holds the models' keys. What is learned of a
    model's server while it is asked is said by `tell`. `handoff` is where asks are handed off; None where
    nobody is asked so.
    """

    agent: Agent
    reflector: Reflector
    settings: Settings
    models: Mapping[str, str]
    notes: tuple[str, ...]
    environ: Mapping[str, str]
    tell: Tell = lambda _: None
    handoff: Handoff | None = None

    def __repr__(self) -> str:
        return f"Roles({self.agent.name!r}, {self.reflector.name!r})"

    def judge(self, rubric: Rubric) -> Judge | None:
        """Judge of a rubric, None where no criterion asks one.

        Raises RunbookoptError where it would judge its own work and the rubric does not allow that, and where
        there is a budget in dollars and nobody knows its price.
        """
        if rubric.judge is None or not rubric.judged:
            return None
        if rubric.judge.model == HANDOFF:
            raise RunbookoptError(
                "rubric.yaml: judge.model is handoff, and no judge is asked by hand-off: its verdicts decide"
                " what is proved, and nobody knows who gave them; name a model, or write checks instead"
            )
        own = self.own_work(rubric.judge)
        if own is not None and not rubric.judge.allow_self_judge:
            raise RunbookoptError(
                f"rubric.yaml: {own}, and a judge is lenient with its own words: choose another model, or"
                " set judge.allow_self_judge: true, which every report then says"
            )
        model = _model("judge", model_settings(rubric.judge), self.settings, self.environ, tell=self.tell)
        return ModelJudge(model, rubric.judge, Redactor(self.environ).clean)

    def own_work(self, judge: JudgeSettings) -> str | None:
        """Sentence that says whose work the judge would judge with the model that made it, or None."""
        return self_judged(judge.model, self.models.get("agent"), self.models.get("reflector"))


def roles_of(
    settings: Settings,
    root: Path,
    environ: Mapping[str, str],
    *,
    said: Collection[str] = (),
    tell: Tell = lambda _: None,
    handoff: Handoff | None = None,
) -> Roles:
    """Agent and reflector as the settings say; `root` is the repository's, `said` are addresses of models.

    These are the user's own word, and not that of a file. `handoff` is where asks are handed off, if the
    settings say so. Raises RunbookoptError before any call: a program
    that is not there, an isolation that is not installed, a budget in dollars where nobody knows a price;
    AddressRefused where a key would go where no user said it should.
    """
    models = {}
    making = partial(_model, settings=settings, environ=environ, said=said, tell=tell)
    agent, notes = _agent(settings, root, environ, making, handoff)
    if settings.agent.kind in {"chat", "handoff"}:
        models["agent"] = settings.agent.model or HANDOFF
    reflector: Reflector = OfflineReflector(settings.random_seed)
    clean = Redactor(environ).clean
    if settings.reflector.kind == "model":
        models["reflector"] = settings.reflector.model or ""
        reflector = ModelReflector(making("reflector", _picked(ModelSettings, settings.reflector)), clean)
        if settings.agent.kind == "chat" and models["agent"] == models["reflector"]:
            notes = (
                *notes,
                f"{plain(models['agent'])} is both agent and reflector: --reflector names another",
            )
    elif settings.reflector.kind == "handoff":
        models["reflector"], notes = HANDOFF, (*notes, _REFLECTED_BY_HAND)
        reflector = HandoffReflector(_at_hand(handoff, "reflector"), clean)
    by_hand = "handoff" in {settings.agent.kind, settings.reflector.kind}
    return Roles(agent, reflector, settings, models, notes, environ, tell, handoff if by_hand else None)


def asked_of(settings: Settings, rubric: Rubric) -> dict[str, ModelSettings]:
    """The models that a run asks, by role; what is offline, a program or handed off asks none."""
    asked = {}
    if settings.agent.kind == "chat":
        asked["agent"] = _picked(ModelSettings, settings.agent)
    if settings.reflector.kind == "model":
        asked["reflector"] = _picked(ModelSettings, settings.reflector)
    if rubric.judge is not None and rubric.judged:
        asked["judge"] = model_settings(rubric.judge)
    return asked


_WHO_FOLLOWS = {
    "offline": "The agent is a program that reads list items of one form, and nothing else: If the message"
    ' mentions "a phrase" or "another", answer `x`. The phrases that a task holds vote.',
    "chat": "The agent is a language model, {model}. The runbook as it stands is its system message, and"
    " the task's input the user's message. What it replies is the output.",
    "command": "The agent is a program of the team, started anew for each task. It is handed the runbook as"
    " it stands and the task's input, as files, and leaves its output.",
    "handoff": "The agent is a coding agent or a person at hand, who is shown the runbook as it stands, then"
    " the task's input, and writes down the output alone.",
}


def agent_in_words(settings: AgentSettings) -> str:
    """Who follows the runbook, and how it is put together with a task, as a reflector is told."""
    return _WHO_FOLLOWS[settings.kind].format(model=plain(settings.model or "which is not named"))


def agent_key(settings: Settings, root: Path, environ: Mapping[str, str], handoff: Handoff) -> str:
    """The key of the agent that the settings say: the digest of all that changes its answers.

    Nobody is asked anything. Raises RunbookoptError where there can be no such agent.
    """

    def model(role: str, chosen: ModelSettings) -> Model:
        return Model(chosen, width=1, environ=environ, role=role)

    return _agent(settings, root, environ, model, handoff)[0].key


def _at_hand(handoff: Handoff | None, role: str) -> Handoff:
    if handoff is None:
        raise RunbookoptError(f"{role}.kind is handoff, and there is nobody here who could answer")
    return handoff


_REFLECTED_BY_HAND = (
    "Reflections are answered by hand-off: who answers is known by their own word alone, and they could have"
    " read the repository, held-out tasks included; what they use is not counted, nor bounded by budget.usd."
)
_DONE_BY_HAND = (
    "The agent's outputs are written by hand-off: nothing is promised about who wrote them, what they read,"
    " or whether they followed the runbook alone; what they use is not counted, nor bounded by budget.usd."
)


def _agent(
    settings: Settings,
    root: Path,
    environ: Mapping[str, str],
    making: Callable[[str, ModelSettings], Model],
    handoff: Handoff | None,
) -> tuple[Agent, tuple[str, ...]]:
    chosen = settings.agent
    match chosen.kind:
        case "handoff":
            return HandoffAgent(_at_hand(handoff, "agent")), (_DONE_BY_HAND,)
        case "offline":
            return OfflineAgent(chosen.field, chosen.noise, settings.random_seed), ()
        case "chat":
            model = making("agent", _picked(ModelSettings, chosen))
            return ChatAgent(model, deterministic=chosen.deterministic), ()
        case "command":
            if settings.budget.usd is not None:
                raise RunbookoptError(
                    "budget.usd is set, and what the program of agent.argv spends is not known:"
                    " take budget.usd away, and bound the run by budget.rollouts"
                )
            asked = sorted({*chosen.environment} & {*OF_THE_FORGE})
            if asked:
                raise RunbookoptError(
                    f"agent.environment: {asked[0]} lets its holder write to the forge, so no program of the"
                    " repository is shown it: take it out"
                )
            agent = CommandAgent(_picked(CommandSettings, chosen), root, environ)
            return agent, (agent.promises,)


def _picked(record: type[T], settings: Struct) -> T:
    return record(**{name: getattr(settings, name) for name in record.__struct_fields__})


def _model(
    role: str,
    chosen: ModelSettings,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    said: Collection[str] = (),
    tell: Tell = lambda _: None,
) -> Model:
    if settings.budget.usd is not None and not priced(chosen):
        place = "judge.price in rubric.yaml" if role == "judge" else f"{role}.price in runbookopt.yaml"
        raise RunbookoptError(
            f"budget.usd is set, and the price of {plain(chosen.model)} is not known: give"
            f" {place} (dollars for a million tokens: prompt, completion), or take budget.usd away"
        )
    if chosen.api_base is not None:
        must_be_allowed(chosen.api_base, f"{role}.api_base", environ=environ, said=said)
    begin_import()  # takes seconds, while files are read
    return Model(chosen, width=settings.width, environ=environ, role=role, tell=tell)
