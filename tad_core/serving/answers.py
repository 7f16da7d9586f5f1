"""From what is decoded to what is sent: the text as it grows, where it ends and why, what it took."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tad_core.data.responses import text_length
from tad_core.decoding import Decoded
from tad_core.decoding.spec import Seen
from tad_core.evaluation.answers import cut_before
from tad_core.evaluation.generate import Texts

Finish = Literal["stop", "length"]
#: What a tokenizer writes for bytes that are no character yet.
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class GrowingText:
    """The text of one response while its leading tokens become known.

    Attributes:
        text: that was sent; it only grows, whatever comes.
        whole: the same for whom nothing was sent to: as it is written once all is known.
        finish: why it ends, once it does.
        tokens: of the text that is known; before a stop string the fewest that hold what is before it.
    """

    def __init__(self, texts: Texts, most_tokens: int, stops: Sequence[str]) -> None:
        self._texts, self._most, self._stops = texts, most_tokens, list(stops)
        self.text, self.whole, self.tokens = "", "", 0
        self._told = 0  # characters of the whole that were sent, as they were written then
        self.finish: Finish | None = None

    def grow(self, known: Sequence[int], complete: bool) -> str:
        """What more may be sent.

        Args:
            known: the leading tokens; earlier ones have not changed.
            complete: whether none follow.
        """
        if self.finish is not None:
            return ""
        ids = list(known[: self._most])
        length = text_length(ids, self._texts.ends)
        ended = length < len(ids)
        full = len(ids) == self._most
        text = self._written(ids[:length])
        cut = cut_before(text, self._stops)
        self.tokens = length if cut == text else self._tokens_of(cut, ids[:length])
        if cut != text or ended:
            self.finish = "stop"
        elif full or complete:
            self.finish = "length"
        sure = cut if self.finish else self._sure(cut)
        # What was sent may be written otherwise with what follows: it is not taken back, and what follows is sent.
        more = sure[self._told :]
        self.text, self.whole, self._told = self.text + more, sure, max(self._told, len(sure))
        return more

    def _written(self, ids: Sequence[int]) -> str:
        return str(self._texts.tokenizer.decode(ids, skip_special_tokens=True))

    def _tokens_of(self, text: str, ids: Sequence[int]) -> int:
        """How many of these tokens it takes to write a beginning of their text."""
        counts = range(len(ids) + 1)
        return bisect_left(counts, True, key=lambda count: self._written(ids[:count]).startswith(text))

    def _sure(self, text: str) -> str:
        """Without an end that may be half a character, or the beginning of a stop string."""
        text = text.rstrip(_UNFINISHED)
        held = max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0
        )
        return text[: len(text) - held]


@dataclass
class Took:
    """What one response took.

    Attributes:
        forwards: that served it.
        revealed: tokens that they revealed.
        computed: tokens computed over all of them, prompt and response.
    """

    forwards: int = 0
    revealed: int = 0
    computed: int = 0

    @classmethod
    def of(cls, told: Decoded | Seen, mask_id: int) -> Took:
        """Of a response that is done, or was stopped here."""
        if isinstance(told, Decoded):
            return cls(told.forwards, told.revealed, told.computed)
        return cls(told.forwards, sum(token != mask_id for token in told.tokens))


def usage(prompt_tokens: int, tokens: Sequence[int], took: Sequence[Took], seconds: float) -> dict[str, Any]:
    """OpenAI's counts, and what diffusion adds.

    Args:
        prompt_tokens: of all prompts.
        tokens: of the text of each response.
        took: what each took.
        seconds: since the request came.
    """
    forwards, revealed = sum(t.forwards for t in took), sum(t.revealed for t in took)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": sum(tokens),
        "total_tokens": prompt_tokens + sum(tokens),
        "forwards": forwards,
        "revealed_tokens": revealed,
        "tokens_per_forward": round(revealed / forwards, 3) if forwards else 0.0,
        "seconds": round(seconds, 3),
    }


class Envelope:
    """The shapes of OpenAI's objects for one request."""

    def __init__(self, identity: str, model: str, chat: bool, seed: int | None) -> None:
        self._chat = chat
        self._head = {
            "id": ("chatcmpl-" if chat else "cmpl-") + identity,
            "created": int(time.time()),
            "model": model,
        }
        self._tail = {} if seed is None else {"seed": seed}

    def answer(self, texts: Sequence[str], finishes: Sequence[str], usage: dict[str, Any]) -> dict[str, Any]:
        """Everything at once."""
        choices = []
        for i, (text, finish) in enumerate(zip(texts, finishes, strict=True)):
            content = (
                {"message": {"role": "assistant", "content": text, "refusal": None}}
                if self._chat
                else {"text": text}
            )
            choices.append({"index": i, **content, "logprobs": None, "finish_reason": finish})
        kind = "chat.completion" if self._chat else "text_completion"
        return {**self._head, "object": kind, "choices": choices, "usage": usage, **self._tail}

    def chunk(
        self,
        index: int,
        text: str | None = None,
        finish: str | None = None,
        first: bool = False,
        canvas: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One piece of a stream."""
        if self._chat:
            delta = ({"role": "assistant"} if first else {}) | ({} if text is None else {"content": text})
            content: dict[str, Any] = {"delta": delta}
        else:
            content = {"text": text or ""}
        choice = {"index": index, **content, "logprobs": None, "finish_reason": finish}
        more = {} if canvas is None else {"canvas": canvas}
        return {**self._head, "object": self._kind, "choices": [choice], **more}

    def last(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The usage, in a chunk of its own."""
        return {**self._head, "object": self._kind, "choices": [], "usage": usage, **self._tail}

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"
