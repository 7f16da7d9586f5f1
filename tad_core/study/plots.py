"""The pictures of a study: curves by group of variants, and a radar over decoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tad_core.report.canvas import WIDTH, figure, png, themed
from tad_core.report.lineup import Lineup
from tad_core.report.theme import LIGHT, Theme
from tad_core.study.results import StudyResults

_COLUMNS = 2


def curves(
    results: StudyResults,
    groups: dict[str, list[str]],
    decoder: str,
    slowest: str,
    lineup: Lineup,
    theme: Theme = LIGHT,
) -> bytes:
    """One panel a group of variants: accuracy against TPF under one decoder, seeds thin and their mean thick."""
    columns = min(_COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    with themed(theme):
        made = figure(WIDTH, 4.8 * rows if columns > 1 else 5.6)
        panels = made.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        axes = panels.ravel()
        for ax, (title, names) in zip(axes, groups.items(), strict=False):
            apart = lineup.told_apart(names)
            for name in names:
                _curve(ax, results, name, decoder, slowest, apart, theme)
            ax.set_title(title)
            ax.yaxis.set_major_formatter(PercentFormatter(100, decimals=0))
            ax.xaxis.set_major_locator(MaxNLocator(6))
            ax.tick_params(labelbottom=True)
            # Below: within a panel of many curves there is no place that covers none.
            ax.legend(fontsize=8.5, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        for ax in axes[len(groups) :]:
            ax.set_axis_off()
        for ax in panels[:, 0]:
            ax.set_ylabel("accuracy")
        for ax in axes[: len(groups)]:
            ax.set_xlabel("tokens per forward pass")
        return png(made)


def _curve(
    ax: Axes, results: StudyResults, name: str, decoder: str, slowest: str, lineup: Lineup, theme: Theme
) -> None:
    colour = lineup.colour(name, theme)
    by_seed = seed_curves(results, name, decoder, slowest)
    for points in by_seed:
        tpf, accuracy = np.array(points).T
        ax.plot(tpf, accuracy, color=colour, linewidth=0.8, alpha=0.35)
    tpf, accuracy = np.array(by_seed).mean(0).T
    ax.plot(tpf, accuracy, linewidth=2.2, markersize=5.5, **lineup.curve(name, theme))


def seed_curves(
    results: StudyResults, variant: str, decoder: str, slowest: str
) -> list[list[tuple[float, float]]]:
    """(TPF, accuracy) of each seed, token by token first, then by threshold."""
    found: dict[int | None, dict[tuple[int, float], tuple[float, float]]] = {}
    for point in results.points:
        if point.variant == variant and point.decoder in (slowest, decoder):
            place = (int(point.decoder != slowest), point.threshold)
            found.setdefault(point.seed, {})[place] = (point.tpf, point.accuracy)
    # By threshold two seeds have the same places; which way a threshold goes depends on the method.
    return [[points[place] for place in sorted(points)] for points in found.values()]


def radar(
    results: StudyResults,
    names: Sequence[str],
    axes: Sequence[tuple[str, str]],
    lineup: Lineup,
    theme: Theme = LIGHT,
) -> bytes:
    """AUP of variants under every decoder, each axis as a share of the best variant's there.

    Args:
        results: the numbers.
        names: variants drawn.
        axes: (decoder, its label), around the circle.
        lineup: how variants are drawn.
        theme: the paper.
    """
    angles = np.linspace(0, 2 * np.pi, len(axes), endpoint=False)
    closed = np.append(angles, angles[0])
    lineup = lineup.told_apart(names)
    with themed(theme):
        made = figure(WIDTH, 7.0)
        ax = made.subplots(subplot_kw={"projection": "polar"})
        assert isinstance(ax, PolarAxes)
        for name in names:
            shares = radar_shares(results, name, [decoder for decoder, _ in axes])
            around = np.append(shares, shares[0])
            ax.plot(closed, around, linewidth=2, markersize=5, **lineup.curve(name, theme))
            ax.fill(closed, around, color=lineup.colour(name, theme), alpha=0.06)
        ax.set_theta_offset(np.pi / 2)
        ax.tick_params(axis="x", pad=8)
        ax.set_xticks(angles, [label for _, label in axes])
        for angle, text in zip(angles, ax.get_xticklabels(), strict=True):
            side = np.sin(angle)  # the circle begins at the top and goes left
            text.set_horizontalalignment("center" if abs(side) < 0.1 else "right" if side > 0 else "left")
        ax.set_ylim(0, 105)
        ax.set_yticks([25, 50, 75, 100], ["25 %", "50 %", "75 %", "100 %"], fontsize=8.5)
        ax.set_title("AUP under each decoder, as a share of the best variant's", loc="center", pad=18)
        made.legend(loc="outside lower center", ncols=3, fontsize=9.5)
        return png(made)


def radar_shares(results: StudyResults, variant: str, decoders: Sequence[str]) -> list[float]:
    """AUP of a variant under each decoder, in percent of the best variant's; 0 where nobody solved anything."""
    shares = []
    for decoder in decoders:
        all_of = {c.variant: c.aup.mean.value for c in results.curves if c.decoder == decoder}
        best = max(all_of.values())
        shares.append(100 * all_of[variant] / best if best > 0 else 0.0)
    return shares
