"""Pictures: written, not blank, and drawn for whatever data there is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tad_core.report import calibration_plot, curves_plot, plots
from tad_core.report.scores import Scores
from tad_core.report.scoring import score
from tad_core.report.theme import DARK, LIGHT, Theme


def pixels(picture: bytes) -> np.ndarray:
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(imread(io.BytesIO(picture), format="png"))[..., :3]


def assert_drawn(picture: bytes, theme: Theme = LIGHT) -> None:
    """Neither blank nor on the wrong paper."""
    image = pixels(picture)
    assert image.std() > 0.01
    paper = [int(theme.paper[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    assert image[2, 2] == pytest.approx(paper, abs=0.01)
    assert image.shape[1] >= 1200


def has_colour(picture: bytes, colour: str) -> bool:
    want = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return bool((np.abs(pixels(picture) - want).max(axis=-1) < 0.02).sum() > 20)


def has_bar(picture: bytes, colour: str) -> bool:
    """Whether a good area, more than letters have, is of this colour (bars let a tenth of the paper through)."""
    want = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]) * 0.9 + 0.1
    return bool((np.abs(pixels(picture) - want).max(axis=-1) < 0.02).sum() > 2000)


def make_scores(
    fake: SimpleNamespace, curves: Mapping[str, Any], tasks: tuple[str, ...] = ("sums",)
) -> Scores:
    records = [r for t in tasks for model, ways in curves.items() for r in fake.records(model, ways, task=t)]
    return score("x", fake.config(bootstrap=0).evaluate, records, fake.lineup)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
def test_curves_show_every_model_in_its_colour(fake: SimpleNamespace, theme: Theme) -> None:
    picture = curves_plot.curves(make_scores(fake, fake.curves), fake.lineup, theme)

    assert_drawn(picture, theme)
    for model in fake.curves:
        assert has_colour(picture, fake.lineup.colour(model, theme)), model


def test_the_same_scores_give_the_same_bytes(fake: SimpleNamespace) -> None:
    scores = make_scores(fake, fake.curves)

    assert curves_plot.curves(scores, fake.lineup) == curves_plot.curves(scores, fake.lineup)


@pytest.mark.parametrize(
    "curves",
    [
        {"base": {("token_by_token", 0.0): (6, 8)}},
        {"base": {("entropy", 0.5): (0, 8)}},
        {"base": {("token_by_token", 0.0): (20, 8), ("entropy", 0.5): (20, 8)}},
    ],
    ids=["one point", "operating point only, nothing right", "all right, no faster"],
)
def test_degenerate_curves(fake: SimpleNamespace, curves: dict[str, Any]) -> None:
    assert_drawn(curves_plot.curves(make_scores(fake, curves), fake.lineup))


def test_a_panel_for_each_task(fake: SimpleNamespace) -> None:
    heights = [
        pixels(curves_plot.curves(make_scores(fake, fake.curves, tasks), fake.lineup)).shape[0]
        for tasks in (("a", "b"), ("a", "b", "c"))
    ]

    assert heights[1] > heights[0]


@pytest.mark.parametrize(
    ("quality", "speed"),
    [
        ({}, {}),
        ({"source": "fixed", "window": 8}, {"source": "fixed", "window": 8}),
        ({"source": "cap", "window": 1}, {"source": "cap", "window": 30}),
        ({"window": 7}, {"source": "quality", "window": 7, "raised_from": 6}),
    ],
    ids=["measured and cap", "both at the end", "beyond the curve", "raised"],
)
def test_calibration(fake: SimpleNamespace, quality: dict[str, Any], speed: dict[str, Any]) -> None:
    picture = calibration_plot.calibration(
        fake.curve(quality, speed), fake.windows(fake.curve(quality, speed)), fake.lineup
    )

    assert_drawn(picture)
    assert has_colour(picture, fake.lineup.colour("quality", LIGHT))
    assert has_colour(picture, fake.lineup.colour("speed", LIGHT))


def test_calibration_of_a_curve_that_stays_high(fake: SimpleNamespace) -> None:
    curve = fake.curve({"source": "cap"}, {"source": "cap"})
    curve["smoothed"] = curve["confidence"] = [0.97] * 8

    assert_drawn(calibration_plot.calibration(curve, fake.windows(curve), fake.lineup))


def test_kept_with_and_without_a_comparison(fake: SimpleNamespace) -> None:
    both = fake.summary()
    alone = {**both, "by_source": [e for e in both["by_source"] if e["condition"] == "privileged"]}
    nothing = {**alone, "by_source": [{**alone["by_source"][0], "kept": 0, "rejected": {"different": 20}}]}

    assert has_bar(plots.kept(both), LIGHT.muted)
    assert not has_bar(plots.kept(alone), LIGHT.muted)
    assert has_bar(plots.kept(alone), LIGHT.accent)
    assert_drawn(plots.kept(nothing))


def test_losses_of_each_model(fake: SimpleNamespace) -> None:
    sft = [{**line, "distant": 0.0, "distant_count": 0} for line in fake.log()]
    picture = plots.losses({"sft": sft, "quality": fake.log(), "speed": fake.log(1)}, fake.lineup)

    assert_drawn(picture)
    for model in ("sft", "quality", "speed"):
        assert has_colour(picture, fake.lineup.colour(model, LIGHT)), model


def test_labels_are_spread_and_stay_in_order() -> None:
    assert curves_plot.spread([1.0, 1.1, 5.0], gap=1.0, low=0.0, high=6.0) == [1.0, 2.0, 5.0]
    assert curves_plot.spread([5.8, 5.9], gap=1.0, low=0.0, high=6.0) == [5.0, 6.0]
    assert curves_plot.spread([-3.0], gap=1.0, low=0.0, high=6.0) == [0.0]
    assert curves_plot.spread([], gap=1.0, low=0.0, high=6.0) == []


def test_running_mean_by_hand() -> None:
    assert plots.running_mean([1.0, 2.0, 6.0, 3.0], 1).tolist() == [1.5, 3.0, 11 / 3, 4.5]


def test_a_label_goes_where_nothing_is() -> None:
    assert calibration_plot.free_height([], 0.1) == 0.88
    assert calibration_plot.free_height([0.9, 0.95, 0.6], 0.1) == 0.76
    assert calibration_plot.free_height([y / 100 for y in range(40, 101)], 0.1) == 0.26
