"""Paper and ink: legible."""

from __future__ import annotations

import pytest

from tad_core.report.theme import DARK, LIGHT, Theme
from tests.tad_core.report.colours import contrast


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
def test_text_stands_out_from_the_paper(theme: Theme) -> None:
    assert contrast(theme.ink, theme.paper) > 7
    assert contrast(theme.muted, theme.paper) > 4.5
