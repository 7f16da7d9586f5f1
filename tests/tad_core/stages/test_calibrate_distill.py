"""Calibrate and distil on a real small collection: artifacts, fingerprints, the child process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tad_core.artifacts import Store, components, fingerprint
from tad_core.calibration import Curve
from tad_core.config import TADConfig, parse_config
from tad_core.errors import ConfigError, SubprocessError
from tad_core.models.loading import load_model
from tad_core.models.lora import load_adapter
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages.calibrate import MODES, calibrate, read_curve
from tad_core.stages.distill import distill, distill_together, parse_step, spec_of
from tad_core.stages.variants import passes
from tad_core.trajectory.shards import read_trajectories, write_verdicts


@pytest.fixture(scope="module")
def config(tiny_checkpoint):
    """Enough problems that something is trained on."""
    return parse_config({
        "name": "tiny",
        "model": {"path": str(tiny_checkpoint), "device": "cpu", "threads": 1},
        "data": [{"name": "sums", "source": "arithmetic", "count": 4, "options": {"min_steps": 1, "max_steps": 2}}],
        "rollout": {"response_length": 48, "block_length": 16, "shard_size": 3, "compare_plain": 2},
        "calibrate": {"states": 12},
        "distill": {
            "states_per_trajectory": 4, "max_steps": 4, "log_steps": 1, "global_batch_size": 4,
            "micro_batch_size": 2, "learning_rate": 1e-3, "lora": {"rank": 2, "alpha": 2},
        },
        "evaluate": {"tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 3}],
                     "thresholds": [0.5], "decode": {"block_length": 16}},
    })  # fmt: skip


@pytest.fixture(scope="module")
def made(config, tmp_path_factory, forked_decoders):
    """A collection, and verdicts by which all but one trajectory passed (a random model is never right)."""
    store = Store(tmp_path_factory.mktemp("store"))
    collection = collect_stage.collect(config, store)
    with store.writer("filter", 1, "f" * 32, {}, [collection]) as writer:
        for shard in collection.manifest.info["shards"]:
            rows = read_trajectories(collection.local(f"{shard['name']}.parquet"))
            verdicts = [
                {
                    **{n: getattr(row, n) for n in ("problem_id", "source", "sample", "condition")},
                    "verdict": "different" if i == 1 else "passed", "reason": "", "extracted": "",
                }
                for i, row in enumerate(rows)
            ]  # fmt: skip
            name = f"{shard['name']}.verdicts.parquet"
            write_verdicts(writer.path(name, rows=len(rows)), verdicts)
        filtered = writer.commit({})
    return store, collection, filtered


@pytest.fixture(scope="module")
def windows(config, made):
    store, collection, filtered = made
    return calibrate(config, collection, filtered, store)


@pytest.mark.parametrize("stage", ["collect", "calibrate"])
def test_the_next_run_of_a_process_has_the_threads_that_this_one_found(stage, config, made, tmp_path):
    _, collection, filtered = made
    torch.set_num_threads(2)
    if stage == "collect":
        plan = collect_stage.plan_collection(config)
        collect_stage.collect_shard(config, plan, 0, Store(tmp_path))
    else:
        calibrate(config, collection, filtered, Store(tmp_path))
    assert config.model.threads == 1 and torch.get_num_threads() == 2


def read_windows(ref):
    """Of the two rules that are kept with the curve."""
    return {mode: read_curve(ref)[mode]["window"] for mode in MODES}


def changed(config: TADConfig, **sections):
    tree = config.model_dump(mode="json")
    for section, values in sections.items():
        tree[section] = {**tree[section], **values}
    return parse_config(tree)


def test_curve_and_windows(config, made, windows):
    curve = windows.read_json("curve.json")
    assert curve["offsets"] == list(range(1, 49)) and curve["states"] == 12
    assert (
        sum(curve["count_all"]) > 12 and curve["count_all"][0] == 12
    )  # every state has a token one step away
    assert curve["left_out"] == pytest.approx(1 - sum(curve["count"]) / sum(curve["count_all"]))
    for mode, cap in (("quality", 8), ("speed", 20)):
        assert curve[mode]["source"] in ("calibrated", "cap")
        assert curve[mode]["window"] == cap or curve[mode]["crossed"]
    assert (
        windows.manifest.info["states"] == 12 and windows.manifest.info["measure_s"] > 0
    )  # which is read by plans


def test_calibration_is_found_again_and_fixed_windows_are_taken(config, made, windows, monkeypatch):
    store, collection, filtered = made
    fixed = changed(config, calibrate={"quality_window": 3, "speed_window": 5})
    assert read_windows(calibrate(fixed, collection, filtered, store)) == {"quality": 3, "speed": 5}
    monkeypatch.setattr(calibrate_stage, "curve_of", lambda *_: pytest.fail("measured again"))
    assert calibrate(config, collection, filtered, store) == windows
    runtime = changed(config, calibrate={"batch_size": 7}, model={"threads": 2})
    assert calibrate(runtime, collection, filtered, store) == windows


def test_a_speed_cap_below_the_quality_window_is_raised_and_said(config, made, monkeypatch):
    """A curve that crosses 0.5 after 30 steps and never 0.2."""
    store, collection, filtered = made
    confidence = np.where(np.arange(1, 49) <= 30, 0.9, 0.4)
    count = np.full(48, 7)
    measured = Curve(confidence, count, confidence, count, states=12)
    monkeypatch.setattr("tad_core.calibration.measure", lambda *_: measured)
    ref = calibrate(changed(config, calibrate={"smoothing": 1}), collection, filtered, store)
    curve = ref.read_json("curve.json")
    assert read_windows(ref) == {"quality": 30, "speed": 30}
    assert (curve["quality"]["source"], curve["quality"]["raised_from"]) == ("calibrated", None)
    assert (curve["speed"]["source"], curve["speed"]["raised_from"], curve["speed"]["crossed"]) == (
        "quality",
        20,
        False,
    )


def test_a_fixed_window_beyond_the_response_is_refused(config, made):
    store, collection, filtered = made
    with pytest.raises(ConfigError, match=r"calibrate.speed_window: 49 .* 48"):
        calibrate(changed(config, calibrate={"speed_window": 49}), collection, filtered, store)


def test_what_enters_the_fingerprint(config, made, windows):
    _, collection, filtered = made

    def key(mode="quality", windows_ref=windows, **sections):
        return distill_stage.key(changed(config, **sections), mode, collection, filtered, windows_ref)

    same, window = key(), read_windows(windows)["quality"]
    assert key(distill={"save_steps": 5, "log_steps": 3, "timeout_s": 9.0}) == same
    no_dropout = {"lora": {**config.distill.lora.model_dump(mode="json"), "dropout": 0.0}}
    hosts = {"processes": 2, "nodes": 2, "micro_batch_size": 1, "launcher": "torchrun"}
    batch = {"global_batch_size": 4 * config.distill.micro_batch_size, **no_dropout}
    assert key(distill={**hosts, **batch, "compile": True, "report_to": ["wandb"]}) == key(distill=batch)
    assert (
        key(calibrate={"quality_window": window}, windows_ref=None) == same
    )  # its value counts, not its origin
    different = [
        key("speed"),
        key("sft"),
        key(distill={"learning_rate": 1e-5}),
        key(distill={"near": "soft"}),
        key(distill={"teacher_prompt": "system"}),
        key(distill={"filled_states": "skip"}),
        key(calibrate={"quality_window": window + 1}, windows_ref=None),
    ]
    assert len({same, *different}) == 8
    assert key("sft", distill={"near": "soft", "weight_distant": 3.0, "filled_states": "one"}) == key("sft")
    assert key("sft", windows_ref=None) == key("sft")


def test_what_only_changes_the_speed_changes_no_key_and_what_changes_the_result_does(
    config, made, windows, tmp_path
):
    _, collection, filtered = made

    def key(**distill):
        lora = {**config.distill.lora.model_dump(mode="json"), "dropout": distill.pop("dropout", 0.05)}
        return distill_stage.key(
            changed(config, distill={"lora": lora, "global_batch_size": 8, **distill}),
            "quality", collection, filtered, windows,
        )  # fmt: skip

    several = {"processes": 2, "launcher": "torchrun", "micro_batch_size": 2}
    assert key(micro_batch_size=8) == key(micro_batch_size=1) == key()
    assert key(**several) != key()  # dropout is drawn by device
    assert key(**several, dropout=0.0) == key(dropout=0.0)
    zero = {name: tmp_path / f"{name}.json" for name in ("half", "auto", "float")}
    zero["half"].write_text('{"bf16": {"enabled": true}}')
    zero["auto"].write_text('{"bf16": {"enabled": "auto"}}')
    zero["float"].write_text('{"zero_optimization": {"stage": 2}}')
    keys = {name: key(deepspeed=str(path), launcher="deepspeed") for name, path in zero.items()}
    assert keys["float"] == key() != keys["half"] == keys["auto"]


@pytest.fixture
def finished_under_version_1(config, made, windows, tmp_path):
    """An adapter in a store of its own, under the key that version 1 gave it."""
    _, collection, filtered = made
    store, inputs = Store(str(tmp_path)), [collection, filtered]

    def finish(now, micro):
        fields = {
            "mode": "quality",
            "distill": {**now.distill.identity(), "micro_batch_size": micro},
            "dtype": now.model.dtype,
            "window": read_windows(windows)["quality"],
        }
        old = fingerprint("distill", 1, fields, [ref.fingerprint for ref in inputs])
        with store.writer("distill", 1, old, {}, inputs) as writer:
            writer.write_text("adapter/adapter_config.json", "{}")
            return store, writer.commit({})

    return finish


@pytest.mark.parametrize("micro", [1, 2, 4])
@pytest.mark.parametrize("then", [1, 2, 4])
def test_an_adapter_finished_under_the_key_of_version_1_is_found(
    config, made, windows, finished_under_version_1, micro, then
):
    """There the key held ``micro_batch_size``, whatever it was; it is found with any other one, too."""
    _, collection, filtered = made
    now = changed(config, distill={"micro_batch_size": micro, "global_batch_size": 4})
    store, finished = finished_under_version_1(now, then)
    assert distill_stage.key(now, "quality", collection, filtered, windows) != finished.fingerprint
    assert distill(now, "quality", collection, filtered, windows, store) == finished
    other = distill_stage.key_in(store, now, "speed", collection, filtered, windows)
    assert other == distill_stage.key(now, "speed", collection, filtered, windows)


def test_an_adapter_of_version_1_is_not_taken_once_a_component_gives_other_output(
    config, made, windows, finished_under_version_1, monkeypatch
):
    """The teacher of ``system`` reads a prompt that is built in training."""
    _, collection, filtered = made
    now = changed(config, distill={"teacher_prompt": "system"})
    store, finished = finished_under_version_1(now, now.distill.micro_batch_size)

    def key():
        return distill_stage.key_in(store, now, "quality", collection, filtered, windows)

    assert key() == finished.fingerprint
    monkeypatch.setitem(components.VERSIONS, "prompts", 2)
    assert key() == distill_stage.key(now, "quality", collection, filtered, windows) != finished.fingerprint


def test_the_wrong_settings_are_refused(config, made, windows):
    _, collection, filtered = made
    with pytest.raises(ConfigError, match=r"calibrate\.speed_window: not set"):
        distill_stage.key(config, "speed", collection, filtered, None)
    with pytest.raises(
        ConfigError, match=r"sft gives no quality model.*models: \{NAME: \{objective: sft\}\}"
    ):
        distill_stage.key(
            changed(config, distill={"objective": "sft"}), "quality", collection, filtered, windows
        )


def test_the_spec_has_privileged_shards_only_and_binds_the_content(config, made, windows, tmp_path):
    _, collection, filtered = made
    spec = spec_of(config, "quality", collection, filtered, windows, tmp_path, "k" * 32)
    names = ["privileged-00000-00003", "privileged-00003-00004"]
    assert spec.trajectories == [str(collection.local(f"{name}.parquet")) for name in names]
    assert spec.verdicts == [str(filtered.local(f"{name}.verdicts.parquet")) for name in names]
    assert all(Path(p).is_file() for p in (*spec.trajectories, *spec.verdicts))
    other = collection.model_copy(update={"digest": "0" * 32})
    assert spec_of(config, "quality", other, filtered, windows, tmp_path, "k" * 32).mark != spec.mark
    system = changed(config, distill={"teacher_prompt": "system"})
    assert spec.problems is None
    assert spec_of(system, "quality", collection, filtered, windows, tmp_path, "k" * 32).problems
    sft = spec_of(config, "sft", collection, filtered, None, tmp_path, "k" * 32)
    assert sft.distill.objective == "sft" and sft.problems and sft.window is None and not sft.trajectories


def test_distil_trains_in_a_child_and_keeps_the_adapter(config, made, windows, tiny_checkpoint):
    store, collection, filtered = made
    told, lines = [], []
    ref = distill(
        config, "quality", collection, filtered, windows, store, on_progress=told.append, on_line=lines.append
    )
    assert set(ref.manifest.files) == {
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "config.yaml", "losses.jsonl",
        "summary.json",
    }  # fmt: skip
    rows = [json.loads(line) for line in ref.local("losses.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) == {
        "step",
        "loss",
        "near",
        "distant",
        "near_count",
        "distant_count",
        "grad_norm",
        "lr",
        "wall_s",
    }
    assert ref.read_json("summary.json")["rows"] == 3  # four privileged, one of which was wrong
    assert [(p.stage, p.done, p.total, p.unit) for p in told] == [
        ("distill quality", i, 4, "steps") for i in range(5)
    ]
    assert not told[0].figures and told[1].figures["near"] == pytest.approx(rows[0]["near"], abs=1e-4)
    assert any(line.startswith("starting") for line in lines)
    model = load_adapter(load_model(config.model), ref.local_folder("adapter"))
    assert model.peft_config["default"].r == 2
    assert not Path(store.url("distill", ref.fingerprint), "work").exists()

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(distill_stage, "launch", lambda *_: pytest.fail("trained again"))
        assert distill(config, "quality", collection, filtered, windows, store) == ref


@pytest.mark.slow
def test_two_models_in_one_pass_are_the_artifacts_of_two_runs(config, made, windows, tmp_path):
    _, collection, filtered = made
    refs = (collection, filtered, windows)
    alone, both = Store(tmp_path / "alone"), Store(tmp_path / "both")
    models = list(read_windows(windows))
    if len(set(read_windows(windows).values())) < 2:  # a random model's curve may give both the same
        config, refs = changed(config, calibrate={"quality_window": 3, "speed_window": 7}), (*refs[:2], None)
    told, lines = [], []
    found = distill_together(config, models, *refs, both, told.append, lines.append)
    assert any("in one pass" in line for line in lines)
    assert [p.stage for p in told] == ["distill quality", "distill speed"] * 4
    for mode, ref in found.items():
        expected = distill(config, mode, *refs, alone)
        assert ref.fingerprint == expected.fingerprint and set(ref.manifest.files) == set(
            expected.manifest.files
        )
        name = "adapter/adapter_model.safetensors"
        assert ref.local(name).read_bytes() == expected.local(name).read_bytes()
        assert ref.read_json("adapter/adapter_config.json") == expected.read_json(
            "adapter/adapter_config.json"
        )
        assert (ref.manifest.info["in_one_pass"], expected.manifest.info["in_one_pass"]) == (2, 1)
        assert not Path(both.url("distill", ref.fingerprint), "work").exists()


@pytest.mark.slow
def test_of_two_models_only_the_missing_one_is_trained(config, made, windows, tmp_path, monkeypatch):
    _, collection, filtered = made
    store = Store(tmp_path)
    quality = distill(config, "quality", collection, filtered, windows, store)
    specs = []

    def watched(spec, on_line, start):
        specs.append(spec)
        return launch(spec, on_line, start)

    launch = distill_stage.launch
    monkeypatch.setattr(distill_stage, "launch", watched)
    found = distill_together(config, ["quality", "speed"], collection, filtered, windows, store)
    assert [(spec.name, spec.also) for spec in specs] == [("speed", [])]
    assert found["quality"] == quality and found["speed"].fingerprint != quality.fingerprint
    assert distill_together(config, ["quality", "speed"], collection, filtered, windows, store) == found
    assert len(specs) == 1


def test_which_models_go_together(config):
    assert passes(config, ["quality", "sft", "speed"]) == [["quality", "speed"], ["sft"]]
    assert passes(config, ["sft"]) == [["sft"]]
    zero = changed(config, distill={"deepspeed": "zero2.json", "launcher": "torchrun"})
    assert passes(zero, ["quality", "speed"]) == [["quality"], ["speed"]]


def test_a_failed_child_leaves_no_artifact_and_keeps_its_work(config, made, windows, monkeypatch):
    store, collection, filtered = made

    def fails(spec, on_line, start):
        (Path(spec.output) / "checkpoint-1").mkdir()
        (Path(spec.output) / "checkpoint-1" / "complete.json").write_text("{}")
        raise SubprocessError("it ended")

    monkeypatch.setattr(distill_stage, "launch", fails)
    with pytest.raises(SubprocessError):
        distill(config, "speed", collection, filtered, windows, store)
    mark = distill_stage.key(config, "speed", collection, filtered, windows)
    assert store.find("distill", mark, [collection, filtered]) is None
    assert (store.scratch("distill", mark) / "checkpoint-1").exists()
    assert distill_stage.saved_step(store, mark) == 1
    assert (
        distill_stage.saved_step(store, "0" * 32) is None
        and not Path(store.url("distill", "0" * 32)).exists()
    )


@pytest.mark.parametrize("line", ["starting: 3 rows", "step x/4 loss 1", "step 1/4 loss", ""])
def test_other_lines_are_no_progress(line):
    assert parse_step(line, "speed") is None


def test_progress_line():
    progress = parse_step("step 3/40 loss 1.5000 lr 1e-05 states/s 12.5", "speed")
    assert progress is not None and (progress.done, progress.total) == (3, 40)
    assert progress.figures == {"loss": 1.5, "lr": 1e-5, "states/s": 12.5}
    named = parse_step("quality: step 3/40 loss 1.5000", "speed")
    assert named is not None and (named.stage, named.done) == ("distill quality", 3)


@pytest.mark.slow
def test_what_was_rolled_out_without_the_reference_is_trained_on(config, made):
    """Two problems of the four, of which the second is told to be wrong."""
    store, collection, filtered = made
    tree = config.model_dump(mode="json", exclude={"models"})
    tree["evaluate"].pop("models")
    settings = {"trajectories": "plain", "teacher_prompt": "system", "max_steps": 1}
    settings_of_any = settings | {"answers": "any", "near": "taught"}
    models = {
        name: {"objective": "tad", "window": 4, "settings": s}
        for name, s in (("own", settings), ("any", settings_of_any))
    }
    found = parse_config({**tree, "models": models})
    refs = {name: distill(found, name, collection, filtered, None, store) for name in models}
    assert {name: ref.manifest.info["rows"] for name, ref in refs.items()} == {"own": 1, "any": 2}
