"""The picture of the student's confidence and of the windows read from it, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tad_core.report.canvas import WIDTH, figure, png, themed
from tad_core.report.lineup import Lineup
from tad_core.report.theme import LIGHT, Theme


def calibration(
    curve: Mapping[str, Any],
    windows: Mapping[str, Mapping[str, Any]],
    lineup: Lineup,
    theme: Theme = LIGHT,
) -> bytes:
    """Student confidence in the teacher's token against steps until its reveal, windows and counts."""
    offsets = np.array(curve["offsets"])
    confidence, smoothed = _where_counted(curve, "confidence"), _where_counted(curve, "smoothed")
    with themed(theme):
        made = figure(WIDTH, 5.2)
        top, below = made.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        top.plot(
            offsets, confidence, "o", markersize=4, color=theme.muted, alpha=0.55, label="mean", zorder=2
        )
        top.plot(offsets, smoothed, color=theme.ink, linewidth=2.2, label="smoothed", zorder=3)
        every = _where_counted(curve, "confidence_all", "count_all")
        top.plot(offsets, every, color=theme.muted, linewidth=1.4, linestyle=(0, (1, 1.5)), zorder=2,
                 label="with end-of-text")  # fmt: skip
        busy = [(x, y) for line in top.lines for x, y in line.get_xydata() if not np.isnan(y)]
        for mode, window in windows.items():
            _window(top, mode, window, float(offsets[-1]), busy, lineup, theme)
        top.set_ylim(0, 1.03)
        top.set_xlim(0.5, max([float(offsets[-1]), *(w["window"] for w in windows.values())]) + 0.5)
        top.set_ylabel("confidence")
        top.set_title(f"Student's confidence  ·  {curve['states']:,} states")
        top.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=10, borderaxespad=0.2)
        below.bar(offsets, curve["count"], width=0.85, color=theme.muted, alpha=0.6)
        below.set_ylabel("tokens")
        below.set_xlabel("steps until the teacher reveals the token")
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        below.grid(axis="x", visible=False)
        return png(made)


def _window(
    ax: Axes,
    mode: str,
    window: Mapping[str, Any],
    last: float,
    busy: list[tuple[float, float]],
    lineup: Lineup,
    theme: Theme,
) -> None:
    """A window's line and its label, which keeps clear of the points in ``busy`` and is added to them."""
    colour, steps = lineup.colour(mode, theme), window["window"]
    at = window["threshold"]
    how = {
        "calibrated": "" if at is None else f"then it falls below {at:g}",
        "cap": "" if at is None else f"the cap: never below {at:g}",
        "fixed": "fixed",
        "quality": "raised to the Quality window",
    }[window["source"]]
    if window["source"] != "fixed":
        ax.axhline(window["threshold"], color=colour, linewidth=1.1, linestyle=(0, (2, 3)), zorder=1.5)
    ax.axvline(steps, color=colour, linewidth=2, linestyle=lineup.line(mode), zorder=2.5)
    # Near the right edge the label stands left of its line, or it would leave the picture.
    left = steps > 0.65 * last
    start, end = (steps - 0.3 * last, steps) if left else (steps, steps + 0.3 * last)
    height = free_height([y for x, y in busy if start <= x <= end], 0.13)
    busy += [(x, height + 0.13 * part) for x in np.linspace(start, end, 9) for part in (0, 0.5, 1)]
    ax.annotate(
        f"{lineup.label(mode)}: {steps} step{'s' if steps != 1 else ''}\n{how}",
        (steps, height),
        xytext=(-8 if left else 8, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        fontsize=10.5,
        fontweight="bold",
        linespacing=1.2,
        color=colour,
        bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 1.5},
        zorder=6,
    )


def free_height(busy: Sequence[float], size: float) -> float:
    """Where on a scale of 0 to 1 a label of ``size`` meets the fewest ``busy`` heights; the highest such place."""
    places = [i / 50 for i in range(1, int(50 * (1 - size)))]
    return min(places, key=lambda h: (sum(h - 0.03 <= y <= h + size + 0.02 for y in busy), -h))


def _where_counted(curve: Mapping[str, Any], name: str, count: str = "count") -> Any:
    """A column of the curve with gaps where nothing was counted."""
    return np.where(np.array(curve[count]) > 0, np.array(curve[name], dtype=float), np.nan)
