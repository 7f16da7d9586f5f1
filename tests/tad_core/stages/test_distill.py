"""Distillation of a real small collection in a child process: what it is told, and what it leaves."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tad_core.artifacts import Leases, Store
from tad_core.config import parse_config
from tad_core.errors import SubprocessError
from tad_core.models.loading import load_model
from tad_core.models.lora import load_adapter
from tad_core.stages import distill as distill_stage
from tad_core.stages.distill import distill, distill_together, parse_step, spec_of
from tad_core.stages.variants import passes
from tad_core.training.checkpoint import seal
from tad_core.training.marker import DONE, write_marker
from tests.tad_core.stages.changing import changed, read_windows
from tests.waiting import CEILING_S


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
    assert [p.stage for p in told] == ["distill quality", "distill speed"] * 5
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
        seal(Path(spec.output) / "checkpoint-1", spec.mark, "no ZeRO")
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


def test_another_try_of_a_forced_training_goes_on_with_what_the_first_has_saved(
    config, made, windows, monkeypatch
):
    store, collection, filtered = made
    seen = []

    def fails(spec, on_line, start):
        seen.append(sorted(path.name for path in Path(spec.output).glob("checkpoint-*")))
        (Path(spec.output) / f"checkpoint-{len(seen) // 2}").mkdir()
        raise SubprocessError("it ended")

    monkeypatch.setattr(distill_stage, "launch", fails)
    (
        store.scratch("distill", distill_stage.key(config, "speed", collection, filtered, windows)) / "old"
    ).touch()
    refs = (collection, filtered, windows)
    for go_on in (False, True, True, False):
        with pytest.raises(SubprocessError):
            begun = partial(seen.append, "begun")
            distill_together(config, ["speed"], *refs, store, force=True, go_on=go_on, on_begun=begun)
    assert seen[::2] == ["begun"] * 4
    assert seen[1::2] == [[], ["checkpoint-1"], ["checkpoint-1", "checkpoint-2"], []]


@pytest.mark.parametrize("whose", ["this run's", "of other inputs"])
def test_a_training_that_ended_on_other_inputs_is_not_in_the_way(config, made, windows, monkeypatch, whose):
    """As after a kill before its adapter was kept, and a collection made anew."""
    store, *refs = *made, windows
    mark = distill_stage.key(config, "speed", *refs)
    work, seen = store.scratch("distill", mark), []
    own = distill_stage.spec_of(config, "speed", *refs, work, mark).mark
    write_marker(work / DONE, [], mark=own if whose == "this run's" else "0" * 32)

    def sees(spec, on_line, start):
        seen.append((work / DONE).exists())
        raise SubprocessError("it ended")

    monkeypatch.setattr(distill_stage, "launch", sees)
    with pytest.raises(SubprocessError):
        distill(config, "speed", *refs, store)
    assert seen == [whose == "this run's"]


def trains_in(work, told=lambda: None):
    """A training that is over at once, as it leaves its folder."""

    def train(specs, *_):
        for spec in specs.values():
            adapter = Path(spec.output) / "adapter"
            adapter.mkdir()
            (adapter / "adapter_model.safetensors").write_bytes(b"weights")
            (Path(spec.output) / "losses.jsonl").write_text("")
            figures = dict.fromkeys(distill_stage._INFO, 0)
            (Path(spec.output) / "summary.json").write_text(json.dumps(figures))
            work.append(spec.output)
            told()

    return train


def test_the_same_training_for_two_remote_stores_has_two_folders(
    config, made, windows, monkeypatch, tmp_path
):
    """Their claims know nothing of each other: in one folder the first to end took all away from the other."""
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    _, *refs = *made, windows
    one, two = Store("memory://one/store"), Store("memory://two/store")
    both, work = threading.Barrier(2), []
    monkeypatch.setattr(distill_stage, "_train", trains_in(work, partial(both.wait, CEILING_S)))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda store: distill(config, "quality", *refs, store), (one, two)))
    assert [ref.url.partition("/store/")[0] for ref in found] == ["memory://one", "memory://two"]
    assert len(set(work)) == 2 and not any(Path(folder).exists() for folder in work)


def test_checkpoints_of_an_earlier_release_are_gone_on_from(monkeypatch, tmp_path):
    """Then all remote stores had one folder for a training; the first that comes takes it."""
    monkeypatch.setenv("TAD_CACHE", str(tmp_path))
    one, two = Store("memory://one/store"), Store("memory://two/store")
    mark = "f" * 32
    (tmp_path / "work" / mark / "checkpoint-1").mkdir(parents=True)
    there = one.scratch_there("distill", mark)
    assert there is not None and (there / "checkpoint-1").exists()
    assert (one.scratch("distill", mark) / "checkpoint-1").exists()
    assert one.scratch_there("distill", mark) == one.scratch("distill", mark)
    assert two.scratch_there("distill", mark) is None and not any(two.scratch("distill", mark).iterdir())


def test_a_claim_that_ran_out_does_not_take_away_what_is_being_kept(
    config, made, windows, monkeypatch, tmp_path
):
    """A second run is let in while the first, which slept, takes out what was trained: it waits, and takes that."""
    _, *refs = *made, windows
    store, work = Store(tmp_path), []
    monkeypatch.setattr(Leases, "take", lambda *_: True)
    keeping, go_on = threading.Event(), threading.Event()
    keep = distill_stage._Adapter.keep

    def slowly(self, spec):
        keeping.set()
        assert go_on.wait(CEILING_S)
        return keep(self, spec)

    monkeypatch.setattr(distill_stage._Adapter, "keep", slowly)
    monkeypatch.setattr(distill_stage, "_train", trains_in(work))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(distill, config, "quality", *refs, store)
        assert keeping.wait(CEILING_S)
        second = threads.submit(distill, config, "quality", *refs, store)
        with pytest.raises(TimeoutError):
            second.result(1)
        go_on.set()
        assert second.result(CEILING_S) == first.result(CEILING_S)
    assert len(work) == 1 and not Path(work[0]).exists()
