"""How models are shown: told apart by everyone, named and ordered as the table says."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tad_core.config import TADConfig, parse_config
from tad_core.report.lineup import Lineup
from tad_core.report.theme import DARK, LIGHT, Theme
from tests.tad_core.report.colours import VISION, contrast, lab, linear

OTHERS = {name: {"window": 3} for name in ("zebra", "ant", "mole", "bat")}


def with_table(fake: SimpleNamespace, **models: Any) -> TADConfig:
    tree = fake.config().model_dump(mode="json", exclude={"models"})
    del tree["evaluate"]["models"]
    return parse_config({**tree, "models": models})


@pytest.fixture
def lineup(fake: SimpleNamespace) -> Lineup:
    """The standard models and four others without a colour of their own."""
    return Lineup.of(with_table(fake, sft={}, quality={}, speed={}, **OTHERS))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
@pytest.mark.parametrize("vision", VISION)
def test_models_differ_under_every_colour_vision(lineup: Lineup, theme: Theme, vision: str) -> None:
    seen = {s.name: lab(VISION[vision] @ linear(lineup.colour(s.name, theme))) for s in lineup.shown}

    assert len(seen) == 8
    for one, two in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[two]) > 20, (vision, one, two)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
def test_colours_stand_out_from_the_paper(lineup: Lineup, theme: Theme) -> None:
    for shown in lineup.shown:
        assert contrast(lineup.colour(shown.name, theme), theme.paper) > 3


def test_every_model_has_its_own_mark_and_name(lineup: Lineup) -> None:
    for own in ("marker", "label", "light", "dark"):
        assert len({getattr(shown, own) for shown in lineup.shown}) == 8, own


def test_order_is_that_of_the_table_and_keeps_strangers(fake: SimpleNamespace, lineup: Lineup) -> None:
    assert fake.lineup.ordered(["speed", "other", "base", "quality"]) == ["base", "quality", "speed", "other"]
    assert lineup.ordered(["ant", "speed", "zebra", "base"]) == ["base", "speed", "zebra", "ant"]
    assert (lineup.label("other"), lineup.colour("other", LIGHT), lineup.style("other")) == (
        "other",
        LIGHT.ink,
        "",
    )


def test_label_and_colour_are_those_of_the_table(fake: SimpleNamespace) -> None:
    colours = {"light": "#112233", "dark": "#ddeeff"}
    found = Lineup.of(
        with_table(
            fake,
            mid={"window": 4, "label": "Middle", "colour": "#123456"},
            quality={"label": "Q", "colour": colours},
            plain={"objective": "sft"},
        )
    )

    assert [found.label(name) for name in ("base", "mid", "quality", "plain")] == [
        "Base",
        "Middle",
        "Q",
        "plain",
    ]
    assert [found.colour("quality", theme) for theme in (LIGHT, DARK)] == ["#112233", "#ddeeff"]
    assert [found.colour("mid", theme) for theme in (LIGHT, DARK)] == ["#123456"] * 2
    assert found.style("mid") == "#123456"
    assert found.baselines == ["plain"] and fake.lineup.baselines == ["sft"]
