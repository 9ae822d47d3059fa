"""Dialect of a server: how it wants to be asked, learned from what it refuses (pure).

    dialect = Dialect()
    sent = spoken(request, dialect)     # refused with `words`
    dialect = learned(dialect, words, request) or ...      # None: nothing is learned from that

Each thing that is learned takes one refused request, which nobody bills.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

Limit = Literal["max_tokens", "max_completion_tokens"]


class Dialect(Struct, frozen=True):
    """How a server wants to be asked.

    `system`: it knows the role. `streams`: it answers nothing but streams. `limit` is its name for the most
    tokens of a reply, None litellm's own choice. `without` are settings that it does not take.
    """

    system: bool = True
    streams: bool = False
    limit: Limit | None = None
    usage_in_streams: bool = True
    without: frozenset[str] = frozenset()


_HEARD = 1000  # characters of a refusal that are looked at: behind them it may quote a task
_Q = "['\"`]?"
_NOT = "(?:not (?:supported|allowed|enabled|permitted|accepted|valid)|unsupported|invalid)"
_UNKNOWN = (
    "(?:unsupported|not supported|unrecognized|unknown|unexpected|extra inputs are not|extra_forbidden"
    "|not permitted)"
)
_DOES_NOT = "(?:doesn'?t|does not|do not|don'?t|cannot) (?:support|accept|allow|take|handle)"

_WORDINGS = {
    "system": (
        f"system (?:role|message|prompt|instruction)s?(?: is| are)? {_NOT}",  # Gemma in vLLM, TGI, NIM
        rf"{_DOES_NOT}[^.]{{0,30}}\b(?:system|developer)\b",  # Bedrock, OpenAI's o1
        "developer instruction is not enabled",  # Gemma at Google
        "only (?:the )?user(?:,| and)[^.]{0,40} roles? (?:is|are) (?:supported|allowed)",  # LM Studio
        f"only supports? (?:the )?(?:roles? )?{_Q}user{_Q}(?:,| and| or)",
        "(?<!system message, )conversation roles must alternate user/assistant",  # Mixtral
        f"roles must alternate between {_Q}user{_Q} and {_Q}assistant{_Q}",
        f"(?:unexpected|invalid|unsupported|unknown|illegal) (?:message )?role:? *{_Q}system",  # Anthropic
        f"role[^.]{{0,30}}['\"`]system['\"`][^.]{{0,30}}{_NOT}",
        f"['\"`]system['\"`] is (?:{_NOT}|not (?:one of|a valid))",
        f"input should be {_Q}user{_Q},? (?:or|and) {_Q}assistant{_Q}",  # pydantic, behind gateways
    ),
    "streams": (
        "only supports? (?:the )?stream",  # DashScope: "This model only support stream mode"
        "must be set to false for non-streaming",  # DashScope, of enable_thinking
        f"must have {_Q}stream(?:{_Q} *= *|ing )true",  # Fireworks
        f"{_Q}stream{_Q} (?:must|should|has to|needs to) be (?:set to )?{_Q}true",
        f"non-?stream(?:ing|ed)?(?: [a-z]+)? (?:is|are) {_NOT}",
        f"{_DOES_NOT} non-?stream",
        "stream(?:ing|=true)? is (?:strictly )?required",
    ),
    "usage_in_streams": (f"{_UNKNOWN}[^.]{{0,80}}stream_options", f"stream_options[^.]{{0,80}}{_UNKNOWN}"),
    "max_completion_tokens": ("max_tokens[^.]{0,60}not supported.{0,60}max_completion_tokens",),  # OpenAI
    "max_tokens": (
        f"{_UNKNOWN}[^.]{{0,60}}max_completion_tokens",  # Azure's older versions, Mistral
        f"max_completion_tokens[^.]{{0,60}}{_UNKNOWN}",
    ),
    # as such, and not a value of it; litellm leaves them out for models that it knows by name
    **{
        name: (
            rf"\b{name}\b[^.]{{0,60}}(?:not support|deprecated|{_UNKNOWN})",
            rf"(?:deprecated|{_UNKNOWN})[^.]{{0,60}}\b{name}\b",
        )
        for name in ("temperature", "seed")
    },
}
"""What servers say that want to be asked in another way, by what is to change."""

_PATTERNS = {
    name: re.compile("|".join(wordings), re.IGNORECASE | re.DOTALL) for name, wordings in _WORDINGS.items()
}


def learned(dialect: Dialect, words: str, request: Mapping[str, Any]) -> Dialect | None:
    """The dialect after a request in it was refused with these words; None where they say nothing new."""
    heard = words[:_HEARD]
    roles = {message["role"] for message in request["messages"]}
    may_change = {
        "system": dialect.system and "system" in roles,
        "usage_in_streams": dialect.streams and dialect.usage_in_streams,
        "streams": not dialect.streams,
        "max_completion_tokens": dialect.limit is None and "max_tokens" in request,
        "max_tokens": dialect.limit is None and "max_tokens" in request,
        "temperature": "temperature" in request.keys() - dialect.without,
        "seed": "seed" in request.keys() - dialect.without,
    }
    found = (name for name, may in may_change.items() if may and _PATTERNS[name].search(heard))
    match next(found, None):
        case None:
            return None
        case "max_tokens" | "max_completion_tokens" as limit:
            return replace(dialect, limit=limit)
        case "temperature" | "seed" as name:
            return replace(dialect, without=dialect.without | {name})
        case name:
            return replace(dialect, **{name: name == "streams"})


def joined(one: Dialect, other: Dialect) -> Dialect:
    """What two calls at one time have learned of a server."""
    return Dialect(
        system=one.system and other.system,
        streams=one.streams or other.streams,
        limit=one.limit or other.limit,
        usage_in_streams=one.usage_in_streams and other.usage_in_streams,
        without=one.without | other.without,
    )


def spoken(request: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """A request as the server wants it."""
    said = {name: value for name, value in request.items() if name not in dialect.without}
    body = dict(said.get("extra_body") or {})
    if not dialect.system:
        said["messages"] = without_system(said["messages"])
        said.pop("cache_control_injection_points", None)
    if dialect.limit is not None and "max_tokens" in said:
        # in the body itself, for litellm has its own mind on which name a model takes
        body[dialect.limit] = said.pop("max_tokens")
    if dialect.streams:
        # so litellm takes it for a plain call, and errors keep their kinds; `reply` reads the stream
        body |= {"stream": True} | (
            {"stream_options": {"include_usage": True}} if dialect.usage_in_streams else {}
        )
    return said | ({"extra_body": body} if body else {})


def without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Messages whose system messages stand at the front of the first message of the user."""
    systems = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    first = next((place for place, each in enumerate(others) if each["role"] == "user"), None)
    if not systems or first is None:
        return [
            {**message, "role": "user"} if message["role"] == "system" else message for message in messages
        ]
    others[first] = {**others[first], "content": "\n\n".join([*systems, others[first]["content"]])}
    return others


def told(before: Dialect, after: Dialect) -> Iterator[str]:
    """What was learned, in words."""
    if before.system and not after.system:
        yield (
            "the server refuses the system role, so what would stand there (an agent's runbook) goes before"
            " the rest in the user's message"
        )
    if after.streams and not before.streams:
        yield "the server answers nothing but streams: it is asked for them"
    if after.limit != before.limit:
        yield f"the server takes the most tokens of a reply as {after.limit}: max_tokens is sent so"
    for name in sorted(after.without - before.without):
        yield f"the server does not take {name}: it is left out"
