"""Ground of every picture: a themed matplotlib figure, and its PNG bytes.

Figures are built without pyplot: no global state, no display, safe in any thread.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tad_core.report.theme import Theme

WIDTH = 9.0
"""Inches; at 150 dots an inch a picture stays sharp at twice the width of a page column."""
DPI = 150


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Colours and type of a theme for the figures made inside."""
    settings: dict[str, Any] = {
        "font.size": 11.5,
        "font.family": "DejaVu Sans",
        "text.color": theme.ink,
        "text.parse_math": False,  # a dollar sign in a token is a dollar sign
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.muted,
        "axes.facecolor": theme.paper,
        "axes.titlesize": 12.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.9,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "figure.facecolor": theme.paper,
    }
    with mpl.rc_context(settings):
        yield


def figure(width: float = WIDTH, height: float = 4.6) -> Figure:
    """An empty figure whose parts do not overlap; sizes in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))


def png(made: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=DPI, facecolor=made.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()
