"""The stage: what it writes, when it does not write again, and what it prints."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tad_core.artifacts import ArtifactRef
from tad_core.errors import DataError
from tad_core.progress import Progress
from tad_core.report.console import print_report, read_scores
from tad_core.stages import report as stage

PNGS = ["calibration.png", "curves.png", "kept.png", "losses.png", "trajectory.png"]


@pytest.fixture(scope="module")
def written(hand_made: Any) -> ArtifactRef:
    return stage.report(hand_made.config, hand_made.made, hand_made.store)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures cost a second each; where they do not matter they are four bytes."""
    monkeypatch.setattr(stage, "draw", lambda name, material, theme: b"\x89PNG")


def test_files(written: ArtifactRef) -> None:
    assert sorted(written.manifest.files) == sorted(
        ["config.yaml", "report.html", "report.md", "scores.json", *PNGS]
    )
    for name in PNGS:
        assert written.local(name).read_bytes().startswith(b"\x89PNG")


def test_scores_hold_every_number_of_the_table(written: ArtifactRef) -> None:
    scores = read_scores(written)
    content = json.loads(written.local("scores.json").read_text())
    text = written.local("report.md").read_text()

    row = next(line for line in text.splitlines() if line.startswith("|  | Quality"))
    shown = [float(n) for n in re.findall(r"[\d.]+", row)]
    score = scores.tasks[0].of("quality")
    assert score is not None
    assert score.aup_interval is not None
    point = score.at(scores.operating)
    assert point is not None
    assert score.token_by_token is not None
    numbers = [score.token_by_token.accuracy, point.accuracy, point.tpf, point.tpf_text, point.tokens_per_s]
    numbers += [score.aup, score.aup_interval.low, score.aup_interval.high]
    assert shown == [pytest.approx(n, abs=0.051) for n in numbers]
    assert {f["kind"] for f in content["findings"]} == {"result", "fact", "caution"}


def test_markdown_refers_to_pictures_that_exist(written: ArtifactRef) -> None:
    text = written.local("report.md").read_text()
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)

    assert sorted(pictures) == PNGS
    assert "# hand-made" in text
    assert "```yaml\nname: hand-made" in text
    assert "the configured cap and not a measurement" in text


def test_a_finished_report_is_not_made_again(hand_made: Any, written: ArtifactRef) -> None:
    before = written.local("report.md").stat().st_mtime_ns
    again = stage.report(hand_made.config, hand_made.made, hand_made.store)

    assert again == written
    assert written.local("report.md").stat().st_mtime_ns == before


def test_a_forced_report_is_byte_equal(tmp_path: Path, fake: SimpleNamespace, undrawn: None) -> None:
    run = fake.run(tmp_path)
    first = stage.report(run.config, run.made, run.store)
    forced = stage.report(run.config, run.made, run.store, force=True)

    assert forced.digest == first.digest


def test_where_it_ran_does_not_show(tmp_path: Path, fake: SimpleNamespace, undrawn: None) -> None:
    run = fake.run(tmp_path)
    moved = run.config.model_copy(update={"store": str(tmp_path / "elsewhere")})

    first = stage.report(run.config, run.made, run.store)
    again = stage.report(moved, run.made, run.store, force=True)

    assert again.digest == first.digest
    assert str(tmp_path) not in first.local("report.html").read_text()


def test_key_knows_inputs_and_settings(hand_made: Any, fake: SimpleNamespace) -> None:
    base = stage.key(hand_made.config, hand_made.made)
    other = fake.config(aup_alpha=2.0)
    fewer = replace(hand_made.made, evaluated={"base": hand_made.evaluated["base"]})

    assert stage.key(other, hand_made.made) != base
    assert stage.key(hand_made.config, fewer) != base
    assert stage.key(hand_made.config, hand_made.made) == base


def test_base_alone_without_windows(tmp_path: Path, fake: SimpleNamespace, undrawn: None) -> None:
    run = fake.run(tmp_path, curves={"base": {("token_by_token", 0.0): (6, 8), ("entropy", 0.5): (2, 2)}})

    ref = stage.report(run.config, replace(run.made, windows=None, distilled={}), run.store)

    assert sorted(f for f in ref.manifest.files if f.endswith(".png")) == [
        "curves.png",
        "kept.png",
        "trajectory.png",
    ]
    assert "nothing here to compare it with" in ref.local("report.md").read_text()


def test_wrong_answers_are_listed_with_their_reasons(written: ArtifactRef) -> None:
    text = written.local("report.md").read_text()
    head, _, rest = text.partition("Wrong answers at 0.5, the first of each kind")
    assert head and rest
    rows = [line for line in rest.splitlines() if "| different |" in line]
    assert len(rows) == 3 * 2, "two of each model"
    assert any("sums/2 " in row and "Base" in row for row in rows), "the first that is wrong"


def test_words_that_the_model_does_not_know_are_a_caution(
    tmp_path: Path, fake: SimpleNamespace, undrawn: None
) -> None:
    run = fake.run(tmp_path)
    entries = [
        {"source": "sums", "tokens": 100, "unknown": 20, "words": ["zebra"]},
        {"source": "few", "tokens": 10_000, "unknown": 1, "words": ["gnu"]},
    ]
    with run.store.writer("collect", 1, "c" * 32, {}) as writer:
        writer.write_text("problems.jsonl", "")
        run.collection = writer.commit({"shards": [], "unknown": entries})
    text = stage.report(run.config, run.made, run.store).local("report.md").read_text()
    assert "20.0% of the tokens of sums are unknown to the model (zebra)" in text and "gnu" not in text


def test_hostile_names_reach_no_markup(tmp_path: Path, fake: SimpleNamespace, undrawn: None) -> None:
    summary = fake.summary()
    summary["by_source"][0]["source"] = "](http://evil) <script>"
    example = {**fake.example("base"), "prompt": "![x](http://evil/x.png)\n# <script>"}
    run = fake.run(tmp_path, summary=summary, example=lambda model: example)

    text = stage.report(run.config, run.made, run.store).local("report.md").read_text()

    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(http", text)


def test_models_of_different_problems_are_refused(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.run(tmp_path)
    other = fake.run(tmp_path / "other", curves={"quality": fake.curves["quality"]})
    records = other.evaluated["quality"].local("results.parquet")
    from tad_core.evaluation.records import read_records, write_records

    with other.store.writer("evaluate", 1, "0" * 32, {}) as writer:
        write_records(writer.path("results.parquet"), read_records(records)[1:])
        writer.write_json("example.json", fake.example("quality"))
        changed = writer.commit()

    with pytest.raises(DataError, match="other problems"):
        stage.report(
            run.config, replace(run.made, evaluated={**run.evaluated, "quality": changed}), run.store
        )


def test_only_one_problem_is_pictured(tmp_path: Path, fake: SimpleNamespace) -> None:
    def example(model: str) -> dict[str, Any]:
        return {**fake.example(model), "problem_id": f"sums/{model == 'speed'}"}

    run = fake.run(tmp_path, example=example)
    material = stage.gather(run.config, run.made)

    assert [(d.model, d.how) for d in material.decodings] == [
        ("base", "token by token"),
        ("base", "threshold 0.5"),
        ("quality", "threshold 0.5"),
    ]


def test_timings_add_up_what_the_stages_tell(hand_made: Any) -> None:
    timings = dict(stage.gather(hand_made.config, hand_made.made).timings)

    assert timings["filter"] == 1.5
    assert timings["distil Quality"] == 10.0
    assert timings["evaluate Quality"] == pytest.approx(20 * 0.01 * (8 + 4 + 2))


def test_progress_ends_complete(hand_made: Any, fake: SimpleNamespace, undrawn: None) -> None:
    seen: list[Progress] = []

    stage.report(fake.config(aup_alpha=1.0), hand_made.made, hand_made.store, seen.append)

    assert (seen[-1].done, seen[-1].total) == (5, 5)


def test_the_terminal_shows_table_sentences_and_the_way_to_the_page(written: ArtifactRef) -> None:
    out = io.StringIO()

    print_report(written, Console(file=out, width=80))

    text = out.getvalue()
    assert re.search(r"Quality +80\.0 +75\.0 +4\.00 +3\.00 +400 +302\.2 \[", text)
    assert "! The student's confidence does not fall below 0.2" in text
    assert f"{written.url}/report.html" in text
