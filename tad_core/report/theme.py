"""One look for every page and picture, light and dark; how each model is drawn is told by ``lineup``."""

from __future__ import annotations

from dataclasses import dataclass


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
        dark: whether the paper is.
        steps: name of the matplotlib colour map of reveal steps (perceptually uniform).
    """

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    warn: str
    accent: str
    dark: bool
    steps: str = "viridis"


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1f2328",
    muted="#6b7280",
    grid="#e5e7eb",
    warn="#b08900",
    accent="#21827a",
    dark=False,
)

DARK = Theme(
    name="dark",
    paper="#14171c",
    ink="#e8eaed",
    muted="#9aa3af",
    grid="#2c323b",
    warn="#e6c229",
    accent="#45b5aa",
    dark=True,
)
