"""Everything that a run would refuse, told at once; sizes of the sources that are well."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from flows.cli import app
from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.errors import ConfigError, DataError, ModelError
from tad_core.models import float8
from tad_core.planning import count
from tad_core.planning.survey import survey
from tad_core.stages import room, status
from tad_core.stages.pipeline import STAGES, prepare
from tad_core.training import command
from tad_core.workers import devices

Tree = dict[str, Any]


@pytest.fixture
def tree(tiny_tree: Tree) -> Tree:
    return tiny_tree


def own(folder: Path, name: str, questions: list[str]) -> dict[str, Any]:
    file = folder / f"{name}.jsonl"
    rows = [{"question": question, "answer": "So the answer is \\boxed{5}"} for question in questions]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"name": name, "source": "jsonl", "options": {"path": str(file)}}


def test_one_bad_source_does_not_hide_another_nor_its_size(tree: Tree, tmp_path: Path) -> None:
    good = own(tmp_path, "good", [f"Ann has {n} apples." for n in range(7)])
    tree["data"] = [
        {"name": "gone", "source": "jsonl", "options": {"path": str(tmp_path / "gone.jsonl")}},
        good,
        {"name": "odd", "source": "jsonll"},
    ]
    tree["evaluate"]["tasks"] = [{**good, "name": "task"}, {**good, "name": "bad", "count": 8}]
    config, store = parse_config(tree), Store(tree["store"])
    found = survey(config, store)
    assert found.sizes == {"good": 7} and found.task_sizes == {"task": 7}
    told = [str(error) for error in found.refused]
    assert len(told) == 3, told
    assert "gone" in told[0] and "jsonll" in told[1]
    assert told[2].startswith("evaluate.tasks bad: it has 7 problems"), (
        "a source of data may have a task's name"
    )
    counts = count(config, store, found)
    assert counts.exit_code == 2 and counts.refused == told
    assert counts.problems == 7 + 2 * 10_000, "the others are assumed, and that is said"


def test_what_the_model_cannot_read_is_refused_and_below_the_limit_told(tree: Tree, tmp_path: Path) -> None:
    tree["data"] = [own(tmp_path, "own", ["The quick brown fox jumps over lazy dogs.", "Ann has 5 apples."])]
    tree["data"][0]["max_unknown"] = 0.1
    found = survey(parse_config(tree), Store(tree["store"]))
    (error,) = found.refused
    assert isinstance(error, DataError) and "max_unknown" in str(error) and "quick" in str(error)
    tree["data"][0]["max_unknown"] = 0.9
    found = survey(parse_config(tree), Store(tree["store"]))
    assert found.refused == [] and found.error() is None
    (entry,) = [entry for entry in found.unknown if entry.unknown]
    assert entry.source == "own" and entry.words[0] == "quick"
    told = count(parse_config(tree), Store(tree["store"]), found).notes
    assert any("of the tokens of own are unknown to the model" in note for note in told)


def test_more_right_rollouts_than_there_are_at_all_are_refused_before_any_is_made(tree: Tree) -> None:
    tree["rollout"] |= {"samples": 2, "min_kept": 2 * sum(source["count"] for source in tree["data"])}
    config, store = parse_config(tree), Store(tree["store"])
    assert survey(config, store).refused == []
    tree["rollout"]["min_kept"] += 1
    config = parse_config(tree)
    told = rf"rollout.min_kept: {config.rollout.min_kept} .* there are {config.rollout.min_kept - 1} in all .* lower"
    with pytest.raises(DataError, match=told):
        prepare(config, store, "filter")
    prepare(config, store, "collect")
    assert re.match(told, str(survey(config, store).error()))


def test_rules_that_give_speed_the_shorter_window_are_refused(tree: Tree) -> None:
    tree["calibrate"] = {"states": 4, "quality_threshold": 0.1}
    tree["evaluate"]["models"] = ["base", "quality", "speed"]
    config, store = parse_config(tree), Store(tree["store"])
    (error,) = survey(config, store).refused
    assert isinstance(error, ConfigError)
    assert str(error).startswith(
        "calibrate.speed_threshold: 0.2 is more than calibrate.quality_threshold 0.1: "
    )
    for change in ({"speed_threshold": 0.1}, {"speed_window": 4}):
        found = parse_config({**tree, "calibrate": {**tree["calibrate"], **change}})
        assert survey(found, store).refused == []
    tree["evaluate"]["models"] = ["base", "quality"]
    assert survey(parse_config(tree), store).refused == [], "nothing learns by the other rule"


@pytest.mark.parametrize("word", ["check", "plan", "run"])
def test_plan_and_check_end_as_run_would(word: str, tree: Tree, tmp_path: Path) -> None:
    tree["data"] = [{"name": "gone", "source": "jsonl", "options": {"path": str(tmp_path / "gone.jsonl")}}]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    done = CliRunner().invoke(app, [word, str(file)])
    assert done.exit_code == 2
    assert "is not a file" in " ".join(done.output.split())


def test_a_configuration_that_is_well_is_checked_without_a_trace(tree: Tree, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code == 0, done.output
    assert "tad run will begin" in done.output
    assert not list((tmp_path / "store").rglob("*.json")), "nothing was run"


def test_before_the_checkpoint_is_here_the_data_that_are_here_are_read(tree: Tree, tmp_path: Path) -> None:
    tree["model"] = {"path": "GSAI-ML/LLaDA-8B-Instruct", "revision": "0" * 40}
    tree["data"] = [
        own(tmp_path, "good", [f"Ann has {n} apples." for n in range(7)]),
        {"name": "far", "source": "gsm8k"},
    ]
    tree["evaluate"]["tasks"] = [{**tree["data"][0], "name": "task"}, {"name": "mbpp", "source": "benchmark"}]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    done = CliRunner().invoke(app, ["check", str(file)])
    told = " ".join(done.output.split())
    assert done.exit_code == 0 and "data good: 7 problems" in told and "evaluate task: 7 problems" in told
    assert "not looked at: GSAI-ML/LLaDA-8B-Instruct, data far, task mbpp" in told
    assert "will begin" not in told, "that is not known"

    tree["data"][0]["options"]["path"] = str(tmp_path / "gone.jsonl")
    file.write_text(yaml.safe_dump(tree))
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code == 2 and "gone.jsonl' is not a file" in " ".join(done.output.split())


def test_a_file_of_held_out_rows_is_here_too(tree: Tree, tmp_path: Path) -> None:
    tree["model"] = {"path": "GSAI-ML/LLaDA-8B-Instruct", "revision": "0" * 40}
    options = {"heldout_path": str(tmp_path / "gone.jsonl")}
    tree["evaluate"]["tasks"] = [{"name": "own", "source": "gsm8k", "split": "heldout", "options": options}]
    found = survey(parse_config(tree), Store(tree["store"]))
    assert "gone.jsonl' is not a file" in str(found.error()) and "task own" not in found.to_fetch


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_here_is_refused_before_any_work(
    device: str, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["GPU-0"] if device == "cuda:1" else [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1 if device == "cuda:1" else 0)
    tree["model"]["device"] = device
    config, store = parse_config(tree), Store(tree["store"])
    (refused,) = survey(config, store).refused
    assert re.match(
        rf"model\.device: {device} is not here \([01] GPUs are visible\); use auto or cpu", str(refused)
    )
    with pytest.raises(ConfigError, match=r"model\.device"):
        prepare(config, store, "collect")
    orchestrates = config.model_copy(
        update={"rollout": config.rollout.model_copy(update={"decode_here": False})}
    )
    prepare(orchestrates, store, "collect")


def test_a_device_that_torch_alone_knows_is_taken(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", list)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    tree["model"]["device"] = "cuda:1"
    prepare(parse_config(tree), Store(tree["store"]))


def test_a_run_that_is_done_needs_its_device_no_more(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", list)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    tree["model"]["device"] = "cuda"
    config, store = parse_config(tree), Store(tree["store"])
    seen = [status.StageStatus(stage, "x", "done") for stage in STAGES[:-1]]
    monkeypatch.setattr(
        status, "pipeline_status", lambda *_: [*seen, status.StageStatus("report", "x", "missing")]
    )
    prepare(config, store)


def test_a_model_that_4_bits_do_not_fit_is_refused_before_any_work(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_installed", lambda name: True)
    well = own(tmp_path, "good", [f"Ann has {n} apples." for n in range(7)])
    tree["data"], tree["evaluate"]["tasks"] = [well], [{**well, "name": "task"}]
    for quantize, told in (("none", 0), ("nf4", 1)):
        tree["distill"] = {**tree.get("distill", {}), "quantize": quantize}
        refused = survey(parse_config(tree), Store(tree["store"])).refused
        assert len(refused) == told, refused
    assert "distill.quantize: model.transformer.blocks.0.q_proj has rows of 32 weights" in str(refused[0])
    assert refused[0].exit_code == ModelError.exit_code


def with_a_table(tree: Tree, tmp_path: Path, quantize: str) -> Tree:
    """A model with a base of its own kind beside one on the base as it is."""
    well = own(tmp_path, "good", [f"Ann has {n} apples." for n in range(7)])
    tree["data"], tree["evaluate"]["tasks"] = [well], [{**well, "name": "task"}]
    tree["models"] = {
        "quality": {},
        "small": {"objective": "tad", "window": 4, "settings": {"quantize": quantize}},
    }
    return tree


def test_what_a_model_of_the_table_asks_for_its_base_is_looked_at_too(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_installed", lambda name: False)
    config = parse_config(with_a_table(tree, tmp_path, "nf4"))
    missing, unfit = survey(config, Store(tree["store"])).refused
    assert str(missing).startswith("models.small.settings.quantize: nf4 needs bitsandbytes")
    assert str(unfit).startswith(
        "models.small.settings.quantize: model.transformer.blocks.0.q_proj has rows of 32"
    )
    tree["evaluate"]["models"] = ["base", "quality"]
    assert survey(parse_config(tree), Store(tree["store"])).refused == [], "nobody trains it"


def test_a_gpu_without_8_bit_floats_is_refused_unless_their_model_is_trained(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def refuse(device: str, field: str) -> None:
        asked.append((device, field))
        raise ModelError(f"{field}: an old GPU")

    monkeypatch.setattr(float8, "check_gpu", refuse)
    config = parse_config(with_a_table(tree, tmp_path, "fp8"))
    (error,) = survey(config, Store(tree["store"])).refused
    assert str(error) == "models.small.settings.quantize: an old GPU"
    assert asked == [("cpu", "models.small.settings.quantize")]
    trained = room.There(adapters=frozenset({"small"}))
    monkeypatch.setattr(room, "what_is_there", lambda config, store: trained)
    assert survey(config, Store(tree["store"])).refused == []
    tree["model"] |= {
        "path": "GSAI-ML/LLaDA-8B-Instruct",
        "revision": "0" * 40,
    }  # which is fetched for nothing
    (error,) = survey(parse_config(tree), Store(tree["store"])).refused
    assert str(error) == "models.small.settings.quantize: an old GPU"
