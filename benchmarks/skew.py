"""Skewed scores: how often the proof accepts what is no better, and how often what is; prints JSON.

Everything goes through the functions that decide. Rates are exact where groups take two or three values: sums
over all that may be drawn. Others are of so many draws. The rule that was in use before, sign-flips
with one imagined loss, is measured beside ours with `--before`.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from runbookopt.proof.allowance import Look, allowance
from runbookopt.proof.comparison import Comparison, Outcome, Pair, Terms, compare
from runbookopt.proof.sample_size import groups_to_prove, shrunk
from runbookopt.proof.statistics import clopper_pearson_lower, paired_p, sign_flip_mid_p

LEVELS = (0.025, 0.0083, 0.0025, 0.00045)
"""What the 1st, 2nd, 4th and 10th look at the same groups may spend of an allowance of .05, about."""

ALLOWANCE, NIGHTS = 0.05, 30
NEGLIGIBLE = 1e-11
"""A sample less likely than this counts as accepted, unasked."""

Test = Callable[[Sequence[float]], float]


class Null(NamedTuple):
    """A winner that is no better: the differences that a group may have, how likely, and how many groups."""

    name: str
    groups: int
    atoms: tuple[tuple[float, float], ...]

    @property
    def gain(self) -> float:
        """The true mean difference."""
        return math.fsum(value * chance for value, chance in self.atoms)

    @property
    def is_exact(self) -> bool:
        """Whether there are few enough values to sum over all samples."""
        return len(self.atoms) <= 3  # noqa: PLR2004

    def below(self, factor: float) -> "Null":
        """The same with gains so much smaller, so that it is worse than today's runbook."""
        atoms = tuple((value * factor if value > 0 else value, chance) for value, chance in self.atoms)
        return Null(f"{self.name}, gains x{factor}", self.groups, atoms)

    def draw(self, rng: Random) -> list[float]:
        """The differences of one proof."""
        values, chances = zip(*self.atoms, strict=True)
        return rng.choices(values, weights=chances, k=self.groups)


class Tail(NamedTuple):
    """The chance of each p: `draws` is None where it is exact."""

    chances: list[tuple[float, float]]
    draws: int | None

    def rate(self, level: float) -> float:
        """How often p is at most `level`."""
        return math.fsum(chance for p, chance in self.chances if p <= level)

    def least_rate(self, level: float) -> float:
        """The same, but for simulated ones what it is at least, with a confidence of 99 %."""
        if self.draws is None:
            return self.rate(level)
        return clopper_pearson_lower(round(self.rate(level) * self.draws), self.draws, 0.01)

    def month(self) -> float:
        """How often one of thirty nightly looks at the same groups accepts."""
        return 1 - math.prod(1 - self.rate(spend) for spend in nightly_spends())


def nulls() -> Iterator[Null]:
    """Generators whose true gain is 0; rates at which seeing no disaster is about as likely as a level."""
    for groups, rate in (
        (20, 0.08),
        (40, 0.08),
        (72, 0.05),
        (72, 0.08),
        (120, 0.03),
        (200, 0.02),
        (200, 0.005),
    ):
        yield disasters(groups, rate)
    yield disasters(72, 0.05, loss=0.4)
    for groups, rate, small in ((40, 0.08, (0.3, 0.3)), (72, 0.05, (0.05, 0.3)), (100, 0.04, (0.1, 0.3))):
        yield disasters(groups, rate, small=small)
    for groups, style in ((72, 1 / 40), (120, 1 / 40), (120, 1 / 20)):
        yield gated(groups, style)
    yield gated(72, 1 / 40, noise=0.05)
    yield gated(120, 1 / 40, noise=0.02)
    for groups in (30, 72):
        yield thirds(groups, 0.5)
    yield thirds(72, 0.8, disaster=0.02)
    yield weighted(60, (3, 1), 0.1)
    yield weighted(72, (5, 3, 1), 0.1)
    yield spread(72, 0.05)
    yield balanced("whole but for .999, n = 40", 40, ((0.999, 0.25), (0.0, 0.5), (-0.999, 0.25)))


def anything(rng: Random) -> Null:
    """A null of three values as they come, often or seldom, for 20 to 90 groups."""
    groups = rng.choice((20, 25, 30, 40, 50, 60, 72, 90))
    gain = rng.choice((1.0, 0.5, 0.3, 0.1, 0.05, 0.02, rng.random()))
    other = rng.choice((0.3, 0.1, 0.02, 0.0, -0.02, -0.05, -0.1, -0.3, -0.5, rng.random(), -rng.random()))
    loss = rng.choice((1.0, 1.0, 0.9, 0.5, rng.random()))
    often = [rng.random(), rng.random(), 2 * rng.random() * rng.choice((0.01, 0.02, 0.05, 0.1, 0.2, 0.5))]
    chances = [each / math.fsum(often) for each in often]
    name = f"{gain:.2f}, {other:.2f}, {-loss:.2f} at {chances[0]:.2f}, {chances[1]:.2f}, {chances[2]:.3f}"
    values = zip((gain, other, -loss), chances, strict=True)
    return balanced(f"{name}, n = {groups}", groups, tuple(values))


def disasters(
    groups: int, rate: float, *, loss: float = 1.0, small: tuple[float, float] | None = None
) -> Null:
    """Gains alike for most, `loss` at `rate`, and small losses of a size at another rate, if any."""
    size, often = small or (0.0, 0.0)
    gain = (rate * loss + size * often) / (1 - rate - often)
    name = f"{rate:.1%} lose {loss:g}" + (f", {often:.0%} lose {size:g}" if small else "")
    atoms = [(gain, 1 - rate - often), (-size, often), (-loss, rate)]
    return Null(f"{name}, n = {groups}", groups, tuple(atom for atom in atoms if atom[1]))


def gated(groups: int, style: float, *, noise: float = 0.0) -> Null:
    """A rubric of accuracy, style and one gate: the style is met everywhere, and the gate fails now and then.

    Today's runbook is accurate on 7 of 10 tasks and never in style; `noise` is how often accuracy changes to
    either side.
    """
    rest, accurate = 1 - style, 0.7
    fails = style / (accurate * rest + style)
    atoms = (
        (style, (1 - fails) * (1 - 2 * noise)),
        (style + rest, (1 - fails) * noise),
        (style - rest, (1 - fails) * noise),
        (-rest, fails * accurate),
        (0.0, fails * (1 - accurate)),
    )
    kept = tuple(atom for atom in atoms if atom[1])
    return balanced(f"weights {rest / style:.0f}:1 and a gate, noise {noise:g}, n = {groups}", groups, kept)


def thirds(groups: int, passing: float, *, disaster: float = 0.0) -> Null:
    """Three repeats of each side, each passing by chance; `disaster` of the groups lose all they have."""
    share = [math.comb(3, k) * passing**k * (1 - passing) ** (3 - k) for k in range(4)]
    atoms = dict.fromkeys((k / 3 for k in range(-3, 4)), 0.0)
    for before, early in enumerate(share):
        atoms[-before / 3] += disaster * early
        for after, late in enumerate(share):
            atoms[(after - before) / 3] += (1 - disaster) * early * late
    return balanced(
        f"thirds of {passing:g}, {disaster:.0%} disasters, n = {groups}", groups, tuple(atoms.items())
    )


def weighted(groups: int, weights: Sequence[int], changes: float) -> Null:
    """Criteria of these weights, each of which changes to either side on a share `changes` of the groups."""
    atoms = {0.0: 1.0}
    for weight in weights:
        part, wider = weight / sum(weights), dict[float, float]()
        for value, chance in atoms.items():
            for step, often in ((part, changes), (0.0, 1 - 2 * changes), (-part, changes)):
                wider[round(value + step, 9)] = wider.get(round(value + step, 9), 0.0) + chance * often
        atoms = wider
    name = ":".join(map(str, weights))
    return Null(f"weights {name}, n = {groups}", groups, tuple(atoms.items()))


def spread(groups: int, rate: float) -> Null:
    """Gains and small losses of many sizes, and a disaster at `rate`."""
    sizes = [k / 100 for k in range(-10, 21, 3)]
    even = tuple((size, (1 - rate) / len(sizes)) for size in sizes)
    return balanced(f"many sizes, {rate:.0%} lose 1, n = {groups}", groups, (*even, (-1.0, rate)))


def balanced(name: str, groups: int, atoms: tuple[tuple[float, float], ...]) -> Null:
    """The null of these values, with gains or losses made so much smaller that the mean is 0."""
    won = math.fsum(value * chance for value, chance in atoms if value > 0)
    lost = -math.fsum(value * chance for value, chance in atoms if value < 0)
    up, down = min(1.0, lost / won), min(1.0, won / lost)
    return Null(name, groups, tuple((value * (up if value > 0 else down), chance) for value, chance in atoms))


def tail(null: Null, test: Test, draws: int, seed: int = 0) -> Tail:
    """How likely each p is of a winner that is no better."""
    if null.is_exact:
        return Tail(
            [(test(sample), chance) if sample else (0.0, chance) for sample, chance in samples(null)], None
        )
    rng = Random(f"{null.name} {seed}")
    return Tail([(test(null.draw(rng)), 1 / draws) for _ in range(draws)], draws)


def samples(null: Null) -> Iterator[tuple[list[float], float]]:
    """Every sample whose mean is above 0, with its chance; last, an empty one for all that are negligible."""
    (first, often), *others = null.atoms
    n, unlikely = null.groups, 0.0
    (second, rarely), (third, least) = (*others, (0.0, 0.0))[:2]
    for i in range(n + 1):
        for j in range(n - i + 1) if least else (n - i,):
            k = n - i - j
            chance = math.comb(n, i) * math.comb(n - i, j) * often**i * rarely**j * least**k
            if i * first + j * second + k * third <= 0:
                continue
            if chance < NEGLIGIBLE:
                unlikely += chance
            else:
                yield [first] * i + [second] * j + [third] * k, chance
    yield [], unlikely


def nightly_spends() -> tuple[float, ...]:
    """What thirty looks at the same groups may spend, by the allowance itself."""
    groups = ("one",)
    look = Look("", "", "", "", "", "", groups, {"task": ""}, ())
    return tuple(allowance([look] * night, groups, groups, ALLOWANCE).spend for night in range(NIGHTS))


def before_p(differences: Sequence[float]) -> float:
    """The p of the rule before this one: the sign-flip mid-p with one imagined loss."""
    return sign_flip_mid_p([*differences, -1])


def settings() -> dict[str, Callable[[Random], float]]:
    """Winners that are better, as the difference of one group."""
    return {
        "N(.15, .3)": lambda rng: _bounded(rng.gauss(0.15, 0.3)),
        "N(.1, .2)": lambda rng: _bounded(rng.gauss(0.1, 0.2)),
        "thirds, 50 % to 63 %": lambda rng: _repeats(rng, 0.63) - _repeats(rng, 0.5),
        "weights 3:1, +13 points": lambda rng: sum(weight * _change(rng) for weight in (0.75, 0.25)),
    }


def power(test: Test, draw: Callable[[Random], float], groups: int, draws: int) -> float:
    """How often a winner is accepted at a first look."""
    rng = Random(groups)
    found = (test([draw(rng) for _ in range(groups)]) <= LEVELS[0] for _ in range(draws))
    return sum(found) / draws


def groups_needed(draw: Callable[[Random], float], drawn: int = 20_000) -> int:
    """How many groups are said to prove such a winner at a first look, of so many that were seen."""
    rng = Random(drawn)
    return groups_to_prove(shrunk([draw(rng) for _ in range(drawn)]), level=LEVELS[0]) or 0


def compared(differences: Sequence[float], spend: float = LEVELS[0]) -> Comparison:
    """The whole comparison of two runbooks whose scores differ by so much in each group."""
    pairs = [
        Pair(f"t-{n}", f"g-{n}", (Outcome(max(0.0, -d), {}),), (Outcome(max(0.0, d), {}),))
        for n, d in enumerate(differences)
    ]
    return compare(pairs, Terms(), spend=spend, next_spend=spend / 3)


def _bounded(value: float) -> float:
    return max(-1.0, min(1.0, round(value, 2)))


def _repeats(rng: Random, passing: float) -> float:
    return round(sum(rng.random() < passing for _ in range(3)) / 3, 9)


def _change(rng: Random) -> int:
    chance = rng.random()
    return (chance < 0.16) - (0.16 <= chance < 0.19)  # noqa: PLR2004


def worst(count: int) -> dict[str, tuple[float, str]]:
    """The highest rates of so many nulls of any three values: of each level its share, and of a month."""
    highest: dict[str, tuple[float, str]] = {}
    rng = Random(count)
    for _ in range(count):
        null = anything(rng)
        found = tail(null, paired_p, 0)
        shares = {f"{level:g}": found.rate(level) / level for level in LEVELS} | {"month": found.month()}
        for name, share in shares.items():
            highest[name] = max(highest.get(name, (0.0, "")), (round(share, 4), null.name))
    return highest


def main() -> None:
    """Print, for each null, its rates over the levels and over a month; for each setting, its power."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000, help="of what cannot be computed exactly")
    parser.add_argument("--before", action="store_true", help="measure the rule before this one, too")
    parser.add_argument("--search", type=int, metavar="N", help="the worst of N nulls of any three values")
    asked = parser.parse_args()
    if asked.search:
        print(json.dumps(worst(asked.search)))
        return
    tests: dict[str, Test] = {"ours": paired_p} | ({"before": before_p} if asked.before else {})
    for null in nulls():
        for name, test in tests.items():
            found = tail(null, test, asked.draws)
            rates = [float(f"{found.rate(level):.3g}") for level in LEVELS]
            least = [round(found.least_rate(level) / level, 3) for level in LEVELS]
            row = {"null": null.name, "rule": name, "exact": null.is_exact, "rates": rates}
            print(json.dumps(row | {"of_level": least, "month": round(found.month(), 4)}), flush=True)
    for groups in (40, 72):
        for setting, draw in settings().items():
            powers = {name: power(test, draw, groups, asked.draws // 10) for name, test in tests.items()}
            print(json.dumps({"setting": setting, "groups": groups, "power": powers}), flush=True)
    for setting, draw in settings().items():
        needed = groups_needed(draw)
        proved = power(paired_p, draw, needed, asked.draws // 10)
        print(json.dumps({"setting": setting, "needed": needed, "power": proved}), flush=True)


if __name__ == "__main__":
    main()
