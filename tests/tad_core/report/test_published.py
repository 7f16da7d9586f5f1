"""Rows of papers: written down right, each with its source, and shown as published and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tad_core.config import SourceConfig
from tad_core.evaluation.aup import leaderboard_aup
from tad_core.report.aups import both_ways, published_table
from tad_core.report.published import benchmark_of_task, published, published_on
from tad_core.report.scoring import score

LLADA, DREAM = "LLaDA-8B-Instruct", "Dream-7B-Instruct"
#: the tables' own averages over the four benchmarks: accuracy, TPF, AUP
AVERAGES = {
    (LLADA, "LLaDA"): (46.2, 1.00, 46.2), (LLADA, "Fast-dLLM"): (45.5, 2.36, 84.7),
    (LLADA, "D2F"): (44.1, 2.47, 87.9), (LLADA, "dParallel"): (45.5, 3.90, 128.6),
    (LLADA, "d3LLM"): (45.9, 6.25, 206.1), (LLADA, "TAD-Q"): (51.6, 5.08, 225.2),
    (LLADA, "TAD-S"): (49.9, 5.76, 257.1),
    (DREAM, "Dream"): (59.0, 1.00, 59.0), (DREAM, "Fast-dLLM"): (56.2, 1.44, 74.7),
    (DREAM, "Fast-dLLM-v2"): (59.5, 2.36, 123.4), (DREAM, "dParallel"): (57.6, 2.69, 132.6),
    (DREAM, "d3LLM"): (58.1, 3.76, 189.9), (DREAM, "TAD-Q"): (61.3, 2.97, 164.2),
    (DREAM, "TAD-S"): (59.6, 3.79, 195.3),
}  # fmt: skip


@pytest.mark.parametrize(("base", "method"), AVERAGES)
def test_rows_give_the_averages_that_the_paper_prints(base: str, method: str) -> None:
    rows = [row for row in published() if (row.base, row.method) == (base, method)]
    assert [row.benchmark for row in rows] == ["gsm8k", "math", "mbpp", "humaneval"]
    found = [sum(getattr(row, name) for row in rows) / 4 for name in ("accuracy", "tpf", "aup")]
    for value, printed, rounding in zip(found, AVERAGES[base, method], (0.06, 0.011, 0.06), strict=True):
        assert abs(value - printed) < rounding, "as its own numbers round"


def test_a_method_with_one_point_has_the_aup_that_is_published() -> None:
    alone = [row for row in published() if row.tpf == 1]
    assert len(alone) == 8
    for row in alone:
        assert leaderboard_aup([(row.tpf, row.accuracy)], row.accuracy) == pytest.approx(row.aup)


def test_every_row_says_where_it_is_from_and_under_which_prompt() -> None:
    assert len(published()) == 4 * len(AVERAGES)
    for row in published():
        assert "Table" in row.source and row.prompt
        assert ("d3LLM paper" in row.source) == (not row.method.startswith("TAD"))
        assert (row.tokens_per_s is not None) == (row.benchmark == "gsm8k")
    (tad,) = [r for r in published_on(["gsm8k"]) if (r.base, r.method) == (LLADA, "TAD-Q")]
    assert tad.prompt == "chat template, 0-shot" and tad.tokens_per_s == 339.4
    (base,) = [r for r in published_on(["gsm8k"]) if (r.base, r.method) == (LLADA, "LLaDA")]
    assert base.prompt.startswith("no chat template")


def test_tasks_of_the_papers_benchmarks_are_known() -> None:
    task = SourceConfig(name="x", source="benchmark", options={"task": "gsm8k_cot_zeroshot"})
    assert benchmark_of_task(task) == "gsm8k"
    assert benchmark_of_task(SourceConfig(name="gsm8k", source="arithmetic")) is None
    assert published_table(published_on([])) is None
    table = published_table(published_on(["math"]))
    assert table is not None and len(table.rows) == len(AVERAGES)
    assert "Published, not measured here" in table.notes[0] and "H200" in table.notes[0]


def test_both_ways_by_hand(fake: SimpleNamespace) -> None:
    records = [r for model in fake.curves for r in fake.records(model, fake.curves[model])]
    scores = score("hand-made", fake.config(bootstrap=0).evaluate, records, fake.lineup)
    rows = [[cell.text for cell in row.cells] for row in both_ways(scores, fake.lineup).rows]
    # Two points: base 30 % at 1 and 10 % at 4, Quality 80 at 1 and 75 at 4, Speed 75 at 1 and at 8; best 80 %.
    quality, speed = leaderboard_aup([(1, 80), (4, 75)], 80), leaderboard_aup([(1, 75), (8, 75)], 80)
    assert rows == [
        ["sums", "Base", "2 of 3", "33.9", "80.0", "–", "80.0"],
        ["", "Quality", "3 of 3", "302.2", "80.0", f"{quality:.1f}", "80.0"],
        ["", "Speed", "3 of 3", "510.2", "80.0", f"{speed:.1f}", "80.0"],
    ]
