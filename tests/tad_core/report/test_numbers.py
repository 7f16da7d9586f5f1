"""Differences as they are shown."""

from __future__ import annotations

from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.report.numbers import signed, signed_estimate


def test_numbers_as_they_are_shown() -> None:
    assert signed_estimate(Estimate(-0.04, Interval(-0.04, 0.2)), 1) == "+0.0 [+0.0, +0.2]", (
        "nothing has no sign"
    )
    assert signed_estimate(Estimate(-1.5, None), 1) == "−1.5"
    assert [signed(value, 2) for value in (-3, 0.005, 2)] == ["−3.00", "+0.01", "+2.00"]
