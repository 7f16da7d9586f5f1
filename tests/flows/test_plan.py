"""``tad plan``: where its times come from when nobody has run anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import plan
from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.errors import ArtifactError
from tad_core.planning import Estimate, Machine, trial
from tad_core.shapes import shape_of
from tad_core.stages.pipeline import plan_of
from tad_core.stages.room import check_room, needed_bytes
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
    monkeypatch.setattr(trial, "_LIGHT", 10)
    found = plan.plan_run(tiny_config, None, None, measure=False, read_data=True)
    assert found.wall_s is None and any("--measure" in note for note in found.notes)


def test_a_model_that_is_not_here_is_not_tried(tiny_config: TADConfig, tmp_path: Path) -> None:
    changed = tiny_config.model.model_copy(update={"path": str(tmp_path / "none")})
    config = tiny_config.model_copy(update={"model": changed})
    shape, _ = shape_of(tiny_config.model)
    assert trial.tried_on_a_cpu(config, shape, counts_of()) is None


def test_the_disk_is_judged_as_the_run_judges_it(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that has a part of the run asks for the rest alone, and what has too little is told once."""
    store = Store(tiny_config.store)
    monkeypatch.setattr(plan, "tried_on_a_cpu", lambda *_: None)

    def told(free_bytes: int) -> list[str]:
        usage = SimpleNamespace(total=1 << 40, used=0, free=free_bytes)
        monkeypatch.setattr(shutil, "disk_usage", lambda *_: usage)
        found = plan.plan_run(tiny_config, None, None, measure=False, read_data=True)
        return [*found.problems, *found.counts.refused]

    made = plan_of(tiny_config)
    sizes = len(made.ordered), len(made.compared)
    whole = needed_bytes(tiny_config, shape_of(tiny_config.model)[0], *sizes)
    assert told(whole) == []
    (line,) = told(whole - 1)
    with pytest.raises(ArtifactError) as caught:
        check_room(tiny_config, store, made, "report")
    assert line == str(caught.value)
    name = f"{made.shards[0].name}.json"
    with store.writer("collect", 1, made.fingerprint, {}, manifest_name=name) as writer:
        writer.write_text(f"{made.shards[0].name}.txt", "x")
        writer.commit({})
    assert told(whole - 1) == [], "what is there needs no room again"
