"""The page of a study: its tables by hand, what it says and does not say, and that the files are whole."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from matplotlib.image import imread

from tad_core.artifacts import Store
from tad_core.config import VariantConfig, parse_config
from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.progress import Progress
from tad_core.report.lineup import Lineup
from tad_core.report.table import Table
from tad_core.study.config import Study
from tad_core.study.parts import Trajectories
from tad_core.study.plots import radar, radar_shares, seed_curves
from tad_core.study.report import Page, report
from tad_core.study.results import StudyResults, results_of
from tad_core.study.run import Made
from tad_core.study.sentences import findings
from tad_core.study.stage import conclude, read_results
from tad_core.study.tables import Tables, against, apart

SUMMARY = {
    "rows": 8, "kept": 6, "tier": {},
    "by_source": [
        {"source": "sums", "condition": "privileged", "total": 8, "kept": 6, "rejected": {"different": 2}},
    ],
}  # fmt: skip


@pytest.fixture
def results(study: Study, store: Store, made: SimpleNamespace) -> StudyResults:
    found: StudyResults = results_of(study, made.cells(store))
    return found


def texts(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_the_table_of_all_variants_by_hand(study: Study, results: StudyResults) -> None:
    table = Tables(study, results, Lineup.of(study.run)).headline()
    assert table.columns[-3:] == ["Accuracy less TAD", "TPF less TAD", "AUP less TAD"]
    base, tad, wide = texts(table)
    assert [cells[0] for cells in (base, tad, wide)] == ["Base", "TAD", "Wide"]
    assert [cells[1].split(" ")[0] for cells in (base, tad, wide)] == ["50.0", "77.5", "77.5"]
    assert [cells[3] for cells in (tad, wide)] == ["2.00 [2.00, 2.00]", "4.00 [4.00, 4.00]"]
    assert base[5] == "–" and tad[6:] == ["–"] * 3
    assert wide[6:8] == ["+0.0 [+0.0, +0.0]", "+2.00 [+2.00, +2.00]"]
    assert [cell.best for cell in table.rows[2].cells[-3:]] == [False, True, True], "what is told apart"
    assert table.rows[0].cells[-3].best and base[6].startswith("−55.0 [")


def test_tables_of_the_paper_hold_the_variants_that_are_named(study: Study, results: StudyResults) -> None:
    made = Tables(study, results, Lineup.of(study.run))
    assert [row[:3] for row in texts(made.objectives())] == [
        ["Hard CE", "None", "4.00 [4.00, 4.00]"],
        ["Hard CE", "Soft KL", "2.00 [2.00, 2.00]"],
    ]
    assert [row[:2] for row in texts(made.windows())] == [["TAD", "4"], ["Wide", "8"]]
    assert made.weights() is None and made.data() is None, "one row compares with nothing"
    assert [row[1] for row in texts(made.decoders())] == ["tokenwise", "Fast"] * 2
    # Forwards a problem, half of them full, and 20 tokens computed in each for 8 that are revealed.
    counts = [["8.0", "4.0", "20.0"], ["2.0", "1.0", "5.0"], ["8.0", "4.0", "20.0"], ["4.0", "2.0", "10.0"]]
    assert [row[6:] for row in texts(made.decoders())] == counts
    seeds = texts(made.seeds())
    assert [row[:3] for row in seeds] == [
        ["Base", "–", "25.0"], ["TAD", "0", "75.0"], ["", "1", "85.0"], ["Wide", "0", "75.0"], ["", "1", "85.0"],
    ]  # fmt: skip
    assert made.decoder("fast") == "Fast: entropy at 0.5 (AUP over 0.5), blocks of 8, exact"


def test_a_variant_that_reads_block_by_block_is_named_beside_each_decoder(
    study: Study, results: StudyResults
) -> None:
    blocks = VariantConfig(objective="d2f", label="Blocks", settings={"mask_block": 4})
    run = study.run.model_copy(update={"models": {**study.run.models, "blocks": blocks}})
    made = Tables(Study(study.config, run, study.specs), results, Lineup.of(run))
    own = ", exact, Blocks block-causal in blocks of 4, finished blocks kept"
    assert made.decoder("fast").endswith(own) and made.decoder("tokenwise").endswith(own)


def test_sentences_say_what_is_told_apart_and_what_is_not(study: Study, results: StudyResults) -> None:
    said = [f.text for f in findings(study, results, Lineup.of(study.run))]
    assert any(t.startswith("TAD against the base: accuracy +55.0 [+") for t in said)
    assert "Told apart from TAD, with higher tokens per forward: Wide (+2.00 [+2.00, +2.00])." in said
    assert "Not told apart from TAD in accuracy: Wide (+0.0 [+0.0, +0.0] points)." in said
    assert not any(t.startswith("Told apart from TAD, with lower") for t in said)
    # Three pairs and three numbers of each.
    assert any(t.startswith("9 paired differences were looked at") for t in said)
    assert any(t.startswith("2 training seeds: intervals say little") for t in said)
    assert any(t.startswith("Few problems (40)") for t in said)
    assert any("The leaderboard's code would stop" in t and t.endswith(": Base.") for t in said)


def test_what_is_left_out_is_said(study: Study, store: Store, made: SimpleNamespace) -> None:
    cells = made.cells(store)
    del cells["wide", 0, "fast"]
    said = [f.text for f in findings(study, results_of(study, cells), Lineup.of(study.run))]
    assert "Not measured with every seed and decoder, and so left out: Wide." in said


def test_without_resamples_nothing_is_claimed(study: Study, store: Store, made: SimpleNamespace) -> None:
    evaluate = study.run.evaluate.model_copy(update={"bootstrap": 0})
    plain = Study(study.config, study.run.model_copy(update={"evaluate": evaluate}), study.specs)
    said = [f.text for f in findings(plain, results_of(plain, made.cells(store)), Lineup.of(study.run))]
    assert any(t.startswith("No intervals were computed") for t in said)
    assert not any("old apart from" in t for t in said)


def test_a_difference_can_be_read_either_way(results: StudyResults) -> None:
    one, other = against(results, "wide", "tad", "fast"), against(results, "tad", "wide", "fast")
    assert one is not None and other is not None
    assert (one.tpf.mean.value, other.tpf.mean.value) == (2, -2) and other.tpf.each == [-2, -2]
    gain, loss = against(results, "tad", "base", "fast"), against(results, "base", "tad", "fast")
    assert (
        gain is not None and loss is not None and gain.accuracy.mean.interval and loss.accuracy.mean.interval
    )
    assert loss.accuracy.mean.interval.low == -gain.accuracy.mean.interval.high
    assert against(results, "tad", "tad", "fast") is None


def test_what_is_told_apart() -> None:
    assert apart(Estimate(1, Interval(0, 2))) is False and apart(Estimate(1, Interval(0.1, 2))) is True
    assert apart(Estimate(-1, Interval(-2, -0.1))) is True and apart(Estimate(1, None)) is None


def test_what_is_drawn_by_hand(study: Study, results: StudyResults) -> None:
    assert seed_curves(results, "tad", "fast", "tokenwise") == [
        [(1.0, 75.0), (2.0, 75.0)],
        [(1.0, 80.0), (2.0, 85.0)],
    ]
    assert radar_shares(results, "base", ["tokenwise", "fast"])[0] == pytest.approx(100 * 50 / 77.5)
    assert radar_shares(results, "wide", ["fast"]) == [100.0]
    groups = Page(study, results, SUMMARY).groups()
    assert groups == {"Objectives": ["base", "tad", "wide"], "Windows": ["base", "tad", "wide"]}


def test_nothing_of_a_radar_is_cut_off(study: Study, results: StudyResults) -> None:
    shown = Page(study, results, SUMMARY).lineup._shown.values()
    lineup = Lineup([replace(one, label=f"{one.label}, window 20") for one in shown])
    axes = [(d, "Entropy, several blocks") for d in ("tokenwise", "fast")] * 3
    pixels = imread(io.BytesIO(radar(results, ["base", "tad", "wide"], axes, lineup)))
    edges = (pixels[:4], pixels[-4:], pixels[:, :4].swapaxes(0, 1), pixels[:, -4:].swapaxes(0, 1))
    assert all((edge == pixels[0, 0]).all() for edge in edges)


def test_the_files_are_whole_and_made_once(study: Study, store: Store, made: SimpleNamespace) -> None:
    with store.writer("filter", 1, "f" * 32, {}) as writer:
        writer.write_json("summary.json", SUMMARY)
        filtered = writer.commit({})
    concluded = conclude(
        study, Made(Trajectories(filtered, filtered, filtered), {}, made.cells(store)), store
    )
    told: list[Progress] = []
    page = report(study, concluded, filtered, store, on_progress=told.append)
    pictures = len(told) - 1
    assert pictures > 0 and (told[0].done, told[-1].done, told[-1].total) == (0, pictures, pictures)
    assert page.manifest == report(study, concluded, filtered, store, on_progress=told.append).manifest
    assert len(told) == pictures + 1, "what is there is not made"
    text = page.local("report.md").read_text()
    for name in re.findall(r"\]\((\w+\.png)\)", text):
        assert page.local(name).read_bytes().startswith(b"\x89PNG")
    assert re.findall(r"\]\((\w+)\.png\)", text) == ["curves", "radar", "kept"]
    assert "Published, not measured here" in text and "## Windows" in text
    html = page.local("report.html").read_text()
    assert html.count("data:image/png;base64,") == 6 and "http" not in re.sub(r"https?-equiv", "", html)
    assert read_results(page) == read_results(concluded)


def test_colours_in_one_picture_differ_however_many_models_there_are() -> None:
    table = {f"m{i}": {"objective": "random"} for i in range(12)}
    config = parse_config(
        {
            "name": "many", "model": {"path": "none"}, "models": table,
            "data": [{"name": "s", "source": "arithmetic", "count": 1}],
            "evaluate": {"tasks": [{"name": "s", "source": "arithmetic", "count": 1}]},
        }
    )  # fmt: skip
    drawn = ["base", "m1", "m5", "m9"]
    apart_now = Lineup.of(config).told_apart(drawn)
    looks = {name: next(s for s in apart_now.shown if s.name == name) for name in drawn}
    assert len({look.light for look in looks.values()}) == len({look.dark for look in looks.values()}) == 4
    assert apart_now.label("m5") == "m5"
