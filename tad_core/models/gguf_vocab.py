"""A tokenizer as llama.cpp has it: tokens, their types and merges, and the name of the way text is split.

llama.cpp has its own code for every way of splitting and knows them by name. The name is found by the expression in
the tokenizer itself, so that another checkpoint of the same words needs no entry, and by whether a piece of text that
is a token is taken whole, whatever its merges would make of it: that goes by llama.cpp's name, too. A tokenizer that
llama.cpp has no code for is left out rather than approximated: the file then takes and gives token ids.

Source: the ``tokenizer.ggml.*`` keys of the GGUF specification; expressions as published in the tokenizers' own files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Named:
    """llama.cpp's names of one way to split text.

    Attributes:
        merged: where the merges decide; tokens that no merge makes come from no text.
        whole: where a piece that is a token is taken whole (``ignore_merges``); None: there is no such name.
    """

    merged: str
    whole: str | None = None


#: Byte-level splitting by GPT-2's own expression, which tokenizers do not spell out.
_GPT2 = Named("gpt-2")
#: The expression by which a byte-level BPE splits text -> llama.cpp's names of it.
PRE_TOKENIZERS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+":
        Named("qwen2"),
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+":
        Named("smaug-bpe", whole="llama-bpe"),
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+":
        Named("bailingmoe"),
}  # fmt: skip
#: Of a BPE, what llama.cpp does not read.
_NOT_READ = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")


@dataclass(frozen=True)
class Vocabulary:
    """What of a tokenizer goes into the file.

    Attributes:
        pre: llama.cpp's name of the way text is split.
        tokens: by id, as many as the embedding has rows; those without a token are ``[PADn]``.
        types: ``gguf.TokenType`` of each.
        merges: of the byte-level BPE, ``left right`` each, the likeliest first.
    """

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]


def vocabulary(tokenizer: PreTrainedTokenizerFast, rows: int) -> Vocabulary | str:
    """The tokenizer as llama.cpp has it, or why it has none such.

    Args:
        tokenizer: of the checkpoint.
        rows: of the embedding.
    """
    from gguf import TokenType

    tree = json.loads(tokenizer.backend_tokenizer.to_str())
    model = tree["model"]
    pre = _pre_tokenizer(tree)
    if pre is None:
        return (
            f"its tokenizer ({model['type']}) splits text in a way that llama.cpp has no code for, so the file holds "
            "none: it takes and gives token ids"
        )
    tokens = [f"[PAD{i}]" for i in range(rows)]
    types = [int(TokenType.UNUSED)] * rows
    for token, number in tokenizer.get_vocab().items():
        tokens[number], types[number] = token, int(TokenType.NORMAL)
    for number, added in tokenizer.added_tokens_decoder.items():
        kind = TokenType.CONTROL if added.special else TokenType.USER_DEFINED
        tokens[number], types[number] = str(added.content), int(kind)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return Vocabulary(pre, tokens, types, merges)


def _pre_tokenizer(tree: dict[str, Any]) -> str | None:
    """llama.cpp's name of the way the tokenizer makes tokens of text; None if it has none."""
    model, named = tree["model"], _splitting(tree)
    if model["type"] != "BPE" or named is None or any(model.get(name) for name in _NOT_READ):
        return None
    return named.whole if model.get("ignore_merges") else named.merged


def _splitting(tree: dict[str, Any]) -> Named | None:
    """llama.cpp's names of the way the tokenizer splits text; None if it has none."""
    if any(step["type"] != "NFC" for step in _steps(tree.get("normalizer"), "normalizers")):
        return None
    steps = list(_steps(tree.get("pre_tokenizer"), "pretokenizers"))
    if not steps or steps[-1]["type"] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return None
    if len(steps) == 1:
        return _GPT2 if steps[0].get("use_regex", True) else None
    split = steps[0]
    if len(steps) > 2 or split["type"] != "Split" or split["behavior"] != "Isolated" or split.get("invert"):
        return None
    return PRE_TOKENIZERS.get(split["pattern"].get("Regex", ""))


def _steps(part: dict[str, Any] | None, name: str) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, whether it is a sequence, one or none."""
    if part is not None:
        yield from part[name] if part["type"] == "Sequence" else [part]
