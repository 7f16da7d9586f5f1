"""One look for every table and picture: names, order, colours and marks of the models, light and dark.

Colours are told apart under the three common colour-vision deficiencies (a test measures it); shapes and line
styles repeat what the colour says, for print.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MODEL_ORDER = ("base", "sft", "quality", "speed")

MODEL_LABELS = {"base": "Base", "sft": "Fine-tuned", "quality": "Quality", "speed": "Speed"}
"""``sft`` is plain fine-tuning on the references with random masks."""

MARKERS = {"base": "o", "sft": "^", "quality": "s", "speed": "D"}
LINES: dict[str, str | tuple[int, tuple[int, ...]]] = {
    "base": "-",
    "sft": (0, (1, 1)),
    "quality": "-",
    "speed": (0, (5, 1)),
}


@dataclass(frozen=True)
class Theme:
    """Colours of one rendering.

    Attributes:
        paper: background.
        ink: text and axes.
        muted: secondary text and raw data.
        grid: rules and gridlines.
        warn: the edge of cautions.
        accent: bars that belong to no model.
        models: colour of each model.
        steps: name of the matplotlib colour map of reveal steps (perceptually uniform).
    """

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    warn: str
    accent: str
    models: dict[str, str]
    steps: str = "viridis"

    def colour(self, model: str) -> str:
        """The colour of a model; models this file does not know are drawn in ink."""
        return self.models.get(model, self.ink)


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1f2328",
    muted="#6b7280",
    grid="#e5e7eb",
    warn="#b08900",
    accent="#21827a",
    models={"base": "#7d838c", "sft": "#6c1d5f", "quality": "#0067b0", "speed": "#d0480b"},
)

DARK = Theme(
    name="dark",
    paper="#14171c",
    ink="#e8eaed",
    muted="#9aa3af",
    grid="#2c323b",
    warn="#e6c229",
    accent="#45b5aa",
    models={"base": "#9aa0a8", "sft": "#b14cff", "quality": "#5ab4f2", "speed": "#ff7f45"},
)


def label(model: str) -> str:
    """The name of a model as a reader sees it."""
    return MODEL_LABELS.get(model, model)


def ordered(models: Iterable[str]) -> list[str]:
    """Known models in reading order, then the others by name."""
    return sorted(set(models), key=lambda m: (MODEL_ORDER.index(m) if m in MODEL_ORDER else 99, m))
