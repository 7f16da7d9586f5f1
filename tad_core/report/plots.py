"""The pictures of the report: accuracy against speed, calibration, kept rates, losses.

Each function takes plain numbers and returns PNG bytes. Models keep their colour, shape and line everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tad_core.report.canvas import WIDTH, figure, png, themed
from tad_core.report.lineup import Lineup
from tad_core.report.scores import Operating, Score, Scores, TaskScores, wilson
from tad_core.report.tables import terms_of
from tad_core.report.theme import LIGHT, Theme

# --- accuracy against tokens per forward ------------------------------------------------------------


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


# --- calibration ------------------------------------------------------------------------------------


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


# --- kept rates -------------------------------------------------------------------------------------


def kept(summary: Mapping[str, Any], theme: Theme = LIGHT) -> bytes:
    """Share of correct trajectories per source, with the reference in the prompt and without."""
    entries = {(e["source"], e["condition"]): e for e in summary["by_source"]}
    sources = sorted({source for source, _ in entries})
    both = any(condition == "plain" for _, condition in entries)
    with themed(theme):
        made = figure(WIDTH, 1.5 + (0.95 if both else 0.6) * len(sources))
        ax = made.subplots()
        for i, source in enumerate(reversed(sources)):
            for condition, shift in (("privileged", 0.2), ("plain", -0.2)):
                if (entry := entries.get((source, condition))) is not None:
                    _kept_bar(ax, entry, i + (shift if both else 0), condition, theme)
        ax.set_yticks(range(len(sources)), list(reversed(sources)))
        ax.set_ylim(-0.6, len(sources) - 0.4)
        ax.set_xlim(0, 150)
        ax.set_xticks(range(0, 101, 20))
        ax.xaxis.set_major_formatter(PercentFormatter(100, decimals=0))
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)
        ax.spines["bottom"].set_bounds(0, 100)
        ax.set_title(
            "Correct trajectories" + (", with and without the reference in the prompt" if both else "")
        )
        return png(made)


def _kept_bar(ax: Axes, entry: Mapping[str, Any], at: float, condition: str, theme: Theme) -> None:
    share = 100 * entry["kept"] / entry["total"] if entry["total"] else 0.0
    interval = wilson(entry["kept"], entry["total"])
    privileged = condition == "privileged"
    colour = theme.accent if privileged else theme.muted
    ax.barh(at, share, height=0.34, color=colour, alpha=0.9, zorder=2)
    ax.plot([interval.low, interval.high], [at, at], color=theme.ink, linewidth=1.4, zorder=3)
    name = "with reference" if privileged else "without"
    ax.annotate(
        f"{share:.1f} %  {name}, {entry['kept']:,} of {entry['total']:,}",
        (max(share, interval.high), at),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=10,
        color=theme.ink,
    )


#: side by side
_LOSS_PANELS = 4
_TERM_LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.6)), (0, (1, 1)))

# --- losses -----------------------------------------------------------------------------------------


def losses(logs: Mapping[str, Sequence[Mapping[str, Any]]], lineup: Lineup, theme: Theme = LIGHT) -> bytes:
    """One panel a distilled model: the terms of its loss against optimizer steps, the first solid."""
    logs = {model: log for model, log in logs.items() if log}
    with themed(theme):
        columns = min(_LOSS_PANELS, max(1, len(logs)))
        rows = max(1, -(-len(logs) // columns))
        made = figure(WIDTH, 3.6 * rows)
        panels = made.subplots(rows, columns, squeeze=False, sharey=True)
        axes = panels.ravel()
        for ax, (model, log) in zip(axes, logs.items(), strict=False):
            _loss_panel(ax, model, log, lineup, theme)
        for ax in axes[len(logs) :]:
            ax.set_axis_off()
        for ax in panels[:, 0]:
            ax.set_ylabel("loss (nats per token)")
        axes[0].set_ylim(bottom=0)
        return png(made)


def _loss_panel(ax: Axes, model: str, log: Sequence[Mapping[str, Any]], lineup: Lineup, theme: Theme) -> None:
    colour = lineup.colour(model, theme)
    names = terms_of(log)
    for name, line in zip(names if len(names) > 1 else ["loss"], cycle(_TERM_LINES), strict=False):
        pairs = [(line["step"], line[name]) for line in log if line.get(name) is not None]
        steps, values = np.array(pairs, dtype=float).T
        smooth = running_mean(values, max(1, len(values) // 15))
        ax.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
        ax.plot(steps, smooth, color=colour, linewidth=2.2, linestyle=line, label=name,
                marker="o" if len(values) == 1 else "")  # fmt: skip
    ax.set_title(lineup.label(model), color=colour)
    ax.set_xlabel("optimizer step")
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.legend(loc="upper right", fontsize=10)


def running_mean(values: Any, half: int) -> Any:
    """Centred mean over ``2 * half + 1`` neighbours, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


__all__ = ["calibration", "curves", "kept", "losses", "running_mean", "spread"]
