import re
from pathlib import Path

import pytest
import typer

from runbookopt.cli.flags import SETTINGS
from runbookopt.cli.optimize import optimize
from runbookopt.documents import settings
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.settings import Budget, Settings, load_settings, read_settings

FILE = b"""
defaults:
  agent: {kind: offline, field: queue}
  budget: {rollouts: 100, minutes: 5}
  width: 2
runbooks:
  support-triage:
    budget: {rollouts: 200}
    width: 3
"""


def load(
    data: bytes | None = FILE,
    name: str = "support-triage",
    environ: dict[str, str] | None = None,
    **flags: object,
) -> Settings:
    given = {key.replace("__", "."): value for key, value in flags.items()}
    return load_settings(data, "runbookopt.yaml", name, environ=environ or {}, flags=given)  # type: ignore[arg-type]


def complaints(**given: object) -> list[str]:
    with pytest.raises(MalformedFile) as caught:
        load(**given)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_without_a_file_every_key_has_its_default() -> None:
    assert load(None) == Settings()
    assert load(b"# nothing yet\n") == Settings()


def test_a_runbook_lays_its_own_keys_over_the_defaults() -> None:
    assert load().budget == Budget(rollouts=200, minutes=5)
    assert load(name="other").budget == Budget(rollouts=100, minutes=5)
    assert (load().agent.field, load().width) == ("queue", 3)


def test_a_variable_beats_the_file_and_a_flag_beats_the_variable() -> None:
    environ = {"RUNBOOKOPT_WIDTH": "4", "RUNBOOKOPT_BUDGET_MINUTES": "null", "RUNBOOKOPT_RANDOM_SEED": ""}
    assert load(environ=environ).width == 4
    assert load(environ=environ).budget == Budget(rollouts=200, minutes=None)
    assert load(environ=environ, width=5, budget__rollouts=None).width == 5


def test_text_that_looks_like_a_number_stays_text_where_text_is_wanted() -> None:
    assert load(environ={"RUNBOOKOPT_AGENT_FIELD": "7"}).agent.field == "7"


def test_every_bad_value_names_where_it_comes_from() -> None:
    environ = {
        "RUNBOOKOPT_WIDTH": "eight",
        "RUNBOOKOPT_AGENT_NOISE": "nan",
        "RUNBOOKOPT_WIDHT": "8",
        "RUNBOOKOPT_PROOF_ALLOWANCE": "1",
        "RUNBOOKOPT_TRACEBACK": "1",
        "HOME": "/",
    }
    assert complaints(environ=environ, budget__rollouts=0, patience="x") == [
        "--budget-rollouts: expected a number >= 1, got 0",
        '--patience: expected a whole number, got "x"',
        'RUNBOOKOPT_AGENT_NOISE: expected a number, got "nan"',
        "RUNBOOKOPT_PROOF_ALLOWANCE: unknown variable: the terms of the proof stand in policy.yaml",
        "RUNBOOKOPT_WIDHT: unknown variable (did you mean 'RUNBOOKOPT_WIDTH'?)",
        'RUNBOOKOPT_WIDTH: expected a whole number, got "eight"',
    ]


def test_every_mistake_in_the_file_is_named_whichever_runbook_it_is_for() -> None:
    data = b"""defaults:
  wdith: 3
runbooks:
  a/b:
    budget: {rollouts: 0}
  c:
    agent: {kind: 7}
"""
    assert complaints(data=data) == [
        "runbookopt.yaml:2: defaults: unknown key 'wdith' (did you mean 'width'?)",
        "runbookopt.yaml:5: runbooks.a/b.budget.rollouts: expected a number >= 1, got 0",
        "runbookopt.yaml:7: runbooks.c.agent.kind: expected one of chat, command, handoff, offline, got 7",
    ]


def test_a_key_of_the_verifier_is_refused_with_the_place_where_it_belongs() -> None:
    with pytest.raises(
        MalformedFile, match=r"unknown key 'proof': the terms of the proof stand in policy.yaml"
    ):
        read_settings(b"defaults: {proof: {margin: 0.1}}")


def test_a_chat_agent_alone_is_the_reflector_too() -> None:
    data = b"""defaults:
  agent:
    kind: chat
    model: openai/a
    api_base: http://127.0.0.1:1
    temperature: 0
    parameters: {top_p: 1, response_format: {type: json_object}}
"""
    reflector = load(data).reflector
    assert (reflector.kind, reflector.model, reflector.api_base) == (
        "model",
        "openai/a",
        "http://127.0.0.1:1",
    )
    assert (reflector.temperature, reflector.parameters) == (None, {"top_p": 1})
    assert load(agent__model="openai/b").reflector.model == "openai/b"
    assert load(data, reflector__model="openai/c").reflector.api_base is None
    for kind in ("offline", "handoff"):
        assert load(data, reflector__kind=kind).reflector.kind == kind


def test_every_key_has_a_variable_and_a_flag() -> None:
    assert settings.variable("budget.rollouts") == "RUNBOOKOPT_BUDGET_ROLLOUTS"
    assert settings.flag("random_seed") == "--random-seed"
    assert len({settings.variable(key) for key in settings.setting_types()}) == len(settings.setting_types())


@pytest.mark.parametrize("key", settings.setting_types())
def test_the_flag_that_is_named_for_a_key_is_one_of_the_command(key: str) -> None:
    app = typer.Typer()
    app.command()(optimize)
    known = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert settings.as_flag(key, True)[0] in known
    assert settings.flag(key) in {settings.as_flag(key, True)[0], f"--set {key}"}


def test_a_flag_takes_what_its_setting_holds() -> None:
    for key, (kind, _) in SETTINGS.items():
        names = re.findall(r"\b(?:str|int|float|Literal)\b", str(settings.setting_types()[key]))
        assert names[0].replace("Literal", "str") == kind.__name__, key


def test_a_setting_goes_into_a_command_as_it_is_read_from_one() -> None:
    assert settings.as_flag("agent.model", "openai/x") == ("--model", "openai/x")
    assert settings.as_flag("agent.deterministic", True) == ("--set", "agent.deterministic=true")
    assert settings.as_flag("agent.argv", '["run"]') == ("--set", 'agent.argv=["run"]')


def test_our_own_settings_can_be_read() -> None:
    path = Path(__file__).parents[2] / "runbookopt.yaml"
    assert read_settings(path.read_bytes()).runbooks.keys() == {"support-triage", "refund-reply"}


CHAT = b"""
defaults:
  agent: {model: openai/gpt-5-mini, temperature: 0.5}
  reflector: {model: anthropic/claude-sonnet-4-5}
runbooks:
  offline: {agent: {kind: offline, field: queue}}
  bot: {agent: {argv: [bot, "{runbook}"], seconds: 5}}
  cool: {agent: {temperature: 0.1}}
"""


def test_a_model_or_a_program_says_the_kind_by_itself() -> None:
    assert (load(CHAT, "any").agent.kind, load(CHAT, "any").reflector.kind) == ("chat", "model")
    assert (load(CHAT, "bot").agent.kind, load(CHAT, "bot").agent.argv) == ("command", ("bot", "{runbook}"))
    assert load(CHAT, "cool").agent.temperature == 0.1
    assert load(FILE, agent__model="ollama/small").agent.kind == "chat"


def test_another_kind_begins_from_its_own_defaults() -> None:
    assert load(CHAT, "offline").agent.temperature is None
    assert load(FILE, agent__model="ollama/small").agent.field == "answer"
    assert load(CHAT, "any", agent__model="ollama/small").agent.temperature == 0.5  # the same kind


def test_a_key_that_the_kind_does_not_have_is_named_with_the_kind_that_has_it() -> None:
    assert complaints(data=b"defaults: {agent: {temperature: 1}}") == [
        "the settings of support-triage: agent.temperature: goes with kind chat, and agent.kind is offline"
    ]
    assert complaints(data=None, agent__kind="chat") == [
        "the settings of support-triage: agent.kind is chat: expected agent.model beside it"
    ]


def test_lists_and_mappings_are_yaml_or_json_in_variables_and_flags() -> None:
    environ = {"RUNBOOKOPT_AGENT_ARGV": '["bot", "--fast"]'}
    assert load(None, environ=environ).agent.argv == ("bot", "--fast")
    price = load(CHAT, agent__price='{"prompt": 1, "completion": 2}').agent.price
    assert price is not None
    assert price.completion == 2
    asked = load(
        CHAT,
        agent__price="{prompt: 0.25, completion: 2.0}",
        agent__parameters="{reasoning_effort: low, api_version: 2024-10-21, stop: [END]}",
    ).agent
    assert asked.price == settings.Price(0.25, 2.0)
    assert asked.parameters == {"reasoning_effort": "low", "api_version": "2024-10-21", "stop": ["END"]}
    assert load(None, environ={"RUNBOOKOPT_AGENT_ARGV": "[bot, --fast]"}).agent.argv == ("bot", "--fast")


def test_what_is_wrong_in_a_mapping_on_the_command_line_is_said_with_its_place() -> None:
    assert complaints(data=CHAT, agent__price="{prompt: much, completion: 2}") == [
        '--set agent.price: prompt: expected a number, got "much"'
    ]
    assert complaints(data=CHAT, agent__price="{prompt: 1, complettion: 2}") == [
        "--set agent.price: missing key 'completion'",
        "--set agent.price: unknown key 'complettion' (did you mean 'completion'?)",
    ]
    assert complaints(data=CHAT, agent__parameters="low") == [
        '--set agent.parameters: expected a mapping, got "low"'
    ]
    (complaint,) = complaints(data=CHAT, agent__parameters="{reasoning_efort: low}")
    assert complaint.startswith(
        "the settings of support-triage: agent.parameters: reasoning_efort is no param"
    )
    assert "(did you mean 'reasoning_effort'?)" in complaint


def test_parameters_of_several_layers_are_joined_and_null_takes_one_away() -> None:
    data = b"""
defaults: {agent: {model: openai/x, parameters: {top_p: 0.5, reasoning_effort: low}}}
runbooks: {support-triage: {agent: {parameters: {top_p: 0.9}}}}
"""
    asked = load(data, agent__parameters="{reasoning_effort: null}").agent
    assert asked.parameters == {"top_p": 0.9, "reasoning_effort": None}


def test_parameters_in_a_file_are_refused_at_their_line() -> None:
    data = b"defaults:\n  agent:\n    model: openai/x\n    parameters: {api_key: x}\n"
    (problem,) = complaints(data=data)
    assert problem.startswith("runbookopt.yaml:4: defaults.agent.parameters: api_key is not taken: ")
