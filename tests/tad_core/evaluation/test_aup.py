"""AUP against the published figures and against areas computed by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tad_core.evaluation.aup import aup, leaderboard_aup, weight


@pytest.mark.parametrize(
    ("points", "y_max", "published"),
    [
        ([(1, 80.21), (6.32, 79.91)], 80.21, 503.8),
        ([(1, 43.29), (5.96, 39.63)], 67.73, 108.0),
    ],
)
def test_published_vectors(points, y_max, published):
    assert round(aup(points, y_max), 1) == published
    assert round(leaderboard_aup(points, y_max), 1) == published


def test_the_leaderboards_code_stops_where_the_fastest_point_fell_too_far():
    assert leaderboard_aup([(1, 50), (4, 44.9)], 50) is None
    assert leaderboard_aup([(4, 45), (1, 50)], 50) == aup([(1, 50), (4, 45)], 50)
    # Only the last point is asserted; one between is left out as here.
    assert leaderboard_aup([(1, 50), (2, 40), (4, 48)], 50) == aup([(1, 50), (4, 48)], 50)


def test_autoregressive_methods_in_the_table_weigh_on_all_others():
    points = [(1, 43.29), (5.96, 39.63)]
    assert leaderboard_aup(points, 67.73) < leaderboard_aup(points, 43.29)


def test_by_hand():
    # rectangle 1 x 50, then width 2 between 50 (weight e^-0.6) and 48 (weight e^-0.696); y_max 62.5
    expected = 50 + 2 * (50 * math.exp(-0.6) + 48 * math.exp(-0.696)) / 2
    assert aup([(3, 48), (1, 50)], 62.5) == pytest.approx(expected)


def test_the_first_rectangle_is_not_weighted():
    assert aup([(2.0, 10.0)], 90.0) == 20.0


def test_points_more_than_five_below_the_first_are_dropped():
    kept = aup([(1, 50), (2, 45)], 50)
    assert aup([(1, 50), (2, 45), (3, 44.99)], 50) == kept
    assert aup([(1, 50), (2, 44.99), (3, 45)], 50) == aup([(1, 50), (3, 45)], 50)


def test_constant_best_accuracy_is_the_whole_rectangle():
    assert aup([(1, 60), (2.5, 60), (7, 60)], 60) == pytest.approx(7 * 60)


def test_alpha_zero_is_the_plain_area():
    assert aup([(1, 40), (3, 38)], 80, alpha=0) == pytest.approx(40 + 2 * 39)


def test_nothing_solved_is_zero():
    assert aup([(1, 0), (4, 0)], 0) == 0.0


def test_weight_never_exceeds_one():
    assert weight(70, 60) == 1.0
    assert weight(60, 60) == 1.0
    assert weight(30, 60, 2) == pytest.approx(math.exp(-1))


CURVES = st.lists(st.tuples(st.floats(1, 32), st.floats(0, 100)), min_size=1, max_size=6)


@given(CURVES, st.floats(100, 150), st.floats(0, 50))
def test_falls_as_y_max_rises_and_ignores_the_order(points, y_max, more):
    assert aup(points, y_max + more) <= aup(points, y_max) + 1e-9
    assert aup(points[::-1], y_max) == aup(points, y_max)


def test_wrong_input():
    with pytest.raises(ValueError, match="there are none"):
        aup([], 50)
    with pytest.raises(ValueError, match="y_max: 40"):
        aup([(1, 50)], 40)
