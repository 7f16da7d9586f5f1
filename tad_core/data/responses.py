"""What of a response is its text: one rule for what is judged, shown and counted.

A model ends its turn (LLaDA ``<|eot_id|>``, Dream ``<|im_end|>``) and then its text (``<|endoftext|>``). The text of
a response is what comes before the first of these, without special tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tad_core.families import FAMILIES

TURN_END_TOKENS = tuple(dict.fromkeys(family.turn_end for family in FAMILIES.values() if family.turn_end))
"""How the families spell the end of a turn; a tokenizer has that of its family."""
END_TOKENS = ("<|endoftext|>", *TURN_END_TOKENS)
"""How they spell the end of a turn or of a text."""


def end_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end a turn or a text: the own end of ``tokenizer``, and those of ``END_TOKENS`` it has."""
    added = tokenizer.get_added_vocab()
    found = {added[name] for name in END_TOKENS if name in added}
    return frozenset(found | {tokenizer.eos_token_id})


def text_length(response_ids: Sequence[int], ends: Collection[int]) -> int:
    """Tokens of a response before the first that ends its turn or text; all of them if none does."""
    return next((at for at, token in enumerate(response_ids) if token in ends), len(response_ids))


def response_text(tokenizer: Any, response_ids: Sequence[int], ends: Collection[int]) -> str:
    """The text of a response, without special tokens.

    Args:
        tokenizer: of the checkpoint.
        response_ids: the L tokens.
        ends: ids that end it, of ``end_ids``; what comes behind the first is no part of the text.
    """
    ids = response_ids[: text_length(response_ids, ends)]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def closed_response(tokenizer: Any, text: str, length: int) -> list[int] | None:
    """A text as a model of this family would write it: its tokens, the end of the turn, end-of-text up to ``length``.

    A tokenizer without a token for the end of a turn has end-of-text alone. None if the text and what ends it do not
    fit: a model that never sees an end never learns to stop.
    """
    added = tokenizer.get_added_vocab()
    end = next((added[name] for name in TURN_END_TOKENS if name in added), tokenizer.eos_token_id)
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
    return None if len(ids) > length else ids + [tokenizer.eos_token_id] * (length - len(ids))
