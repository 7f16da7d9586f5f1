"""AUP, accuracy under parallelism: one number for a curve of (tokens per forward, accuracy) (paper, eq. 26).

Only the first rectangle, below the slowest point, counts in full; further area is weighted by how much of the
task's best accuracy is left. ``y_max`` is that best accuracy over every point of every model compared, so a
model's AUP depends on what it is compared with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

DROP_BELOW = 5.0
"""Points more than this many percentage points below the slowest one are left out."""
DEFAULT_ALPHA = 3.0
_ROUNDING = 1e-9


def aup(points: Sequence[tuple[float, float]], y_max: float, alpha: float = DEFAULT_ALPHA) -> float:
    """Area under the curve, weighted: ``r1 y1 + sum (r_i - r_(i-1)) (y_i W_i + y_(i-1) W_(i-1)) / 2``.

    Args:
        points: (TPF, accuracy in percent, not as a fraction of 1) of one model on one task, in any order; of points
            with the same TPF the more accurate comes first.
        y_max: best accuracy of the task over all models, in percent.
        alpha: how hard lost accuracy is punished; 0 weighs everything alike.

    Raises:
        ValueError: without points, with a point or a ``y_max`` that cannot be, or with a ``y_max`` below a point.
    """
    return _area(sorted(points, key=lambda p: (p[0], -p[1])), y_max, alpha)


def leaderboard_aup(
    points: Sequence[tuple[float, float]], y_max: float, alpha: float = DEFAULT_ALPHA
) -> float | None:
    """AUP as the code of d3LLM's leaderboard has it; None where that code stops.

    The area is the same. But ``y_max`` is the best accuracy of all methods in its table, of autoregressive ones too, a
    method has two points there, token by token and at one operating point, and where the fastest point is more than
    ``DROP_BELOW`` below the slowest its code fails an assertion, where ``aup`` leaves that point out. Points with the
    same TPF stay in the order in which they are given.

    Args:
        points: (TPF, accuracy in percent) of one model on one task, token by token first.
        y_max: best accuracy of the task over all methods of the table, in percent.
        alpha: see ``aup``.

    Raises:
        ValueError: see ``aup``.
    """
    ordered = sorted(points, key=lambda p: p[0])
    if ordered and ordered[0][1] - ordered[-1][1] > DROP_BELOW:
        _check(ordered, y_max)
        return None
    return _area(ordered, y_max, alpha)


def _area(ordered: Sequence[tuple[float, float]], y_max: float, alpha: float) -> float:
    _check(ordered, y_max)
    first = ordered[0][1]
    kept = [(r, y) for r, y in ordered if y >= first - DROP_BELOW]
    area = kept[0][0] * first
    for (r0, y0), (r1, y1) in itertools.pairwise(kept):
        area += (r1 - r0) * (y1 * weight(y1, y_max, alpha) + y0 * weight(y0, y_max, alpha)) / 2
    return area


def _check(points: Sequence[tuple[float, float]], y_max: float) -> None:
    if not points:
        raise ValueError("points: there are none; AUP needs at least the token-by-token point")
    for r, y in points:
        if not (0 <= r < math.inf and 0 <= y <= 100 + _ROUNDING):
            raise ValueError(
                f"points: ({r}, {y}) is none; give tokens per forward of 0 or more and an accuracy of 0 to 100 percent"
            )
    if not max(y for _, y in points) - _ROUNDING <= y_max <= 100 + _ROUNDING:
        raise ValueError(
            f"y_max: {y_max} is not the best accuracy of the task, which is at least that of every point of the curve "
            "and at most 100; give it in percent"
        )


def weight(accuracy: float, y_max: float, alpha: float = DEFAULT_ALPHA) -> float:
    """``min(exp(-alpha (1 - y / y_max)), 1)``; 1 where nothing was solved at all, which changes no area."""
    if y_max <= 0:
        return 1.0
    return min(math.exp(-alpha * (1 - accuracy / y_max)), 1.0)
