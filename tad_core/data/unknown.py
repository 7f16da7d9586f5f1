"""How much of the problems a tokenizer does not know.

A tokenizer with a fixed list of words (that of the small model) makes one and the same token of everything else, and
what was written is lost: a model cannot read a question of such tokens, nor write an answer that needs them. Tokenizers
that fall back to bytes, as those of LLaDA and Dream do, know every text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tad_core.config import ModelConfig, SourceConfig
from tad_core.data.problem import Problem
from tad_core.errors import DataError

#: Share of unknown tokens of a source from which on plan and report warn.
WORTH_SAYING = 0.01
_WORDS = 8
_BATCH = 1024


class Unknown(NamedTuple):
    """Of one source: tokens of its questions and references, how many of them are unknown, and the commonest."""

    source: str
    tokens: int
    unknown: int
    words: list[str]

    @property
    def share(self) -> float:
        """Unknown tokens of all, 0 to 1."""
        return self.unknown / max(1, self.tokens)

    def told(self) -> str:
        """As a sentence of plan and report begins."""
        return f"{self.share:.1%} of the tokens of {self.source} are unknown to the model ({', '.join(self.words)})"


def count_unknown(model: ModelConfig, problems: Iterable[Problem]) -> list[Unknown]:
    """Count by source, in the order of their first problem; only sources that have any.

    Raises:
        ModelError: no usable checkpoint.
    """
    from tad_core.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(model)
    mark = tokenizer.unk_token_id
    if mark is None:
        return []
    core = tokenizer.backend_tokenizer
    core.no_truncation()
    core.no_padding()
    texts: dict[str, list[str]] = {}
    for problem in problems:
        texts.setdefault(problem.source, []).extend(filter(None, (problem.question, problem.reference)))
    counted = [_count(core, mark, source, written) for source, written in texts.items()]
    return [entry for entry in counted if entry.unknown]


def _count(core: Any, mark: int, source: str, written: Sequence[str]) -> Unknown:
    from tad_core.data.lengths import all_cores

    tokens, words = 0, Counter[str]()
    for start in range(0, len(written), _BATCH):
        batch = written[start : start + _BATCH]
        with all_cores():
            encodings = core.encode_batch(batch, add_special_tokens=False)
        for text, encoding in zip(batch, encodings, strict=True):
            tokens += len(encoding.ids)
            spans = zip(encoding.ids, encoding.offsets, strict=True)
            words.update(text[a:b] for token, (a, b) in spans if token == mark)
    return Unknown(source, tokens, words.total(), [word for word, _ in words.most_common(_WORDS)])


def check_unknown(sources: Sequence[SourceConfig], counted: Iterable[Unknown]) -> None:
    """Refuse sources that the model can hardly read.

    Raises:
        DataError: one of them has a larger share of unknown tokens than its ``max_unknown``; all are named.
    """
    limits = {source.name: source.max_unknown for source in sources}
    wrong = [
        f"data source {entry.source}: {entry.share:.1%} of its tokens are unknown to the tokenizer of the model "
        f"({', '.join(entry.words)}) and max_unknown is {limits[entry.source]:.0%}; use problems in words that it "
        f"knows (docs/data.md), another model, or a larger max_unknown"
        for entry in counted
        if entry.share > limits.get(entry.source, 1.0)
    ]
    if wrong:
        raise DataError("\n".join(wrong))


def unknown_rows(info: Mapping[str, Any]) -> list[Unknown]:
    """The counts, from the ``info`` of a manifest; empty for one that has none."""
    return [Unknown(**entry) for entry in info.get("unknown", [])]
