"""The plan as a whole: what is not there or does not fit is named, and the command says it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tad_core.artifacts import Store
from tad_core.config import load_config
from tad_core.errors import ConfigError
from tad_core.planning import Machine, estimate
from tad_core.planning.estimate import _without_float8
from tad_core.planning.machines import GPUS, named_machine
from tad_core.planning.speeds import Speeds
from tad_core.shapes import shape_of
from tests.tad_core.planning.common import CPU, counts_of, demo, llada_8b, planned


def test_a_model_that_is_too_large_and_gpus_that_are_not_there(tmp_path: Path) -> None:
    config = llada_8b()
    shape, source = shape_of(config.model)
    small = Machine("small", GPUS["rtx4090"], 2, 12.0)
    nothing = Speeds(None, None, None, 0.0, "")
    plan = estimate(config, shape, source, counts_of(), small, nothing)
    assert any("weights alone take 15 GiB of 12" in line for line in plan.problems)
    assert "rollout.workers 8 needs as many GPUs and there are 2; set it to 2" in plan.problems
    many = load_config("configs/llada-8b.yaml", ["evaluate.workers=16"])
    plan = estimate(many, shape, source, counts_of(), Machine("host", GPUS["h200"], 8, 139.0), nothing)
    assert plan.problems == ["evaluate.workers 16 needs as many GPUs and there are 8; set it to 8"]
    full = Machine("full", GPUS["h200"], 8, 139.0, 0.001)
    plan = estimate(config, shape, source, counts_of(), full, nothing)
    assert len(plan.problems) == 1 and "set store to another disk" in plan.problems[0]


def test_the_command_says_it_in_words_and_as_json_and_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from flows.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    base = [sys.executable, "-c", script, "plan"]
    done = subprocess.run(
        [*base, "configs/demo.yaml", "--json", "--gpu", "h200", "--store", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [stage["stage"] for stage in told["stages"]] == [
        "collect",
        "filter",
        "calibrate",
        "distill",
        "evaluate",
    ]
    assert told["counts"]["samples"] == 88 and told["parameters"] == 5_469_440 and told["problems"] == []
    assert done.stderr.strip().splitlines()[-1] == "False"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "key"),
    [("RTX 4090", "rtx4090"), ("NVIDIA GeForce RTX 4090", "rtx4090"), ("NVIDIA A100-SXM4-40GB", "a100-40"),
     ("A100 80GB", "a100"), ("NVIDIA H100 80GB HBM3", "h100"), ("nvidia h200", "h200"), ("L40S", "l40s")],
)  # fmt: skip
def test_a_gpu_is_known_by_the_name_of_its_data_sheet_and_of_its_driver(name: str, key: str) -> None:
    assert named_machine(name, 1).gpu == GPUS[key]


@pytest.mark.parametrize("name", ["H100 PCIe", "A100-SXM4-64GB", "RTX 3090", "nvidia", ""])
def test_a_gpu_of_another_kind_is_not_taken_for_one_that_is_known(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^--gpu: .* is not known; use one of b200"):
        named_machine(name, 1)


def test_processes_on_a_cpu_share_its_memory(tmp_path: Path) -> None:
    one, two = (demo(f"distill.processes={n}", "distill.micro_batch_size=4") for n in (1, 2))
    alone, both = (
        next(s.memory_gib for s in planned(config, Store(tmp_path)).stages if s.stage == "distill")
        for config in (one, two)
    )
    assert both == pytest.approx(2 * alone, rel=0.01)
    tight = planned(two, Store(tmp_path), replace(CPU, memory_gib=0.01)).problems
    assert any("lower distill.processes or distill.micro_batch_size" in line for line in tight)


def test_on_a_cpu_a_training_is_planned_as_it_runs_there_not_compiled(tmp_path: Path) -> None:
    auto, off, on = (
        next(s.memory_gib for s in planned(config, Store(tmp_path)).stages if s.stage == "distill")
        for config in (demo(f"distill.compile={way}") for way in ("auto", "'off'", "'on'"))
    )
    assert auto == off > on


def test_a_warm_up_that_is_all_of_a_training_is_noted(tmp_path: Path) -> None:
    steps = planned(demo(), Store(tmp_path)).counts.steps
    for warmup, noted in ((steps, True), (steps - 1, False)):
        notes = planned(demo(f"distill.warmup_steps={warmup}"), Store(tmp_path)).notes
        assert any(line.startswith(f"distill.warmup_steps {warmup} of") for line in notes) == noted


def test_8_bit_floats_are_offered_where_there_are_products_of_them() -> None:
    nothing = Speeds(None, None, None, 0.0, "")
    told = {}
    for name in ("h200", "a100"):
        for quantize in ("none", "fp8"):
            config = llada_8b(deepspeed=None, quantize=quantize)
            shape, source = shape_of(config.model)
            plan = estimate(config, shape, source, counts_of(), Machine(name, GPUS[name], 8, 139.0), nothing)
            notes = [line for line in plan.notes if line.startswith("distill.quantize fp8")]
            told[name, quantize] = notes + [line for line in plan.problems if "fp8" in line]
    assert told["h200", "none"] == [
        "distill.quantize fp8 would train in 0.75 times the time: another adapter, on a base in 8-bit floats"
    ]
    assert told["h200", "fp8"] == told["a100", "none"] == []
    (refused,) = told["a100", "fp8"]
    assert "A100 SXM 80 GB has no products of 8-bit floats; set it to none or nf4" in refused


_SMALL = "{objective: tad, window: 4, settings: {quantize: fp8}}"


@pytest.mark.parametrize(
    "changes",
    [
        ["distill.deepspeed=configs/deepspeed/zero2.json"],
        ["distill.compile=off"],
        ["distill.bf16=false"],
        ["model.dtype=float32"],
        ["models={blocks: {objective: d2f}}", "evaluate.models=[base, blocks]"],
        [f"models={{quality: {{}}, small: {_SMALL}}}", "evaluate.models=[base, quality, small]"],
    ],
)
def test_8_bit_floats_are_not_offered_where_nobody_measured_them(changes: list[str]) -> None:
    config = load_config("configs/llada-8b.yaml", changes)
    shape, source = shape_of(config.model)
    machine, nothing = Machine("h200", GPUS["h200"], 8, 139.0), Speeds(None, None, None, 0.0, "")
    plan = estimate(config, shape, source, counts_of(), machine, nothing)
    assert not any("fp8" in line for line in plan.notes)


def test_a_model_that_asks_for_8_bit_floats_by_itself_is_told_of_a_gpu_without_them() -> None:
    table = f"models={{quality: {{}}, small: {_SMALL}}}"
    nothing = Speeds(None, None, None, 0.0, "")
    for compared, told in (("[base, small]", 1), ("[base, quality]", 0)):
        config = load_config("configs/llada-8b.yaml", [table, f"evaluate.models={compared}"])
        shape, source = shape_of(config.model)
        plan = estimate(config, shape, source, counts_of(), Machine("a100", GPUS["a100"], 8, 79.0), nothing)
        lines = [line for line in plan.problems if "8-bit floats" in line]
        assert len(lines) == told
    (line,) = _without_float8(
        load_config("configs/llada-8b.yaml", [table, "evaluate.models=[base, small]"]), "An A100"
    )
    assert line.startswith("models.small.settings.quantize fp8: An A100 has no products")
    assert "b200" in line and "a100" not in line


def test_the_command_fails_where_it_will_not_fit() -> None:
    command = [sys.executable, "-m", "flows.cli", "plan", "configs/llada-8b.yaml", "--gpu", "rtx4090"]
    done = subprocess.run([*command, "--gpus", "8"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "will not fit: distill.micro_batch_size 4 needs" in done.stdout
    assert subprocess.run([*command[:-1], "abacus"], capture_output=True).returncode == 2
