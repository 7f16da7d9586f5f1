"""The report of a study: its tables, pictures and sentences on one page.

Files: ``report.md``, ``report.html`` (self-contained), the pictures, and ``results.json`` with the numbers in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import BASE, dump_config
from tad_core.progress import OnProgress, Progress, silent
from tad_core.report import tables as run_tables
from tad_core.report.aups import published_table
from tad_core.report.document import Document, Picture, Section
from tad_core.report.lineup import Lineup
from tad_core.report.markdown import REPORT_NAME, render_markdown
from tad_core.report.published import benchmark_of_task, published
from tad_core.report.table import Table
from tad_core.report.theme import DARK, LIGHT, Theme
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.filter import read_summary
from tad_core.stages.report import HTML_NAME
from tad_core.study.config import Study
from tad_core.study.results import StudyResults
from tad_core.study.sentences import findings
from tad_core.study.stage import RESULTS, read_results
from tad_core.study.tables import Tables

STAGE = "study-report"
STAGE_VERSION = 1
_READING = (
    "A variant under a decoder is a curve: the point decoded token by token without a cache, then the decoder's "
    "thresholds. TPF (tokens per forward pass) counts revealed tokens, end-of-text included, over forward passes; a "
    "forward with a cache counts as one, though it computes fewer tokens.",
    "AUP, ours: area under accuracy against TPF, over all points but those more than 5 points below the slowest, "
    "weighted by the best accuracy anywhere in the study. AUP, the leaderboard's way: the same area over two points, "
    "token by token and at the operating threshold, weighted by the best accuracy of all such points here; its code "
    "stops where the second is more than 5 points below the first. Neither compares with an AUP of other methods, "
    "models or problems.",
)
_ALIKE = "Every variant of a seed saw the same trajectories, budget of states, prompt and problems."
_BUT_ROUNDS = (
    "Every variant of a seed saw the same budget of states, prompt and problems, and the same trajectories but those "
    "of further rounds: these begin from a variant that is trained, of the same seed, and learn from its rollouts."
)
_INTERVALS = (
    "Intervals resample the seeds and the problems together, the problems once for all variants, decoders and seeds, "
    "so that what they have in common cancels in differences."
)


def key(study: Study, results: ArtifactRef, filtered: ArtifactRef) -> str:
    """Fingerprint of a report: what it prints and everything it is made from."""
    fields = {"study": study.config.identity(), "run": study.run.identity(), **component_fields("study")}
    return fingerprint(STAGE, STAGE_VERSION, fields, [results.fingerprint, filtered.fingerprint])


def report(
    study: Study,
    results: ArtifactRef,
    filtered: ArtifactRef,
    store: Store,
    force: bool = False,
    on_progress: OnProgress = silent,
) -> ArtifactRef:
    """The page, from the store or made now.

    Args:
        study: what was studied.
        results: its numbers, from ``stage.conclude``.
        filtered: the verdicts on what was trained on.
        store: where the page lives.
        force: make it even if it is there.
        on_progress: told of its pictures, if it is made.
    """
    inputs, mark = [results, filtered], key(study, results, filtered)

    def make() -> ArtifactRef:
        return _written(study, mark, inputs, store, on_progress)

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, inputs)

    return made_once(store, STAGE, mark, study.run.rollout.lease_s, find, make, force)


def _written(
    study: Study, mark: str, inputs: Sequence[ArtifactRef], store: Store, on_progress: OnProgress
) -> ArtifactRef:
    from tad_core.report.html import render_html  # its templates need jinja2, which no cell needs

    results, filtered = inputs
    page = Page(study, read_results(results), read_summary(filtered))
    document = page.compose()
    names = [section.picture.name for section in document.sections if section.picture is not None]
    pictures: dict[str, tuple[bytes, bytes]] = {}
    for name in names:
        on_progress(Progress("report", len(pictures), len(names), "pictures"))
        pictures[name] = (page.draw(name, LIGHT), page.draw(name, DARK))
    with store.writer(STAGE, STAGE_VERSION, mark, study.config.model_dump(mode="json"), inputs) as writer:
        writer.write_text(CONFIG_NAME, dump_config(study.run))
        for name, (light, _) in pictures.items():
            writer.path(f"{name}.png").write_bytes(light)
        writer.write_text(REPORT_NAME, render_markdown(document))
        writer.write_json(RESULTS, page.results.model_dump(mode="json"))
        writer.write_text(HTML_NAME, render_html(document, pictures))
        ref = writer.commit({"cautions": sum(found.kind == "caution" for found in document.findings)})
    on_progress(Progress("report", len(names), len(names), "pictures"))
    return ref


@dataclass(frozen=True)
class Page:
    """The report as content.

    Attributes:
        study: what was studied.
        results: its numbers.
        summary: ``summary.json`` of the filter.
    """

    study: Study
    results: StudyResults
    summary: Mapping[str, Any]

    @property
    def lineup(self) -> Lineup:
        """How variants are shown."""
        return Lineup.of(self.study.run)

    @property
    def tables(self) -> Tables:
        """The makers of its tables."""
        return Tables(self.study, self.results, self.lineup)

    def compose(self) -> Document:
        """In order: what it shows, the table of all variants, then each question with its own table."""
        made, config = self.tables, self.study.config
        others = [name for name in self.results.decoders if name != config.headline]
        sections = [
            Section(
                "Every variant", tables=[made.headline()], folded=[*map(made.headline, others), made.seeds()]
            ),
            Section("Accuracy against speed", picture=self._curves()),
        ]
        for table in (made.costs(), made.objectives(), made.data(), made.windows(), made.weights()):
            if table is not None:
                sections.append(Section(table.title, tables=[table]))
        sections.append(Section("Decoders", picture=self._radar(), tables=[made.decoders()]))
        sections.append(self._trajectories())
        alike = _BUT_ROUNDS if self.results.costs else _ALIKE
        sections.append(
            Section(
                "How to read this",
                text=[*_READING, f"{alike} {_INTERVALS}"],
                folded=self._published(),
            )
        )
        settings = {"study": config.identity(), "run": self.study.run.identity()}
        return Document(
            title=self.results.name,
            lineup=self.lineup,
            findings=findings(self.study, self.results, self.lineup),
            tiles=[],
            sections=sections,
            facts=self._facts(),
            config=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
        )

    def draw(self, name: str, theme: Theme) -> bytes:
        """One picture as PNG."""
        from tad_core.report.plots import kept  # matplotlib takes a second to load, which no cell needs
        from tad_core.study import plots

        config = self.study.config
        if name == "curves":
            return plots.curves(
                self.results, self.groups(), config.headline, config.slowest, self.lineup, theme
            )
        if name == "radar":
            axes = [(decoder, self.tables.label(decoder)) for decoder in self.results.decoders]
            return plots.radar(self.results, self._on_the_radar(), axes, self.lineup, theme)
        assert name == "kept", name
        return kept(self.summary, theme)

    def groups(self) -> dict[str, list[str]]:
        """What is drawn together: the variants of each table with the base and ours, then those of none."""
        roles, known = self.study.config.report, self.results.variants
        named = {
            "Data and training": roles.data,
            "Objectives": roles.objectives,
            "Windows": roles.windows,
            "Weights": roles.weights,
        }
        both = [BASE, self.results.ours]
        groups = {
            title: list(dict.fromkeys([*both, *(n for n in names if n in known)]))
            for title, names in named.items()
            if any(n in known and n not in both for n in names)
        }
        rest = [n for n in known if not any(n in names for names in groups.values())]
        if rest:
            groups["Others" if groups else "Variants"] = list(dict.fromkeys([*both, *rest]))
        return groups

    def _on_the_radar(self) -> list[str]:
        return next(iter(self.groups().values()))

    def _curves(self) -> Picture:
        decoder = self.study.config.headline
        label = self.tables.label(decoder)
        ends = [
            f"{self.lineup.label(c.variant)} {c.accuracy.mean.value:.0f} % at {c.tpf.mean.value:.1f}"
            for c in self.results.curves
            if c.decoder == decoder
        ]
        return Picture(
            "curves",
            f"Accuracy against tokens per forward pass under {label}, at its operating threshold: {'; '.join(ends)}.",
            f"{label}. Thin: each seed; thick: their mean. Further right is faster, higher is better.",
        )

    def _radar(self) -> Picture:
        names = ", ".join(map(self.lineup.label, self._on_the_radar()))
        return Picture(
            "radar",
            f"AUP of {names} under {', '.join(map(self.tables.label, self.results.decoders))}.",
            "Each axis is a decoder; 100 % is the variant with the highest mean AUP there, drawn or not.",
        )

    def _trajectories(self) -> Section:
        rates = [
            f"{entry['source']} {entry['condition']} {entry['kept']} of {entry['total']}"
            for entry in self.summary["by_source"]
            if entry["total"]
        ]
        alt = f"Share of correct trajectories: {', '.join(rates)}."
        return Section(
            "Trajectories with and without the reference",
            picture=Picture("kept", alt, "The thin lines are 95 % intervals."),
            tables=[run_tables.kept(self.summary)],
        )

    def _published(self) -> list[Table]:
        """Rows of papers: of the study's own benchmark if it is one of theirs, else all, for their own sake."""
        benchmark = benchmark_of_task(self.study.run.evaluate.tasks[0])
        table = published_table([row for row in published() if benchmark in (None, row.benchmark)])
        return [] if table is None else [table]

    def _facts(self) -> list[tuple[str, str]]:
        run = self.study.run
        return [
            ("Base", f"{run.model.path}, {run.model.dtype}"),
            (
                "Training",
                f"{self.results.states:,} states a variant{' and round' if self.results.costs else ''}, "
                f"{run.distill.max_steps:,} steps",
            ),
            ("Seeds", ", ".join(map(str, self.results.seeds))),
            ("Resamples", f"{self.results.resamples:,}"),
        ]
