"""Settings of a run: runbookopt.yaml, variables and flags, laid over each other into one record.

What belongs to the verifier (rubric, policy, proof) is no setting and has neither variable nor flag.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from runbookopt.documents.api_address import ALLOWED
from runbookopt.documents.parameters import faults_of
from runbookopt.documents.parse import MalformedFile, Problem, read_plain_yaml, read_yaml
from runbookopt.documents.repository_paths import EvidencePaths, PagePaths, fits, is_glob, stars
from runbookopt.documents.schema_errors import InconsistentValues, explain, nearest, shown
from runbookopt.errors import WrongUsage

ModelName = Annotated[
    str,
    Meta(pattern=r"^(?!.*://)[\s\S]+$", description="a provider/model, and no address"),
]
KeyVariable = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*_API_KEY$",
        description="a variable's name that ends in _API_KEY: no other secret goes to a model",
    ),
]
_Dollars = Annotated[float, Meta(ge=0)]


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars for a million tokens; `cached` is for those of a prompt that come from the provider's cache."""

    prompt: _Dollars
    completion: _Dollars
    cached: _Dollars | None = None

    def of(self, prompt: int, cached: int, completion: int) -> float:
        """Dollars of a call, from its tokens."""
        cached_price = self.prompt if self.cached is None else self.cached
        dollars = (prompt - cached) * self.prompt + cached * cached_price + completion * self.completion
        return dollars / 1e6


class Asking(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model is asked, whichever it is.

    `api_base` is the address of a server that speaks as the provider does; one that is neither a known
    provider's nor this machine needs the user's own word (`api_address`). `key_variable` is the environment
    variable that holds its key where that is not the provider's own. `timeout_seconds` is for one of the
    `attempts`; refusals for being too many (429) are waited out for `patience_seconds` besides. Without a
    `price` the list that litellm carries is asked. `parameters` go to the provider as they are
    (`documents.parameters`). Where `system_role` is "user", a system message goes before the user's in one.
    """

    api_base: str | None = None
    key_variable: KeyVariable | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    timeout_seconds: Annotated[float, Meta(gt=0)] = 120.0
    attempts: Annotated[int, Meta(ge=1)] = 8
    patience_seconds: Annotated[float, Meta(ge=0)] = 600.0
    price: Price | None = None
    parameters: dict[str, Any] = {}
    system_role: Literal["system", "user"] = "system"

    def __post_init__(self) -> None:
        """Refuse parameters that may not be handed on."""
        for fault in faults_of(self.parameters, getattr(self, "model", None)):
            raise InconsistentValues("parameters", fault)


class ModelSettings(Asking, frozen=True, forbid_unknown_fields=True):
    """Which model is asked, a name as litellm takes it ("openai/gpt-5-mini"), and how."""

    model: ModelName


FILE = "runbookopt.yaml"
PREFIX = "RUNBOOKOPT_"

NOT_SETTINGS = frozenset(
    {
        "RUNBOOKOPT_TRACEBACK",
        "RUNBOOKOPT_APP_ID",
        "RUNBOOKOPT_APP_PRIVATE_KEY_FILE",
        "RUNBOOKOPT_SPEC",
        ALLOWED,
    }
)
"""Variables that are read elsewhere."""

_HINTS = {
    "proof": "the terms of the proof stand in policy.yaml",
    "policy": "each runbook has its own policy.yaml",
    "judge": "the judge stands in each runbook's rubric.yaml",
    "stored": "it stands in runbookopt.yaml alone, and is read from the default branch",
}


class WrongFlags(WrongUsage, MalformedFile):
    """Flags, and nothing else, have values that do not fit."""


Text = Annotated[str, Meta(min_length=1)]
Argv = Annotated[tuple[Text, ...], Meta(min_length=1)]
PlainName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="a file's name")]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a variable's name")]
Output = Annotated[
    str,
    Meta(
        pattern=r"^(stdout|results(/[A-Za-z0-9][A-Za-z0-9._-]*)*)$",
        description="stdout, results, or a file such as results/answer.txt",
    ),
]


class AgentSettings(Asking, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which agent works on the tasks; each kind has keys of its own, and the others say nothing to it.

    `offline`: `field` is the key of its output that holds the answer, `noise` in 0..1 the share of its
    answers that err. `chat`: `model`, and how it is asked. `command`: see `CommandSettings`. `deterministic`
    says that repeats of a rollout are alike. `handoff` has whoever is at hand write the outputs.
    """

    kind: Literal["offline", "chat", "command", "handoff"] = "offline"
    field: Text = "answer"
    noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    model: ModelName | None = None
    deterministic: bool = False
    argv: Argv | None = None
    output: Output = "stdout"
    transcript: Text | None = None
    runbook_file: PlainName = "RUNBOOK.md"
    environment: tuple[Variable, ...] = ()
    sources: tuple[Text, ...] = ()
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    output_bytes: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 10_000_000
    processes: Annotated[int, Meta(ge=1, le=100_000)] = 128
    memory_megabytes: Annotated[int, Meta(ge=1)] | None = None
    isolate: Literal["bwrap"] | None = None


class CommandSettings(AgentSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to run an agent program; docs/agents.md says what it is handed and what may come back.

    `argv` is a template; `environment` names the variables that are passed on, besides those that every
    program gets; `sources` are globs of files in the repository that its answers depend on.
    """

    kind: Literal["command"] = "command"
    argv: Argv


class ReflectorSettings(Asking, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who reads the failures and proposes edits: the offline one, or `model`, and how it is asked.

    Or `handoff`: a coding agent or a person, who is asked by files and needs no key of ours.
    """

    kind: Literal["offline", "model", "handoff"] = "offline"
    model: ModelName | None = None


_FOR_MODELS = frozenset(ModelSettings.__struct_fields__)
COMMAND_KEYS = frozenset(AgentSettings.__struct_fields__) - _FOR_MODELS - {"kind", "field", "noise"}
SHARED = ("model", *sorted(_FOR_MODELS - {"model", "temperature", "seed", "max_tokens"}))
"""What the reflector has of the agent where nothing is said of it: which model it is, and where."""

_KINDS: Mapping[str, Mapping[str, tuple[frozenset[str], str | None]]] = {
    "agent": {
        "offline": (frozenset({"field", "noise"}), None),
        "chat": (_FOR_MODELS | {"deterministic"}, "model"),
        "command": (COMMAND_KEYS, "argv"),
        "handoff": (frozenset(), None),
    },
    "reflector": {
        "offline": (frozenset(), None),
        "model": (_FOR_MODELS, "model"),
        "handoff": (frozenset(), None),
    },
}
"""The keys of each kind besides `kind`, and the one that it cannot do without, which implies the kind."""


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """What one run may use.

    Where `rollouts` is None, they are enough for the proof and ten drafts (`jobs.allotment`). Where
    `reflections` is None, it is one for 4 rollouts, and enough for a wave that improves and as many that do
    not as `patience` has. No `minutes` and no `usd` (dollars) are no limit.
    """

    rollouts: Annotated[int, Meta(ge=1)] | None = None
    reflections: Annotated[int, Meta(ge=1)] | None = None
    usd: Annotated[float, Meta(gt=0)] | None = None
    minutes: Annotated[float, Meta(gt=0)] | None = None


class Growth(Struct, frozen=True, forbid_unknown_fields=True):
    """How much longer than the seed a candidate may be: by a share of it or by so many characters."""

    share: Annotated[float, Meta(ge=0)] = 0.5
    characters: Annotated[int, Meta(ge=0)] = 3000


class ForgeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where pull requests live: in origin itself or at GitHub; without a `kind`, origin's address says.

    `repository` is "owner/name" where origin's address does not say it. Where GitHub's interface is, only
    the environment says (GITHUB_API_URL): a token is sent there.
    """

    kind: Literal["local", "github"] | None = None
    repository: Annotated[str, Meta(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")] | None = None


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How to run one runbook's optimization; every key has a default.

    `width` is how many calls are in flight at once, `patience` how many waves may bring no better text,
    `max_failures` how many reflections in a row may fail. `prefer` is an objective by which a winner is
    chosen among what is better than today's runbook, by default the whole score. `stop_early` ends a run
    before its search where a criterion fails alike on all first outputs. `stored_as_today` names agents whose
    stored outputs are said to be the configured one's: that judges, so it is no setting of a single run
    (`believed_agents`).
    """

    agent: AgentSettings = AgentSettings()
    reflector: ReflectorSettings = ReflectorSettings()
    budget: Budget = Budget()
    growth: Growth = Growth()
    width: Annotated[int, Meta(ge=1, le=1024)] = 8
    random_seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    patience: Annotated[int, Meta(ge=1)] = 6
    max_failures: Annotated[int, Meta(ge=1)] = 5
    prefer: str | None = None
    stop_early: bool = True
    forge: ForgeSettings = ForgeSettings()
    stored_as_today: tuple[Text, ...] = ()


NO_FLAG = frozenset({"stored_as_today"})
"""Keys that have neither variable nor flag: what the default branch says of them holds."""


class RunbookSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the runbook of this name, and where it lies; with a glob, of all that it finds.

    `path` is the page, and `evidence` what counts besides trajectories/NAME/. Each `*` of the entry's key is
    what one of `path` stands for. These are no settings, since a proof rests on them: they have neither flag
    nor variable, and a merge reads the base's.
    """

    path: PagePaths | None = None
    evidence: tuple[EvidencePaths, ...] = ()


PLACES = frozenset(RunbookSettings.__struct_fields__) - frozenset(Settings.__struct_fields__)


class SettingsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """runbookopt.yaml: settings for all runbooks, and for single ones by name."""

    defaults: Settings = Settings()
    runbooks: dict[str, RunbookSettings] = {}

    def __post_init__(self) -> None:
        """Refuse a name that has not a star for each of its path."""
        for key, entry in self.runbooks.items():
            if (fault := star_fault(key, entry.path)) is not None:
                raise InconsistentValues("runbooks", f"{shown(key)}: {fault}")


def read_settings(data: bytes, path: str = FILE) -> SettingsFile:
    """Read the whole file, each part as if it stood alone; raises MalformedFile with all that is wrong."""
    below = "it stands below `defaults`, or below a name in `runbooks`"
    return read_yaml(
        data, SettingsFile, path, hints=dict.fromkeys(Settings.__struct_fields__, below) | _HINTS
    )


def load_settings(
    data: bytes | None,
    path: str,
    name: str,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, str | int | float | None],
) -> Settings:
    """The settings of the runbook `name`: flag before variable before its own before the defaults.

    `data` is None where there is no file; `flags` go by dotted key ("budget.rollouts"), None is not given.
    Raises MalformedFile with every bad value and where it comes from; WrongFlags where all are flags.
    """
    layers: list[Mapping[str, Any]] = []
    if data is not None:
        read_settings(data, path)
        written = read_plain_yaml(data, path) or {}
        layers += [written.get("defaults", {}), *_own(written.get("runbooks") or {}, name)]
    problems: list[Problem] = []
    layers.append(_layer(_variables(environ, problems), problems))
    else_wrong = bool(problems)
    given = [(key, value, flag(key)) for key, value in flags.items() if value is not None]
    layers.append(_layer(given, problems))
    if problems:
        raise (MalformedFile if else_wrong else WrongFlags)(problems)
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _of_one_kind(merged, layer)
    merged = _with_reflector(merged)
    faults = [*_misplaced("agent", merged), *_misplaced("reflector", merged)]
    if faults:
        raise MalformedFile([Problem(f"the settings of {name}", None, fault) for fault in faults])
    return msgspec.convert(merged, Settings)


def believed_agents(data: bytes | None, path: str, name: str) -> tuple[str, ...]:
    """The agents whose stored outputs a file says to be the configured one's; nobody if it is malformed.

    `name` is what the runbook is called in the root of that file.
    """
    try:
        return load_settings(data, path, name, environ={}, flags={}).stored_as_today
    except MalformedFile:
        return ()


def entries_of(name: str, runbooks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the mapping `runbooks` says of one of them, as written: what a glob says of many first."""
    written: dict[str, Mapping[str, Any]] = {
        key: entry for key, entry in runbooks.items() if isinstance(entry, dict)
    }
    many = [entry for key, entry in written.items() if key != name and fits(key, _glob(entry), name)]
    own = written.get(name)
    is_of_many = "*" in name or (own is not None and is_glob(_glob(own) or ""))
    return many if own is None or is_of_many else [*many, own]


def star_fault(key: str, path: str | None) -> str | None:
    """What is wrong with a key's stars: each takes what one of its path stands for. None where nothing is."""
    wanted = stars(path or "")
    if "*" not in key or stars(key) == wanted:
        return None
    return f"expected a `*` in the name for each of its path, {wanted}, got {stars(key)}"


def said_addresses(
    environ: Mapping[str, str], flags: Mapping[str, str | int | float | None]
) -> frozenset[str]:
    """The models' addresses that the user said: by flag or variable, and not by a file of the repository."""
    keys = ("agent.api_base", "reflector.api_base")
    given = (value for key in keys for value in (flags.get(key), environ.get(variable(key))))
    return frozenset(str(value) for value in given if value)


def setting_types(record: type[Struct] = Settings, above: str = "") -> dict[str, Any]:
    """The type of each setting by its dotted key, in the order of the record."""
    types: dict[str, Any] = {}
    for field in msgspec.structs.fields(record):
        if above + field.name in NO_FLAG:
            continue
        nested = isinstance(field.type, type) and issubclass(field.type, Struct)
        name = above + field.name
        types |= setting_types(field.type, f"{name}.") if nested else {name: field.type}
    return types


def variable(key: str) -> str:
    """The name of the environment variable of a dotted key."""
    return PREFIX + key.upper().replace(".", "_")


def flag(key: str) -> str:
    """The name of the flag of a dotted key; one without a flag of its own goes with `--set`."""
    if key.startswith(("agent.", "reflector.", "forge.", "stop_early")) and key not in _FLAGGED:
        return f"--set {key}"
    return _FLAGGED.get(key) or "--" + key.replace(".", "-").replace("_", "-")


def as_flag(key: str, value: object) -> tuple[str, str]:
    """The two arguments that set a key to a value, as a bundle states it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    name = flag(key)
    return (name, text) if " " not in name else ("--set", f"{key}={text}")


_FLAGGED = {
    "agent.kind": "--agent-kind",
    "agent.model": "--model",
    "agent.field": "--agent-field",
    "agent.noise": "--agent-noise",
    "reflector.kind": "--reflector-kind",
    "reflector.model": "--reflector",
    "forge.kind": "--forge-kind",
}
"""The flags of agents, reflectors and forges; every other key of theirs goes with `--set`."""


def _variables(environ: Mapping[str, str], problems: list[Problem]) -> Iterator[tuple[str, str, str]]:
    keys = {variable(key): key for key in setting_types()}
    for name, text in sorted(environ.items()):
        if name in keys and text:
            yield keys[name], text, name
        elif name.startswith(PREFIX) and text and name not in NOT_SETTINGS:
            hint = _HINTS.get(name.removeprefix(PREFIX).split("_")[0].lower())
            why = f": {hint}" if hint else nearest(name, keys)
            problems.append(Problem(name, None, f"unknown variable{why}"))


def _layer(given: Iterable[tuple[str, str | float, str]], problems: list[Problem]) -> dict[str, Any]:
    """Lay out settings by key, value and origin; a value that does not fit is a problem of its origin."""
    layer: dict[str, Any] = {}
    types = setting_types()
    for key, value, origin in given:
        number = _number(value)
        structured = []
        with suppress(MalformedFile):  # as YAML, or as JSON, which is YAML; a plain text is none
            structured = [read_plain_yaml(str(value).encode(errors="surrogateescape"), FILE)]
        structured = [each for each in structured if not isinstance(each, str)]
        for reading in (value, number, *structured):
            with suppress(msgspec.ValidationError):
                setting: Any = msgspec.convert(reading, types[key])
                for part in reversed(key.split(".")):
                    setting = {part: setting}
                layer = _laid_over(layer, setting)
                break
        else:
            reading = structured[0] if structured else number
            problems += [Problem(origin, None, fault.words) for fault in explain(reading, types[key], {})]
    return layer


def _own(runbooks: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [
        {key: value for key, value in entry.items() if key not in PLACES}
        for entry in entries_of(name, runbooks)
    ]


def _glob(entry: Mapping[str, Any]) -> str | None:
    path = entry.get("path")
    return path if isinstance(path, str) else None


def _of_one_kind(below: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a layer over what is below it; another kind of agent or reflector begins from its own defaults."""
    merged = dict(below)
    for party in ("agent", "reflector"):
        over = layer.get(party)
        if not isinstance(over, dict):
            continue
        implied = (kind for kind, (_, needed) in _KINDS[party].items() if needed and over.get(needed))
        kind = over.get("kind") or next(implied, None)
        under = dict(merged.get(party) or {})
        if kind is not None and kind != under.get("kind", "offline"):
            under = {key: value for key, value in under.items() if key in _KINDS[party][kind][0]}
        merged[party] = under | ({} if kind is None else {"kind": kind})
    return _laid_over(merged, layer)


def _with_reflector(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Have the agent's model reflect too, where nothing at all is said of the reflector."""
    agent = merged.get("agent") or {}
    if merged.get("reflector") or agent.get("kind") != "chat" or not agent.get("model"):
        return dict(merged)
    shared = {key: agent[key] for key in SHARED if key in agent}
    if parameters := {k: v for k, v in shared.pop("parameters", {}).items() if k != "response_format"}:
        shared["parameters"] = parameters  # what an agent's answer looks like is not what a proposal does
    return {**merged, "reflector": {"kind": "model", **shared}}


def _misplaced(party: str, merged: Mapping[str, Any]) -> Iterator[str]:
    """Say which keys the kind of agent or reflector does not have, and which it cannot do without."""
    written = merged.get(party) or {}
    kind = written.get("kind", "offline")
    ours, needed = _KINDS[party][kind]
    for key in written:
        if key != "kind" and key not in ours:
            homes = [other for other, (keys, _) in _KINDS[party].items() if key in keys]
            yield f"{party}.{key}: goes with kind {' or '.join(homes)}, and {party}.kind is {kind}"
    for fault in faults_of(written.get("parameters") or {}, written.get("model")):
        yield f"{party}.parameters: {fault}"
    if needed and not written.get(needed):
        yield f"{party}.kind is {kind}: expected {party}.{needed} beside it"


def _number(value: str | float) -> str | float | None:
    """Read text as a number or nothing, where it is one; what is not finite stays text."""
    for reading in (int, float):
        try:
            number = reading(str(value))
        except ValueError:
            continue
        return number if math.isfinite(number) else str(value)
    return None if str(value).lower() in {"null", "none"} else value


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged
