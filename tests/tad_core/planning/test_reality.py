"""What a plan counts is what a small run on a CPU then writes: samples, shards, states, answers, forwards, bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, decoder_of, load_config
from tad_core.planning import count
from tad_core.planning.estimate import disk_gib
from tad_core.planning.stages import response_forwards
from tad_core.planning.survey import survey
from tad_core.shapes import GIB, shape_of
from tad_core.stages.pipeline import run_pipeline

LENGTH, BLOCK = 64, 16
#: references; rollouts of both kinds, those that passed and any; two inputs a state; decoders of uneven forwards
MODELS = {
    "right": "{objective: random, decode: {method: low_confidence, thresholds: [3, 16], operating: 3}}",
    "any": "{objective: dparallel, settings: {answers: any, mask_block: 16}}",
    "plain": "{objective: random, settings: {trajectories: plain}, decode: "
    "{method: fixed_budget, thresholds: [6, 64], operating: 6}}",
    "sft": "{objective: sft}",
}


def small(store: Path) -> TADConfig:
    """The demo's model on a dozen problems, a part of an epoch each."""
    names = [f"models.{name}={text}" for name, text in MODELS.items()]
    return load_config("configs/demo.yaml", [
        f"store={store}", "data.0.count=9", "data.1.count=3", "rollout.compare_plain=6", "rollout.shard_size=5",
        "calibrate.states=8", "calibrate.quality_window=4", "calibrate.speed_window=8", "distill.max_steps=",
        "distill.states_per_trajectory=50", "distill.epochs=0.3", "distill.filled_states=all",
        "evaluate.tasks.0.count=3", "evaluate.tasks.1.count=2", "evaluate.thresholds=[0.5]", "evaluate.harness=direct",
        "evaluate.slice_size=2", "evaluate.decode.early_stop=false", f"evaluate.models=[base,{','.join(MODELS)}]",
        "models.quality=", "models.speed=", *names,
    ])  # fmt: skip


def answers(ref: ArtifactRef) -> list[dict[str, Any]]:
    """Rows of an evaluation."""
    return list(pq.read_table(ref.local("results.parquet")).to_pylist())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_plan_counts_what_a_run_writes(tmp_path: Path) -> None:
    config = small(tmp_path / "store")
    store = Store(config.store)
    before = count(config, store, survey(config, store))
    done = run_pipeline(config, store, until="evaluate")
    after = count(config, store, survey(config, store))
    info = done.collection.manifest.info
    assert (before.problems, before.samples, before.shards) == (
        info["problems"], info["trajectories"], len(info["shards"]),
    )  # fmt: skip
    assert done.filtered is not None and after.kept == done.filtered.manifest.info["kept"] < before.kept

    batch = config.distill.global_batch_size
    planned = {name: after.by_model.get(name, after.states) for name in MODELS}
    trained = {name: ref.read_json("summary.json") for name, ref in done.distilled.items()}
    assert planned == {name: summary["states"] for name, summary in trained.items()}
    assert trained["any"]["rows"] > trained["right"]["rows"] and trained["sft"]["rows"] == before.problems
    assert all(summary["steps"] * batch == summary["states"] for summary in trained.values())

    for name, ref in done.evaluated.items():
        decoder, rows = decoder_of(config, name), answers(ref)
        assert len(rows) == before.prompts * (1 + len(decoder.thresholds))
        for row in rows:
            told = (
                LENGTH
                if row["method"] == "token_by_token"
                else response_forwards(decoder, row["threshold"], LENGTH, -1)
            )
            assert row["forwards"] == told or told < 0, (name, row["method"], row["threshold"])

    # Disk is the one figure that is a bound: texts and prompts are not written before, and checkpoints go.
    disk = disk_gib(config, shape_of(config.model)[0], before)
    written = sum(file.stat().st_size for file in Path(config.store).rglob("*") if file.is_file())
    assert 0 < written / GIB < disk
