"""Settings that would make a run shorter are told with the hours that a plan of them gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tad_core.artifacts import Store
from tad_core.config import load_config
from tad_core.planning.estimate import Estimate, estimate
from tad_core.planning.machines import named_machine
from tad_core.planning.speeds import speeds_of
from tad_core.shapes import shape_of
from tests.tad_core.planning.common import counts_of, demo, planned

ROOT = Path(__file__).parents[3]
LOOPS = {"collect": "rollout.cache.mode", "evaluate": "evaluate.decode.cache.mode"}


def plan(store: Path, *overrides: str) -> Estimate:
    config = load_config(ROOT / "configs" / "llada-8b.yaml", [*overrides, f"store={store}"])
    shape, source = shape_of(config.model)
    counts, machine = counts_of(), named_machine("h200", 8)
    return estimate(
        config, shape, source, counts, machine, speeds_of(config, shape, counts, machine, Store(store))
    )


@pytest.mark.parametrize(("stage", "field"), LOOPS.items())
def test_a_cache_is_told_with_the_hours_that_it_would_take(stage: str, field: str, tmp_path: Path) -> None:
    hours = {
        mode: next(s.gpu_hours for s in plan(tmp_path, f"{field}={mode}").stages if s.stage == stage)
        for mode in ("none", "dual")
    }
    (told,) = (line for line in plan(tmp_path).notes if line.startswith(field))
    found = re.search(r"dual would \w+ in ([\d.]+) GPU hours instead of ([\d.]+): .*(docs/\S+)#(\S+)$", told)
    assert found and hours["none"] and hours["dual"] and hours["dual"] < 0.3 * hours["none"]
    assert (float(found[1]), float(found[2])) == (round(hours["dual"], 1), round(hours["none"], 1))
    heads = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in (ROOT / found[3]).read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    ]
    assert found[4] in heads
    assert not any(line.startswith(field) for line in plan(tmp_path, f"{field}=dual").notes)


def test_nothing_is_told_of_a_machine_that_is_not_known(tmp_path: Path) -> None:
    notes = planned(demo(), Store(tmp_path)).notes
    assert not any("GPU hours" in line or "fp8" in line for line in notes)
