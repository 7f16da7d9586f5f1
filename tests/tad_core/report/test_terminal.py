"""Tables in a terminal: whole in any width."""

from __future__ import annotations

import io
from collections import Counter
from types import SimpleNamespace

import pytest
from rich.console import Console

from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.evaluation.replicates import Spread
from tad_core.report import replicates, tables
from tad_core.report.table import Cell, Row, Table
from tad_core.report.terminal import FittedTable
from tests.tad_core.report.test_tables import make_scores


def printed(table: Table, fake: SimpleNamespace, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(FittedTable(table, fake.lineup))
    return out.getvalue().splitlines()


def test_the_headline_is_whole_in_80_columns(fake: SimpleNamespace) -> None:
    lines = printed(tables.headline(make_scores(fake), fake.lineup, narrow=True), fake)
    row = next(line for line in lines if "Speed" in line)
    assert row.split() == ["Speed", "75.0", "75.0", "8.00", "6.00", "800", "510.2"]
    assert max(map(len, lines)) <= 80


def test_a_column_has_one_name_however_wide_the_terminal_is(fake: SimpleNamespace) -> None:
    """The sentences below the table speak of the column “text only”."""
    scores = make_scores(fake)
    for narrow in (False, True):
        assert "text only" in " ".join(tables.headline(scores, fake.lineup, narrow).columns)


def test_names_of_numbers_are_broken_before_anything_else(fake: SimpleNamespace) -> None:
    numbers = [Cell("83.3"), Cell("7.70"), Cell("642.0 [386.2, 835.0]")]
    table = Table("t", ["Task", "at 0.5 %", "text only", "AUP"], [Row([Cell("arithmetic"), *numbers])])
    assert any("at 0.5 %  text only" in line for line in printed(table, fake, 57))
    broken = [line.split() for line in printed(table, fake, 55)]
    assert ["text"] in broken and ["Task", "at", "0.5", "%", "only", "AUP"] in broken, "that saves most"


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_columns_that_do_not_fit_go_on_below_with_the_names_of_their_rows(
    fake: SimpleNamespace, width: int
) -> None:
    spread = Spread(Estimate(66.7, Interval(33.3, 100.0)), [60.0, 73.4])
    rows = [
        replicates.ReplicateRow(
            task="arithmetic",
            problems=6,
            model=model,
            token_by_token=spread,
            gain=spread,
            accuracy=spread,
            tpf=spread,
            aup=spread,
            aup_over_base=spread,
            apart_from_base=False,
            aup_over_sft=spread,
            apart_from_sft=None,
            tpf_over_quality=None,
        )
        for model in ("base", "quality")
    ]
    table = replicates.tables(rows, [0, 1], "at 0.5", fake.lineup)[0]
    lines = printed(table, fake, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    numbers = Counter(
        {"66.7": 3, "100.0]": 3, "+66.7": 1, "+100.0]": 1, "66.70": 3, "[33.30,": 3, "100.00]": 3}
    )
    counted = Counter(text.split())
    assert {word: counted[word] for word in numbers} == {word: 2 * n for word, n in numbers.items()}, (
        "none is cut"
    )
    assert text.count("arithmetic") == text.count("Quality") > 1
    words = " ".join(text.split())
    for name in ("fine-tuning", "base", "TPF", "AUP"):
        assert name in words


def test_no_markup_is_read_from_names(fake: SimpleNamespace) -> None:
    table = Table("t", ["Name"], [Row([Cell("[red]x[/red]")])])
    assert any("[red]x[/red]" in line for line in printed(table, fake))
