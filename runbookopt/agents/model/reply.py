"""Reply of a server that speaks OpenAI's chat completions in a dialect of its own (pure).

Litellm reads replies of all providers, and stumbles over some that many servers give: content as a list of
parts, a stream where none was asked for, a message without a role. It also levels why a reply ended. So what
came over the wire is read here once more, for what litellm did not understand or does not tell.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

REFUSED = "content_filter"
CUT = "length"
FAILED = "error"

_ENDS = {
    CUT: "length max_tokens max_output_tokens max_completion_tokens model_length token_limit",
    REFUSED: "content_filter content_filtered refusal safety recitation blocklist prohibited_content spii"
    " sensitive guardrail_intervened error_toxic language",
    FAILED: "error network_error insufficient_system_resource abort error_limit cancelled timeout",
}
_KINDS = {word: kind for kind, words in _ENDS.items() for word in words.split()}
"""How servers say why a reply ended, in lower case, where it did not end by itself."""

_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
_THOUGHT = re.compile(
    r"\s*(?:<think>.*?</think>|\[THINK\].*?\[/THINK\]|◁think▷.*?◁/think▷|<seed:think>.*?</seed:think>)",
    re.DOTALL,
)
_ONLY_BEGUN = re.compile(r"\s*(?:<think>|\[THINK\]|◁think▷|<seed:think>|<\|channel\|>analysis)")
_ONLY_ENDED = re.compile(r"</think>|\[/THINK\]|◁/think▷|</seed:think>")
_HARMONY = re.compile(
    r"<\|channel\|>final(?:\s*<\|constrain\|>\w+)?<\|message\|>(.*?)(?:<\|return\|>|<\|end\|>|\Z)", re.DOTALL
)


class Tokens(Struct, frozen=True):
    """Tokens that a server counted: `cached` of `prompt`, `reasoning` of `completion`."""

    prompt: int
    cached: int
    completion: int
    reasoning: int = 0


class Reply(Struct, frozen=True):
    """Reply of a model: its text without its thoughts, and how it `ended`.

    `ended` is "stop", or one of `CUT`, `REFUSED` and `FAILED`. `thought`: there was reasoning; `called`:
    there were calls of tools. `tokens` is None where the server counts none.
    """

    text: str
    ended: str = "stop"
    thought: bool = False
    called: bool = False
    tokens: Tokens | None = None


def read(body: str) -> Reply | None:
    """Read the body of a reply, of a stream too; None where it is no chat completion, or not all of one."""
    found = _streamed(body) if body.lstrip().startswith(("data:", "event:", ":")) else _decoded(body)
    return None if found is None else reply_of(found)


def reply_of(completion: Mapping[str, Any]) -> Reply | None:
    """The reply in a chat completion, as it is decoded; None where there is none in it."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        return None
    message = choice.get("message")
    if not isinstance(message, Mapping):
        if not isinstance(choice.get("text"), str):
            return None
        message = {"content": choice["text"]}
    content = message.get("content")
    if content is not None and not isinstance(content, str | list):
        return None
    text, refused, thinking = _parts(content)
    bare = without_thoughts(text)
    more = message.get("provider_specific_fields")  # where litellm puts what it does not know
    refusal = refused or message.get("refusal") or (isinstance(more, Mapping) and more.get("refusal"))
    reasons = (message.get(name) for name in _REASONING)
    ended = _KINDS.get(str(choice.get("finish_reason")).lower(), "stop")
    return Reply(
        bare,
        FAILED if choice.get("error") else REFUSED if refusal else ended,
        thought=thinking or any(reasons) or bare.strip() != text.strip(),
        called=bool(message.get("tool_calls") or message.get("function_call")),
        tokens=tokens_of(completion.get("usage")),
    )


def without_thoughts(text: str) -> str:
    """A reply without the reasoning that some servers leave in it: at its front, or up to its lone end."""
    if text.lstrip().startswith(("<|channel|>", "<|start|>")) and (final := _HARMONY.search(text)):
        return final[1]
    if thought := _THOUGHT.match(text):
        return text[thought.end() :].lstrip()
    if _ONLY_BEGUN.match(text):
        return ""
    # the template of some models begins the thought, so that a reply has nothing but its end
    lone = _ONLY_ENDED.search(text)
    if lone is None or lone[0].replace("/", "", 1) in text[: lone.start()]:
        return text
    return text[lone.end() :].lstrip()


def tokens_of(usage: object) -> Tokens | None:
    """The tokens in a `usage`, by whichever names; None where none are counted.

    Where the total is more than prompt and completion, the rest is reasoning that is billed as completion
    (xAI, Gemini), and so is reasoning that is more than the completion it should be part of.
    """
    if not isinstance(usage, Mapping):
        return None
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    ahead = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    behind = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    cached = _count(ahead, "cached_tokens")
    cached = cached or _count(usage, "prompt_cache_hit_tokens", "cache_read_input_tokens")
    reasoning = _count(behind, "reasoning_tokens") or _count(usage, "reasoning_tokens")
    total = _count(usage, "total_tokens")
    if total > prompt + completion and prompt + completion:
        completion = total - prompt
    elif reasoning > completion:
        completion += reasoning
    if not prompt + completion:
        return None
    return Tokens(prompt, min(prompt, cached), completion, min(reasoning, completion))


def tokens_in(body: str) -> Tokens | None:
    """The tokens that a body counts, whatever else is in it: so much is billed."""
    return tokens_of((_decoded(body) or {}).get("usage"))


def both(understood: Reply | None, heard: Reply | None) -> Reply | None:
    """The reply as litellm understood it, with what else was heard; either may be missing."""
    if understood is None or heard is None:
        return understood or heard
    return Reply(
        without_thoughts(understood.text),
        heard.ended if heard.ended != "stop" else understood.ended,
        thought=understood.thought or heard.thought,
        called=understood.called or heard.called,
        tokens=understood.tokens or heard.tokens,
    )


def shortcoming(reply: Reply, limit: int | None, setting: str) -> tuple[str, str] | None:
    """The kind of failure that a reply is, and its words; None where it is a whole text.

    `limit` is the most tokens of a reply, by the `setting` of that name.
    """
    if reply.ended == REFUSED:
        return "refused", "the provider took the reply out, or the model refused"
    if reply.ended == FAILED:
        return "server", "the server broke the reply off"
    empty, spent = not reply.text.strip(), reply.tokens.completion if reply.tokens else 0
    if reply.ended == CUT or (empty and reply.thought and limit is not None and spent >= limit):
        eaten = empty and (reply.thought or bool(reply.tokens and reply.tokens.reasoning))
        times = 4 if eaten else 2
        now = f"from {limit} to {times * limit}" if limit else f"to {times * spent}" if spent else "higher"
        where = "which is not set: the provider's own was met" if limit is None else ""
        what = "reasoning took all tokens of the reply, and no text came" if eaten else "the reply was cut"
        return "truncated", f"{what}: raise {setting} {now}{', ' if where else ''}{where}"
    if not empty:
        return None
    why = "calls a tool and has no text" if reply.called else "is reasoning and has no text"
    return "empty", f"the reply {why if reply.called or reply.thought else 'has no text'}"


def _count(counts: object, *names: str) -> int:
    if not isinstance(counts, Mapping):
        return 0
    for name in names:
        with suppress(TypeError, ValueError):
            if count := max(0, int(counts.get(name) or 0)):
                return count
    return 0


def _parts(content: str | Sequence[object] | None) -> tuple[str, bool, bool]:
    """The text of a content, whether part of it is a refusal, and whether part of it is reasoning."""
    if content is None or isinstance(content, str):
        return content or "", False, False
    texts, kinds = list[str](), set[str]()
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            kinds.add(str(part.get("type")))
            if part.get("type") in {"text", "output_text", None} and isinstance(part.get("text"), str):
                texts.append(part["text"])
    thinking = {"thinking", "reasoning", "redacted_thinking"}
    return "".join(texts), "refusal" in kinds, not kinds.isdisjoint(thinking)


def _decoded(body: str) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        found = json.loads(body)
        return found if isinstance(found, dict) else None
    return None


def _streamed(body: str) -> dict[str, Any] | None:
    """The completion that the events of a stream make; None where its end is missing."""
    message: dict[str, Any] = {}
    content, whole = list[object](), {"finish_reason": None, "message": message}
    usage = None
    told = (line.removeprefix("data:") for line in body.splitlines() if line.startswith("data:"))
    for event in filter(None, map(_decoded, told)):
        usage = event.get("usage") or usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, Mapping) or choice.get("index"):
                continue
            said = choice.get("delta") or choice.get("message")
            said = said if isinstance(said, Mapping) else {}
            part = said.get("content")
            content += part if isinstance(part, list) else [part] if isinstance(part, str) else []
            message |= {name: value for name, value in said.items() if name != "content" and value}
            whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
    if whole["finish_reason"] is None and "data: [DONE]" not in body:
        return None
    return {"choices": [whole | {"message": message | {"content": content}}], "usage": usage}
