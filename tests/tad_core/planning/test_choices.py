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
from tests.tad_core.planning.common import EXACT, counts_of, demo, planned

ROOT = Path(__file__).parents[3]
LOOPS = {
    "collect": ("rollout.cache.mode", "dual"), "evaluate": ("evaluate.decode.cache.mode", "prefix")
}  # fmt: skip


def plan(store: Path, *overrides: str) -> Estimate:
    config = load_config(ROOT / "configs" / "llada-8b.yaml", [*overrides, f"store={store}"])
    shape, source = shape_of(config.model)
    counts, machine = counts_of(), named_machine("h200", 8)
    return estimate(
        config, shape, source, counts, machine, speeds_of(config, shape, counts, machine, Store(store))
    )


@pytest.mark.parametrize(("stage", "field", "mode"), [(stage, *how) for stage, how in LOOPS.items()])
def test_a_cache_is_told_with_the_hours_that_it_would_take(
    stage: str, field: str, mode: str, tmp_path: Path
) -> None:
    exact, cached = (
        next(s.gpu_hours for s in plan(tmp_path, f"{field}={of}").stages if s.stage == stage)
        for of in ("none", mode)
    )
    (told,) = (line for line in plan(tmp_path, f"{field}=none").notes if line.startswith(field))
    found = re.search(
        rf"{mode} would \w+ in ([\d.]+) GPU hours instead of ([\d.]+): .*(docs/\S+)#(\S+)$", told
    )
    assert found and exact and cached and cached < 0.35 * exact
    assert (float(found[1]), float(found[2])) == (round(cached, 1), round(exact, 1))
    heads = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in (ROOT / found[3]).read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    ]
    assert found[4] in heads
    assert not any(line.startswith(field) for line in plan(tmp_path).notes), "as shipped"


def test_nothing_is_told_of_a_machine_that_is_not_known(tmp_path: Path) -> None:
    notes = planned(demo(), Store(tmp_path)).notes
    assert not any("GPU hours" in line or "fp8" in line for line in notes)


def test_collection_and_evaluation_of_the_shipped_recipe_take_less_than_a_day_of_one_gpu(
    tmp_path: Path,
) -> None:
    """docs/results/decode.md: a quarter of what computing every token takes, each factor measured."""
    machine = named_machine("h100", 8)
    found = []
    for overrides in ((), EXACT):
        config = load_config(ROOT / "configs" / "llada-8b.yaml", [*overrides, f"store={tmp_path}"])
        stages = planned(config, Store(tmp_path), machine).stages
        found.append(sum(s.gpu_hours or 0 for s in stages if s.stage in LOOPS))
    assert found == [pytest.approx(18, abs=1), pytest.approx(86, abs=2)]
