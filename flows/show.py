"""What a finished run prints."""

from __future__ import annotations

from rich.console import Console

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.stages.pipeline import Outcome


def show_outcome(config: TADConfig, outcome: Outcome) -> None:
    """The result table and the paths of the report, or where the last artifact is."""
    console = Console()
    if outcome.report is None:
        for ref in _last(outcome):
            console.print(f"{ref.stage}: {ref.url}", soft_wrap=True, highlight=False)
        return
    from tad_core.report.console import print_report

    print_report(outcome.report, console)


def show_replicates(config: TADConfig, ref: ArtifactRef) -> None:
    """The table over all runs and what it allows to say."""
    from tad_core.report.console import print_replicates
    from tad_core.report.lineup import Lineup

    print_replicates(ref, Lineup.of(config), Console())


def show_study(ref: ArtifactRef) -> None:
    """Where the results of a study are."""
    Console().print(f"study: {ref.url}", soft_wrap=True, highlight=False)


def _last(outcome: Outcome) -> list[ArtifactRef]:
    if outcome.evaluated:
        return list(outcome.evaluated.values())
    if outcome.distilled:
        return list(outcome.distilled.values())
    return [outcome.windows or outcome.filtered or outcome.collection]
