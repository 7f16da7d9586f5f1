"""One response decoded step by step, for whoever watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tad_core.decoding import Decoded, Request
from tad_core.decoding.loop import Loop
from tad_core.decoding.packing import packer_of
from tad_core.decoding.spec import Job
from tad_core.serving.answers import GrowingText
from tad_core.serving.served import Served, Wish


@dataclass(frozen=True)
class Frame:
    """A response after a forward.

    Attributes:
        tokens: of all positions as text; None where one is masked.
        new: positions that the forward revealed.
        forwards: so far.
        seconds: of these forwards.
        text: of the response, as far as it is known from its beginning.
        finish: why it ends; None until it is complete.
    """

    tokens: list[str | None]
    new: frozenset[int]
    forwards: int
    seconds: float
    text: str
    finish: str | None

    @property
    def revealed(self) -> int:
        """Positions that are."""
        return sum(token is not None for token in self.tokens)


def frames(served: Served, wish: Wish) -> Iterator[Frame]:
    """A frame after every forward; the last one is complete.

    Args:
        served: the model.
        wish: one prompt.
    """
    (ids,), spec = wish.prompts, wish.spec
    growing = GrowingText(served.texts, wish.most_tokens, wish.stops)
    mask, known, seconds = served.model.mask_token_id, [False] * spec.response_length, 0.0
    with packer_of(served.model, 1, len(ids) + spec.response_length, spec.lane) as packer:
        loop = Loop(served.model, packer, spec.response_length)
        loop.add(0, Job(Request(ids, ("", 0), wish.temperature), spec, wish.seed or 0, watched=True))
        over = False
        while not over:
            began = time.perf_counter()
            with torch.inference_mode():
                done = loop.step()
                told = done.get(0) or loop.seen({0: -1})[0]
            seconds += time.perf_counter() - began
            if isinstance(told, Decoded):
                revealed, lead = [step > 0 for step in told.revealed_at], spec.response_length
            else:
                revealed, lead = [token != mask for token in told.tokens], told.lead
            growing.grow(told.tokens[:lead], bool(done))
            over = bool(done) or (growing.finish is not None and spec.early_stop)
            strings = served.pieces(told.tokens)
            yield Frame(
                [text if there else None for text, there in zip(strings, revealed, strict=True)],
                frozenset(p for p, there in enumerate(revealed) if there and not known[p]),
                told.forwards, seconds, growing.text, growing.finish if over else None,
            )  # fmt: skip
            known = revealed
