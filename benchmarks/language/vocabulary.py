"""Tokens of a SentencePiece model (pure): a text is merged from its characters, the best known pair first."""

import heapq
from collections.abc import Sequence
from itertools import pairwise

SPACE = "\u2581"


class Vocabulary:
    """Pieces of text and their scores, as a GGUF file lists them; a character that is none goes as bytes."""

    def __init__(self, pieces: Sequence[str], scores: Sequence[float]) -> None:
        self._ids = {piece: number for number, piece in reversed(list(enumerate(pieces)))}
        self._scores = scores

    def encoded(self, text: str) -> list[int]:
        """Give the numbers of a text's tokens."""
        parts: list[str] = list(text.replace(" ", SPACE))
        after = [*range(1, len(parts)), -1]
        before = [*range(-1, len(parts) - 1)]
        waiting = [
            (-self._scores[self._ids[one + two]], place, one + two)
            for place, (one, two) in enumerate(pairwise(parts))
            if one + two in self._ids
        ]
        heapq.heapify(waiting)
        while waiting:
            _, place, piece = heapq.heappop(waiting)
            other = after[place]
            if other < 0 or not parts[place] or parts[place] + parts[other] != piece:
                continue  # one of the two went into another piece
            parts[place], parts[other], after[place] = piece, "", after[other]
            if after[place] >= 0:
                before[after[place]] = place
            for left in (before[place], place):
                right = after[left] if left >= 0 else -1
                if right >= 0 and (merged := parts[left] + parts[right]) in self._ids:
                    heapq.heappush(waiting, (-self._scores[self._ids[merged]], left, merged))
        return [number for part in parts if part for number in self._numbers(part)]

    def _numbers(self, piece: str) -> list[int]:
        if piece in self._ids:
            return [self._ids[piece]]
        return [self._ids[f"<0x{byte:02X}>"] for byte in piece.encode()]
