"""The picture of one decoding: tokens as they are read, nothing dropped in silence."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from tad_core.report.example import Decoding
from tad_core.report.lineup import Lineup
from tad_core.report.theme import DARK
from tad_core.report.trajectory_plot import _flow, _visible, readable, trajectory

LINEUP = Lineup([])
ONE = Decoding(
    "base",
    "Base",
    "token by token",
    ["1", "+", "1", "$2$", "\n", "<eos>", "<eos>"],
    [1, 2, 3, 4, 5, 6, 0],
    5,
    6,
    True,
)


def image(picture: bytes) -> np.ndarray:
    return np.asarray(imread(io.BytesIO(picture), format="png"))[..., :3]


def test_more_decodings_make_a_taller_picture() -> None:
    one = image(trajectory([ONE], LINEUP))
    two = image(trajectory([ONE, replace(ONE, model="speed", forwards=2)], LINEUP, DARK))

    assert one.std() > 0.05
    assert two.shape[0] > one.shape[0]


@pytest.mark.parametrize(
    "decoding",
    [
        replace(ONE, tokens=["<eos>"] * 3, revealed_at=[1, 1, 0], text_tokens=0, forwards=1),
        replace(ONE, tokens=["x"], revealed_at=[1], text_tokens=1, forwards=1, correct=None),
        replace(
            ONE, tokens=["word"] * 4096, revealed_at=list(range(1, 4097)), text_tokens=4096, forwards=4096
        ),
    ],
    ids=["no text", "one token", "very long"],
)
def test_degenerate_decodings(decoding: Decoding) -> None:
    assert image(trajectory([decoding], LINEUP)).std() > 0.01


def test_caption_says_who_how_fast_and_whether_right() -> None:
    assert ONE.caption == "Base, token by token: 5 tokens of text in 6 forward passes, right"
    single = replace(ONE, model="speed", label="Speed", how="threshold 0.5", forwards=1, correct=False)
    assert single.caption == "Speed, threshold 0.5: 5 tokens of text in 1 forward pass, wrong"


def test_flow_shows_the_text_and_counts_the_padding() -> None:
    lines = [[chip.text for chip in line] for line in _flow(ONE, 400)]

    assert lines == [["1", "+", "1", "$2$", "⏎"], ["+2 end-of-text"]]


def test_flow_says_how_much_does_not_fit() -> None:
    many = replace(ONE, tokens=["word"] * 500, revealed_at=[1] * 500, text_tokens=500)

    lines = _flow(many, 200)
    shown = sum(chip.step > 0 for line in lines for chip in line)

    assert lines[-1][-1].text == f"+{500 - shown} more"
    assert all(chip.x + chip.width <= 210 for line in lines[:-1] for chip in line)


def test_visible_tokens() -> None:
    assert [_visible(t) for t in (" a", "\n", "a\tb", " ", "x" * 40)] == [
        "a",
        "⏎",
        "a⇥b",
        "␣",
        "x" * 13 + "…" + "x" * 13,
    ]


def test_text_is_readable_on_light_and_dark() -> None:
    assert readable((1.0, 1.0, 0.0, 1.0)) == "#000000"
    assert readable((0.2, 0.0, 0.3, 1.0)) == "#ffffff"
