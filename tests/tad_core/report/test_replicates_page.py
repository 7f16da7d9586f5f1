"""The page over several runs: one number of decimals a column, and a minus that is one."""

from __future__ import annotations

from types import SimpleNamespace

from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.evaluation.replicates import Spread
from tad_core.report.replicates import ReplicateRow, sentences, tables


def spread(value: float, low: float, high: float) -> Spread:
    return Spread(Estimate(value, Interval(low, high)), [low, high])


def row(model: str, gain: Spread | None, scale: float, **more: Spread) -> ReplicateRow:
    figures = {
        name: spread(scale * 10, scale * 8, scale * 12)
        for name in ("token_by_token", "accuracy", "tpf", "aup", "aup_over_base", "aup_over_sft")
    }
    flags = {"apart_from_base": False, "apart_from_sft": False, "tpf_over_quality": None}
    return ReplicateRow.model_validate(
        {"task": "sums", "problems": 6, "model": model, "gain": gain, **figures, **flags, **more}
    )


def decimals(text: str) -> set[int]:
    numbers = text.replace("[", "").replace("]", "").replace(",", "").split()
    return {len(number.partition(".")[2]) for number in numbers}


def test_a_column_has_one_number_of_decimals(fake: SimpleNamespace) -> None:
    rows = [row("base", None, 0.3), row("quality", spread(-3, -25, 30), 9)]
    means, each = tables(rows, [0, 1], "at 0.5", fake.lineup)
    for table, first in ((means, 2), (each, 3)):
        for column, name in enumerate(table.columns[first:], first):
            shown = [made.cells[column].text for made in table.rows]
            assert len(set().union(*(decimals(text) for text in shown if text != "–"))) == 1, (name, shown)
    wanted = {"Token by token %": 1, "Over the base": 1, "Accuracy at 0.5 %": 1, "TPF at 0.5": 2, "AUP": 1}
    for name, digits in wanted.items():
        assert decimals(means.rows[1].cells[means.columns.index(name)].text) == {digits}


def test_a_difference_has_a_sign_and_its_minus_is_one(fake: SimpleNamespace) -> None:
    speed = row("speed", spread(-3, -25, 30), 1, tpf_over_quality=spread(-0.1, -0.004, 0.2))
    cells = [cell.text for cell in tables([speed], [0, 1], "at 0.5", fake.lineup)[0].rows[0].cells]
    assert "−3.0 [−25.0, +30.0]" in cells
    assert any(
        "−0.10 tokens per forward against Quality [+0.00, +0.20]" in s
        for s in sentences([speed], fake.lineup)
    )
