"""Whoever answers asks that are handed off: reads an ask's file alone, and writes its reply where that says.

Replier(clone.root, "desk").answer_all(by="Ana")
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.model_pair import Pair

Answer = Callable[[Mapping[str, Any]], str]


def messages_of(text: str) -> list[dict[str, str]]:
    """Give the messages of an ask as a model's server would get them."""
    code = re.search(r"each between tags that carry ([0-9a-f]{32})\.$", text, re.MULTILINE)
    assert code
    found = re.findall(
        rf"^<(system|user|assistant) {code[1]}>\n(.*?)\n</\1 {code[1]}>$", text, re.DOTALL | re.MULTILINE
    )
    return [{"role": role, "content": content} for role, content in found]


class Replier:
    """Somebody at hand, who answers as `answer` does a server's request; `replied` are the names of asks.

    Without one it is the offline pair, with one edit a reply, so that there is more than one to wait for.
    """

    def __init__(self, root: Path, runbook: str = "desk", answer: Answer | None = None) -> None:
        self.folder = root / ".runbookopt/handoff" / runbook
        self.replied: list[str] = []
        self._root = root
        self._answer = answer or Pair(edits=1).answer

    def asks(self) -> list[str]:
        """Give the names of the asks that are open, in order."""
        folder = self.folder / "asks"
        return sorted(path.name for path in folder.glob("[!.]*"))

    def text(self, name: str) -> str:
        return (self.folder / "asks" / name).read_text()

    def place(self, name: str) -> Path:
        """Give where the ask says that its reply goes."""
        said = re.search(r"^2\. .*?new file.*?\n +(\S+)$", self.text(name), re.MULTILINE | re.DOTALL)
        assert said
        return self._root / said[1]

    def reply(self, name: str) -> str:
        messages = messages_of(self.text(name))
        if name.startswith("rollout"):
            return self._roll(messages)
        return self._answer({"messages": messages})

    def answer(self, name: str, by: str | None = "Ana") -> None:
        self.place(name).write_text(f"by: {by}\n\n{self.reply(name)}" if by else self.reply(name))
        self.replied.append(name)

    def answer_all(self, by: str | None = "Ana") -> int:
        """Answer all that has no reply yet; give how many these were."""
        names = [name for name in self.asks() if not self.place(name).exists()]
        for name in names:
            self.answer(name, by)
        return len(names)

    def _roll(self, messages: list[dict[str, str]]) -> str:
        system, user = (message["content"] for message in messages)
        runbook = re.search(r"<runbook ([0-9a-f]{32})>\n(.*)\n</runbook \1>", system, re.DOTALL)
        task = re.search(r"<task ([0-9a-f]{32})>\n(.*)\n</task \1>", user, re.DOTALL)
        assert runbook
        assert task
        output = self._answer(
            {"messages": [{"role": "system", "content": runbook[2]}, {"role": "user", "content": task[2]}]}
        )
        return f"=== {task[1]} output\n{output}\n=== {task[1]} end\n"
