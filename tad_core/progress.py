"""How a stage tells what it is doing, without knowing who listens (terminal, Prefect, a test)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One report: ``done`` of ``total`` units of a stage, with the stage's own figures.

    ``figures`` holds short name → value pairs worth showing, e.g. ``{"samples/s": 3.1, "kept %": 91.0}``.
    """

    stage: str
    done: int
    total: int
    unit: str = "samples"
    figures: dict[str, float | int | str] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The listener that drops everything."""
