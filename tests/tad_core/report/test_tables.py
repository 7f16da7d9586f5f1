"""Tables: the numbers that are shown, and that no text escapes its cell."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

from tad_core.data.selection import left_out_rows
from tad_core.report import tables
from tad_core.report.scores import Scores
from tad_core.report.scoring import score
from tad_core.report.table import NONE, Cell, Row, Table, to_markdown


def make_scores(fake: SimpleNamespace, models: tuple[str, ...] = ("base", "quality", "speed")) -> Scores:
    records = [r for model in models for r in fake.records(model, fake.curves[model])]
    return score("hand-made", fake.config(bootstrap=0).evaluate, records, fake.lineup)


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def best(table: Table) -> list[list[bool]]:
    return [[cell.best for cell in row.cells] for row in table.rows]


def test_headline_by_hand(fake: SimpleNamespace) -> None:
    table = tables.headline(make_scores(fake), fake.lineup)

    assert texts(table) == [
        ["sums", "Base", "30.0", "10.0", "4.00", "3.00", "400", "33.9"],
        ["", "Quality", "80.0", "75.0", "4.00", "3.00", "400", "302.2"],
        ["", "Speed", "75.0", "75.0", "8.00", "6.00", "800", "510.2"],
    ]
    assert best(table) == [
        [False] * 8,
        [False, False, True, True, False, False, False, False],
        [False, False, False, True, True, True, True, True],
    ]
    assert table.columns[3] == "Accuracy at 0.5 %"
    assert table.columns[-1] == "AUP"


def test_intervals_and_average_are_shown_where_there_are_any(fake: SimpleNamespace) -> None:
    records = fake.records("base", fake.curves["base"]) + fake.records("base", fake.curves["base"], task="b")
    table = tables.headline(score("x", fake.config().evaluate, records, fake.lineup), fake.lineup)

    assert table.columns[-1] == "AUP [95 %]"
    assert [row.cells[0].text for row in table.rows] == ["sums", "b", "Average"]
    assert all("[" in row.cells[-1].text for row in table.rows)
    assert not any(cell.best for row in table.rows for cell in row.cells)  # one model is best of nothing


def test_a_model_without_the_operating_threshold_shows_dashes(fake: SimpleNamespace) -> None:
    records = fake.records("base", {("token_by_token", 0.0): (6, 8)})
    table = tables.headline(score("x", fake.config(bootstrap=0).evaluate, records, fake.lineup), fake.lineup)

    assert texts(table) == [["sums", "Base", "30.0", "–", "–", "–", "–", "30.0"]]


def test_every_point_is_listed(fake: SimpleNamespace) -> None:
    found = texts(tables.points(make_scores(fake, ("base",)), fake.lineup))

    assert [row[2] for row in found] == ["token by token", "0.1", "0.5"]
    assert [row[-1] for row in found] == ["yes", "yes", "no"]
    assert found[0][3].startswith("30.0 [")
    assert [row[6:9] for row in found] == [["8.0", "4.0", "20"], ["4.0", "2.0", "10"], ["2.0", "1.0", "5"]]


def test_a_count_that_an_earlier_release_did_not_make_is_a_dash(fake: SimpleNamespace) -> None:
    config, way = fake.config(bootstrap=0).evaluate, {("token_by_token", 0.0): (6, 8)}
    records = [dataclasses.replace(r, full_forwards=None, computed=None) for r in fake.records("base", way)]
    table = tables.points(score("x", config, records, fake.lineup), fake.lineup)
    assert texts(table)[0][6:9] == ["8.0", "–", "–"]


def test_kept_says_why_the_rest_was_not(fake: SimpleNamespace) -> None:
    assert texts(tables.kept(fake.summary())) == [
        ["sums", "plain", "10", "3", "30.0", "different 5, no answer 2"],
        ["sums", "privileged", "20", "18", "90.0", "different 2"],
    ]


def test_a_source_that_was_never_judged_divides_by_nothing() -> None:
    entry = {"source": "s", "condition": "privileged", "total": 0, "kept": 0, "rejected": {}}

    assert texts(tables.kept({"by_source": [entry]})) == [["s", "privileged", "0", "0", "0.0", "–"]]


def test_data_left_out_is_listed_by_reason() -> None:
    info = {
        "left_out": {"math": {"empty box": 2, "not JSON": 1200}},
        "left_out_examples": {"math": {"empty box": ["m:1", "m:2"]}},
    }
    table = tables.left_out(left_out_rows(info))
    assert table is not None
    assert texts(table) == [
        ["math", "not JSON", NONE, "1,200"],
        ["math", "empty box", "m:1, m:2", "2"],
    ]
    assert tables.left_out([]) is None


def test_windows_name_their_source(fake: SimpleNamespace) -> None:
    fixed = fake.curve(quality={"source": "fixed", "window": 1})

    assert [row[2] for row in texts(tables.windows(fake.windows(fake.curve()), fake.lineup))] == [
        "measured: the last step before smoothed confidence falls below 0.5",
        "the configured cap: smoothed confidence never falls below 0.2",
    ]
    assert texts(tables.windows(fake.windows(fixed), fake.lineup))[0] == [
        "Quality",
        "1",
        "fixed in the configuration; smoothed confidence falls below 0.5 at 4.0 steps",
    ]
    raised = fake.curve(speed={"source": "quality", "window": 9, "raised_from": 6})
    assert (
        texts(tables.windows(fake.windows(raised), fake.lineup))[1][2]
        == "raised to the Quality window from 6, which would be shorter"
    )


def test_losses_are_weighted_by_their_tokens(fake: SimpleNamespace) -> None:
    log = [
        {
            "step": 1,
            "loss": 5.0,
            "near": 4.0,
            "distant": 1.0,
            "near_count": 1,
            "distant_count": 0,
            "wall_s": 1.0,
        },
        {
            "step": 2,
            "loss": 2.0,
            "near": 1.0,
            "distant": 1.0,
            "near_count": 3,
            "distant_count": 2,
            "wall_s": 9.0,
        },
    ]

    assert tables.mean_loss(log, "near") == (4 + 3) / 4
    assert tables.mean_loss(log, "distant") == 1.0
    assert tables.mean_loss(log, "absent") is None
    assert texts(tables.losses({"quality": log}, fake.lineup)) == [
        ["Quality", "2", "4.000 → 1.000", "–", "5.000 → 2.000", "9"],
    ]
    assert texts(tables.losses({"quality": []}, fake.lineup)) == []


def test_markdown_keeps_hostile_text_in_its_cell() -> None:
    hostile = "a|b\n<script>alert(1)</script> **bold** [x](http://evil) `c`"
    table = Table("t", ["Name", "n"], [Row([Cell(hostile), Cell("1", best=True)])])

    lines = to_markdown(table).split("\n")

    assert len(lines) == 3
    assert lines[1] == "| --- | ---: |"
    assert lines[2].count("|") - lines[2].count("\\|") == 3
    assert "<script>" not in lines[2]
    assert "](" not in lines[2].replace("\\](", "")
    assert lines[2].endswith("| **1** |")


def test_lm_evals_own_figures_stand_beside_the_verdict(fake: SimpleNamespace) -> None:
    assert tables.lm_eval_figures(make_scores(fake), fake.lineup) is None
    records = [
        dataclasses.replace(r, figures={"math_verify,none": float(r.correct), "exact_match,none": 0.25})
        for r in fake.records("base", fake.curves["base"])
    ]
    table = tables.lm_eval_figures(
        score("hand-made", fake.config(bootstrap=0).evaluate, records, fake.lineup), fake.lineup
    )
    assert table is not None
    assert texts(table) == [
        ["sums", "Base", "token by token", "30.0", "math_verify,none 30.0, exact_match,none 25.0"],
        ["sums", "Base", "0.5", "10.0", "math_verify,none 10.0, exact_match,none 25.0"],
    ]
