"""The pair that every engine is measured with: the offline pair, frozen, and three reflectors that err."""

import random
from collections import Counter

from msgspec.structs import replace

from benchmarks.e86100d import ReflectorOfE86100d
from runbookopt.agents.protocol import Reflected, Reflector
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.search.asks import Reflection, ReflectionFailure

WRONG = 0.3
"""How often the wrong reflector takes a lesson for another answer's."""

LOSSY = 0.1
"""How often the lossy reflector drops a line."""

GUESSING = 0.5
"""For how much of what is expected the guessing reflector begins with a guess."""


class WrongReflector:
    """Is told that another answer was expected in 3 of 10 reflections, and teaches that."""

    name = "wrong"

    def __init__(self, inner: Reflector, random_seed: int) -> None:
        self._inner = inner
        self._random_seed = random_seed
        self.key = digest_of(["wrong", inner.key, random_seed])

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        chance = random.Random(canonical([self._random_seed, "wrong", digest_of(ask)]))
        if chance.random() < WRONG:
            ask = _misread(ask, chance)
        return await self._inner.reflect(ask)


class LossyReflector:
    """Rewrites the whole component, and loses a line of it in 1 of 10 rewrites."""

    name = "lossy"

    def __init__(self, inner: Reflector, random_seed: int) -> None:
        self._inner = inner
        self._random_seed = random_seed
        self.key = digest_of(["lossy", inner.key, random_seed])

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        answer = await self._inner.reflect(ask)
        chance = random.Random(canonical([self._random_seed, "lossy", digest_of(ask)]))
        if isinstance(answer.said, ReflectionFailure) or chance.random() >= LOSSY:
            return answer
        lines = answer.said.text.splitlines(keepends=True)
        items = [number for number, line in enumerate(lines) if line.startswith("- ")]
        if items:
            del lines[chance.choice(items)]
        return replace(answer, said=replace(answer.said, text="".join(lines)))


class GuessingReflector:
    """Guesses another answer at first for half of what is expected, and learns from the earlier edits.

    It is the only one that reads them: where the same guess is among them it makes no other.
    """

    name = "guessing"

    def __init__(self, inner: Reflector, random_seed: int) -> None:
        self._inner = inner
        self._random_seed = random_seed
        self.key = digest_of(["guessing", inner.key, random_seed])

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        expected = Counter(_expected(ask)).most_common(1)
        guess = f"a guess at {expected[0][0]}: " if expected else ""
        chance = random.Random(canonical([self._random_seed, guess]))
        if chance.random() >= GUESSING or any(one.diagnosis.startswith(guess) for one in ask.lineage):
            return await self._inner.reflect(ask)
        answer = await self._inner.reflect(_misread(ask, chance))
        if isinstance(answer.said, ReflectionFailure):
            return answer
        return replace(answer, said=replace(answer.said, diagnosis=guess + answer.said.diagnosis))


def reflector_named(name: str, random_seed: int) -> Reflector:
    """Give the reflector "offline", "wrong", "lossy" or "guessing"."""
    inner = ReflectorOfE86100d(random_seed)
    made: dict[str, Reflector] = {
        "offline": inner,
        "wrong": WrongReflector(inner, random_seed),
        "lossy": LossyReflector(inner, random_seed),
        "guessing": GuessingReflector(inner, random_seed),
    }
    return made[name]


def _misread(ask: Reflection, chance: random.Random) -> Reflection:
    """Put another answer in the place of the one that most failures expected."""
    told = _told(ask)
    expected = _expected(ask)
    given = {line.split(", got ", 1)[1] for line in told if ", got " in line}
    others = sorted({*expected, *given})
    if not others:
        return ask
    wrong = chance.choice(others)
    failing = tuple(
        replace(shown, feedback=tuple(_expecting(wrong, line) for line in shown.feedback))
        for shown in ask.failing
    )
    return replace(ask, failing=failing)


def _told(ask: Reflection) -> list[str]:
    return [line for shown in ask.failing for line in shown.feedback if "expected " in line]


def _expected(ask: Reflection) -> list[str]:
    return [line.split("expected ", 1)[1].split(", got ", 1)[0] for line in _told(ask)]


def _expecting(answer: str, line: str) -> str:
    if "expected " not in line or ", got " not in line:
        return line
    before, told = line.split("expected ", 1)
    return f"{before}expected {answer}, got {told.split(', got ', 1)[1]}"
