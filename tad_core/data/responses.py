"""What of a response is its text: one rule for what is judged, shown and counted.

A model ends its turn (LLaDA ``<|eot_id|>``, Dream ``<|im_end|>``) and then its text (``<|endoftext|>``). The text of
a response is what comes before the first of these, without special tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

END_TOKENS = ("<|endoftext|>", "<|eot_id|>", "<|im_end|>")
"""How the families spell the end of a turn or of a text; a tokenizer has those of its family."""


def end_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end a turn or a text: the tokenizer's own end, and whichever of ``END_TOKENS`` it has."""
    added = tokenizer.get_added_vocab()
    found = {added[name] for name in END_TOKENS if name in added}
    return frozenset(found | {tokenizer.eos_token_id})


def text_length(response_ids: Sequence[int], ends: Collection[int]) -> int:
    """Tokens of a response before the first that ends its turn or text; all of them if none does."""
    return next((at for at, token in enumerate(response_ids) if token in ends), len(response_ids))


def response_text(tokenizer: Any, response_ids: Sequence[int], ends: Collection[int]) -> str:
    """The text of a response ``[L]``, without special tokens."""
    ids = response_ids[: text_length(response_ids, ends)]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def cut_at_end(text: str) -> str:
    """A text in which the end of a turn is still written out, cut there: so collections of version 0.1 hold theirs."""
    return text[: min((at for name in END_TOKENS if (at := text.find(name)) >= 0), default=len(text))]
