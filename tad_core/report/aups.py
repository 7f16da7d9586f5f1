"""AUP both ways, ours and the leaderboard's, and what papers publish beside it."""

from __future__ import annotations

from collections.abc import Sequence

from tad_core.report.lineup import Lineup
from tad_core.report.published import Published
from tad_core.report.scores import Operating, Scores
from tad_core.report.table import NONE, Cell, Row, Table

COLUMNS = [
    "Task",
    "Model",
    "Points",
    "AUP, ours",
    "Best %, ours",
    "AUP, leaderboard's way",
    "Best %, its way",
]


def both_ways(scores: Scores, lineup: Lineup, narrow: bool = False) -> Table:
    """AUP of every model by the two definitions, which are not to be compared with each other.

    ``narrow`` shortens the columns' names for a terminal of 80 columns.
    """
    columns = ["Task", "Model", "Points", "Ours", "Best %", "Leaderboard", "Best %"] if narrow else COLUMNS
    rows = []
    for task in scores.tasks:
        for i, score in enumerate(task.scores):
            counted = sum(point.counted for point in score.points)
            cells = [
                task.task if i == 0 else "",
                lineup.label(score.model),
                f"{counted} of {len(score.points)}",
                f"{score.aup:.1f}",
                f"{task.y_max:.1f}",
                NONE if score.aup_leaderboard is None else f"{score.aup_leaderboard:.1f}",
                NONE if task.y_max_leaderboard is None else f"{task.y_max_leaderboard:.1f}",
            ]
            rows.append(Row([Cell(text) for text in cells], model=score.model, starts_group=i == 0))
    return Table("AUP both ways", columns, rows, left=2, model_column=1, notes=[note(scores.operating)])


def note(operating: Operating) -> str:
    """What tells the two apart."""
    return (
        "Ours: over all points of the sweep but those more than 5 points below the slowest, weighted by the best "
        f"accuracy of any point here. The leaderboard's way: over two points, token by token and {operating.at}, "
        f"weighted by the best accuracy of those; {NONE} where its code stops, since the fast one is more than 5 "
        "points below. Its own table also holds autoregressive models, whose accuracy weighs every figure published."
    )


def published_table(rows: Sequence[Published]) -> Table | None:
    """Rows of papers, each with prompt and source; None without any."""
    if not rows:
        return None
    lines = []
    for i, row in enumerate(rows):
        speed = NONE if row.tokens_per_s is None else f"{row.tokens_per_s:.1f}"
        cells = [
            row.benchmark,
            row.base,
            row.method,
            f"{row.accuracy:.1f}",
            f"{row.tpf:.2f}",
            f"{row.aup:.1f}",
            speed,
            row.prompt,
            row.source,
        ]
        starts = i == 0 or (rows[i - 1].benchmark, rows[i - 1].base) != (row.benchmark, row.base)
        lines.append(Row([Cell(text) for text in cells], starts_group=starts))
    columns = [
        "Benchmark", "Base", "Method", "Accuracy %", "TPF", "AUP, leaderboard's way", "Tokens/s", "Prompt", "Source",
    ]  # fmt: skip
    notes = [
        "Published, not measured here. The rows were measured under different prompts, so that accuracies and AUPs of "
        f"different rows do not say what a method is worth. Hardware: {rows[0].hardware}."
    ]
    return Table("Published", columns, lines, left=3, notes=notes)
