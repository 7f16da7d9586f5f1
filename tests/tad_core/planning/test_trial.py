"""A machine is tried by a few forwards of the model."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from tad_core.config import TADConfig
from tad_core.planning import estimate, trial
from tad_core.planning.machines import Machine
from tad_core.planning.speeds import Speeds
from tad_core.shapes import shape_of
from tests.tad_core.planning.common import counts_of


@pytest.mark.parametrize(("share", "said"), [(0.1, True), (1.0, False)])
def test_a_trial_on_a_busy_machine_counts_what_it_computes(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch, share: float, said: bool
) -> None:
    clock = itertools.count()
    ticks = SimpleNamespace(
        perf_counter=lambda: float(next(clock)), thread_time=lambda: share * float(next(clock))
    )
    monkeypatch.setattr(trial, "time", ticks)
    changed = tiny_config.model.model_copy(update={"threads": 1, "device": "cpu"})
    config = tiny_config.model_copy(update={"model": changed})
    shape, _ = shape_of(config.model)
    pace = trial.try_out(config, shape, counts_of())
    work = shape.forward(
        round(counts_of().teacher) + config.rollout.response_length, config.rollout.block_length
    )
    assert pace.flops_per_s == pytest.approx(work / (2 * share)), "each lasts two ticks"
    assert pace.source.endswith(trial.BUSY) is said
    known = Speeds(pace, pace, pace, 0.001, "")
    found = estimate(config, shape, "", counts_of(), Machine("a laptop", None, 0, 16.0, 100.0), known)
    assert any("busy with something else" in note for note in found.notes) is said
