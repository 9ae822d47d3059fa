"""Answers of GitHub as records; what is none of them is GitHub's slip or a proxy's, and no bug (pure)."""

from typing import TypeVar

import msgspec

from runbookopt.forge.git.output import OriginUnreachable

T = TypeVar("T")


class Unclear(OriginUnreachable):
    """No answer came, or one that tells nothing: what was asked may have happened."""


def read(answer: object, type_: type[T]) -> T:
    """An answer as a record. Raises Unclear where it is not what was asked for."""
    try:
        return msgspec.convert(answer, type_)
    except msgspec.ValidationError as error:
        raise Unclear(
            f"GitHub gives an answer that is not what was asked for ({error}): run this again, and see"
            " whether a proxy answers in its place"
        ) from None
