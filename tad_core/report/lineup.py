"""The models of a report: in which order they stand, what they are called, and how each is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tad_core.config import BASE, TADConfig, variants
from tad_core.report.theme import Theme

Line = str | tuple[int, tuple[int, ...]]

_BASE_COLOURS = ("#7d838c", "#9aa0a8")
#: colours on light and on dark paper, rich style, marker and line of the models of the standard table
_OF_STANDARD: dict[str, tuple[tuple[str, str], str, str, Line]] = {
    BASE: (_BASE_COLOURS, "grey62", "o", "-"),
    "sft": (("#6c1d5f", "#b14cff"), "medium_orchid", "^", (0, (1, 1))),
    "quality": (("#0067b0", "#5ab4f2"), "dodger_blue1", "s", "-"),
    "speed": (("#d0480b", "#ff7f45"), "orange_red1", "D", (0, (5, 1))),
}
#: for models without a colour of their own, in turn; told apart from the standard ones and from each other
_COLOURS = (("#9326ff", "#bcffa6"), ("#660000", "#ffff00"), ("#23008c", "#d9214f"), ("#b26247", "#66ffd9"))
_MARKERS = ("P", "v", "X", "*", "<", "h", ">", "p")
_LINES: tuple[Line, ...] = ("-", (0, (5, 1)), (0, (1, 1)), (0, (5, 1, 1, 1)))


@dataclass(frozen=True)
class Shown:
    """How one model is shown.

    Attributes:
        label: its name for readers.
        light: colour on light paper.
        dark: colour on dark paper.
        style: colour in a terminal, as rich names it.
        marker: of its points.
        line: of its curve.
        baseline: trained on references, and so what distillation is held against.
    """

    name: str
    label: str
    light: str
    dark: str
    style: str
    marker: str
    line: Line
    baseline: bool = False


class Lineup:
    """The models of a run in reading order, the base first; one it does not know comes last, in ink."""

    def __init__(self, shown: Sequence[Shown]) -> None:
        self._shown = {one.name: one for one in shown}
        self._place = {name: place for place, name in enumerate(self._shown)}

    @classmethod
    def of(cls, config: TADConfig) -> Lineup:
        """The base and the table of models."""
        shown = [_shown(BASE, "Base", None, 0)]
        others = 0
        for name, variant in variants(config).items():
            colour = None if variant.colour is None else (variant.colour.light, variant.colour.dark)
            baseline = variant.kind.trains_on == "references"
            shown.append(_shown(name, variant.label, colour, others, baseline))
            others += name not in _OF_STANDARD
        return cls(shown)

    def told_apart(self, names: Sequence[str]) -> Lineup:
        """The same models, those of one picture with colours, marks and lines by their place in it.

        A table of many models has more of them than there are colours; a picture has few.
        """
        looks = [_OF_STANDARD[name] for name in ("quality", "speed", "sft")]
        looks += [
            (pair, pair[1], mark, line) for pair, mark, line in zip(_COLOURS, _MARKERS, _LINES, strict=False)
        ]
        places = {name: i for i, name in enumerate(name for name in names if name != BASE)}
        shown = []
        for one in self._shown.values():
            if one.name in places:
                (light, dark), style, marker, line = looks[places[one.name] % len(looks)]
                one = replace(one, light=light, dark=dark, style=style, marker=marker, line=line)
            shown.append(one)
        return Lineup(shown)

    @property
    def shown(self) -> list[Shown]:
        """All of them, in order."""
        return list(self._shown.values())

    @property
    def baselines(self) -> list[str]:
        """Those trained on references."""
        return [one.name for one in self._shown.values() if one.baseline]

    def ordered(self, models: Iterable[str]) -> list[str]:
        """Known models in reading order, then the others by name."""
        last = len(self._place)
        return sorted(set(models), key=lambda name: (self._place.get(name, last), name))

    def label(self, model: str) -> str:
        """The name of a model as a reader sees it."""
        return self._shown[model].label if model in self._shown else model

    def colour(self, model: str, theme: Theme) -> str:
        """The colour of a model on the theme's paper."""
        if model not in self._shown:
            return theme.ink
        return self._shown[model].dark if theme.dark else self._shown[model].light

    def style(self, model: str) -> str:
        """The colour of a model in a terminal."""
        return self._shown[model].style if model in self._shown else ""

    def marker(self, model: str) -> str:
        """What matplotlib calls the mark of its points."""
        return self._shown[model].marker if model in self._shown else "o"

    def line(self, model: str) -> Line:
        """What matplotlib calls the style of its line."""
        return self._shown[model].line if model in self._shown else "-"

    def curve(self, model: str, theme: Theme) -> dict[str, Any]:
        """How matplotlib draws a curve of a model with its points, for ``Axes.plot``."""
        return {
            "color": self.colour(model, theme), "linestyle": self.line(model), "marker": self.marker(model),
            "label": self.label(model),
        }  # fmt: skip


def _shown(
    name: str, label: str, colour: tuple[str, str] | None, place: int, baseline: bool = False
) -> Shown:
    if name in _OF_STANDARD:
        standard, style, marker, line = _OF_STANDARD[name]
    else:
        standard = _COLOURS[place % len(_COLOURS)]
        style, marker, line = standard[1], _MARKERS[place % len(_MARKERS)], _LINES[place % len(_LINES)]
    light, dark = colour or standard
    return Shown(name, label, light, dark, colour[1] if colour else style, marker, line, baseline)
