"""AUP against the published figures and against areas computed by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tad_core.evaluation.aup import aup, leaderboard_aup, weight

#: by benchmark the best accuracy of the table, and of methods their point at the operating point and token by token, as
#: d3LLM's leaderboard has them, with the AUP that the TAD paper prints (Tables 1 and 2)
PUBLISHED = [
    (80.21, [  # LLaDA, GSM8K; the best is TAD's own
        ((74.79, 2.77, 74.68), 182.6), ((74.0, 5.14, 72.63), 308.7), ((80.21, 6.32, 79.91), 503.8),
    ]),
    (63.6, [((41.58, 2.13, 38.6), 56.6), ((41.62, 2.35, 40.0), 60.5)]),  # LLaDA, MBPP; Qwen-2.5-7B's
    (67.73, [  # LLaDA, HumanEval; Qwen-2.5-7B's
        ((38.16, 2.56, 37.8), 54.0), ((39.68, 4.93, 39.02), 83.7), ((43.29, 5.96, 39.63), 108.0),
    ]),
    (83.94, [((83.68, 1.44, 79.0), 116.5), ((83.8, 3.02, 82.12), 245.7)]),  # Dream, GSM8K; Dream's own
    (49.92, [  # Dream, MATH; Fast-dLLM-v2's
        ((39.53, 1.78, 38.3), 55.2), ((49.92, 2.61, 48.74), 126.7), ((39.06, 2.94, 38.72), 77.9),
    ]),
    (63.8, [((56.38, 1.2, 53.2), 63.6), ((57.8, 2.24, 55.4), 108.0)]),  # Dream, MBPP; Qwen-2.5-7B's
    (72.25, [  # Dream, HumanEval; Qwen-2.5-7B's
        ((54.86, 1.33, 54.27), 63.5), ((63.2, 2.58, 61.7), 128.9), ((56.08, 2.57, 54.27), 98.8),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "published", "y_max"), [(*row, y_max) for y_max, rows in PUBLISHED for row in rows]
)
def test_published_points_give_the_published_figures(method, published, y_max):
    alone, tpf, accuracy = method
    points = [(tpf, accuracy), (1, alone)]
    assert leaderboard_aup(points, y_max) == aup(points, y_max) == pytest.approx(published, abs=0.06)


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


CURVES = st.lists(st.tuples(st.floats(1, 32), st.floats(0, 60)), min_size=1, max_size=6)


@given(CURVES, st.floats(60, 80), st.floats(0, 20))
def test_falls_as_y_max_rises_and_ignores_the_order(points, y_max, more):
    assert aup(points, y_max + more) <= aup(points, y_max) + 1e-9
    assert aup(points[::-1], y_max) == aup(points, y_max)


def test_one_point_is_a_rectangle_whatever_the_best_is():
    assert aup([(2.5, 40)], 90) == leaderboard_aup([(2.5, 40)], 90) == 100


def test_of_points_with_the_same_tpf_the_more_accurate_is_the_first_and_the_leaderboard_takes_them_as_given():
    for points in ([(1, 70), (1, 80)], [(1, 80), (1, 70)]):
        assert aup(points, 80) == 80
        assert leaderboard_aup(points, 80) == (70 if points[0][1] == 70 else None)
    assert leaderboard_aup([(1, 78), (1, 80)], 80) == 78
    # a second time the same point adds nothing
    assert aup([(1, 80), (3, 78), (3, 78)], 80) == aup([(1, 80), (3, 78)], 80)


def test_exactly_five_points_below_is_kept_by_both():
    points = [(1, 50.0), (2, 45.0)]
    assert leaderboard_aup(points, 50) == aup(points, 50) > 50


@pytest.mark.parametrize(
    ("points", "y_max", "message"),
    [
        ([], 50, "points: there are none"),
        ([(1, 50)], 40, "y_max: 40 is not the best accuracy of the task"),
        ([(1, 50)], 0.6, r"y_max: 0\.6 is not .* give it in percent"),
        ([(1, 50)], 101, "y_max: 101 is not"),
        ([(1, 50)], math.nan, "y_max: nan is not"),
        ([(1, 50), (2, math.nan)], 60, r"points: \(2, nan\) is none; give tokens per forward of 0 or more"),
        ([(math.nan, 50)], 60, r"points: \(nan, 50\) is none"),
        ([(math.inf, 50)], 60, r"points: \(inf, 50\) is none"),
        ([(-1, 50)], 60, r"points: \(-1, 50\) is none"),
        ([(1, -1)], 60, r"points: \(1, -1\) is none"),
        ([(1, 101)], 101, r"points: \(1, 101\) is none; .* 0 to 100 percent"),
        ([(1, 90), (2, 101)], 101, r"points: \(2, 101\) is none"),
    ],
)
def test_what_is_no_curve_is_refused(points, y_max, message):
    for area in (aup, leaderboard_aup):
        with pytest.raises(ValueError, match=message):
            area(points, y_max)
