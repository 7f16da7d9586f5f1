"""The tables of a study, cut as the paper's: means over seeds with 95 % intervals over seeds and problems."""

from __future__ import annotations

from collections.abc import Sequence

from tad_core.config import BASE, Variant, variants
from tad_core.evaluation.bootstrap import Estimate
from tad_core.evaluation.replicates import Spread
from tad_core.report.lineup import Lineup
from tad_core.report.numbers import signed_estimate
from tad_core.report.table import NONE, Cell, Row, Table
from tad_core.report.tables import COUNTED, COUNTS
from tad_core.study.config import Study
from tad_core.study.costs import rounds_up_to
from tad_core.study.results import Paired, StudyCurve, StudyResults

_NUMBERS = ["Accuracy %", "TPF", "AUP, ours", "AUP, leaderboard's way"]
_LOSSES = {"hard": "Hard CE", "soft": "Soft KL", "none": "None"}
INTERVALS = "Means over seeds; brackets: 95 % intervals that resample seeds and problems together."


class Tables:
    """The tables of one study.

    Args:
        study: says which variants stand for what.
        results: the numbers.
        lineup: how variants are called.
    """

    def __init__(self, study: Study, results: StudyResults, lineup: Lineup) -> None:
        self._study, self._results, self._lineup = study, results, lineup
        self._table = variants(study.run)
        self._main = study.config.headline

    def headline(self, decoder: str | None = None) -> Table:
        """Every variant under one decoder, and its differences from ours on the same seeds and problems."""
        decoder = decoder or self._main
        ours = self._lineup.label(self._results.ours)
        columns = [
            "Variant",
            "Token by token %",
            *_NUMBERS,
            f"Accuracy less {ours}",
            f"TPF less {ours}",
            f"AUP less {ours}",
        ]
        rows = []
        for variant in self._results.variants:
            single = self._results.curve(variant, self._study.config.slowest)
            cells = [self._lineup.label(variant), NONE if single is None else spread(single.accuracy, 1)]
            cells += self._numbers(variant, decoder)
            rows.append(Row([*map(Cell, cells), *self._less_ours(variant, decoder)], model=variant))
        notes = [
            f"{self.decoder(decoder)}. {INTERVALS} Differences are paired; bold: their interval excludes 0."
        ]
        return Table(f"Every variant: {self.label(decoder)}", columns, rows, notes=notes)

    def brief(self) -> Table:
        """The table of a terminal: means alone."""
        rows = []
        for name in self._results.variants:
            curve, single = self._curve(name), self._curve(name, self._study.config.slowest)
            means = (single.accuracy, 1), (curve.accuracy, 1), (curve.tpf, 2), (curve.aup, 0)
            cells = [
                self._lineup.label(name),
                *(f"{s.mean.value:.{d}f}" for s, d in means),
                mean(curve.aup_leaderboard),
            ]
            rows.append(Row([Cell(text) for text in cells], model=name))
        columns = ["Variant", "1 by 1 %", "Accuracy %", "TPF", "AUP", "Leaderboard"]
        return Table(f"{self._results.name}: {self.label(self._main)}", columns, rows)

    def objectives(self) -> Table | None:
        """The losses of near and distant tokens."""
        columns = ["Near", "Distant", "TPF", "Accuracy %", "AUP, ours"]
        rows = []
        for name in self._known(self._study.config.report.objectives):
            settings, curve = self._table[name].distill, self._curve(name)
            cells = [_LOSSES[settings.near], _LOSSES[settings.distant], spread(curve.tpf, 2)]
            rows.append(
                Row([Cell(t) for t in (*cells, spread(curve.accuracy, 1), spread(curve.aup, 0))], model=name)
            )
        return self._titled("Objectives of near and distant tokens", columns, rows, left=2)

    def data(self) -> Table | None:
        """What is trained on, and how."""
        rows = [
            self._row(name, self._source(self._table[name]))
            for name in self._known(self._study.config.report.data)
        ]
        return self._titled("Data and training strategy", ["Variant", "Trained on", *_NUMBERS], rows, left=2)

    def windows(self) -> Table | None:
        """By window."""
        named = self._known(self._study.config.report.windows)
        rows = [self._row(name, self._window(self._table[name])) for name in named]
        return self._titled("Windows", ["Variant", "Window (steps)", *_NUMBERS], rows, left=2)

    def weights(self) -> Table | None:
        """By the weight of the distant loss."""
        rows = []
        for name in self._known(self._study.config.report.weights):
            settings = self._table[name].distill
            weight = 0.0 if settings.distant == "none" else settings.weight_distant
            rows.append(self._row(name, f"{weight:g}"))
        return self._titled("Weight of the distant loss", ["Variant", "Weight", *_NUMBERS], rows, left=2)

    def decoders(self) -> Table:
        """The base and ours under every decoder."""
        rows = []
        for name in (BASE, self._results.ours):
            for i, decoder in enumerate(self._results.decoders):
                label = self._lineup.label(name) if i == 0 else ""
                cells = [
                    label,
                    self.label(decoder),
                    *self._numbers(name, decoder),
                    *self._counts(name, decoder),
                ]
                rows.append(Row([Cell(text) for text in cells], model=name, starts_group=i == 0))
        notes = [
            " ".join(f"{self.decoder(d)}." for d in self._results.decoders),
            f"At the operating threshold, means over seeds. {COUNTS}",
        ]
        return Table("Decoders", ["Variant", "Decoder", *_NUMBERS, *COUNTED], rows, left=2, notes=notes)

    def costs(self) -> Table | None:
        """What each variant took, where further rounds make it differ."""
        if not self._results.costs:
            return None
        columns = [
            "Variant", "On rollouts of", "Rolled out", "Trained on", "States", "Rolled out in all", "States in all",
        ]  # fmt: skip
        rows = []
        for cost in self._results.costs:
            taken = list(rounds_up_to(self._results.costs, cost.variant))
            cells = [
                self._lineup.label(cost.variant),
                self._lineup.label(cost.round_of or BASE),
                over_seeds(cost.rolled_out),
                over_seeds(cost.trained_on),
                f"{cost.states:,}",
                over_seeds(*(one.rolled_out for one in taken)),
                f"{sum(one.states for one in taken):,}",
            ]
            rows.append(Row([Cell(text) for text in cells], model=cost.variant))
        notes = [
            "For each seed, means over seeds. Rolled out: all trajectories of the collection that it shares with the "
            "others of its round, with the reference and without; trained on: those of them it draws states from. In "
            "all: with what its round begins from. Variants of the base's rollouts share one collection over all "
            "seeds; a further round has one for each."
        ]
        return Table("What each variant took", columns, rows, left=2, notes=notes)

    def seeds(self) -> Table:
        """What each seed gave."""
        rows = []
        for name in self._results.variants:
            curve = self._curve(name)
            for i, seed in enumerate(self._results.seeds if name != BASE else self._results.seeds[:1]):
                theirs = curve.aup_leaderboard[i]
                cells = [
                    self._lineup.label(name) if i == 0 else "",
                    NONE if name == BASE else str(seed),
                    f"{curve.accuracy.each[i]:.1f}",
                    f"{curve.tpf.each[i]:.2f}",
                    f"{curve.aup.each[i]:.1f}",
                    NONE if theirs is None else f"{theirs:.1f}",
                ]
                rows.append(Row([Cell(text) for text in cells], model=name, starts_group=i == 0))
        best = ", ".join(f"{value:.1f}" for value in self._results.y_max)
        notes = [f"{self.decoder(self._main)}. Best accuracy anywhere in the study, by seed: {best} %."]
        return Table("Each seed", ["Variant", "Seed", *_NUMBERS], rows, left=2, notes=notes)

    def label(self, decoder: str) -> str:
        """The name of a decoder for readers."""
        return self._study.config.decoders[decoder].label or decoder

    def decoder(self, name: str) -> str:
        """A decoder in words: method, operating threshold, blocks, cache."""
        decoder = self._study.config.decoders[name]
        spec = next(iter(self._study.specs[name].values()))
        said = [decoder.method.replace("_", " ")]
        if name != self._study.config.slowest and decoder.thresholds:
            said.append(
                f"at {decoder.at:g} (AUP over {', '.join(f'{t:g}' for t in sorted(decoder.thresholds))})"
            )
        others = [
            f"{variant.label} {next(iter(self._study.specs_of(mode)[name].values())).mode}"
            for mode, variant in variants(self._study.run).items()
            if variant.attention_block is not None
        ]
        how = [f"blocks of {spec.block_length}", spec.mode]
        return f"{self.label(name)}: " + ", ".join([" ".join(said), *how, *others])

    # --- cells ------------------------------------------------------------------------------------------

    def _known(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self._results.variants and name != BASE]

    def _curve(self, variant: str, decoder: str | None = None) -> StudyCurve:
        found = self._results.curve(variant, decoder or self._main)
        assert found is not None, "only complete variants are in the results"
        return found

    def _row(self, name: str, what: str) -> Row:
        cells = [self._lineup.label(name), what, *self._numbers(name, self._main)]
        return Row([Cell(text) for text in cells], model=name)

    def _numbers(self, variant: str, decoder: str) -> list[str]:
        curve = self._curve(variant, decoder)
        return [
            spread(curve.accuracy, 1),
            spread(curve.tpf, 2),
            spread(curve.aup, 0),
            mean(curve.aup_leaderboard),
        ]

    def _counts(self, variant: str, decoder: str) -> list[str]:
        at = self._study.config.decoders[decoder].at
        points = [
            p for p in self._results.points if (p.variant, p.decoder, p.threshold) == (variant, decoder, at)
        ]
        return [
            mean([p.nfe for p in points]),
            mean([p.full_nfe for p in points]),
            mean([p.computed_per_token for p in points]),
        ]

    def _less_ours(self, variant: str, decoder: str) -> list[Cell]:
        if (pair := against(self._results, variant, self._results.ours, decoder)) is None:
            return [Cell(NONE)] * 3
        found = ((pair.accuracy.mean, 1), (pair.tpf.mean, 2), (pair.aup.mean, 0))
        return [Cell(signed_estimate(one, digits), best=bool(apart(one))) for one, digits in found]

    def _titled(self, title: str, columns: list[str], rows: list[Row], left: int) -> Table | None:
        if len(rows) < 2:
            return None
        return Table(title, columns, rows, left=left, notes=[f"{self.decoder(self._main)}. {INTERVALS}"])

    def _source(self, variant: Variant) -> str:
        if variant.kind.trains_on == "references":
            return "references, random masks"
        whose = "" if variant.round_of is None else f"of {self._lineup.label(variant.round_of)} "
        which = (
            "with the reference" if variant.distill.trajectories == "privileged" else "without the reference"
        )
        how = f"TAD, window {self._window(variant)}" if variant.kind.windowed else variant.distill.objective
        return f"trajectories {whose}{which}; {how}"

    def _window(self, variant: Variant) -> str:
        rule = variant.window
        if rule is None:
            return NONE
        return str(rule.steps) if rule.steps is not None else rule.like or f"confidence {rule.threshold:g}"


def against(results: StudyResults, variant: str, over: str, decoder: str) -> Paired | None:
    """``variant`` less ``over``, whichever of the two was held against the other."""
    if (pair := results.pair(variant, over, decoder)) is not None:
        return pair
    if (pair := results.pair(over, variant, decoder)) is None:
        return None
    turned = {name: getattr(pair, name).negated() for name in ("accuracy", "tpf", "aup")}
    return Paired(variant=variant, over=over, decoder=decoder, **turned)


def spread(found: Spread, digits: int) -> str:
    """A mean with its interval."""
    text = f"{found.mean.value:.{digits}f}"
    span = found.mean.interval
    return text if span is None else f"{text} [{span.low:.{digits}f}, {span.high:.{digits}f}]"


def apart(found: Estimate) -> bool | None:
    """Whether a difference is told apart from none; None without an interval."""
    span = found.interval
    return None if span is None else span.low > 0 or span.high < 0


def over_seeds(*counts: Sequence[int]) -> str:
    """The mean over seeds of counts that are added up for each."""
    sums = [sum(each) for each in zip(*counts, strict=True)]
    return f"{sum(sums) / len(sums):,.0f}"


def mean(values: Sequence[float | None]) -> str:
    """Over seeds; nothing where a seed has none."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known and len(known) == len(values) else NONE
