"""Works whose edits do not add up, measured: against gepa's best arms, an earlier search, and the truth."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from benchmarks.figures import EARLIER, OURS, Mean, Outcome, Run, mean_of, together

BEST = "gepa's best arms"
"""The best arm of each work and budget: no setting that anybody could have chosen before."""

LEARNT = 0.5
"""The share of the rare tasks that are done where they count as learnt."""


class WorkReport(Struct, frozen=True):
    """One work at one noise, by budget: scores, gepa's best arm of that budget, and leads with their errors.

    `over_gepa` and `over_earlier` are paired over the seeds that both ran, by our engine; `behind` names the
    budgets at which gepa's best arm is ahead by more than two standard errors. `measured` is what is true of
    the texts returned, by engine.
    """

    scores: dict[str, dict[str, Mean]]
    best_arms: dict[str, str]
    over_gepa: dict[str, dict[str, Mean]]
    over_earlier: dict[str, dict[str, Mean]]
    behind: dict[str, list[str]]
    measured: dict[str, dict[str, float]]
    reflections: dict[str, float]
    characters: dict[str, float]


class Report(Struct, frozen=True):
    """All works, and means over them with the errors that their own make.

    `over_one` is the lead over one arm for all works, the best of each budget, which `one_arm` names.
    """

    kinds: dict[str, WorkReport]
    means: dict[str, dict[str, Mean]]
    over_gepa: dict[str, dict[str, Mean]]
    over_one: dict[str, dict[str, Mean]]
    one_arm: dict[str, str]
    over_earlier: dict[str, dict[str, Mean]]
    seeds: int
    peer_seeds: int
    budget: int


def report(outcomes: Sequence[Outcome]) -> Report:
    """Say what these works came to."""
    some = outcomes[0]
    told = {outcome.name: _work(outcome) for outcome in outcomes}
    earlier = {engine: other for engine, other in zip(OURS, EARLIER, strict=True) if other in some.runs}
    means = {
        engine: {str(at): together([one.score(engine, at) for one in outcomes]) for at in some.budgets}
        for engine in some.runs
    }
    means[BEST] = {
        str(at): together([one.score(one.best_at(at), at) for one in outcomes]) for at in some.budgets
    }
    one_arm = {at: max(some.arms, key=lambda arm: means[arm][str(at)].value) for at in some.budgets}
    return Report(
        kinds=told,
        means=means,
        over_gepa={engine: _means([work.over_gepa[engine] for work in told.values()]) for engine in OURS},
        over_one={
            engine: {
                str(at): together([outcome.lead(engine, at, arm) for outcome in outcomes])
                for at, arm in one_arm.items()
            }
            for engine in OURS
        },
        one_arm={str(at): arm for at, arm in one_arm.items()},
        over_earlier={
            engine: _means([work.over_earlier[engine] for work in told.values()]) for engine in earlier
        },
        seeds=len(some.runs[OURS[0]]),
        peer_seeds=len(some.runs[some.best]),
        budget=some.budget,
    )


def _work(outcome: Outcome) -> WorkReport:
    runs, budgets = outcome.runs, outcome.budgets
    best = {at: outcome.best_at(at) for at in budgets}
    return WorkReport(
        scores={engine: {str(at): outcome.score(engine, at) for at in budgets} for engine in runs},
        best_arms={str(at): arm for at, arm in best.items()},
        over_gepa={
            engine: {str(at): outcome.lead(engine, at, best[at]) for at in budgets} for engine in OURS
        },
        over_earlier={
            engine: {str(at): outcome.lead(engine, at, other) for at in budgets}
            for engine, other in zip(OURS, EARLIER, strict=True)
            if other in runs
        },
        behind={engine: list(outcome.behind(engine)) for engine in OURS},
        measured={engine: measured(made) for engine, made in runs.items() if made[0].measured},
        reflections={engine: mean_of(run.reflections for run in made).value for engine, made in runs.items()},
        characters={engine: mean_of(run.characters for run in made).value for engine, made in runs.items()},
    )


def measured(runs: Sequence[Run]) -> dict[str, float]:
    """Give what the truth says of several runs: pooled shares, means, and in how many the rare was learnt."""
    told: dict[str, float] = {}
    some = runs[0].measured
    if "harmful" in some:
        proposed, kept = (sum(run.measured[name] for run in runs) for name in ("harmful", "harmful kept"))
        told |= {"harmful": proposed, "harmful kept": kept, "harmful share": kept / max(1, proposed)}
        told["harmful in a text"] = kept / len(runs)
    if "longer" in some:
        told["longer"] = mean_of(run.measured["longer"] for run in runs).value
    if "tail" in some:
        told["tail"] = mean_of(run.measured["tail"] for run in runs).value
        told["learnt"] = sum(run.measured["tail"] >= LEARNT for run in runs)
        told["runs"] = len(runs)
    return told


def tables(found: Report) -> list[str]:
    """Give the lines of Markdown tables."""
    budgets = list(found.means[OURS[0]])
    lines = [f"Seeds: ours {found.seeds}, gepa {found.peer_seeds}. Held-out score of ours, free, less gepa's"]
    lines += ["best arm at that budget (± standard error; ** where it is behind by more than two).", ""]
    lines += _markdown(["work", *budgets, "best arms", "behind, free", "behind, paid"], _kind_rows(found))
    lines += ["", *_markdown(["mean over the works", *budgets], _mean_rows(found))]
    lines += ["", *_markdown(["in the mean", "reflections", "characters returned"], _cost_rows(found))]
    rows = [
        [name, engine, _said(told)]
        for name, kind in found.kinds.items()
        for engine, told in kind.measured.items()
        if engine in (*OURS, *EARLIER, kind.best_arms[budgets[-1]])
    ]
    heads = ["work", "engine", "what is true of the texts returned"]
    return [*lines, "", *_markdown(heads, rows)] if rows else lines


def _kind_rows(found: Report) -> Iterator[list[str]]:
    for name, kind in found.kinds.items():
        cells = [
            f"{kind.scores['free'][at].value:.3f} / {kind.scores[arm][at].value:.3f} ({_led(lead)})"
            for (at, arm), lead in zip(kind.best_arms.items(), kind.over_gepa["free"].values(), strict=True)
        ]
        arms = ", ".join(dict.fromkeys(kind.best_arms.values()))
        yield [name, *cells, arms, *(" ".join(kind.behind[engine]) or "nowhere" for engine in OURS)]


def _mean_rows(found: Report) -> Iterator[list[str]]:
    for engine, scores in found.means.items():
        yield [engine, *(f"{score.value:.3f} ±{score.error or 0:.3f}" for score in scores.values())]
    for engine, leads in found.over_gepa.items():
        yield [f"{engine} less gepa's best arms", *(_led(lead) for lead in leads.values())]
    for engine, leads in found.over_one.items():
        yield [f"{engine} less gepa's best single arm", *(_led(lead) for lead in leads.values())]
    for engine, leads in found.over_earlier.items():
        yield [f"{engine} less the earlier search", *(_led(lead) for lead in leads.values())]


def _cost_rows(found: Report) -> Iterator[list[str]]:
    for engine in (name for name in found.means if name != BEST):
        told = [(kind.reflections[engine], kind.characters[engine]) for kind in found.kinds.values()]
        yield [engine, *(f"{mean_of(column).value:.0f}" for column in zip(*told, strict=True))]


def _led(lead: Mean) -> str:
    return f"**{lead}**" if lead.clear < 0 else str(lead)


def _said(told: dict[str, float]) -> str:
    if "harmful" in told:
        counts = f"{told['harmful kept']:.0f} of {told['harmful']:.0f} harmful edits stand"
        return f"{counts} ({told['harmful share']:.1%}), {told['harmful in a text']:.1f} in a text"
    if "longer" in told:
        return f"{told['longer']:.2f} times as long as needed"
    learnt = f"rare tasks learnt in {told['learnt']:.0f} of {told['runs']:.0f}"
    return f"{learnt}, {told['tail']:.0%} of them done"


def _means(leads: Sequence[dict[str, Mean]]) -> dict[str, Mean]:
    return {at: together([one[at] for one in leads]) for at in leads[0]}


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
