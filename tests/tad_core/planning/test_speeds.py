"""Speed comes from earlier runs of the same model on the same machine, or from a GPU's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tad_core.artifacts import Store
from tad_core.artifacts import writer as writer_module
from tad_core.config import load_config
from tad_core.planning import estimate
from tad_core.planning.machines import GPUS, Machine, named_machine, this_machine
from tad_core.planning.speeds import sample_flops, speeds_of, state_flops
from tad_core.shapes import shape_of
from tests.tad_core.planning.common import CPU, ZERO2, counts_of, demo, leave, llada_8b, planned


def test_earlier_runs_here_give_the_speed_and_twice_the_work_takes_twice_as_long(tmp_path: Path) -> None:
    config, store = demo("rollout.workers=1"), Store(tmp_path)
    leave(config, store, "collect", "a" * 32, samples_per_s=0.5)
    leave(config, store, "distill", "b" * 32, mode="quality", states_per_s=4.0, in_one_pass=2)
    points = [
        {"method": "token_by_token", "problems": 10, "forwards": 600, "tpf": 1.0, "tokens_per_s": 20.0},
        {"method": "entropy", "problems": 10, "forwards": 100, "tpf": 6.0, "tokens_per_s": 120.0},
    ]
    leave(config, store, "evaluate", "c" * 32, points=points)
    leave(config, store, "filter", "d" * 32, judge_s=5.0, rows=100)

    stages = {s.stage: s for s in planned(config, store).stages}

    assert stages["collect"].wall_s == pytest.approx(88 / 0.5)
    assert stages["distill"].wall_s == pytest.approx(144 * 16 / 4.0)  # of each of the two in the pass
    assert stages["distill"].work.endswith("both in one pass")
    assert stages["filter"].wall_s == pytest.approx(88 * 0.05)
    assert stages["collect"].basis == "measured here: collect/aaaaaaaa"
    # 20 forwards a second of one process; a prompt takes 60 and, at each of two thresholds, 10
    processes = len(os.sched_getaffinity(0))
    assert stages["evaluate"].wall_s == pytest.approx(3 * 52 * (60 + 2 * 10) / 20 / processes)
    assert stages["calibrate"].wall_s
    longer = {s.stage: s for s in planned(demo("rollout.workers=1", "rollout.samples=2"), store).stages}
    assert longer["collect"].wall_s == pytest.approx(2 * 88 / 0.5)
    shared = {s.stage: s for s in planned(demo("rollout.workers=2"), store).stages}
    assert shared["collect"].wall_s == pytest.approx(88 / 0.5 / 2)


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ("{objective: d2f}", [("entropy", 0.3), ("entropy", 0.5), ("pipeline", 0.9)]),
        (
            "{window: 4, decode: {method: fixed_budget, thresholds: [10], cache: {mode: dual}}}",
            [("fixed_budget", 10)],
        ),
    ],
    ids=["block by block", "a decoder of its own"],
)
def test_an_evaluation_takes_as_long_as_an_earlier_one_of_a_model_that_is_decoded_otherwise(
    own: str, others: list[tuple[str, float]], tmp_path: Path
) -> None:
    config, store = demo(f"models.x={own}", "evaluate.models=[x]"), Store(tmp_path)
    # 20 forwards a second; a prompt takes 60 token by token, and 10 in each of the other ways
    points = [
        {"method": method, "threshold": at, "problems": 10, "forwards": n, "tpf": 600 / n, "tokens_per_s": 12000 / n}
        for (method, at), n in zip([("token_by_token", 0.0), *others], [600, *[100] * len(others)], strict=True)
    ]  # fmt: skip
    leave(config, store, "evaluate", "c" * 32, model="x", points=points)
    (shape, source), counts = shape_of(config.model), counts_of(prompts=52)
    found = speeds_of(config, shape, counts, CPU, store)
    (stage,) = (
        s for s in estimate(config, shape, source, counts, CPU, found).stages if s.stage == "evaluate"
    )
    processes = len(os.sched_getaffinity(0))
    assert stage.wall_s == pytest.approx(52 * (60 + 10 * len(others)) / 20 / processes)


def test_a_calibration_takes_as_long_as_an_earlier_one_and_its_model_is_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, store = demo(), Store(tmp_path)
    with monkeypatch.context() as patch:
        clock = iter([0.0, 7.0])
        patch.setattr(writer_module.time, "monotonic", lambda: next(clock, 7.0))
        leave(config, store, "calibrate", "e" * 32, states=192, measure_s=3.0)
    for states, wall_s in ((192, 7.0), (384, 10.0)):
        plan = planned(demo(f"calibrate.states={states}"), store)
        (stage,) = (s for s in plan.stages if s.stage == "calibrate")
        assert stage.wall_s == pytest.approx(wall_s) and stage.basis == "measured here: calibrate/eeeeeeee"


def test_two_models_in_one_pass_take_less_than_two_runs(tmp_path: Path) -> None:
    config, store = demo(), Store(tmp_path)
    leave(config, store, "distill", "b" * 32, mode="quality", states_per_s=4.0)  # a run of one model
    (both,) = (s for s in planned(config, store).stages if s.stage == "distill")
    shape, _ = shape_of(config.model)
    counts = counts_of()
    share = state_flops(config, shape, counts, 2) / state_flops(config, shape, counts)
    assert 0.6 < share < 0.9 and both.wall_s is not None
    assert both.wall_s == pytest.approx(share * 2 * 144 * 16 / 4.0, rel=0.05)


def test_runs_of_another_model_say_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config, store = demo(), Store(tmp_path)
    leave(demo(f"model.path={tiny_checkpoint}"), store, "collect", "a" * 32, samples_per_s=0.5)
    plan = planned(config, store)
    assert plan.stages[0].wall_s is None and plan.wall_s is None and plan.gpu_hours is None
    assert any("--measure" in note and "--gpu" in note for note in plan.notes)


def test_a_named_gpu_gives_hours_and_is_not_mixed_with_what_ran_here(tmp_path: Path) -> None:
    config, store = llada_8b(), Store(tmp_path)
    leave(config, store, "collect", "a" * 32, samples_per_s=1e9)
    shape, source = shape_of(config.model)
    counts = counts_of()
    machine = named_machine("h200", 8)
    plan = estimate(config, shape, source, counts, machine, speeds_of(config, shape, counts, machine, store))
    collect, distill = plan.stages[0], plan.stages[3]
    # 1,113 samples an hour were measured at the same lengths, on an H100, whose peak in bfloat16 is the same
    assert 1000 / collect.gpu_hours == pytest.approx(1112.5, rel=0.02)
    assert collect.wall_s == pytest.approx(collect.gpu_hours * 3600 / 8)
    # docs/results/distill.md: both models in one pass, 30.6 and 30.7 states a second
    assert 2 * 256_000 / 3600 / distill.gpu_hours == pytest.approx(30.7, rel=0.05)
    zero = llada_8b(deepspeed=ZERO2)  # one model after the other
    hours = estimate(zero, shape, source, counts, machine, speeds_of(zero, shape, counts, machine, store))
    assert 2 * 256_000 / 3600 / hours.stages[3].gpu_hours == pytest.approx(25.3, rel=0.05)
    assert plan.gpu_hours == pytest.approx(sum(s.gpu_hours or 0 for s in plan.stages))
    assert plan.problems == []


@pytest.mark.parametrize("mode", ["none", "dual", "prefix"])
def test_a_decoder_of_a_models_own_takes_as_long_as_the_runs_of_its_kind(tmp_path: Path, mode: str) -> None:
    """Forwards that compute few tokens reach less of a card's peak, whoever names the decoder."""
    took = []
    for own in (True, False):
        hours = []
        for at in ("[0.5]", "[0.5, 0.6]"):  # what one way more takes
            kept = f"cache: {{mode: {mode}}}"
            decode = f", decode: {{thresholds: {at}, operating: 0.5, {kept}}}" if own else ""
            given = [
                f"models.x={{objective: sft{decode}}}",
                "evaluate.models=[x]",
                f"evaluate.thresholds={at}",
            ]
            given += [f"evaluate.decode.cache.mode={'prefix' if own else mode}", f"store={tmp_path}"]
            config = load_config("configs/llada-8b.yaml", [*given, "evaluate.operating_threshold=0.5"])
            hours.append(
                planned(config, Store(tmp_path), named_machine("h200", 8)).stages[-1].gpu_hours or 0.0
            )
        took.append(hours[1] - hours[0])
    assert took[0] == pytest.approx(took[1]) and took[0] > 0


@pytest.mark.parametrize("mode", ["dual", "prefix"])
def test_what_ran_with_another_cache_is_converted(tmp_path: Path, mode: str) -> None:
    """As the data sheet has it: 1,113 rollouts an hour without a cache, 10,946 with a dual one."""
    exact, cached = (
        load_config("configs/llada-8b.yaml", [f"rollout.cache.mode={of}"]) for of in ("none", mode)
    )
    leave(exact, Store(tmp_path), "collect", "a" * 32, samples_per_s=1112.5 / 3600)
    (shape, _), machine = shape_of(exact.model), Machine("1 x NVIDIA H100", GPUS["h100"], 1, 79.0)
    found = [
        speeds_of(cached, shape, counts_of(), machine, Store(folder)).rollout
        for folder in (tmp_path, tmp_path / "nothing")
    ]
    assert found[0] and found[0].source.startswith("measured here") and found[1]
    assert found[0].flops_per_s == pytest.approx(found[1].flops_per_s, rel=0.01)
    if mode == "dual":
        assert found[0].flops_per_s / sample_flops(cached, shape, counts_of()) * 3600 == pytest.approx(
            10946, rel=0.01
        )


def test_what_ran_on_a_host_with_gpus_is_known_whose_store_is_a_bucket() -> None:
    config, store = llada_8b(), Store("memory://planning/speeds")
    leave(config, store, "collect", "a" * 32, samples_per_s=0.5)
    (shape, _), counts = shape_of(config.model), counts_of()
    machine = Machine("8 x NVIDIA H200", GPUS["h200"], 8, 139.0, free_disk_gib=None)
    pace = speeds_of(config, shape, counts, machine, store).rollout
    assert pace is not None and pace.source == "measured here: collect/aaaaaaaa"


def test_work_grows_with_prompts_and_checkpointing() -> None:
    config = llada_8b()
    shape, _ = shape_of(config.model)
    short, long = counts_of(teacher=100.0), counts_of(teacher=500.0)
    assert sample_flops(config, shape, long) > 1.8 * sample_flops(config, shape, short)
    again = llada_8b(gradient_checkpointing=True)
    assert state_flops(again, shape, short) > 1.2 * state_flops(config, shape, short)


def test_a_training_with_products_of_another_kind_says_nothing(tmp_path: Path) -> None:
    config, store = demo(), Store(tmp_path)
    leave(config, store, "distill", "b" * 32, mode="quality", states_per_s=4.0, in_one_pass=2)
    basis = {s.stage: s.basis for s in planned(config, store).stages}
    assert basis["distill"] == "measured here: distill/bbbbbbbb"
    basis = {s.stage: s.basis for s in planned(demo("distill.quantize=fp8"), store).stages}
    assert "measured here" not in basis["distill"]


def test_a_training_of_a_model_with_a_base_of_its_own_kind_says_nothing(tmp_path: Path) -> None:
    own = "models={quality: {settings: {quantize: fp8}}}"
    config, store = demo(own, "evaluate.models=[base, quality]"), Store(tmp_path)
    leave(config, store, "distill", "b" * 32, mode="quality", states_per_s=4.0, in_one_pass=1)
    basis = {s.stage: s.basis for s in planned(demo(), store).stages}
    assert "measured here" not in basis["distill"]


@pytest.mark.parametrize(("capability", "has"), [((8, 6), False), ((8, 9), True), ((12, 0), True)])
def test_a_gpu_that_no_table_has_is_asked_for_8_bit_floats(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capability: tuple[int, int], has: bool
) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidiactl" or exists(path))
    for name, told in (
        ("is_available", True),
        ("get_device_name", "NVIDIA RTX 6000"),
        ("mem_get_info", (0, 47 << 30)),
        ("device_count", 1),
        ("get_device_capability", capability),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda *_, told=told: told)
    gpu = this_machine(str(tmp_path)).gpu
    assert gpu is not None and gpu.title == "NVIDIA RTX 6000" and gpu.float8 is has


def test_a_gpu_without_8_bit_floats_is_not_faster_by_them(tmp_path: Path) -> None:
    pace = {}
    for name in ("h200", "a100"):
        for quantize in ("none", "fp8"):
            config, machine = llada_8b(quantize=quantize), named_machine(name, 1)
            found = speeds_of(config, shape_of(config.model)[0], counts_of(), machine, Store(tmp_path)).train
            assert found is not None and ("8-bit" in found.source) is (name == "h200" and quantize == "fp8")
            pace[name, quantize] = found.flops_per_s
    assert pace["h200", "fp8"] > pace["h200", "none"] and pace["a100", "fp8"] == pace["a100", "none"]
