"""The one problem that every evaluation keeps in full (``example.json``), ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tad_core.report.scores import TOKEN_BY_TOKEN
from tad_core.report.trajectory_plot import Decoding


def decodings(examples: Mapping[str, Mapping[str, Any]]) -> tuple[str, list[Decoding]]:
    """The problem's prompt, and its decodings: base both ways, distilled models at the operating threshold.

    Args:
        examples: ``example.json`` by model, in reading order.
    """
    found: list[Decoding] = []
    if {"quality", "speed"} & examples.keys():
        # Four bands are a picture, five are a list: the baseline gives way.
        examples = {m: e for m, e in examples.items() if m != "sft"}
    shown: Mapping[str, Any] | None = None
    for model, example in examples.items():
        shown = shown or example
        if example["problem_id"] != shown["problem_id"]:
            continue
        for decoded in example["decodings"]:
            single = decoded["method"] == TOKEN_BY_TOKEN
            if single and model != "base":
                continue
            found.append(
                Decoding(
                    model=model,
                    how="token by token" if single else f"threshold {decoded['threshold']:g}",
                    tokens=decoded["tokens"],
                    revealed_at=decoded["revealed_at"],
                    text_tokens=decoded["tokens_text"],
                    forwards=decoded["forwards"],
                    correct=decoded.get("correct"),
                )
            )
    return (shown["prompt"] if shown else ""), found
