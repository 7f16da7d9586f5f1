"""The picture of accuracy against tokens per forward, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tad_core.report.canvas import WIDTH, figure, png, themed
from tad_core.report.lineup import Lineup
from tad_core.report.scores import Operating, Score, Scores, TaskScores
from tad_core.report.theme import LIGHT, Theme


def curves(scores: Scores, lineup: Lineup, theme: Theme = LIGHT) -> bytes:
    """One panel a task: accuracy against TPF of every model, with 95 % bands of accuracy."""
    columns = 1 if len(scores.tasks) == 1 else 2
    rows = -(-len(scores.tasks) // columns)
    with themed(theme):
        made = figure(WIDTH, 4.9 if columns == 1 else 4.1 * rows + 0.5)
        axes = made.subplots(rows, columns, squeeze=False).ravel()
        for ax, task in zip(axes, scores.tasks, strict=False):
            _curve_panel(ax, task, scores.operating, lineup, theme, wide=columns == 1)
        for ax in axes[len(scores.tasks) :]:
            ax.set_axis_off()
        made.legend(handles=_curve_key(scores, theme), loc="outside lower left", ncols=4, fontsize=9.5,
                    handletextpad=0.4, columnspacing=1.4)  # fmt: skip
        return png(made)


def _curve_panel(
    ax: Axes, task: TaskScores, operating: Operating, lineup: Lineup, theme: Theme, *, wide: bool
) -> None:
    for score in task.scores:
        _curve(ax, score, operating, lineup, theme)
    every = [p for s in task.scores for p in s.points]
    left, right = min(p.tpf for p in every), max(p.tpf for p in every)
    low = min(p.accuracy_interval.low for p in every)
    high = max(p.accuracy_interval.high for p in every)
    span = max(right - 1, 0.5)
    ax.set_xlim(min(1, left) - 0.06 * span, right + (0.26 if wide else 0.38) * span)
    ax.set_ylim(max(0, low - 4), min(101, high + 4))
    ax.set_title(f"{task.task}  ·  {task.problems:,} problems")
    ax.set_xlabel("tokens per forward pass")
    ax.set_ylabel("accuracy")
    ax.yaxis.set_major_formatter(PercentFormatter(100, decimals=0))
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    _end_labels(ax, task.scores, lineup, theme)


def _curve(ax: Axes, score: Score, operating: Operating, lineup: Lineup, theme: Theme) -> None:
    colour, marker = lineup.colour(score.model, theme), lineup.marker(score.model)
    tpf = np.array([p.tpf for p in score.points])
    accuracy = np.array([p.accuracy for p in score.points])
    low = np.array([p.accuracy_interval.low for p in score.points])
    high = np.array([p.accuracy_interval.high for p in score.points])
    ax.fill_between(tpf, low, high, color=colour, alpha=0.13, linewidth=0)
    ax.plot(tpf, accuracy, color=colour, linestyle=lineup.line(score.model), linewidth=2.2, zorder=3)
    for point in score.points:
        face = theme.paper if point.method == "token_by_token" else colour
        ax.plot(
            point.tpf,
            point.accuracy,
            marker,
            markersize=7.5 if point.counted else 4,
            markerfacecolor=face,
            markeredgecolor=colour,
            markeredgewidth=1.8 if point.counted else 1,
            zorder=4,
        )
    if (point_at := score.at(operating)) is not None:
        x, y = [point_at.tpf], [point_at.accuracy]
        ax.scatter(x, y, s=250, facecolors="none", edgecolors=theme.ink, linewidths=1.3, zorder=5)


def _end_labels(ax: Axes, scores: Sequence[Score], lineup: Lineup, theme: Theme) -> None:
    """Name and AUP in the right margin, tied to the end of each curve, pushed apart where ends are close."""
    bottom, top = ax.get_ylim()
    gap = (top - bottom) * min(0.135, 0.95 / len(scores))
    right = max(p.tpf for s in scores for p in s.points)
    margin = right + 0.06 * max(right - 1, 0.5)
    ends = sorted(((s.points[-1].tpf, s.points[-1].accuracy, s) for s in scores), key=lambda e: e[1])
    heights = spread([y for _, y, _ in ends], gap, bottom + gap / 2, top - gap / 2)
    for (x, y, score), height in zip(ends, heights, strict=True):
        colour = lineup.colour(score.model, theme)
        ax.plot([x, margin], [y, height], color=colour, linewidth=0.9, alpha=0.55, zorder=2.2)
        ax.annotate(
            f"{lineup.label(score.model)}\nAUP {score.aup:.0f}",
            (margin, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=10.5,
            fontweight="bold",
            linespacing=1.15,
            color=colour,
        )


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """``values`` (ascending) moved as little as needed to be ``gap`` apart inside [low, high], order kept."""
    out: list[float] = []
    for value in values:
        out.append(max(value, out[-1] + gap) if out else max(value, low))
    over = out[-1] - high if out else 0
    if over > 0:
        out[-1] -= over
        for i in range(len(out) - 2, -1, -1):
            out[i] = min(out[i], out[i + 1] - gap)
    return out


def _curve_key(scores: Scores, theme: Theme) -> list[Artist]:
    def mark(text: str, **style: Any) -> Line2D:
        base = {"marker": "o", "linestyle": "none", "markersize": 7.5, "color": theme.muted}
        return Line2D([], [], label=text, **{**base, **style})

    handles: list[Artist] = [
        mark("token by token", markerfacecolor=theme.paper, markeredgewidth=1.8),
        mark("operating threshold" if scores.operating.own else scores.operating.words, markersize=11,
             markerfacecolor="none", markeredgecolor=theme.ink),
    ]  # fmt: skip
    if any(not p.counted for t in scores.tasks for s in t.scores for p in s.points):
        handles.append(mark("small: not in AUP", markersize=4))
    handles.append(Patch(facecolor=theme.muted, alpha=0.25, label="95 % interval of accuracy"))
    return handles
