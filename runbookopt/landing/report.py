"""Report for a reviewer: a bundle and a decision as title, Markdown and commit of a pull request (pure).

All that came from a model, a trajectory or a first half that talked to models is quoted, never written out.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import astuple

from runbookopt.calibration.audit import changed_pairs
from runbookopt.calibration.coverage import Coverage
from runbookopt.calibration.deciding import Standing
from runbookopt.calibration.health import Health
from runbookopt.documents.runbook import FRONT_MATTER, Runbook
from runbookopt.documents.settings import as_flag, setting_types
from runbookopt.documents.untrusted import block, code, label, plain, prose
from runbookopt.documents.usage import Usage
from runbookopt.guard.guard import GuardReport
from runbookopt.landing.bundle import (
    Bundle,
    Change,
    MemberSummary,
    age,
    changed_lines,
    models_by_role,
    offline_part,
)
from runbookopt.landing.reporting.measurement import health_of, what_decides, without_score
from runbookopt.landing.reporting.newest_quarter import Newest
from runbookopt.landing.reporting.since import Since, section
from runbookopt.project.policy import PASSING_TODAY_AT_LEAST, Decision, Reason
from runbookopt.proof.allowance import Allowance
from runbookopt.proof.binding import TRAILER
from runbookopt.proof.comparison import HARM, Comparison, Outcome, Pair
from runbookopt.proof.red_team import RedTeam
from runbookopt.search.selection import RULE
from runbookopt.verifier.families import kin, kin_in_words
from runbookopt.verifier.judge import self_judged
from runbookopt.verifier.rubric import CalibratedRubric, Rubric

MOST_OBJECTIVES = 5
"""So many objectives stand in the table of the frontier."""

MOST_CHARACTERS = 65_536
"""What GitHub takes as the body of a pull request."""


class Findings(Struct, frozen=True):
    """Findings of which a report is made: the bundle, and what was derived anew from git.

    `before` is the runbook at the base commit and `after` the candidate, with or without its version bump.
    `comparison`, `allowance` and `pairs` are of the look as it stands in the ledger; None and empty where
    nobody looked. `rubric` is the base's. `names` gives a stored trajectory for a task's id, which people can
    look up. `notes` are further sentences for the reviewer. `ledger` is the commit of the ledger that the
    proof rests on. `newest` is of the newest quarter of the tasks. `then` is what it proposed before.
    `red_team` is what the winner does on the red team's tasks, which no score above counts. `standings` are
    of the base's criteria, by its labels; `coverage` is of the failures that people named.
    """

    bundle: Bundle
    before: Runbook
    after: Runbook
    comparison: Comparison | None
    allowance: Allowance | None
    pairs: tuple[Pair, ...]
    decision: Decision
    guard: GuardReport
    rubric: Rubric | None = None
    names: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    ledger: str | None = None
    newest: Newest | None = None
    then: Since | None = None
    standings: tuple[Standing, ...] = ()
    coverage: Coverage | None = None
    red_team: RedTeam | None = None


class Trailers(Struct, frozen=True):
    """What a commit of ours says of itself: `bundle` is a digest, `gain` the held-out gain with its sign."""

    run: str
    version: str
    gain: str
    bundle: str


def render(findings: Findings) -> str:
    """The Markdown of the pull request, never longer than a forge takes: lists are cut first."""
    page = ""
    for rows in (25, 12, 6, 3, 1):
        page = _page(findings, rows)
        if len(page) <= MOST_CHARACTERS:
            break
    return cut(page, MOST_CHARACTERS, "\n\nCut here: the rest is in the bundle.\n")


def cut(text: str, most: int, note: str) -> str:
    """A text of at most so many characters, with a note where lines at its end are left out."""
    return text if len(text) <= most else text[: most - len(note)].rpartition("\n")[0] + note


def table(reasons: Sequence[Reason]) -> Iterator[str]:
    """The Markdown of reasons, a row each."""
    yield from ("| condition | holds | what was found |", "|---|---|---|")
    words = {True: "yes", False: "**no**", None: "**unknown**"}
    for reason in reasons:
        yield f"| {_name(reason.condition)} | {words[reason.holds]} | {prose(reason.text)} |"


def title(bundle: Bundle, comparison: Comparison) -> str:
    """The title of the pull request, with the gain."""
    scores = f"{comparison.before:.2f} to {comparison.after:.2f}"
    return (
        f"{plain(bundle.runbook, 80)}: {comparison.gain:+.2f} on {comparison.tasks} held-out tasks ({scores})"
    )


def commit_message(bundle: Bundle, comparison: Comparison, ledger: str | None = None) -> str:
    """The message of the one commit; its last paragraph is the trailers that `read_trailers` reads.

    `ledger` is the commit of the ledger at origin that the proof rests on.
    """
    rests = "" if ledger is None else f"{TRAILER}: {ledger}\n"
    parts = ", ".join(plain(change.component, 60) for change in bundle.changes[:10]) or "unknown"
    trailers = Trailers(bundle.run, bundle.version, f"{comparison.gain:+.4f}", bundle.digest)
    return (
        f"Improve {plain(bundle.runbook, 80)}: {comparison.gain:+.2f} on held-out tasks\n\n"
        f"{comparison.tasks} held-out tasks: {comparison.before:.3f} before, {comparison.after:.3f} after,"
        f" gain at least {comparison.low:+.3f}.\nParts: {parts}.\n\n"
        + "".join(f"{name}: {plain(getattr(trailers, key))}\n" for name, key in _TRAILERS.items())
        + rests
    )


def squash_message(bundle: Bundle, comparison: Comparison, ledger: str | None = None) -> str:
    """The message of a merge: as `commit_message`, with the pull request's title."""
    _, _, rest = commit_message(bundle, comparison, ledger).partition("\n")
    return f"{title(bundle, comparison)}\n{rest}"


def read_trailers(message: str) -> Trailers | None:
    """Read back what `commit_message` wrote; None where the last paragraph has not each of them just once."""
    last = re.split(r"\n[ \t]*\n", message.strip().replace("\r\n", "\n"))[-1]
    fields = [line.partition(": ") for line in last.split("\n")]
    ours = [(_TRAILERS[name], value.strip()) for name, _, value in fields if name in _TRAILERS]
    if sorted(key for key, _ in ours) != sorted(_TRAILERS.values()):
        return None
    return Trailers(**dict(ours))


def without_gain(trailers: str) -> str:
    """A paragraph of trailers less the gain, for a text that is not what was proved."""
    return "\n".join(line for line in trailers.split("\n") if not line.startswith("Runbookopt-Gain:"))


_TRAILERS = {f"Runbookopt-{key.title()}": key for key in Trailers.__struct_fields__}


def _page(findings: Findings, rows: int) -> str:
    sections: tuple[tuple[str, Callable[[Findings, int], Iterator[str]]], ...] = (
        ("Scores", _scores),
        ("Since then", _since),
        ("What decides", _standings),
        ("Decision", lambda findings, _: table(findings.decision.reasons)),
        ("What changed, and why", _changes),
        ("What to look at", _look_at),
        ("Stored verdicts and references", _evidence),
        ("The frontier", _frontier),
        ("What it cost", _cost),
        ("What the numbers cannot say", _limits),
        ("How to make it again", _again),
    )
    lines = [f"Health: {prose(_health(findings).line, 2000)}.", "", _verdict(findings), ""]
    for heading, part in sections:
        if (part is _since and findings.then is None) or (part is _standings and not findings.standings):
            continue
        lines += [f"## {heading}", "", *part(findings, rows), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _health(findings: Findings) -> Health:
    """The health of the measurement, which comes before what it measured."""
    return health_of(findings.bundle, findings.comparison, findings.pairs, findings.standings)


def _verdict(findings: Findings) -> str:
    comparison, name = findings.comparison, _name(findings.bundle.runbook)
    if broken := _health(findings).broken:
        return f"**INVALID.** The measurement of {name} is broken, which is no word on its gain: {broken}."
    ways = {"auto": "may merge by itself", "review": "waits for review", "none": "is not to be merged"}
    then = f"it {ways[findings.decision.merge]}"
    if comparison is None:
        return f"**Not proved.** Nobody looked at the held-out tasks of {name}; {then}."
    return (
        f"**{comparison.answer.capitalize()}.** {name} scores {comparison.after:.3f} instead of"
        f" {comparison.before:.3f} on {comparison.tasks} held-out tasks ({comparison.gain:+.3f}, at least"
        f" {comparison.low:+.3f}); {then}."
    )


def _scores(findings: Findings, rows: int) -> Iterator[str]:
    comparison, may, validation = findings.comparison, findings.allowance, findings.bundle.validation
    if comparison is not None:
        yield from ("| | before | after | gain | interval |", "|---|--:|--:|--:|:-:|")
        whole = (comparison.before, comparison.after, comparison.low, comparison.high)
        yield _score_row("**score**", *whole)
        objectives = sorted(comparison.objectives.items())
        for name, change in objectives[:rows]:
            yield _score_row(_name(name), change.before, change.after, change.low, change.high)
        yield from ("", *_more(len(objectives), rows), "")
        tasks = f"{comparison.tasks} held-out tasks in {comparison.groups} groups"
        yield f"{tasks}, one-sided p = {comparison.p:.2g}."
        yield from _newest(findings)
        if findings.red_team is not None:
            yield f"Apart from that, {findings.red_team.told}."
        if may is not None:
            score = f"{100 * may.spend:.2g} %, what this look may spend"
            yield f"Each side of the score's interval is at {score}; of an objective's at {100 * HARM:g} %."
    if may is not None:
        yield f"This is look {may.look} at the held-out tasks; its allowance is {may.spend:.3g}."
        yield f"Chance of luck spent so far on this runbook, by all looks: {may.spent:.3g}."
    yield (
        f"On the {validation.tasks} validation tasks, by which the winner was chosen: {validation.before:.3f}"
        f" before, {validation.after:.3f} after, p = {validation.p:.2g}."
    )
    reasons = comparison.reasons if comparison is not None else ()
    yield from ("", *_list(reasons, rows))


def _since(findings: Findings, rows: int) -> Iterator[str]:
    if findings.then is not None:
        yield from section(findings.then, findings.bundle, findings.comparison, rows)


def _standings(findings: Findings, rows: int) -> Iterator[str]:
    calibrated = isinstance(findings.rubric, CalibratedRubric)
    yield from what_decides(findings.bundle, findings.standings, calibrated=calibrated, rows=rows)
    if findings.coverage is not None:
        yield f"- Coverage: {prose(str(findings.coverage), 600)}."


def _newest(findings: Findings) -> Iterator[str]:
    newest = findings.newest
    if newest is not None:
        yield (
            f"On the newest quarter of them, {newest.tasks} tasks that began on {newest.since} or later:"
            f" {newest.before:.3f} before, {newest.after:.3f} after ({newest.gain:+.3f}). It decides nothing."
        )


def _score_row(name: str, before: float, after: float, low: float, high: float) -> str:
    return f"| {name} | {before:.3f} | {after:.3f} | {after - before:+.3f} | {low:+.3f} to {high:+.3f} |"


def _changes(findings: Findings, rows: int) -> Iterator[str]:
    """Each part that changed, in the order of the file, with the reasons that were given for it."""
    given: dict[str, list[Change]] = {}
    for change in findings.bundle.changes:
        given.setdefault(change.component, []).append(change)
    changed = _changed_parts(findings)
    for part, counts in list(changed.items())[:rows]:
        why = ": the version, by runbookopt itself" if part == FRONT_MATTER else ": no reason was given"
        yield f"- {_name(part)} ({_plus_minus(counts)}){'' if part in given else why}"
        for change in given.get(part, [])[:rows]:
            motives = _few(change.trajectories, rows, _name) or "no trajectory"
            yield f"  - {code(change.diagnosis, 600)}, motivated by {motives}"
        yield from (f"  {line}" for line in _more(len(given.get(part, [])), rows))
    yield from _more(len(changed), rows)
    if findings.bundle.replaced:
        yield f"- Of {findings.bundle.replaced} more edits on the way to it no line stands in the diff."


def _changed_parts(findings: Findings) -> dict[str, tuple[int, int]]:
    """Lines added and removed of each part that changed, in the order of the file."""
    added: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    for line in changed_lines(findings.bundle.patch):
        parts, counts = (findings.after, added) if line.added else (findings.before, removed)
        counts.update(p.id for p in parts.parts if p.first_line <= line.number <= p.last_line)
    order = dict.fromkeys(part.id for part in (*findings.after.parts, *findings.before.parts))
    return {part: (added[part], removed[part]) for part in order if added[part] + removed[part]}


def _plus_minus(counts: tuple[int, int]) -> str:
    return f"lines: +{counts[0]} -{counts[1]}"


def _look_at(findings: Findings, rows: int) -> Iterator[str]:
    for kind, things in findings.guard.introduces.items():
        if things:
            yield f"- The diff introduces {kind}: {_few(things, rows)}."
    counts = _changed_parts(findings)
    largest = sorted(counts, key=lambda part: (-sum(counts[part]), part))[:3]
    if largest:
        yield f"- Largest changes: {', '.join(f'{_name(p)} ({_plus_minus(counts[p])})' for p in largest)}."
    objectives = findings.comparison.objectives if findings.comparison is not None else {}
    fell = {name: o.after - o.before for name, o in sorted(objectives.items()) if o.after < o.before}
    by_how_much = _few(list(fell), rows, lambda name: f"{_name(name)} ({fell[name]:+.3f})")
    yield f"- Objectives that fell: {by_how_much or 'none'}."
    if findings.rubric is not None and findings.rubric.judge_decides:
        turned = len(changed_pairs(findings.pairs))
        yield (
            f"- A judge decides, and verdicts changed on {turned} held-out tasks: `runbookopt audit` shows a"
            " person both outputs there, blind, before the merge."
        )
    worse = [pair.task for pair in findings.pairs if _mean(pair.after) < _mean(pair.before)]
    count = f"{len(worse)} of {len(findings.pairs)}{': ' if worse else ''}"
    named = [findings.names.get(task, _short(task)) for task in worse]
    yield f"- Held-out tasks that got worse: {count}{_few(named, rows)}."
    yield from _list(findings.notes, rows)


def _evidence(findings: Findings, rows: int) -> Iterator[str]:
    """How old what the search took from the library is, and which references may be wrong."""
    stored, suspects = findings.bundle.stored, findings.bundle.suspects
    if stored is None or not stored.used:
        yield "- No stored verdict was used: today's runbook was rolled out anew."
    else:
        yield f"- Stored verdicts on today's runbook that stood for rollouts: {stored.used}, {age(stored)}."
    if stored is not None and stored.checked:
        yield (
            f"- Older than 14 days or without a date: {stored.old}. Of these {stored.checked} were tried"
            f" again; {stored.alike} score as they did."
        )
    for trial in stored.as_today if stored is not None else ():
        fate = "so its outputs count" if trial.believed else "too few, so none of its outputs counts"
        yield (
            f"- Outputs of agent {_name(trial.agent)}, which `stored_as_today` of runbookopt.yaml says is"
            f" today's: {trial.outputs}. {trial.tried} were tried again, {trial.alike} verdicts are"
            f" alike, {fate}."
        )
    if suspects:
        yield (
            f"- References that may be wrong: {len(suspects)}. Today's runbook and every candidate that was"
            " tried there agree on another answer, as do the references of tasks that are most alike."
        )
    for each in suspects[:rows]:
        named = _few(each.trajectories, 3, _name)
        yield f"  - {named} ({each.part}): {each.texts} texts answer {code(each.answer, 120)}"
    yield from (f"  {line}" for line in _more(len(suspects), rows))


def _mean(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.score for outcome in outcomes) / len(outcomes) if outcomes else 0.0


def _frontier(findings: Findings, rows: int) -> Iterator[str]:
    bundle = findings.bundle
    best = sorted(bundle.members, key=lambda m: (m.digest != bundle.chosen, -m.validation, m.digest))
    holding = [member for member in best if member.places or member.digest == bundle.chosen]
    yield (
        f"{bundle.candidates} candidates were scored on validation. {RULE} The frontier, where each is best"
        " on some task and objective:"
    )
    names = sorted({name for member in holding for name in member.objectives})[:MOST_OBJECTIVES]
    means = "".join(f" {_name(name)} |" for name in names)
    yield from ("", f"| candidate | wave | made from | validation |{means} characters | places | |")
    yield f"|---|--:|---|--:|{'--:|' * len(names)}--:|--:|---|"
    for member in holding[:rows]:
        parents = ", ".join(code(_short(parent)) for parent in member.parents[:3]) or "(seed)"
        mark = "**chosen**" if member.digest == bundle.chosen else prose(member.note, 80)
        values = map(member.objectives.get, names)
        told = "".join("  |" if value is None else f" {value:.3f} |" for value in values)
        yield (
            f"| {code(_short(member.digest))} | {member.wave} | {parents} | {member.validation:.3f} |{told}"
            f" {member.characters:,} | {member.places} | {mark} |"
        )
    yield from ("", *_trade_offs(bundle, holding, names))
    yield from ("", *_more(len(holding), rows))
    yield from ("", "```mermaid", "graph TD", *_chart(best[: 2 * rows], bundle.chosen), "```", "")
    yield from _more(len(best), 2 * rows)


def _trade_offs(bundle: Bundle, holding: Sequence[MemberSummary], names: Sequence[str]) -> Iterator[str]:
    """What the chosen candidate gives up of each objective of which another one of the frontier has more."""
    chosen = next((member for member in holding if member.digest == bundle.chosen), None)
    for name in names if chosen is not None else ():
        best = max(holding, key=lambda member: (member.objectives.get(name, 0.0), member.validation))
        more = best.objectives.get(name, 0.0) - (chosen.objectives.get(name, 0.0) if chosen else 0.0)
        if chosen is not None and more > 0:
            costs = best.validation - chosen.validation
            yield (
                f"- {code(_short(best.digest))} has {more:+.3f} of {_name(name)}, and {costs:+.3f} of the"
                f" score: `--prefer {plain(name, 80)}` chooses by it."
            )


def _chart(members: Sequence[MemberSummary], chosen: str) -> Iterator[str]:
    """Draw who was made from whom, with digests and numbers alone: a label is no place for other words."""
    names = {member.digest: f"m{place}" for place, member in enumerate(members)}
    for member in members:
        made = f"wave {member.wave}" if member.parents else "seed"
        text = label(f"{_short(member.digest)}, {made}, {member.validation:.3f}")
        yield f'  {names[member.digest]}["{text}"]'
    for member in members:
        for parent in dict.fromkeys(member.parents):
            if parent in names:
                yield f"  {names[parent]} --> {names[member.digest]}"
    if chosen in names:
        yield f"  style {names[chosen]} stroke-width:4px"


def _short(digest: str) -> str:
    """As much of a digest as people compare."""
    return digest.removeprefix("sha256:")[:12]


def _cost(findings: Findings, rows: int) -> Iterator[str]:
    bundle, spent = findings.bundle, findings.bundle.spent
    tokens = "unknown" if spent.tokens is None else f"{spent.tokens:,}"
    yield f"- Rollouts paid: {spent.rollouts:,}; taken from the journal: {spent.cached:,}"
    yield f"- Reflections: {spent.reflections:,}"
    yield f"- Tokens: {tokens}; {_dollars(spent.usd)}; seconds: {spent.seconds:.1f}"
    models = _few(bundle.models, rows, _name)
    yield f"- Agent: {_name(bundle.agent.kind)}; models: {models or 'none'}"
    yield from _calls(bundle)


def _calls(bundle: Bundle) -> Iterator[str]:
    """A line for each role that called a model: calls, tokens, dollars, and failures by kind."""
    models = models_by_role(bundle)
    for role in ("agent", "reflector", "judge"):
        usage: Usage | None = getattr(bundle.spent.usage, role)
        if usage is not None or role in models:
            model = f" ({code(models[role], 80)})" if role in models else ""
            yield f"- Calls of the {role}{model}: {'unknown' if usage is None else _used(usage)}"


def _used(usage: Usage) -> str:
    cached = f" ({usage.cached / usage.prompt:.0%} cached)" if usage.prompt else ""
    most = sorted(usage.failures.items(), key=lambda failure: (-failure[1], failure[0]))
    kinds = ", ".join(f"{code(kind, 40)} {count:,}" for kind, count in most[:_KINDS])
    more = f" and {len(most) - _KINDS} more kinds" if len(most) > _KINDS else ""
    failed = f"failed attempts: {kinds}{more}" if most else "no attempt failed"
    tokens = f"tokens: {usage.prompt:,} in{cached}, {usage.completion:,} out"
    if usage.uncounted:
        tokens += f" (without {usage.uncounted:,} calls whose replies have no `usage`)"
    return f"{usage.calls:,}; {tokens}; {_dollars(usage.usd)}; {failed}"


_KINDS = 12  # of failures that are named


def _dollars(usd: float | None) -> str:
    """An amount, a small one to its second digit: what it costs must not read as nothing."""
    if usd is None:
        return "dollars: unknown"
    return f"dollars: {usd:.2f}" if usd >= 0.01 or not usd else f"dollars: {usd:.2g}"  # noqa: PLR2004 - a cent


def _limits(findings: Findings, _: int) -> Iterator[str]:
    comparison = findings.comparison
    if comparison is not None and comparison.groups:
        share = f"3 in {comparison.groups} ({3 / comparison.groups:.1%})"
        yield f"- Harm that is rarer than {share} is invisible to this many tasks."
        if lacking := without_score(findings.bundle):
            yield (
                f"- {lacking} held-out attempts have no score, by nobody's fail: they count for today's text"
                " and against the winner."
            )
        few = f": fewer than {PASSING_TODAY_AT_LEAST}, so a loss can hardly be seen"
        is_few = comparison.passing_today < PASSING_TODAY_AT_LEAST
        seen = few if is_few else ", on which a loss could be seen"
        yield f"- {comparison.passing_today} held-out tasks pass today{seen}."
    yield "- The winner was chosen by its validation score, so only the held-out score can be trusted."
    part = offline_part(findings.bundle)
    if part == "offline reflector":
        yield "- The edits are by the offline reflector, which counts words in failures."
    elif part:
        yield (
            f"- This was made with the {part}, which follows written rules literally; another agent may"
            " do otherwise with the same text."
        )
    yield from _judge(findings)
    rubric = findings.rubric
    programs = [each for each in rubric.deciding if each in rubric.programs] if rubric else []
    if programs:  # none of which is started where a token is
        names = _few([criterion.id for criterion in programs], 12, _name)
        yield f"- Decided by programs of the repository: {names}. These verdicts are the first half's word."
    judge, program = "the judge", "a program of the repository"
    decides = {judge: rubric and rubric.judge_decides, program: programs}
    says = {judge: rubric and rubric.judged, program: rubric and rubric.programs}  # informing ones, too
    decider, who = (" or ".join(who for who in each if each[who]) for each in (decides, says))
    beside = (each for seen in findings.bundle.outputs for each in (*seen.beside_before, *seen.beside_after))
    left = " and left these steps, files, times and exit codes" if any(each.left for each in beside) else ""
    yield (
        "- Derived anew from git: the patch and what the guard says of it, policy, split, trust, digests,"
        " what labels make of the criteria, the look's place in the ledger, and the held-out scores, by"
        " judging the stored outputs again"
        f"{f', but for what {decider} decides' if decider else ''}."
    )
    yield (
        f"- Only stated by the job that ran it: that the agent it names really gave these outputs{left}; "
        f"{f'the verdicts of {who}; ' if who else ''}diagnoses"
        " and the trajectories they cite; validation scores, candidates and the frontier; stored"
        " verdicts and suspect references; models, cost, random seed and settings."
    )


def _judge(findings: Findings) -> Iterator[str]:
    """What rests on a judge, and where it judged its own work."""
    rubric = findings.rubric
    if rubric is None or rubric.judge is None or not rubric.judged:
        return
    count = "1 criterion is" if len(rubric.judged) == 1 else f"{len(rubric.judged)} criteria are"
    names = _few([criterion.id for criterion in rubric.judged], 12, _name)
    held = "and nobody has held this judge against people's labels"
    if isinstance(rubric, CalibratedRubric):
        held = "held against people's labels by the verdicts that calibration.json states"
    yield (
        f"- {count} judged by {_name(rubric.judge.model)}: {names}. These verdicts are the first half's word,"
        f" {held}."
    )
    models = models_by_role(findings.bundle)
    own = self_judged(rubric.judge.model, models.get("agent"), models.get("reflector"))
    if own is not None:
        yield f"- It judged its own work, as the rubric allows: {prose(own)}. Models favour their own words."
        return
    for whose in ("agent", "reflector"):
        if kin(rubric.judge.model, models.get(whose)) == "family":
            near = kin_in_words(rubric.judge.model, whose, models.get(whose)) or ""
            yield f"- {prose(near)}: models favour the words of their own kind."


def _again(findings: Findings, _: int) -> Iterator[str]:
    bundle = findings.bundle
    words = ["optimize-runbook", bundle.runbook, "--random-seed", str(bundle.random_seed)]
    for key, value in sorted(bundle.settings.items()):
        if key in setting_types() and value is not None:
            words += as_flag(key, value)
    yield from (block(shlex.join(words)), "")  # no word of a bundle is taken for more than one argument
    yield f"- Base commit {code(bundle.base)}, run {code(bundle.run)}, random seed {bundle.random_seed}"
    yield f"- runbookopt {_name(bundle.version)}, bundle {code(bundle.digest)}"
    names = ("Runbook", "Candidate", "Rubric", "Policy", "Held-out tasks")
    for name, value in zip(names, astuple(bundle.digests), strict=True):
        yield f"- {name}: {'none is declared' if value is None else code(value)}"
    if findings.ledger is not None:  # some forges make the message of a merge of this text
        yield from ("", f"{TRAILER}: {findings.ledger}")


def _name(text: str) -> str:
    return code(text, 80)


def _list(sentences: Sequence[str], rows: int) -> Iterator[str]:
    yield from (f"- {prose(sentence)}" for sentence in sentences[:rows])
    yield from _more(len(sentences), rows)


def _few(items: Sequence[str], rows: int, show: Callable[[str], str] = code) -> str:
    more = f" and {len(items) - rows} more in the bundle" if len(items) > rows else ""
    return ", ".join(show(item) for item in items[:rows]) + more


def _more(count: int, rows: int) -> Sequence[str]:
    return [f"- and {count - rows} more in the bundle"] if count > rows else []
