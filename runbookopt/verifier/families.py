"""Families of language models: the only file that knows whose a model is, by its name (pure)."""

import re
from collections.abc import Iterable
from typing import Literal

from runbookopt.documents.schema_errors import plain

_DATED = re.compile(r"(?:[-@:](?:\d{4}-\d{2}-\d{2}|\d{8}|latest))+\Z")
_FAMILIES = {
    "OpenAI": r"(?:chat)?gpt|chatgpt|o[134](?=$|-)|davinci|text-davinci|codex",
    "Anthropic": r"claude",
    "Google": r"gemini|gemma|palm|bison",
    "Meta": r"(?:meta-)?llama|codellama",
    "Mistral": r"(?:open-)?mi[sx]tral|ministral|magistral|codestral|devstral|pixtral",
    "Alibaba": r"qwen|qwq|tongyi",
    "DeepSeek": r"deepseek",
    "Microsoft": r"phi(?=$|-|\d)|wizardlm",
    "Cohere": r"command(?=$|-)|c4ai|aya(?=$|-)",
    "xAI": r"grok",
    "Amazon": r"nova|titan|amazon",
    "Moonshot": r"kimi|moonshot",
    "Zhipu": r"glm|chatglm",
    "IBM": r"granite",
    "NVIDIA": r"nemotron",
    "AI21": r"jamba|jurassic|j2",
    "TII": r"falcon",
    "01.AI": r"yi(?=$|-)",
    "MiniMax": r"minimax|abab",
}
"""What a model's own name begins with, once provider and place are taken away, or a word of it."""

_WORD = {name: re.compile(rf"(?:\A|[-._]){pattern}") for name, pattern in _FAMILIES.items()}
_FIRST = {name: re.compile(rf"\A(?:{pattern})") for name, pattern in _FAMILIES.items()}

Kin = Literal["model", "family"]
"""What two models share: all of it, or who made it."""


def bare_name(model: str) -> str:
    """A model's name without its provider and the date of its release."""
    return _DATED.sub("", model.casefold().rpartition("/")[2])


def family_of(model: str | None) -> str | None:
    """Who made a model, as its name tells; None where it does not.

    What its name begins with counts before a word within it, so that a model that was distilled into another
    one's shape ("deepseek-r1-distill-llama") is of whoever made it.
    """
    if model is None:
        return None
    name = bare_name(model)
    first = [family for family, pattern in _FIRST.items() if pattern.match(name)]
    within = [family for family, pattern in _WORD.items() if pattern.search(name)]
    found = first or within
    return found[0] if len(found) == 1 else None


def kin(one: str, other: str | None) -> Kin | None:
    """What two models share; None where they share nothing, or nobody knows."""
    if other is None:
        return None
    if bare_name(one) == bare_name(other):
        return "model"
    family = family_of(one)
    return "family" if family is not None and family == family_of(other) else None


def kin_in_words(judge: str, whose: str, model: str | None) -> str | None:
    """A sentence on what a judge shares with another part's model; None where it shares nothing."""
    match kin(judge, model):
        case "model":
            return f"the judge's model {plain(judge)} is also the {whose}'s"
        case "family":
            return (
                f"the judge's model {plain(judge)} is of one family with the {whose}'s, {plain(model or '')}"
            )
        case None:
            return None


Nearest = Literal["model", "family", "none"]
"""The most that a judge shares with any of several models."""


def nearest_kin(judge: str, others: Iterable[str]) -> Nearest | None:
    """The most that a judge's model shares with those that it judges; None where it is not known.

    It is known that two models are one. Whether they are of a family is known where both names tell theirs.
    """
    found = {other: kin(judge, other) for other in others}
    if "model" in found.values():
        return "model"
    if "family" in found.values():
        return "family"
    known = family_of(judge) is not None and all(family_of(other) is not None for other in found)
    return "none" if known or not found else None
