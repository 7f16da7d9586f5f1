"""Windows read off the confidence curve; without torch, since keys and the status ask for them too.

Shapes: L offsets, of which offset 1 is column 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """A window and where it comes from.

    Attributes:
        window: steps.
        threshold: confidence at which it ends; None where the configuration gives a number of steps alone.
        crossed: whether the smoothed curve falls below the threshold.
        source: measured (``calibrated``), the configured ``cap``, ``fixed`` in the configuration, or raised to the
            ``quality`` window.
        crossing: offset at which the smoothed curve, read linearly, meets the threshold; None if it never does.
        raised_from: what it was before it was raised; None if it was not.
    """

    window: int
    threshold: float | None
    crossed: bool
    source: Literal["calibrated", "cap", "fixed", "quality"]
    crossing: float | None
    raised_from: int | None = None


def smooth(curve_L: FloatArray, count_L: IntArray, width: int) -> FloatArray:
    """Centred, count-weighted mean over ``width`` offsets (fewer at the ends); the value itself without counts.

    An even width reaches one further to the right.
    """
    left, right = (width - 1) // 2, width // 2
    out_L = np.zeros_like(curve_L)
    for i in range(len(curve_L)):
        part = slice(max(0, i - left), i + right + 1)
        weight = count_L[part].sum()
        out_L[i] = (curve_L[part] * count_L[part]).sum() / weight if weight else curve_L[i]
    return out_L


def read_window(
    smoothed_L: FloatArray, count_L: IntArray, threshold: float, cap: int, fixed: int | None = None
) -> Window:
    """The last offset before the smoothed curve first falls below ``threshold``, at least 1.

    A curve that never falls below gives ``cap``; a ``fixed`` window is taken as it is, with the crossing told all
    the same. Offsets that no state had (the far end of a small sample) are not read.
    """
    seen = np.nonzero(count_L > 0)[0]
    below = [int(i) for i in seen if smoothed_L[i] < threshold]
    crossing: float | None = None
    window = cap
    if below:
        at = below[0]
        window = max(1, at)  # column ``at`` is offset at + 1, so the last good offset is ``at``
        crossing = 1.0
        earlier = seen[seen < at]
        if len(earlier):
            last = int(earlier[-1])
            before, after = float(smoothed_L[last]), float(smoothed_L[at])
            crossing = last + 1 + (at - last) * (before - threshold) / (before - after)
    if fixed is not None:
        return Window(fixed, threshold, bool(below), "fixed", crossing)
    return Window(window, threshold, bool(below), "calibrated" if below else "cap", crossing)


def at_least_quality(speed: Window, quality: Window) -> Window:
    """The Speed window, raised to the Quality window where it would be shorter; a fixed one is what was asked for.

    Speed asks for less confidence, so its window is the longer one wherever both are measured. A cap is no
    measurement: it may be shorter than a Quality window that is one.
    """
    if speed.source == "fixed" or speed.window >= quality.window:
        return speed
    return replace(speed, window=quality.window, source="quality", raised_from=speed.window)
