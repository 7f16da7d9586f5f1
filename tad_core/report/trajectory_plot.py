"""The picture of one problem decoded by several models: when was each token revealed?

One band a decoding. Left: position against reveal step, on the same step axis for all, so that a faster model
is a flatter cloud. Right: the text itself, every token on the colour of its step, from the first to the last of
its own decoding, so that the order shows whatever the speed.

Lengths are points (1/72 inch) unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from tad_core.report.canvas import DPI, WIDTH, png, themed
from tad_core.report.example import Decoding
from tad_core.report.lineup import Lineup
from tad_core.report.theme import LIGHT, Theme

_FONT = 10.0
_CHAR = 0.602 * _FONT  # advance of DejaVu Sans Mono
_PAD, _GAP, _LINE = 3.0, 2.4, 19.0
_TITLE, _BETWEEN, _AXIS = 20.0, 16.0, 30.0
_CHART_LEFT, _CHART_WIDTH, _TEXT_LEFT, _RIGHT = 42.0, 160.0, 222.0, 10.0
_MIN_CHART = 92.0
_MAX_LINES = 14


def trajectory(decodings: Sequence[Decoding], lineup: Lineup, theme: Theme = LIGHT) -> bytes:
    """The picture as PNG."""
    width = WIDTH * 72
    lines = [_flow(d, width - _TEXT_LEFT - _RIGHT) for d in decodings]
    heights = [max(_MIN_CHART, len(ls) * _LINE + 4) for ls in lines]
    total = sum(heights) + len(decodings) * (_TITLE + _BETWEEN) + _AXIS + 34
    last = max([1, *(d.forwards for d in decodings)])
    cmap = mpl.colormaps[theme.steps]
    with themed(theme):
        made = Figure(figsize=(WIDTH, total / 72), dpi=DPI)
        top = total - 4.0
        for i, (decoding, chips, height) in enumerate(zip(decodings, lines, heights, strict=True)):
            top -= _TITLE
            made.text(
                _CHART_LEFT / width - 0.034,
                (top + 7) / total,
                decoding.caption,
                color=lineup.colour(decoding.model, theme),
                fontsize=11.5,
                fontweight="bold",
            )
            box = (_CHART_LEFT / width, (top - height) / total, _CHART_WIDTH / width, height / total)
            _chart(made.add_axes(box), decoding, last, cmap, bottom=i == len(decodings) - 1)
            text_width = width - _TEXT_LEFT - _RIGHT
            box = (_TEXT_LEFT / width, (top - height) / total, text_width / width, height / total)
            _text(made.add_axes(box), chips, (text_width, height), decoding, cmap, theme)
            top -= height + _BETWEEN
        _key(made, cmap, (width, total))
        return png(made)


def _key(made: Figure, cmap: Colormap, size: tuple[float, float]) -> None:
    width, total = size
    box = (_TEXT_LEFT / width, 14 / total, 0.2, 9 / total)
    bar = made.colorbar(ScalarMappable(cmap=cmap), cax=made.add_axes(box), orientation="horizontal", ticks=[])
    bar.outline.set_visible(False)
    made.text(
        _TEXT_LEFT / width + 0.215,
        14.5 / total,
        "revealed first → last of its own forward passes",
        fontsize=10,
    )


def _colour(d: Decoding, step: int, cmap: Colormap) -> tuple[float, float, float, float]:
    red, green, blue, alpha = cmap((step - 1) / max(1, d.forwards - 1))
    return red, green, blue, alpha


def _chart(ax: Axes, d: Decoding, last: int, cmap: Colormap, *, bottom: bool) -> None:
    seen = [(i + 1, step) for i, step in enumerate(d.revealed_at) if step > 0]
    text = [(x, y) for x, y in seen if x <= d.text_tokens]
    tail = [(x, y) for x, y in seen if x > d.text_tokens]
    size = max(5.0, min(26.0, 1500 / max(1, len(d.tokens))))
    for points, solid in ((tail, False), (text, True)):
        colours = [_colour(d, y, cmap) for _, y in points]
        ax.scatter(
            [x for x, _ in points],
            [y for _, y in points],
            s=size if solid else size / 2,
            marker="s",
            facecolors=colours if solid else "none",
            edgecolors="none" if solid else colours,
            linewidths=0.7,
        )
    ax.set_xlim(0, len(d.tokens) + 1)
    ax.set_ylim(0, last * 1.04 + 0.5)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.tick_params(labelsize=9)
    ax.set_ylabel("forward pass", fontsize=9.5)
    if bottom:
        ax.set_xlabel("position in the answer", fontsize=9.5)


@dataclass(frozen=True)
class _Chip:
    text: str
    step: int
    x: float
    width: float


def _flow(d: Decoding, width: float) -> list[list[_Chip]]:
    """The tokens of the text as lines of chips; what does not fit is said, not dropped silently."""
    shown = [(_visible(t), s) for t, s in zip(d.tokens[: d.text_tokens], d.revealed_at, strict=False)]
    rest = len(d.tokens) - d.text_tokens
    lines: list[list[_Chip]] = [[]]
    x = 0.0
    for index, (text, step) in enumerate(shown):
        size = len(text) * _CHAR + 2 * _PAD
        if lines[-1] and x + size > width:
            if len(lines) == _MAX_LINES:
                lines[-1] = [*lines[-1][:-1], _plain(f"+{len(shown) - index + 1} more", lines[-1][-1].x)]
                return lines
            lines.append([])
            x = 0.0
        lines[-1].append(_Chip(text, step, x, size))
        x += size + _GAP
        if text == "⏎":
            lines.append([])
            x = 0.0
    if rest > 0:
        note = f"+{rest} end-of-text"
        if x + len(note) * _CHAR > width:
            lines.append([])
            x = 0.0
        lines[-1].append(_plain(note, x))
    return lines


def _plain(text: str, x: float) -> _Chip:
    return _Chip(text, -1, x, len(text) * _CHAR + 2 * _PAD)


def _visible(token: str) -> str:
    """A token as a reader can see it; long ones are cut in the middle."""
    text = token.strip(" ")
    if text.strip("\n\r") == "" and text:
        return "⏎"
    text = text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "")
    if not text:
        return "␣"
    return text if len(text) <= 28 else f"{text[:13]}…{text[-13:]}"


def _text(
    ax: Axes,
    lines: Sequence[Sequence[_Chip]],
    size: tuple[float, float],
    d: Decoding,
    cmap: Colormap,
    theme: Theme,
) -> None:
    width, height = size
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.set_axis_off()
    for row, chips in enumerate(lines):
        middle = height - (row + 0.5) * _LINE
        for chip in chips:
            colour = _colour(d, chip.step, cmap) if chip.step > 0 else None
            box = FancyBboxPatch(
                (chip.x, middle - _LINE / 2 + 1.2),
                chip.width,
                _LINE - 2.4,
                boxstyle="round,pad=0,rounding_size=2.5",
                linewidth=0.6 if chip.step == 0 else 0,
                facecolor=colour or "none",
                edgecolor=theme.muted,
            )
            ax.add_patch(box)
            ax.text(
                chip.x + chip.width / 2,
                middle,
                chip.text,
                ha="center",
                va="center_baseline",
                color=readable(colour) if colour else theme.muted,
                fontsize=_FONT,
                family="DejaVu Sans Mono",
            )


def readable(face: Sequence[float]) -> str:
    """Black or white, whichever stands out more on ``face`` (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in face[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
