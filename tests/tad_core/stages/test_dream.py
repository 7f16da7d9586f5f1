"""Dream through every stage, and out into the world: from problems to an exported folder."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import ModelConfig, SourceConfig, TADConfig, parse_config
from tad_core.data.sources import load_source
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.decoder_file import read_decoder
from tad_core.errors import ArtifactError, ConfigError
from tad_core.evaluation.decoders import operating_spec
from tad_core.models import DreamModel
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.models.lora import base_of, load_adapter
from tad_core.serving.served import Served, Source, Wish
from tad_core.serving.sources import Hardware, sources_of
from tad_core.serving.watch import frames
from tad_core.stages.collect import collect_shard, finish_collection, plan_collection
from tad_core.stages.export import export
from tad_core.stages.pipeline import Outcome, run_pipeline
from tad_core.trajectory.shards import read_trajectories
from tad_core.verify import extract_answer

pytestmark = pytest.mark.usefixtures("forked")


def tree(checkpoint: Path, problems: Path) -> dict[str, Any]:
    options = {"path": str(problems), "question": "question", "reference": "reference", "answer": "answer"}
    source = {"name": "said", "source": "jsonl", "count": 4, "options": options}
    return {
        "name": "tiny-dream",
        "model": {"path": str(checkpoint), "device": "cpu", "threads": 1},
        "data": [source],
        "rollout": {"response_length": 16, "block_length": 8, "shard_size": 4, "temperature_math": 0.0},
        "filter": {"workers": 1},
        "calibrate": {"states": 8, "quality_window": 4, "speed_window": 8},
        "distill": {
            "states_per_trajectory": 4, "max_steps": 2, "global_batch_size": 4, "micro_batch_size": 2,
            "learning_rate": 1.0e-2, "bf16": False, "lora": {"rank": 2, "alpha": 2, "dropout": 0.0},
        },
        "evaluate": {
            "tasks": [{**source, "count": 2}], "models": ["base", "quality"], "thresholds": [0.5],
            "decode": {"block_length": 8}, "bootstrap": 10, "harness": "direct", "workers": 2,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def config(tiny_dream_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> TADConfig:
    """Four problems whose answers are what the random Dream says, so that something is kept."""
    folder = tmp_path_factory.mktemp("dream")
    file = folder / "problems.jsonl"
    source = SourceConfig(name="x", source="arithmetic", count=4, options={"min_steps": 1, "max_steps": 1})
    rows = [{"question": p.question, "reference": p.reference, "answer": "0"} for p in load_source(source)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    config = parse_config(tree(tiny_dream_checkpoint, file))
    first = collected(config, Store(folder / "first"))
    shard = first.manifest.info["shards"][0]["name"]
    for row, trajectory in zip(rows, read_trajectories(first.local(f"{shard}.parquet")), strict=True):
        row["answer"] = extract_answer(trajectory.text, config.filter.extract) or "0"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return config


def collected(config: TADConfig, store: Store) -> ArtifactRef:
    """The collection, decoded in this process: one that starts costs seconds."""
    plan = plan_collection(config)
    loaded = (load_model(config.model), load_tokenizer(config.model))
    refs = [collect_shard(config, plan, shard.index, store, loaded=loaded) for shard in plan.shards]
    return finish_collection(config, plan, refs, store)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def outcome(config: TADConfig, store: Store) -> Outcome:
    collected(config, store)
    return run_pipeline(config, store, until="evaluate")  # goes on with the collection it finds


def test_every_stage_runs_on_dream(outcome: Outcome, config: TADConfig) -> None:
    assert outcome.filtered is not None and outcome.filtered.read_json("summary.json")["kept"] >= 1
    losses = [
        json.loads(line)
        for line in outcome.distilled["quality"].local("losses.jsonl").read_text().splitlines()
    ]
    assert len(losses) == 2 and all(step["loss"] > 0 and step["near_count"] > 0 for step in losses)
    for name in ("base", "quality"):
        points = outcome.evaluated[name].manifest.info["points"]
        assert [p["method"] for p in points] == ["token_by_token", "entropy"]
        assert points[0]["tpf"] == pytest.approx(1.0)
    adapter = load_adapter(load_model(config.model), outcome.distilled["quality"].local_folder("adapter"))
    assert any(p.abs().max() > 0 for n, p in adapter.named_parameters() if "lora_B" in n)


def test_what_it_distilled_is_exported_and_decodes_the_same(
    outcome: Outcome, config: TADConfig, store: Store, tmp_path: Path
) -> None:
    out = export(config, "quality", tmp_path / "merged", store)
    exported = load_model(ModelConfig(path=str(out), device="cpu"))
    assert isinstance(exported, DreamModel)
    adapter = outcome.distilled["quality"].local_folder("adapter")
    together = base_of(load_adapter(load_model(config.model), adapter))
    prompts, spec = [[2, 9, 30, 31], [2, 40]], DecodeSpec(16, 8, "entropy", 0.5, 0.1)
    found, wanted = decode(exported, prompts, spec), decode(together, prompts, spec)
    assert [replace(d, wall_s=0) for d in found] == [replace(d, wall_s=0) for d in wanted]
    ids = torch.tensor([prompts[0]])
    with torch.no_grad():
        torch.testing.assert_close(exported(ids), together(ids), atol=1e-5, rtol=1e-5)

    card = (out / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["license"] == "unknown"
    assert "4 steps (fixed)" in card and "jsonl, train, 4 problems" in card
    measured = {p["method"]: p for p in outcome.evaluated["quality"].manifest.info["points"]}["entropy"]
    assert f"| said | entropy 0.5 | 2 | {measured['accuracy']:.1f} | {measured['tpf']:.2f} |" in card

    if find_spec("gguf"):
        file = export(config, "quality", tmp_path / "gguf", store, dtype="float16", form="gguf")
        assert {path.name for path in file.iterdir()} == {
            f"{config.name}-quality-F16.gguf", "README.md", "decoder.yaml",
        }  # fmt: skip
        told = (file / "README.md").read_text()
        assert "library_name: gguf" in told and "llama.cpp reads the file (architecture `dream`)" in told

    alone = export(config, "quality", tmp_path / "adapter", store, adapter_only=True)
    assert decode(base_of(load_adapter(load_model(config.model), alone)), prompts, spec) == wanted
    assert read_decoder(out) == read_decoder(alone) == operating_spec(config, "quality")
    assert yaml.safe_load((out / "decoder.yaml").read_text())["mask_id"] == exported.mask_token_id


def test_what_it_distilled_is_served_by_name(
    outcome: Outcome, config: TADConfig, store: Store, tmp_path: Path
) -> None:
    here = config.model_copy(update={"store": str(store.root)})
    base, quality = sources_of(["run.yaml"], Hardware(), lambda path: here)
    assert (base.name, quality.name) == ("base", "quality")
    assert quality.adapter == outcome.distilled["quality"].local_folder("adapter")
    wish = Wish([[2, 9, 30, 31]], quality.defaults(), 16, 1, 0.0, None, [])
    exported = Source("exported", ModelConfig(path=str(export(config, "quality", tmp_path / "out", store))))
    shown = [list(frames(Served.load(source), wish))[-1] for source in (quality, exported)]
    assert exported.defaults() == quality.defaults() == operating_spec(config, "quality")
    assert shown[0].tokens == shown[1].tokens and shown[0].forwards == shown[1].forwards


def test_what_was_not_distilled_is_not_exported(
    outcome: Outcome, config: TADConfig, store: Store, tmp_path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        ArtifactError,
        match=r"model speed: this run has no finished distill .* add it there, then `tad distill`",
    ):
        export(config, "speed", out, store)
    with pytest.raises(ArtifactError, match="no finished collect"):
        export(config, "quality", out, Store(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"--model: 'base' is not a distilled model; use one of quality$"):
        export(config, "base", out, store)
    with pytest.raises(ConfigError, match="--dtype: 'int8' is not accepted"):
        export(config, "quality", out, store, dtype="int8")
    with pytest.raises(ConfigError, match="--format: 'ggml' is not accepted; use one of safetensors, gguf"):
        export(config, "quality", out, store, form="ggml")
    with pytest.raises(ConfigError, match="--quantize: 'int2' is not accepted; use one of none, int8, int4"):
        export(config, "quality", out, store, form="gguf", quantize="int2")
    with pytest.raises(ConfigError, match="--quantize: int8 is a gguf's; add --format gguf"):
        export(config, "quality", out, store, quantize="int8")
    with pytest.raises(ConfigError, match="--format: gguf holds the merged model"):
        export(config, "quality", out, store, adapter_only=True, form="gguf")
    assert not out.exists()


def test_the_command_says_where_it_wrote_and_refuses_what_cannot_work(
    outcome: Outcome, config: TADConfig, store: Store, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from flows.cli import app

    file, out = tmp_path / "config.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))

    def call(*words: str) -> tuple[int, str]:
        command = ["export", str(file), "--store", str(store.root), "--out", str(out), *words]
        result = CliRunner().invoke(app, command)
        return result.exit_code, result.output

    assert call("--model", "speed")[0] == 2
    code, output = call("--model", "quality", "--push-to-hub", "me/model")
    assert code == 2 and "HF_HUB_OFFLINE is set" in output and not out.exists()
    code, output = call("--model", "quality", "--dtype", "bfloat16")
    assert code == 0 and f"quality: {out}" in output
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    code, output = call("--model", "quality")
    assert code == 2 and f"--out: {out} has something in it" in output
