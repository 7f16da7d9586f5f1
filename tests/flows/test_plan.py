"""``tad plan``: where its times come from when nobody has run anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import plan
from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.planning import Estimate, Machine, speeds
from tad_core.shapes import shape_of
from tests.tad_core.planning.common import counts_of, leave

_CPU = Machine("a laptop", None, 0, 16.0, 100.0)


@pytest.fixture
def planned(tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch) -> Estimate:
    monkeypatch.setattr(plan, "this_machine", lambda *_: _CPU)
    leave(tiny_config, Store(tiny_config.store), "collect", "a" * 32, samples_per_s=0.5)
    return plan.plan_run(tiny_config, None, None, measure=False, read_data=True)


def test_a_light_model_is_tried_on_a_cpu_where_nothing_is_known(planned: Estimate) -> None:
    basis = {stage.stage: stage.basis for stage in planned.stages}
    assert basis["collect"] == "measured here: collect/aaaaaaaa", "what ran here is known better"
    for stage in ("calibrate", "distill", "evaluate"):
        assert basis[stage].startswith("tried now, "), stage
    assert planned.wall_s is not None and not any("--measure" in note for note in planned.notes)


def test_a_heavy_model_is_tried_only_when_asked(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "this_machine", lambda *_: _CPU)
    monkeypatch.setattr(speeds, "_LIGHT", 10)
    found = plan.plan_run(tiny_config, None, None, measure=False, read_data=True)
    assert found.wall_s is None and any("--measure" in note for note in found.notes)


def test_a_model_that_is_not_here_is_not_tried(tiny_config: TADConfig, tmp_path: Path) -> None:
    changed = tiny_config.model.model_copy(update={"path": str(tmp_path / "none")})
    config = tiny_config.model_copy(update={"model": changed})
    shape, _ = shape_of(tiny_config.model)
    assert speeds.tried_on_a_cpu(config, shape, counts_of()) is None
