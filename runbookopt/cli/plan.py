"""Plan of a run, for people: what it may cost at most, and what it can prove."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.cli.terminal import Line
    from runbookopt.jobs.planning.plan import Plan, Provable, Shrunk


def page(plan: "Plan") -> "Iterator[Line]":
    """A plan for people."""
    tasks, rollouts = plan.tasks, plan.rollouts
    yield (plan.runbook, "bold"), (": the plan; nothing was run", "")
    yield f"  tasks        {tasks.train} train, {tasks.validation} validation, {tasks.held_out} held-out"
    yield f"  can prove    {_gain(plan.provable)}"
    yield f"  assuming     {_assumed(plan.provable)}"
    yield from (f"  judged       {_shrunk(each)}" for each in plan.shrunk)
    if len(plan.proofs) > 1:
        yield f"  same price   {_proofs(plan)}"
    first = f", if that holds which {rollouts.claims} of the search try first" if rollouts.claims else ""
    known = f"; {rollouts.known} of the search are in the journal already" if rollouts.known else ""
    yield (
        f"  rollouts     at most {rollouts.most}: {rollouts.search} to search, {rollouts.proof} to prove;"
        f" {rollouts.free} more are known for free{first}{known}"
    )
    yield f"  reflections  at most {plan.reflections}"
    if plan.handed_off:
        yield f"  hand-off     {_handed_off(plan)}"
    yield f"  cost         {_cost(plan)}"
    yield f"  time         {_time(plan)}"
    yield from (f"  {note}" for note in plan.notes)
    yield ""


def _handed_off(plan: "Plan") -> str:
    """What a coding agent or a person is asked for."""
    asked = {
        "agent": f"each of the at most {plan.rollouts.most} rollouts",
        "reflector": f"each of the at most {plan.reflections} reflections, up to {plan.wave} at a time,",
    }
    return (
        f"{' and '.join(asked[role] for role in plan.handed_off)} is an ask that a coding agent or a person"
        " answers; few runs take all"
    )


def _gain(provable: "Provable") -> str:
    look = f"look {provable.look} at {provable.groups} groups, allowance {provable.allowance:.2g}"
    if provable.gain is None:
        return f"no gain ({look})"
    return f"a gain of {_points(provable.gain)}, {100 * provable.power:.0f} % of the time ({look})"


def _shrunk(shrunk: "Shrunk") -> str:
    """How much of a gain a judge shows."""
    return (
        f"{shrunk.criterion} agrees with people by J = {shrunk.j:.2f}: a true gain shows as"
        f" {shrunk.j:.0%} of it, and takes {shrunk.tasks:.1f} times the tasks to prove (1/J^2)"
    )


def _assumed(provable: "Provable") -> str:
    known = f"by {provable.known} verdicts" if provable.known else "a guess"
    return (
        f"today's runbook scores {provable.base:.3f} ({known}), and a winner breaks"
        f" {100 * provable.broken:.0f} % of what passes"
    )


def _proofs(plan: "Plan") -> str:
    """What else the proof's rollouts would prove, and which proves the least gain."""
    now = plan.rollouts.proof // (2 * plan.tasks.held_out)
    each = [
        f"{proof.tasks} tasks x {proof.repeats}"
        f"{' (as planned)' if proof.repeats == now else ''}: {_points(proof.gain)}"
        for proof in plan.proofs
    ]
    proving = [proof for proof in plan.proofs if proof.gain is not None]
    best = min(proving, key=lambda proof: (proof.gain, proof.tasks), default=None)
    most = f"; most power: {best.tasks} tasks x {best.repeats}" if best and best.repeats != now else ""
    return f"{', '.join(each)}{most}"


def _points(gain: float | None) -> str:
    return "no gain" if gain is None else f"{100 * gain:.1f} points"


def _cost(plan: "Plan") -> str:
    """Tokens and dollars as far as they are known, and what that rests on."""
    if not plan.calls_models:
        return "no model is called"
    known = plan.known_calls
    estimates: dict[int, list[str]] = {}
    others = []
    for unit, amount, calls, part in (
        ("tokens", plan.tokens, known.tokens, plan.tokens_rollouts),
        ("dollars", plan.usd, known.usd, plan.usd_rollouts),
    ):
        proof = f" ({_about(plan.usd_proof)} to prove)" if unit == "dollars" and plan.usd_proof else ""
        if amount is None and part:
            others.append(f"about {_about(part)} {unit}{proof} for rollouts, and unknown for reflections")
        elif amount is None:
            others.append(f"{unit} unknown")
        elif calls:
            estimates.setdefault(calls, []).append(f"about {_about(amount)} {unit}{proof}")
        else:
            others.append(f"at most {amount:g} {unit}, by budget.usd{proof}")
    sums = [f"{', '.join(words)} at most, as {_earlier(calls)} came to" for calls, words in estimates.items()]
    return "; ".join([*sums, *([", ".join(others)] if others else [])])


def _time(plan: "Plan") -> str:
    at_once = f"with {plan.width} calls at once"
    if plan.seconds is None:
        return f"seconds unknown, {at_once}"
    took = f"as {_earlier(plan.known_calls.seconds)} took"
    return f"about {_about(plan.seconds)} seconds for all of it, {at_once}, {took}"


def _earlier(calls: int) -> str:
    return f"{calls:,} earlier call{'s' if calls > 1 else ''}"


def _about(amount: float) -> str:
    """An estimate, with two digits that say something."""
    places = 1 - math.floor(math.log10(amount)) if amount > 0 else 0
    return f"{round(amount, places):,.{max(0, places)}f}"
