"""The rule that reads a window from a curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tad_core.windows import Window, at_least_quality, read_window, smooth


def test_smoothing_is_count_weighted_and_centred():
    curve_L, count_L = np.array([1.0, 0.0, 0.5, 0.0]), np.array([3, 1, 2, 0])
    assert smooth(curve_L, count_L, 1).tolist() == curve_L.tolist()
    assert smooth(curve_L, count_L, 3) == pytest.approx([3 / 4, 4 / 6, 1 / 3, 0.5])
    assert smooth(curve_L, count_L, 99) == pytest.approx([4 / 6] * 4)


COUNT = np.ones(5, dtype=np.int64)


@pytest.mark.parametrize(
    ("curve", "window", "crossing"),
    [
        ([0.9, 0.7, 0.6, 0.4, 0.2], 3, 3.5),
        ([0.9, 0.5, 0.4, 0.3, 0.2], 2, 2.0),  # at the threshold is not below it
        ([0.4, 0.3, 0.2, 0.1, 0.0], 1, 1.0),  # below from the start: at least 1
        ([0.9, 0.4, 0.9, 0.9, 0.9], 1, 1.8),  # the first crossing counts
        ([0.9, 0.9, 0.9, 0.9, 0.1], 4, 4.5),
    ],
)
def test_the_rule(curve, window, crossing):
    read = read_window(np.array(curve), COUNT, 0.5, cap=17)
    assert (read.window, read.crossed, read.source) == (window, True, "calibrated")
    assert read.crossing == pytest.approx(crossing)


def test_a_curve_that_never_crosses_gives_the_cap():
    read = read_window(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), COUNT, 0.5, cap=17)
    assert (read.window, read.crossed, read.source, read.crossing) == (17, False, "cap", None)


def test_offsets_that_no_state_had_are_not_read():
    count = np.array([5, 4, 3, 0, 0])
    assert read_window(np.array([0.9, 0.8, 0.7, 0.0, 0.0]), count, 0.5, cap=17).crossed is False


def test_a_gap_in_the_counts_does_not_move_the_crossing():
    count = np.array([5, 0, 5, 5, 5])
    read = read_window(np.array([0.9, 0.0, 0.3, 0.2, 0.1]), count, 0.5, cap=17)
    assert (read.window, read.crossing) == (2, pytest.approx(1 + 2 * 0.4 / 0.6))


def window(steps, source="cap", crossed=False):
    return Window(steps, 0.5, crossed, source, None)


def test_the_speed_window_is_at_least_the_quality_window():
    raised = at_least_quality(window(20), window(30, "calibrated", crossed=True))
    assert (raised.window, raised.source, raised.raised_from, raised.crossed) == (30, "quality", 20, False)
    for speed in (window(30), window(41, "calibrated", crossed=True), window(3, "fixed")):
        assert at_least_quality(speed, window(30, "calibrated", crossed=True)) is speed


def test_a_fixed_window_is_taken_and_the_crossing_told():
    read = read_window(np.array([0.9, 0.7, 0.6, 0.4, 0.2]), COUNT, 0.5, cap=17, fixed=9)
    assert (read.window, read.source, read.crossed, read.crossing) == (9, "fixed", True, pytest.approx(3.5))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.3, 0.9), st.floats(0.05, 0.29))
def test_a_lower_threshold_never_gives_a_shorter_window(curve, high, low):
    curve_L, count_L = np.array(curve), np.ones(len(curve), dtype=np.int64)
    long, short = (read_window(curve_L, count_L, t, cap=31) for t in (low, high))
    assert long.window >= short.window
    assert 1 <= short.window <= 31
