"""Which candidate was made from which, as a Mermaid chart (pure)."""

from collections.abc import Iterator, Sequence

from runbookopt.landing.bundle import MemberSummary
from runbookopt.landing.quoting import label

_SHORT = 12


def chart(members: Sequence[MemberSummary], chosen: str) -> Iterator[str]:
    """Draw who was made from whom, with digests and numbers alone: a label is no place for other words."""
    names = {member.digest: f"m{place}" for place, member in enumerate(members)}
    for member in members:
        made = f"wave {member.wave}" if member.parents else "seed"
        text = label(f"{short(member.digest)}, {made}, {member.validation:.3f}")
        yield f'  {names[member.digest]}["{text}"]'
    for member in members:
        for parent in dict.fromkeys(member.parents):
            if parent in names:
                yield f"  {names[parent]} --> {names[member.digest]}"
    if chosen in names:
        yield f"  style {names[chosen]} stroke-width:4px"


def short(digest: str) -> str:
    """Give as much of a digest as people compare."""
    return digest.removeprefix("sha256:")[:_SHORT]
