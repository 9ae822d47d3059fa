"""The pair that every engine is measured with: the offline pair, frozen, and two reflectors that err."""

import random

from msgspec.structs import replace

from runbookopt.agents.agent import Reflected, Reflector
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.records import canonical, digest_of
from runbookopt.search.asks import Reflection, ReflectionFailure

WRONG = 0.3
"""How often the wrong reflector takes a lesson for another answer's."""

LOSSY = 0.1
"""How often the lossy reflector drops a line."""


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


def reflector_named(name: str, random_seed: int) -> Reflector:
    """Give the reflector "offline", "wrong" or "lossy"."""
    inner = OfflineReflector(random_seed)
    made: dict[str, Reflector] = {
        "offline": inner,
        "wrong": WrongReflector(inner, random_seed),
        "lossy": LossyReflector(inner, random_seed),
    }
    return made[name]


def _misread(ask: Reflection, chance: random.Random) -> Reflection:
    """Put another answer in the place of the one that most failures expected."""
    told = [line for shown in ask.failing for line in shown.feedback if "expected " in line]
    expected = [line.split("expected ", 1)[1].split(", got ", 1)[0] for line in told]
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


def _expecting(answer: str, line: str) -> str:
    if "expected " not in line or ", got " not in line:
        return line
    before, told = line.split("expected ", 1)
    return f"{before}expected {answer}, got {told.split(', got ', 1)[1]}"
