"""Differences as they are shown: with a sign that is a minus, and none below nothing."""

from __future__ import annotations

from tad_core.evaluation.bootstrap import Estimate


def signed(value: float, digits: int) -> str:
    """A difference; one that is rounded to nothing is +0, not −0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed_estimate(found: Estimate, digits: int) -> str:
    """A difference with its interval, where it has one."""
    text, span = signed(found.value, digits), found.interval
    return text if span is None else f"{text} [{signed(span.low, digits)}, {signed(span.high, digits)}]"
