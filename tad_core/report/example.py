"""The one problem that every evaluation keeps in full (``example.json``), ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tad_core.config import BASE
from tad_core.config.decoders import TOKEN_BY_TOKEN
from tad_core.evaluation.records import way_words
from tad_core.report.lineup import Lineup

#: models in the picture beside the base
_OTHERS = 2


@dataclass(frozen=True)
class Decoding:
    """One decoded answer.

    Attributes:
        model: whose it is.
        label: what readers call it.
        how: how it was decoded, in words.
        tokens: the response as strings, end-of-text tokens included.
        revealed_at: for each token the forward (from 1) that revealed it; 0 where it was filled in.
        text_tokens: tokens before the first that ends the turn or the text.
        forwards: forward passes it took.
        correct: whether the answer is right; None if not known.
    """

    model: str
    label: str
    how: str
    tokens: Sequence[str]
    revealed_at: Sequence[int]
    text_tokens: int
    forwards: int
    correct: bool | None

    @property
    def caption(self) -> str:
        """One line: who, how, how fast, right or wrong."""
        verdict = {True: ", right", False: ", wrong", None: ""}[self.correct]
        passes = f"{self.forwards} forward pass{'es' if self.forwards != 1 else ''}"
        return f"{self.label}, {self.how}: {self.text_tokens} tokens of text in {passes}{verdict}"


def decodings(examples: Mapping[str, Mapping[str, Any]], lineup: Lineup) -> tuple[str, list[Decoding]]:
    """The problem's prompt, and its decodings: base both ways, the first two others at the operating threshold.

    Args:
        examples: ``example.json`` by model.
        lineup: whose order is kept.
    """
    found: list[Decoding] = []
    # Four bands are a picture, five are a list: baselines give way, then what stands further down the table.
    others = [m for m in lineup.ordered(examples) if m != BASE]
    distilled = [m for m in others if m not in lineup.baselines]
    wanted = [*([BASE] if BASE in examples else []), *(distilled or others)[:_OTHERS]]
    shown: Mapping[str, Any] | None = None
    for model, example in ((m, examples[m]) for m in wanted):
        shown = shown or example
        if example["problem_id"] != shown["problem_id"]:
            continue
        for decoded in example["decodings"]:
            single = decoded["method"] == TOKEN_BY_TOKEN
            if single and model != BASE:
                continue
            found.append(
                Decoding(
                    model=model,
                    label=lineup.label(model),
                    how=way_words(decoded["method"], decoded["threshold"]),
                    tokens=decoded["tokens"],
                    revealed_at=decoded["revealed_at"],
                    text_tokens=decoded["tokens_text"],
                    forwards=decoded["forwards"],
                    correct=decoded.get("correct"),
                )
            )
    return (shown["prompt"] if shown else ""), found
