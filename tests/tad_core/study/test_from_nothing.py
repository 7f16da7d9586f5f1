"""A tiny matrix from its file to its numbers, killed in the middle and begun again; minutes on two cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.artifacts import Store
from tad_core.stages.pipeline import run_pipeline
from tad_core.study.__main__ import main
from tad_core.study.config import load_study
from tad_core.study.stage import conclude, look, read_results
from tad_core.training.command import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
SUMS = {"name": "sums", "source": "arithmetic", "options": {"min_steps": 1, "max_steps": 2}}


@pytest.fixture
def file(tiny_tree: dict[str, Any], tmp_path: Path) -> Path:
    """On the shipped model, so that some trajectories are right and kept."""
    tree = {
        **tiny_tree,
        "model": {"path": str(ROOT / "assets" / "tiny-llada"), "device": "cpu"},
        "data": [{**SUMS, "count": 6}],
        "rollout": {"response_length": 64, "block_length": 16, "shard_size": 3},
        "distill": {**tiny_tree["distill"], "save_steps": 2},
        "evaluate": {
            **tiny_tree["evaluate"],
            "tasks": [{**SUMS, "split": "heldout", "count": 4}],
            "decode": {"block_length": 16, "block_add_threshold": 1.0},
        },
    }
    study = {
        "name": "tiny-study",
        "config": "run.yaml",
        "states": 60,
        "seeds": [0, 1],
        "side_by_side": 2,
        "variants": {"tad": {"window": 8}, "short": {"window": 4}, "sft": {"objective": "sft"}},
        "decoders": {
            "tokenwise": {"method": "token_by_token"},
            "fast": {"thresholds": [0.1, 0.5], "operating": 0.5},
            "cached": {"method": "confidence", "thresholds": [0.7], "cache": {"mode": "dual"}},
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return tmp_path / "study.yaml"


def manifests(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.glob("*/*/manifest.json")}


@pytest.mark.slow
def test_a_killed_study_goes_on_and_does_nothing_twice(file: Path) -> None:
    command = [sys.executable, "-m", "tad_core.study", str(file)]
    store = file.parent / "store"
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    until(lambda: len(list(store.glob("measure/*/manifest.json"))) >= 4 or killed.poll() is not None, "cells")
    assert killed.poll() is None, "it was to be killed before its end"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = manifests(store)
    assert not any(path.parts[-3] == "study" for path in before)

    assert main([str(file)]) == 0
    after = manifests(store)
    assert {path: after[path] for path in before} == before, "what was finished is not made again"
    stages = [path.parts[-3] for path in after]
    # The base once, three variants with two seeds; three decoders each.
    assert (stages.count("distill"), stages.count("measure"), stages.count("study")) == (6, 21, 1)

    assert main([str(file)]) == 0 and manifests(store) == after
    study = load_study(file)
    results = read_results(conclude(study, look(study, Store(study.run.store)), Store(study.run.store)))
    assert results.variants == ["base", "tad", "short", "sft"] and results.left_out == []
    assert len(results.points) == 7 * 4 and len(results.curves) == 4 * 3
    assert all(p.tpf == 1 for p in results.points if p.decoder == "tokenwise")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_study_with_a_round_goes_on_and_makes_what_a_run_makes(file: Path) -> None:
    study = yaml.safe_load(file.read_text())
    study |= {
        "states": 8,
        "side_by_side": 4,  # two for each seed, so that two processes roll out a round
        "variants": {"tad": {"window": 8}, "again": {"window": "quality", "round": "tad"}},
        "decoders": {"tokenwise": {"method": "token_by_token"}, "fast": {"thresholds": [0.5]}},
    }
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    store = file.parent / "store"
    command = [sys.executable, "-m", "tad_core.study", str(file)]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)

    def in_a_round() -> bool:
        """Some shard of a second collection is there."""
        begun = {path.parent for path in store.glob("collect/*/privileged-*.json")}
        return len(begun) > 1 or killed.poll() is not None

    until(in_a_round, "a round")
    assert killed.poll() is None, "it was to be killed before its end"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = pieces(store)

    assert main([str(file)]) == 0
    after = pieces(store)
    assert {path: after[path] for path in before} == before, "what was finished is not made again"
    stages = [path.parts[-3] for path in after if path.name == "manifest.json"]
    counts = {stage: stages.count(stage) for stage in ("merge", "collect", "filter", "calibrate", "distill")}
    assert counts == {"merge": 2, "collect": 3, "filter": 3, "calibrate": 3, "distill": 4}
    assert stages.count("measure") == 2 * (1 + 4)

    loaded = load_study(file)
    found = look(loaded, Store(loaded.run.store))
    assert set(found.rounds) == {("tad", 0), ("tad", 1)}
    results = read_results(conclude(loaded, found, Store(loaded.run.store)))
    assert results.variants == ["base", "tad", "again"] and [c.round_of for c in results.costs] == [
        None,
        "tad",
    ]
    text = next(store.glob("study-report/*/report.md")).read_text()
    assert "again goes on from tad" in text and "## What each variant took" in text

    run = run_pipeline(loaded.seeded(1), Store(loaded.run.store), until="distill")
    assert run.rounds == {"tad": found.rounds["tad", 1]}
    assert run.distilled == {name: found.adapters[name, 1] for name in ("tad", "again")}
    assert pieces(store) == after, "a run with this seed makes nothing of its own"


def pieces(store: Path) -> dict[Path, int]:
    """Every finished piece and when it was written."""
    made = [
        path for stage in _STAGES for path in store.glob(f"{stage}/*/*.json") if path.name not in _CONTENT
    ]
    return {path: path.stat().st_mtime_ns for path in made}


_STAGES = ("collect", "filter", "calibrate", "merge", "distill", "decode", "measure")
#: files of an artifact that are no manifests
_CONTENT = {"summary.json", "curve.json", "points.json"}


def test_a_remote_store_that_does_not_answer_is_one_line(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/store"  # nobody listens
    assert main([str(file), "--store", url, "--only-results"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: store: {url}") and told.count("\n") == 1


@pytest.mark.slow
def test_it_needs_no_prefect_and_no_lm_eval(file: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('prefect', 'lm_eval', 'math_verify', 'datasets')));"
        "from tad_core.study.__main__ import main; sys.exit(main())"
    )
    settings = ["--set", "seeds=[0]", "--set", "states=8"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), *settings],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "results: " in done.stdout


def test_wrong_input_is_told_without_pointing_at_results_that_there_are_not(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file), "--set", "sedes=[0]"]) == 2
    assert main([str(file), "--only-results"]) != 0
    told = capsys.readouterr().err
    assert "sedes: unknown key" in told and "run the study first" in told and "--only-results" not in told
