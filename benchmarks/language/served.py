"""A language model behind an address of llama.cpp's server: how much it would like to give each answer."""

import json
import math
import urllib.request
from collections.abc import Sequence
from typing import Any

BIAS, LEAST = 100, 1e-30
"""Of the allowed tokens, which leaves nothing to all others; and the least share of one."""
AS_IT_IS = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "post_sampling_probs": True}
"""Shares of what the model says, with the bias and nothing else."""


class Served:
    """Completes by HTTP; the server keeps the runbook's part of a prompt, and `key` names its model.

    What is recorded of it replays under this key alone.
    """

    def __init__(self, address: str, key: str) -> None:
        self._address, self.key = address.rstrip("/"), key
        self._tokens: dict[str, int] = {}

    def scores(self, prefix: str, texts: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
        """Give the log odds of the first token of each answer behind each text; raises ValueError."""
        first = [self._first(answer) for answer in answers]
        if len(set(first)) < len(first):
            raise ValueError(f"answers begin with the same token: {answers}")
        return [self._of(prefix + text, first) for text in texts]

    def _of(self, prompt: str, first: Sequence[int]) -> list[float]:
        asked = {
            "prompt": prompt,
            "n_predict": 1,
            "n_probs": len(first),
            "cache_prompt": True,
            "logit_bias": [[token, BIAS] for token in first],
            **AS_IT_IS,
        }
        (made,) = self._post("/completion", asked)["completion_probabilities"]
        told = {each["id"]: each["prob"] for each in made["top_probs"]}
        return [math.log(told.get(token) or LEAST) for token in first]

    def _first(self, answer: str) -> int:
        if answer not in self._tokens:
            self._tokens[answer] = self._post("/tokenize", {"content": answer})["tokens"][0]
        return self._tokens[answer]

    def _post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        request = urllib.request.Request(  # noqa: S310 - the address is the caller's
            self._address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:  # noqa: S310
            return json.load(reply)
