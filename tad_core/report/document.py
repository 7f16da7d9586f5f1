"""The report as content: what it says and in which order, for Markdown and HTML alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tad_core.config import TADConfig, variants
from tad_core.data.selection import LeftOutRow
from tad_core.data.unknown import WORTH_SAYING, Unknown
from tad_core.report import tables
from tad_core.report.aups import both_ways, published_table
from tad_core.report.example import Decoding
from tad_core.report.lineup import Lineup
from tad_core.report.published import benchmark_of_task, published_on
from tad_core.report.scores import Scores
from tad_core.report.summary import Finding, findings
from tad_core.report.table import Table
from tad_core.report.texts import Text
from tad_core.report.tiles import Tile, tiles


@dataclass(frozen=True)
class Material:
    """Everything the report is made from, read from the artifacts.

    Attributes:
        filtered: ``summary.json`` of the filter.
        curve: ``curve.json`` of the calibration; None without one.
        windows: the window of each model that has one, by its name.
        logs: ``losses.jsonl`` of each distilled model.
        decodings: one problem, decoded by base and distilled models.
        prompt: that problem.
        timings: (stage, seconds) in order.
        facts: (what, value) about where and from what the run was made.
        left_out: rows of the data that could not be used.
        unknown: words of the data that the model's tokenizer does not know.
        rejected: some trajectories that were not kept, of every source and reason.
        wrong: some answers at the operating threshold that are wrong, of every task, model and reason.
    """

    config: TADConfig
    scores: Scores
    filtered: Mapping[str, Any]
    curve: Mapping[str, Any] | None
    windows: Mapping[str, Mapping[str, Any]]
    logs: Mapping[str, Sequence[Mapping[str, Any]]]
    decodings: Sequence[Decoding] = ()
    prompt: str = ""
    timings: Sequence[tuple[str, float]] = ()
    facts: Sequence[tuple[str, str]] = ()
    left_out: Sequence[LeftOutRow] = ()
    unknown: Sequence[Unknown] = ()
    rejected: Sequence[Text] = ()
    wrong: Sequence[Text] = ()

    @property
    def lineup(self) -> Lineup:
        """How its models are shown."""
        return Lineup.of(self.config)


@dataclass(frozen=True)
class Picture:
    """A picture of the report: its file is ``<name>.png``."""

    name: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it; ``folded`` tables are closed in HTML."""

    title: str
    text: list[str] = field(default_factory=list)
    picture: Picture | None = None
    tables: list[Table] = field(default_factory=list)
    folded: list[Table] = field(default_factory=list)
    quote: str = ""


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    lineup: Lineup
    findings: list[Finding]
    tiles: list[Tile]
    sections: list[Section]
    facts: list[tuple[str, str]]
    config: str


def compose(material: Material) -> Document:
    """Put the material in order."""
    scores, lineup = material.scores, material.lineup
    sections = [
        _results(material),
        _curves(scores, lineup),
        _trajectory(material),
        _kept(material),
    ]
    sections += [_windows(material), _losses(material), _reading(scores)]
    facts = [*material.facts, *((f"Time, {stage}", _duration(s)) for stage, s in material.timings)]
    return Document(
        title=material.config.name,
        lineup=lineup,
        findings=[
            *findings(
                scores, material.filtered, material.windows, list(material.logs), lineup, _alike(material)
            ),
            *(Finding("caution", f"{u.told()}.") for u in material.unknown if u.share >= WORTH_SAYING),
        ],
        tiles=tiles(scores, lineup),
        sections=[s for s in sections if s is not None],
        facts=facts,
        # What decides the result: where it ran and how fast is told among the facts.
        config=yaml.safe_dump(material.config.identity(), sort_keys=False, allow_unicode=True),
    )


# --- sections ---------------------------------------------------------------------------------------


def _results(material: Material) -> Section:
    scores, wrong, lineup = material.scores, material.wrong, material.lineup
    benchmarks = [benchmark_of_task(task) for task in material.config.evaluate.tasks]
    rows = published_on(name for name in benchmarks if name is not None)
    how = f"Wrong answers {scores.operating.at}, the first of each kind"
    more = [
        published_table(
            sorted(rows, key=lambda row: (benchmarks.index(row.benchmark), row.base != rows[0].base))
        ),
        tables.points(scores, lineup),
        tables.lm_eval_figures(scores, lineup),
        tables.texts(how, wrong, lineup),
    ]
    return Section(
        "Results",
        tables=[tables.headline(scores, lineup), both_ways(scores, lineup)],
        folded=[t for t in more if t is not None],
    )


def _curves(scores: Scores, lineup: Lineup) -> Section:
    ends = [
        f"{lineup.label(s.model)} from {s.points[0].accuracy:.0f} % at {s.points[0].tpf:.1f} to "
        f"{s.points[-1].accuracy:.0f} % at {s.points[-1].tpf:.1f} tokens per forward pass on {t.task}"
        for t in scores.tasks
        for s in t.scores
    ]
    return Section(
        "Accuracy against speed",
        picture=Picture(
            "curves",
            f"Accuracy against tokens per forward pass: {'; '.join(ends)}.",
            "Each mark is one way of decoding the same problems; further right is faster, higher is better.",
        ),
    )


def _trajectory(material: Material) -> Section | None:
    if not material.decodings:
        return None
    return Section(
        "One problem, before and after",
        quote=material.prompt,
        picture=Picture(
            "trajectory",
            "When each token of one answer was revealed. "
            + "; ".join(d.caption for d in material.decodings)
            + ".",
            "Left: when each position was revealed (hollow: end-of-text). Right: the text, coloured from the first "
            "to the last forward pass of its own decoding. One example shows how, not how well.",
        ),
    )


def _kept(material: Material) -> Section:
    filtered = material.filtered
    rejected = tables.texts("Rejected, the first of each kind", material.rejected, material.lineup)
    rates = [
        f"{e['source']} {e['condition']} {e['kept']} of {e['total']}"
        for e in filtered["by_source"]
        if e["total"]
    ]
    return Section(
        "Trajectories kept",
        text=[
            "The teacher sees the reference answer in its prompt; only answers that the verifier passes are kept."
        ],
        picture=Picture(
            "kept",
            f"Share of correct trajectories: {', '.join(rates)}.",
            "The thin lines are 95 % intervals.",
        ),
        tables=[t for t in (tables.kept(filtered), tables.left_out(material.left_out)) if t is not None],
        folded=[rejected] if rejected is not None else [],
    )


def _windows(material: Material) -> Section | None:
    curve, lineup = material.curve, material.lineup
    if curve is None:
        return None
    windows = ", ".join(f"{lineup.label(m)} {w['window']}" for m, w in material.windows.items())
    return Section(
        "Windows",
        text=[
            "How probable the undistilled student finds the teacher's token, against the number of steps until "
            f"the teacher reveals it. {_penalties(material)} The curve that windows are read from is of the text "
            "alone: "
            f"{100 * curve['left_out']:.0f} % of the masked positions are left out, since they were filled in or "
            "come after the end of the text."
        ],
        picture=Picture("calibration", f"Confidence against steps to reveal; windows: {windows}.", ""),
        tables=[tables.windows(material.windows, lineup)],
    )


_LABELS = {
    "hard": "hard labels",
    "soft": "the teacher's distribution",
    "taught": "the teacher's likeliest tokens as labels",
    "none": "no loss",
}


def _penalties(material: Material) -> str:
    """What tokens inside and beyond the window get, by model where models differ in it."""
    table, ways = variants(material.config), dict[str, list[str]]()
    for name in material.windows:
        settings = table[name].distill
        way = "; ".join(
            [
                f"Tokens inside the window get {_LABELS[settings.near]}, those beyond it {_LABELS[settings.distant]}",
                *settings.beyond_the_paper,
            ]
        )
        ways.setdefault(f"{way}.", []).append(material.lineup.label(name))
    return " ".join(("" if len(ways) == 1 else f"{', '.join(names)}: ") + way for way, names in ways.items())


def _near_and_distant(material: Material) -> str:
    """What the terms of models with a window are."""
    table = variants(material.config)
    windowed = [table[name].distill for name in material.logs if name in table and table[name].kind.windowed]
    if not windowed:
        return "Means over the tokens of each term."
    if all((settings.near, settings.distant) == ("hard", "soft") for settings in windowed):
        return "Near: cross-entropy on tokens inside the window. Distant: KL divergence to the teacher beyond it."
    return "Near: on tokens inside the window. Distant: beyond it. Cross-entropy or KL divergence, as under Windows."


def _alike(material: Material) -> list[list[str]]:
    """Groups of trained models whose windows and settings are the same."""
    table, groups = variants(material.config), dict[str, list[str]]()
    for name in (n for n in material.logs if n in material.windows):
        settings = table[name].distill.identity()
        groups.setdefault(repr((material.windows[name]["window"], settings)), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _losses(material: Material) -> Section | None:
    logs, lineup = material.logs, material.lineup
    if not any(logs.values()):
        return None
    return Section(
        "Distillation",
        picture=Picture(
            "losses",
            f"Training losses of {', '.join(lineup.label(m) for m in logs)}.",
            f"{_near_and_distant(material)} "
            "Windows differ, so the losses of two models are not over the same tokens.",
        ),
        tables=[tables.losses(logs, lineup)],
    )


def _reading(scores: Scores) -> Section:
    return Section(
        "How to read this",
        text=[
            "TPF (tokens per forward pass): tokens revealed over forward passes, end-of-text included; tokens "
            "filled in after an early stop are not counted, so decoding token by token has a TPF of exactly 1.",
            "AUP (accuracy under parallelism): area under accuracy against TPF. Beyond the slowest point accuracy "
            f"is weighted by exp(-{scores.aup_alpha:g} (1 - accuracy / best)), where best is the best accuracy of "
            "any model in this report on that task: AUPs of different reports cannot be compared. Points more "
            "than 5 points below the slowest do not count.",
            "Intervals cover 95 %: of accuracies by Wilson's formula"
            + (
                f", of AUP and of differences by {scores.bootstrap:,} resamples of the problems, the same for all "
                "models."
                if scores.bootstrap
                else "."
            ),
            "Tokens per second are of one device (a GPU, or one process on a CPU) of the machine named below.",
        ],
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
