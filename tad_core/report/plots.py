"""The pictures of kept rates and losses; the larger ones have files of their own (``*_plot.py``).

Each function takes plain numbers and returns PNG bytes. Models keep their colour, shape and line everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tad_core.report.canvas import WIDTH, figure, png, themed
from tad_core.report.lineup import Lineup
from tad_core.report.scores import wilson
from tad_core.report.tables import terms_of
from tad_core.report.theme import LIGHT, Theme

#: Panels of losses side by side.
_LOSS_PANELS = 4
_TERM_LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.6)), (0, (1, 1)))

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
