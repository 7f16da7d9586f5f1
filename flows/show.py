"""What a finished run prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.terminal import plain_console
from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.stages.pipeline import Outcome

if TYPE_CHECKING:
    from tad_core.study.config import Study


def show_outcome(config: TADConfig, outcome: Outcome) -> None:
    """The result table and the paths of the report, or where the last artifact is."""
    console = plain_console()
    if outcome.report is None:
        for ref in _last(outcome):
            console.print(f"{ref.stage}: {ref.url}", soft_wrap=True)
        return
    from tad_core.report.console import print_report

    print_report(outcome.report, console)


def show_replicates(config: TADConfig, ref: ArtifactRef) -> None:
    """The table over all runs and what it allows to say."""
    from tad_core.report.console import print_replicates
    from tad_core.report.lineup import Lineup

    print_replicates(ref, Lineup.of(config), plain_console())


def show_study(study: Study, report: ArtifactRef) -> None:
    """What a study shows, and where its report is."""
    from tad_core.report.console import print_findings
    from tad_core.report.lineup import Lineup
    from tad_core.report.terminal import FittedTable
    from tad_core.study.sentences import findings
    from tad_core.study.stage import read_results
    from tad_core.study.tables import Tables

    console, lineup, results = plain_console(), Lineup.of(study.run), read_results(report)
    console.print(FittedTable(Tables(study, results, lineup).brief(), lineup))
    print_findings([{"kind": f.kind, "text": f.text} for f in findings(study, results, lineup)], console)
    for name in ("report.html", "report.md"):
        console.print(f"{report.url}/{name}", soft_wrap=True)


def _last(outcome: Outcome) -> list[ArtifactRef]:
    if outcome.evaluated:
        return list(outcome.evaluated.values())
    if outcome.distilled:
        return list(outcome.distilled.values())
    return [outcome.windows or outcome.filtered or outcome.collection]
