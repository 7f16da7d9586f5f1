"""Calibration of a real small collection: the curve, its windows, and what is measured again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tad_core.artifacts import Store
from tad_core.calibration import Curve
from tad_core.errors import ConfigError
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages.calibrate import calibrate
from tests.tad_core.stages.changing import changed, read_windows


def test_curve_and_windows(config, made, windows):
    curve = windows.read_json("curve.json")
    assert curve["offsets"] == list(range(1, 49)) and curve["states"] == 12
    # Every state has a token one step away.
    assert sum(curve["count_all"]) > 12 and curve["count_all"][0] == 12
    assert curve["left_out"] == pytest.approx(1 - sum(curve["count"]) / sum(curve["count_all"]))
    for mode, cap in (("quality", 8), ("speed", 20)):
        assert curve[mode]["source"] in ("calibrated", "cap")
        assert curve[mode]["window"] == cap or curve[mode]["crossed"]
    # Plans read it.
    assert windows.manifest.info["states"] == 12 and windows.manifest.info["measure_s"] > 0


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


@pytest.mark.parametrize("stage", ["collect", "calibrate"])
def test_a_small_model_alone_in_its_process_has_one_thread(stage, config, made, tmp_path, monkeypatch):
    """A state or a sample is computed alone on a CPU: threads of one wait for each other at every product."""
    _, collection, filtered = made
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(torch.get_num_threads())
        raise InterruptedError

    def threads_with(threads: int | None) -> int:
        own = changed(config, model={"threads": threads})
        torch.set_num_threads(2)
        with pytest.raises(InterruptedError):
            if stage == "collect":
                collect_stage.collect_shard(own, collect_stage.plan_collection(own), 0, Store(tmp_path))
            else:
                calibrate(own, collection, filtered, Store(tmp_path))
        assert torch.get_num_threads() == 2
        return seen[-1]

    monkeypatch.setattr("tad_core.calibration.measure", look)
    monkeypatch.setattr(collect_stage, "roll_out", look)
    assert threads_with(None) == 1
    assert threads_with(3) == 3, "who sets a number has it"
