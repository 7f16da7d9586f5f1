"""The plan as a whole: what is not there or does not fit is named, and the command says it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tad_core.config import load_config
from tad_core.planning import Machine, estimate
from tad_core.planning.machines import GPUS
from tad_core.planning.speeds import Speeds
from tad_core.shapes import shape_of
from tests.tad_core.planning.common import counts_of, llada_8b


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


def test_the_command_fails_where_it_will_not_fit() -> None:
    command = [sys.executable, "-m", "flows.cli", "plan", "configs/llada-8b.yaml", "--gpu", "rtx4090"]
    done = subprocess.run([*command, "--gpus", "8"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "will not fit: distill.micro_batch_size 4 needs" in done.stdout
    assert subprocess.run([*command[:-1], "abacus"], capture_output=True).returncode == 2
