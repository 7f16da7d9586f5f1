"""What a run says at its end, in a terminal or in a log."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from tad_core.artifacts import ArtifactRef
from tad_core.config import parse_config
from tad_core.report.aups import both_ways
from tad_core.report.lineup import Lineup
from tad_core.report.replicates import NUMBERS_NAME, PAGE_NAME, ReplicateRow, sentences, tables
from tad_core.report.scores import SCORES_NAME, Scores
from tad_core.report.tables import headline
from tad_core.report.terminal import FittedTable

_MARKS = {"result": ("•", ""), "fact": ("•", "dim"), "caution": ("!", "yellow")}


def print_report(report: ArtifactRef, console: Console | None = None) -> None:
    """The headline table and the sentences of a finished report, and where to read it."""
    console = console or Console(markup=False, emoji=False)
    lineup = Lineup.of(parse_config(report.manifest.config))
    print_scores(read_scores(report), report.read_json(SCORES_NAME)["findings"], lineup, console)
    for name in ("report.html", "report.md"):
        console.print(Text(f"{report.url}/{name}"), soft_wrap=True)


def print_replicates(comparison: ArtifactRef, lineup: Lineup, console: Console | None = None) -> None:
    """The table over several training runs, its sentences, and where the page is."""
    console = console or Console(markup=False, emoji=False)
    content = comparison.read_json(NUMBERS_NAME)
    rows = [ReplicateRow.model_validate(row) for row in content["rows"]]
    at = content.get("operating", f"at {content['operating_threshold']:g}")
    table, _ = tables(rows, content["seeds"], at, lineup)
    console.print(FittedTable(table, lineup))
    for note in table.notes:
        console.print(Text(note, style="dim"))
    for text in sentences(rows, lineup):
        console.print(Padding(Text(f"• {text}"), (0, 0, 0, 1)))
    console.print(Text(f"{comparison.url}/{PAGE_NAME}"), soft_wrap=True)


def read_scores(report: ArtifactRef) -> Scores:
    """The numbers of a finished report."""
    content = report.read_json(SCORES_NAME)
    return Scores.model_validate({name: content[name] for name in Scores.model_fields if name in content})


def print_scores(scores: Scores, findings: list[dict[str, Any]], lineup: Lineup, console: Console) -> None:
    """The table and the sentences; text from the data is never read as markup."""
    table = headline(scores, lineup, narrow=console.width < 110)
    console.print(FittedTable(table, lineup))
    for note in table.notes:
        console.print(Text(note, style="dim"))
    console.print(FittedTable(both_ways(scores, lineup, narrow=console.width < 110), lineup))
    print_findings(findings, console)


def print_findings(findings: list[dict[str, Any]], console: Console) -> None:
    """Sentences, results first, each as a line of its own."""
    console.print()
    for finding in findings:
        mark, style = _MARKS[finding["kind"]]
        console.print(Padding(Text(f"{mark} {finding['text']}", style=style), (0, 0, 0, 1)))
    console.print()
