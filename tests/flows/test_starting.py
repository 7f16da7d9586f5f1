"""`tad init`: what it writes runs as it is, and nothing that is there is written over."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from tad_core.artifacts import Store
from tad_core.config import ModelConfig, SourceConfig, load_config
from tad_core.data.sources import load_source
from tad_core.data.unknown import count_unknown
from tad_core.planning.survey import survey
from tad_core.workers import devices

ROOT = Path(__file__).resolve().parents[2]
ASSETS, CONFIGS = ROOT / "assets" / "tiny-llada", ROOT / "configs"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["init", *map(str, words)])
    return done.exit_code, " ".join(done.output.split())


def test_what_it_writes_is_accepted_with_math_and_code_and_a_share_held_out(here: Path) -> None:
    code, output = call("my-data")
    assert code == 0 and "tad run my-data/config.yaml" in output
    config = load_config("my-data/config.yaml")
    assert config.name == "my-data"
    found = survey(config, Store(config.store))
    assert found.refused == [] and found.unknown == []
    assert set(found.sizes) == set(found.task_sizes) == {"math", "code"}
    rows = {
        name: [json.loads(line) for line in Path("my-data", f"{name}.jsonl").read_text().splitlines()]
        for name in ("math", "code")
    }
    for name, lines in rows.items():
        assert found.sizes[name] + found.task_sizes[name] == len(lines)
        assert found.sizes[name] >= 6 and found.task_sizes[name] >= 2
    assert isinstance(rows["code"][0]["tests"], list)


def test_it_may_be_written_elsewhere(here: Path) -> None:
    target = here / "deeper" / "other"
    assert call(target)[0] == 0
    os.chdir("/")
    assert load_config(target / "config.yaml").store == str(target / "runs"), (
        "one store, wherever it is typed"
    )
    found = survey(
        config := load_config(target / "config.yaml", [f"store={here / 'store'}"]), Store(config.store)
    )
    assert found.refused == []


@pytest.mark.parametrize(("name", "told"), [("My Data", "lower-case"), ("full", "not an empty folder")])
def test_a_name_that_cannot_be_taken_is_told(name: str, told: str, here: Path) -> None:
    (here / "full").mkdir()
    (here / "full" / "mine.txt").write_text("mine")
    code, output = call(name)
    assert code == 2 and told in output
    assert [f.name for f in here.rglob("*") if f.is_file()] == ["mine.txt"]


def test_the_lines_in_the_docs_are_problems_in_words_that_the_small_base_knows(here: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    lines = page.partition("```json\n")[2].partition("```\n\n```yaml\n")
    rows, sources = lines[0].splitlines(), yaml.safe_load(lines[2].partition("```")[0])
    for row, source in zip(rows, sources, strict=True):
        Path(source["options"]["path"]).write_text(row + "\n")
        (problem,) = load_source(SourceConfig.model_validate(source))
        assert problem.kind == source["name"]
        assert count_unknown(ModelConfig(path=str(ASSETS)), [problem]) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs_to_the_report_and_keeps_trajectories_of_both_kinds(here: Path) -> None:
    from tad_core.stages.filter import read_summary
    from tad_core.stages.pipeline import run_pipeline

    call("my-data")
    config = load_config("my-data/config.yaml")
    outcome = run_pipeline(config, Store(config.store))
    assert outcome.report is not None and outcome.filtered is not None
    summary = read_summary(outcome.filtered)
    assert {e["source"] for e in summary["by_source"] if e["kept"]} == {"math", "code"}


@pytest.mark.parametrize("gpus", [(), ("GPU-1",), ("GPU-1", "GPU-2", "GPU-3")])
def test_first_runs_are_not_refused_for_the_gpus_that_a_machine_has(
    gpus: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setattr(devices, "_gpu_ids", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    call("own")
    for file in (CONFIGS / "demo.yaml", CONFIGS / "tiny-llada.yaml", "own/config.yaml"):
        config = load_config(file)
        assert devices.workers_of(config) == (len(gpus) or devices.cpu_workers(config.model))
        assert devices.gpus_for_evaluation(config.model.device, config.evaluate.workers) == len(gpus)
