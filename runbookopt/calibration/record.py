"""Record of calibrations (calibration.json): what criteria were held against, and what came of it (pure).

It is written by `runbookopt calibrate`, at a person's command, and committed by people. Nobody is believed
for its figures: `derived` computes them again from the labels and the verdicts that it holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import astuple, replace

from runbookopt.calibration.agreement import Estimate, Figures, Given, Table, figures_of, table_of
from runbookopt.calibration.bias import Battery
from runbookopt.calibration.corrected import Rate
from runbookopt.calibration.failure_modes import about, speaking
from runbookopt.calibration.label_ledger import LEVELS, LabelLook, together
from runbookopt.calibration.labels import Rating, for_testing, label_digest, standing
from runbookopt.calibration.status import Status, status_of
from runbookopt.documents.digest import digest_of
from runbookopt.documents.parse import read_json
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.library import Source
from runbookopt.evidence.trajectory import Label, time_of
from runbookopt.verifier.judge import judge_key
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.program_files import program_paths, programs_digest
from runbookopt.verifier.rubric import Criterion, Rubric

FORMAT: Literal["runbookopt-calibration/1"] = "runbookopt-calibration/1"
_SEED_DIGITS = 12
_ROUNDING = 0.005


class JudgedItem(Struct, frozen=True, array_like=True):
    """A trajectory that a look held a criterion's verdict against: people's result, by which label lines."""

    trajectory: str
    result: Literal["pass", "fail"]
    verdict: Given
    labels: tuple[str, ...]


class CriterionRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """What the last look at labels made of a criterion, and all looks so far.

    `key` is that of the criterion as it was then, `model` the judge's, None where no model decides. `figures`
    are of `tested`. `people` is how far two people agree with each other, where two rated the same outputs:
    no judge can be asked for more. `consistency` is the share of pairs of verdicts on one output that are the
    same, `rate` how many of the agent's outputs pass, where that is known of a representative sample. `bias`
    is what a battery made of a judge of this key: one that failed does not gate.
    """

    key: str
    at: str
    status: Status
    level: float
    figures: Figures
    looks: tuple[LabelLook, ...]
    tested: tuple[JudgedItem, ...]
    model: str | None = None
    strict: bool = False
    people: Estimate | None = None
    consistency: Estimate | None = None
    rate: Rate | None = None
    bias: Battery | None = None

    @property
    def held_back(self) -> bool:
        """Whether its labels would let it gate, and the bias of its judge does not."""
        return bool(self.looks) and self.looks[-1].status == "gates" and self.status != "gates"


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json of one runbook: a record of each criterion that was ever held against labels.

    `suggested` are of criteria that `runbookopt criteria suggest` held against them. They decide nothing:
    `calibrate` takes one over once the rubric has the criterion. Their looks are looks all the same.
    """

    runbook: str
    criteria: Mapping[str, CriterionRecord]
    format: Literal["runbookopt-calibration/1"] = FORMAT
    suggested: Mapping[str, CriterionRecord] = {}

    def looks(self, criterion: str) -> tuple[LabelLook, ...]:
        """All looks at labels of a criterion."""
        records = (each.get(criterion) for each in (self.suggested, self.criteria))
        return together(*(record.looks for record in records if record))


def forgotten(before: Calibration, after: Calibration | None) -> dict[str, str]:
    """The criteria of whose looks a later record lacks some, and how many; empty if it holds all.

    Who could take a look out of the record could look again at what is spent.
    """
    found = {}
    for name in {**before.criteria, **before.suggested}:
        kept = set(after.looks(name)) if after else set()
        gone = sum(look not in kept for look in before.looks(name))
        if gone:
            found[name] = (
                f"{gone} {'look' if gone == 1 else 'looks'} at labels that it held before are not in it"
            )
    return found


def read_record(data: bytes, path: str) -> Calibration:
    """Read calibration.json; raises MalformedFile."""
    return read_json(data, Calibration, path=path, line=1)


def record_text(calibration: Calibration) -> bytes:
    """calibration.json as it is written: the same record is the same bytes."""
    return msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1) + b"\n"


def criterion_key(rubric: Rubric, criterion: Criterion, source: Source) -> str:
    """Digest of all that can change a criterion's verdict, or what people understand by it.

    Its statement, its check or question, all of the judge's settings and its prompt, and each file of a
    program, which `source` holds. Its weight, its objective and its being a gate change neither.
    """
    parts: list[object] = ["criterion", criterion.id, criterion.statement]
    if criterion.judge is not UNSET and rubric.judge is not None:
        parts += [criterion.judge, criterion.passes_if_met, judge_key(rubric.judge), rubric.judge.votes]
    else:
        parts.append(criterion.check)
    if isinstance(criterion.check, ProgramCheck):
        parts.append(programs_digest(program_paths(criterion.check, source), source))
    return digest_of(parts)


def seed_of(key: str, trajectories: Iterable[str]) -> int:
    """The seed of a look's intervals: nobody chooses it, and whoever derives them again has it."""
    digits = digest_of(["seed", key, sorted(trajectories)]).removeprefix("sha256:")[:_SEED_DIGITS]
    return int(digits, 16)


def looked(  # a record without what is not derived from labels and verdicts
    key: str, at: str, *, tested: Sequence[JudgedItem], level: float, strict: bool, looks: Sequence[LabelLook]
) -> CriterionRecord:
    """The record of a look at labels; `looks` are the earlier ones."""
    table = _table(tested)
    trajectories = tuple(each.trajectory for each in tested)
    seed = seed_of(key, trajectories)
    status = status_of(table, seed=seed, level=level, strict=strict)
    return CriterionRecord(
        key=key,
        at=at,
        status=status,
        level=level,
        figures=figures_of(table, seed),
        looks=(*looks, LabelLook(at, key, level, status, trajectories)),
        tested=tuple(tested),
        strict=strict,
    )


def with_battery(record: CriterionRecord, battery: Battery | None) -> CriterionRecord:
    """The record with what a battery of its key made of its judge, and the status that follows."""
    kept = battery if battery is not None and battery.key == record.key else None
    earned = record.looks[-1].status if record.looks else record.status
    return replace(record, bias=kept, status=held_back(earned, kept))


def held_back(status: Status, battery: Battery | None) -> Status:
    """The status that labels give, less the gate that a failed battery takes."""
    return "advisory" if status == "gates" and battery is not None and battery.failed else status


def derived(calibration: Calibration, labels: Sequence[Label]) -> dict[str, tuple[str, ...]]:
    """What of a record does not follow from the labels and its own verdicts, by criterion; empty if all does.

    A look must have looked at every label that stood then, was kept to test on, and could be looked at, or
    gate without: so nobody leaves out those that do not please. A criterion with a mismatch decides nothing.
    """
    lines = {label_digest(label): label for label in labels}
    ratings = speaking(calibration.criteria, standing(labels))
    found = {
        name: tuple(_mismatches(name, record, lines, ratings))
        for name, record in calibration.criteria.items()
    }
    return {name: why for name, why in found.items() if why}


def newest_label(record: CriterionRecord, labels: Iterable[Label]) -> datetime | None:
    """When the newest label was given that a record rests on; None where no line says so."""
    used = {digest for each in record.tested for digest in each.labels}
    tested = {each.trajectory for each in record.tested}
    own = (label for label in labels if label.trajectory in tested)
    times = (time_of(label.at) for label in own if label_digest(label) in used)
    return max((time for time in times if time is not None), default=None)


def _mismatches(
    name: str, record: CriterionRecord, lines: Mapping[str, Label], ratings: Sequence[Rating]
) -> list[str]:
    return [
        *_of_labels(name, record, lines, {each.digest for each in ratings if each.criterion == name}),
        *_left_out(name, record, ratings),
        *_of_looks(record),
        *_of_figures(record),
    ]


def _of_labels(
    name: str, record: CriterionRecord, lines: Mapping[str, Label], stand: AbstractSet[str]
) -> list[str]:
    """Tested items whose labels are not there, were taken back, or say something else.

    What another person says of an item later takes nothing back.
    """
    gone, other, back = 0, 0, 0
    for each in record.tested:
        back += not stand >= set(each.labels) and lines.keys() >= set(each.labels)
        held = [lines[digest] for digest in each.labels if digest in lines]
        gone += len(held) < len(each.labels) or not held
        said = for_testing(about(name, standing(held)))
        items = {item.result for item in said if item.trajectory == each.trajectory}
        other += len(held) == len(each.labels) and bool(held) and items != {each.result}
    found = [f"{gone} labels that it names are not there"] if gone else []
    found += [f"{back} labels were taken back or corrected since"] if back else []
    twice = len(record.tested) - len({each.trajectory for each in record.tested})
    found += [f"{twice} trajectories are tested twice"] if twice else []
    return [*found, f"{other} labels say something else, or may not be tested on"] if other else found


def _left_out(name: str, record: CriterionRecord, ratings: Sequence[Rating]) -> list[str]:
    """Labels that stood when it looked, and that it did not look at though it could.

    A branch that is merged later may bring some. They matter where the criterion would not gate if it were
    wrong on each of them.
    """
    if record.status != "gates":
        return []
    known = {trajectory for look in record.looks[:-1] for trajectory in look.trajectories}
    known |= {each.trajectory for each in record.tested}
    at = time_of(record.at)
    by_then = [
        each for each in ratings if each.criterion == name and (at is None or (time_of(each.at) or at) <= at)
    ]
    left = [item for item in for_testing(by_then) if item.trajectory not in known]
    table, results = _table(record.tested), [item.result for item in left]
    table = replace(table, fn=table.fn + results.count("pass"), fp=table.fp + results.count("fail"))
    if not left or status_of(table, seed=_seed(record), level=record.level, strict=record.strict) == "gates":
        return []
    return [f"{len(left)} labels that were there are left out"]


def _of_looks(record: CriterionRecord) -> list[str]:
    """Whether the last look is the one recorded, at the bound that looks before it have left."""
    if not record.looks:
        return ["it names no look"]
    last, trajectories = record.looks[-1], tuple(each.trajectory for each in record.tested)
    earned = held_back(last.status, record.bias)
    said = (last.key, last.at, last.level, earned, last.trajectories)
    found = []
    if said != (record.key, record.at, record.level, record.status, trajectories):
        found.append("its last look is another one")
    counts = [sum(each in look.trajectories for look in record.looks[:-1]) for each in trajectories]
    most = max(counts, default=0)
    if most >= len(LEVELS) or record.level > LEVELS[most]:
        found.append(f"its labels were looked at {most} times before, which its bound does not pay for")
    return found


def _of_figures(record: CriterionRecord) -> list[str]:
    """Status and figures that are not those of its verdicts."""
    table, seed = _table(record.tested), _seed(record)
    earned = status_of(table, seed=seed, level=record.level, strict=record.strict)
    status, found = held_back(earned, record.bias), list[str]()
    if record.bias is not None and record.bias.key != record.key:
        found.append("its bias battery is of another criterion, or another judge")
    if status != record.status:
        found.append(f"by its verdicts it is {status}, and it says {plain(record.status)}")
    if not _alike(figures_of(table, seed), record.figures):
        found.append("its figures are not those of its verdicts")
    return found


def _alike(one: Figures, other: Figures) -> bool:
    """Whether figures are the same, but for what another machine's logarithms may change in a draw."""
    if (one.table, one.passes, one.fails, one.paradox) != (
        other.table,
        other.passes,
        other.fails,
        other.paradox,
    ):
        return False
    estimates = (
        (value, getattr(other, name))
        for name in one.__struct_fields__
        if isinstance(value := getattr(one, name), Estimate)
    )
    pairs = [pair for each in estimates for pair in zip(astuple(each[0]), astuple(each[1]), strict=True)]
    return all(
        mine is theirs if mine is None or theirs is None else abs(mine - theirs) < _ROUNDING
        for mine, theirs in pairs
    )


def _seed(record: CriterionRecord) -> int:
    return seed_of(record.key, (each.trajectory for each in record.tested))


def _table(tested: Iterable[JudgedItem]) -> Table:
    return table_of((each.result, each.verdict) for each in tested)


def with_more(
    record: CriterionRecord,
    *,
    model: str | None,
    people: Estimate | None,
    consistency: Estimate | None,
    rate: Rate | None,
) -> CriterionRecord:
    """The record with what is known besides."""
    return replace(record, model=model, people=people, consistency=consistency, rate=rate)
