"""First outputs of today's runbook: what all of them show of a set-up in which no search can end well (pure).

A criterion that looks at the wrong place fails on each output alike, whatever a runbook says. Twenty outputs
tell that, and a search would cost hundreds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import UNSET, Struct

from runbookopt.agents.protocol import Agent, ReadsRules
from runbookopt.documents.digest import as_text
from runbookopt.documents.finding import told
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.settings import FILE, AgentSettings, Settings
from runbookopt.errors import RunbookoptError
from runbookopt.project.project import Project
from runbookopt.search.asking import Asking
from runbookopt.search.asks import Ask, Attempt, Candidate, Reply, Rollout
from runbookopt.search.problem import Problem
from runbookopt.verifier.checks import Delivery, delivery, keys_of
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Criterion
from runbookopt.verifier.trace_checks import ExitCode, FileExists, TraceCheck

FIRST = 20
"""Rollouts, at most, that are made before all is known to be set up well."""

FEWEST = 5
"""Fewer outputs than this say nothing of all others, unless there are no more tasks to select by."""

ON_PURPOSE = "if the runbook itself is to learn this, --set stop_early=false"

_KEYS = 5


class BrokenSetup(RunbookoptError):
    """A set-up in which no search can find anything better."""


class Output(Struct, frozen=True):
    """One output, the reference of its task, and why each criterion that did not pass did not, by its id.

    `errors` counts those that the verifier could not judge.
    """

    output: str | None
    reference: object
    failed: Mapping[str, str]
    errors: int = 0


def must_be_followed(agent: Agent, text: str, path: str) -> None:
    """Refuse a runbook that the agent cannot follow: it would answer nothing, whatever is added.

    Raises BrokenSetup.
    """
    reason = agent.unfollowed(text) if isinstance(agent, ReadsRules) else None
    if reason is not None:
        raise BrokenSetup(f"{path}: {reason}")


def must_learn(name: str, settings: Settings) -> None:
    """Refuse a model as agent beside the offline reflector, which only adds rules that a program can follow.

    Raises BrokenSetup.
    """
    agent, kind = settings.agent, settings.reflector.kind
    if agent.kind == "chat" and kind == "offline":
        raise BrokenSetup(
            f"{name}: agent.model is {plain(agent.model or '')} and reflector.kind is offline: the offline"
            " reflector counts words, and adds rules for the offline agent alone; name a model"
            f" (reflector: {{kind: model, model: {plain(agent.model or 'PROVIDER/NAME')}}} in {FILE}, or"
            " --reflector), or take reflector out, and the agent's model reflects too"
        )


def first_outputs(problem: Problem, spent: int) -> Asking[Mapping[str, Attempt] | str]:
    """Attempts of today's runbook, by task: those that are known, and new ones until there are `FIRST`.

    The new ones are of validation, which every search begins with, and at most `FIRST` less what is `spent`.
    Why it ended, where it did.
    """
    lacking = [task for task in problem.validation if task not in problem.free]
    count = max(0, FIRST - max(spent, len(problem.free)))
    seed = Candidate(problem.seed.text)
    rollouts = tuple(Rollout(seed, task) for task in lacking[:count])
    if not rollouts:
        return problem.free
    reply: Reply = yield Ask(rollouts=rollouts)
    if reply.stopped:
        return reply.stopped
    fresh = zip(rollouts, reply.rollouts, strict=True)
    return {**problem.free, **{each.task: made for each, made in fresh if isinstance(made, Attempt)}}


def looking(project: Project, settings: Settings) -> Callable[[Mapping[str, Attempt]], None]:
    """What looks at first attempts, by task, and raises BrokenSetup where all show that nothing can score."""

    def look(attempts: Mapping[str, Attempt]) -> None:
        outputs = [
            Output(
                attempt.output,
                project.evidence.task(task).reference,
                dict(reason.split(": ", 1) for reason in attempt.feedback),
                attempt.errors,
            )
            for task, attempt in attempts.items()
        ]
        least = min(FEWEST, len(project.split.validation))
        faults = tuple(stuck(project, outputs, settings.agent)) if len(outputs) >= least else ()
        if faults and settings.stop_early:
            raise BrokenSetup(
                f"{project.name}: stopped before the search, after {len(outputs)} outputs of today's runbook:"
                f" {'; '.join(faults)}; {ON_PURPOSE}; what was answered is kept"
            )

    return look


def stuck(project: Project, outputs: Sequence[Output], agent: AgentSettings | None = None) -> Iterator[str]:
    """The criteria that fail alike on all outputs, each with what was seen, expected, and what to change.

    Alike is: nothing was delivered where the criterion looks, the verifier could not judge, or one and the
    same wrong answer was given. What differs from output to output is for a runbook to mend.
    """
    for criterion in project.rubric.deciding:
        if all(criterion.id in each.failed for each in outputs):
            said = _alike(criterion, outputs, agent)
            if said is not None:
                yield f"{project.files[1]}: criterion {criterion.id} fails alike on all of them: {said}"


def _alike(criterion: Criterion, outputs: Sequence[Output], agent: AgentSettings | None) -> str | None:
    check, first = criterion.check, outputs[0].failed[criterion.id]
    same = len({each.failed[criterion.id] for each in outputs}) == 1
    if all(not (each.output or "").strip() for each in outputs):
        none = any(each.output is None for each in outputs)
        return f"{plain(first) if none else 'expected an output, saw an empty one'}; {_on_output(agent)}"
    if check is UNSET:
        errors = same and all(each.errors for each in outputs)
        return f"{plain(first)}; mend judge in rubric.yaml" if errors else None
    if isinstance(check, ProgramCheck):
        return f"{plain(first)}; mend its program, or what it is handed" if same else None
    if isinstance(check, TraceCheck):
        broken = isinstance(check, ExitCode | FileExists) or all(each.errors for each in outputs)
        return f"{plain(first)}; {_on_output(agent)}, or take the criterion out" if same and broken else None
    seen = [delivery(check, each.output, each.reference) for each in outputs]
    kinds = {each.kind for each in seen}
    if len(kinds) > 1:
        return None
    return _on_delivery(seen, check.path, outputs, agent)


def _on_delivery(
    seen: Sequence[Delivery], path: str | None, outputs: Sequence[Output], agent: AgentSettings | None
) -> str | None:
    first = seen[0]
    match first.kind:
        case "unjudgeable":
            keys = in_common("references", [each.reference for each in outputs])
            return f"{first.words}{keys}; change `reference` of this check, or the tasks' references"
        case "elsewhere":
            keys = in_common("outputs", [keys_of(each.output) for each in outputs])
            change = _on_path((path or "$").removeprefix("$."), outputs, agent)
            return f"expected something at {path}, saw {first.words}{keys}; {change}"
        case "no_json":
            chat = agent is not None and agent.kind == "chat"
            form = ", set agent.parameters={response_format: {type: json_object}}" if chat else ""
            return (
                f"expected JSON, saw {first.words}; have the runbook ask for JSON alone{form}, or take `path`"
                " out of this check"
            )
        case "compared":
            return _on_answers(seen, path, outputs)
        case _:
            return None


def _on_path(name: str, outputs: Sequence[Output], agent: AgentSettings | None) -> str:
    """What to change where no output has the field `name`: the likelier one of rubric and agent first."""
    near = nearest(name, _shared([keys_of(each.output) for each in outputs]))
    change = f"change `path` of this check{near}"
    if agent is None or agent.kind != "offline" or not name.isidentifier():
        return f"{change}, or have the runbook name that field"
    field = f"set agent.field to {name} in {FILE} (it is {agent.field})"
    misspelt = near and name not in _shared([each.reference for each in outputs])
    return f"{change}, or {field}" if misspelt else f"{field}, or {change}"


def _on_answers(seen: Sequence[Delivery], path: str | None, outputs: Sequence[Output]) -> str | None:
    """What of answers that are compared is no matter of the runbook."""
    wanted = ", ".join(sorted({told(each.expected) for each in seen})[:_KEYS])
    objects = [keys_of(each.output) for each in outputs]
    if path is None and all(objects):
        one = min(objects[0] or ())
        keys = in_common("outputs", objects)
        add = f"add a path to this check, such as $.{plain(one)}"
        return f"expected text such as {wanted}, saw JSON{keys}; {add}"
    if len({as_text(each.got) for each in seen}) == 1 and path is not None:
        return (
            f"expected {wanted}, saw {told(seen[0].got)} each time; see that the agent gets the task and the"
            " runbook, and that its answers are spelled as the references are"
        )
    return None


def _on_output(agent: AgentSettings | None) -> str:
    match agent.kind if agent else None:
        case "command" if agent is not None:
            return f"see agent.argv, agent.output (it is {agent.output}) and agent.transcript in {FILE}"
        case "chat":
            limit = agent.max_tokens if agent else None
            more = (
                ""
                if limit is None
                else f"raise agent.max_tokens (it is {limit}) to {2 * limit} in {FILE}, or "
            )
            return f"{more}see what the model answers"
        case _:
            return f"see agent in {FILE}"


def in_common(what: str, values: Sequence[object]) -> str:
    """The keys that all these mappings have, in words for brackets; nothing where they have none."""
    keys = _shared(values)
    more = ", ..." if len(keys) > _KEYS else ""
    return f" (all {what} have {', '.join(map(plain, keys[:_KEYS]))}{more})" if keys else ""


def _shared(values: Sequence[object]) -> list[str]:
    """The keys that all these mappings have."""
    sets = [set(value) for value in values if isinstance(value, dict | set)]
    return sorted(set.intersection(*sets)) if sets and len(sets) == len(values) else []
