"""Ten steps of every objective are those of the plain trainer, however they are computed and wherever cut off."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tad_core.config import LoraConfig
from tad_core.config.objectives import OBJECTIVES
from tad_core.errors import TADError
from tad_core.training.__main__ import cannot_write
from tad_core.training.checkpoint import newest_of_all
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained, parse_spec
from tests.tad_core.training.plain import train_plainly

STEPS, RATE = 10, 1e-3
DRY = LoraConfig(rank=4, alpha=4, dropout=0.0).model_dump()
FOLLOW = {"follow": {"steps": 2, "threshold": 0.02, "smoothing": 1}}
#: every objective, and what may be changed of one; blocks of 5 do not divide responses of 12
WAYS = {
    "tad": {},
    "tad taught": {"near": "taught", "distant": "hard", "temperature": 2.0},
    "tad near alone": {"distant": "none"},
    "tad follow": FOLLOW,
    "tad soften": {"soften_near": 0.6},
    "tad emphasis": {"emphasis": 1.0},
    "tad all": {**FOLLOW, "soften_near": 0.6, "emphasis": 0.5, "weight_distant": 0.3},
    "random": {},
    "dparallel": {"mask_block": 5},
    "d3llm": {"mask_blocks": [3, 7]},
    "d3llm both": {"mask_blocks": [5], "complement_certainty": True},
    "t3d": {"mask_block": 5, "t3d": {"alpha": 0.5, "beta": 1.0, "snapshot_steps": 4, "weight_path": 1.0}},
    "d2f": {"mask_block": 5},
}
#: one of each mechanism; the others are slow
USUAL = ("tad all", "t3d", "d2f")
#: of the plain run and ours alike
WORLDS = {
    "usual": {},
    "odd batch": {"global_batch_size": 6},
    "one trajectory": {"rows": 1},
    "fewer states than a step": {"rows": 1, "states_per_trajectory": 1},
    "last steps near alone": {"window": 12},  # no distant token in any state
    "keyed order": {"order": "keyed"},
}


@pytest.fixture
def make(world, checkpoint):
    """Specs of ten steps; epochs of 36 states end inside steps of 8."""

    def build(folder: Path, way: str, rows: int = 6, window: int = 3, order: str = "shuffled", **changes):
        name = way.partition(" ")[0]
        tree = world.make_spec(folder, checkpoint, rows=rows, window=window).model_dump(mode="json")
        tree["distill"] |= {
            "objective": name,
            "max_steps": STEPS,
            "learning_rate": RATE,
            "save_steps": 3,
            "lora": DRY,
        }
        tree["distill"] |= WAYS[way] | changes
        windowed = OBJECTIVES[name].windowed
        return parse_spec({**tree, "window": window if windowed else None, "order": order, "run_id": way})

    return build


def assert_equal(spec, plain, which=0):
    run = spec.adapters[which]
    ours = [(row["loss"], row["grad_norm"]) for row in read_losses(run.output / "losses.jsonl")]
    assert len(ours) == STEPS
    for step, (found, expected) in enumerate(zip(ours, plain.figures, strict=True)):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7), step
    saved = load_file(run.output / "adapter" / "adapter_model.safetensors")
    assert saved.keys() == plain.weights.keys()
    for name, weight in saved.items():
        torch.testing.assert_close(weight, plain.weights[name], rtol=1e-5, atol=0.02 * RATE)


@pytest.mark.parametrize(
    "way", [way if way in USUAL else pytest.param(way, marks=pytest.mark.slow) for way in WAYS]
)
def test_ten_steps_are_those_of_the_plain_trainer(make, tmp_path, way):
    spec = make(tmp_path, way, micro_batch_size=4, gradient_checkpointing=True)
    assert train(spec, StopRequest())
    assert_equal(spec, train_plainly(spec))


@pytest.mark.slow
@pytest.mark.parametrize("odd", WORLDS)
@pytest.mark.parametrize("way", ["tad all", "random", "d3llm both", "t3d", "d2f"])
def test_so_they_are_in_odd_worlds(make, tmp_path, way, odd):
    spec = make(tmp_path, way, micro_batch_size=2, **WORLDS[odd])
    assert train(spec, StopRequest())
    assert_equal(spec, train_plainly(spec))


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["usual", "fewer states than a step", "keyed order"])
@pytest.mark.parametrize("way", WAYS)
def test_so_they_are_in_two_processes(world, make, tmp_path, way, odd):
    spec = make(tmp_path, way, micro_batch_size=2, **WORLDS[odd])
    world.two_ranks(spec)
    assert_equal(spec, train_plainly(spec))


@pytest.mark.parametrize(
    ("way", "order"),
    [("tad", "keyed"), *(pytest.param(way, "shuffled", marks=pytest.mark.slow) for way in WAYS)],
)
def test_so_they_are_after_kill_9_and_with_another_micro_batch(world, make, tmp_path, way, order):
    """In the middle; with the last step done and not written; and between a step and its checkpoint."""
    for micro, step in ((2, 5), (8, 6), (1, STEPS)):
        world.killed_at(make(tmp_path, way, order=order, micro_batch_size=micro), step)
    spec = make(tmp_path, way, order=order, micro_batch_size=4)
    assert train(spec, StopRequest())
    assert_equal(spec, train_plainly(spec))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "loss"),
    [
        ("tad", {"near": "soft", "weight_distant": 0.3}),
        ("tad all", {"follow": {}, "emphasis": 0.0, "soften_near": 0.0}),
        ("t3d", {"t3d": {"alpha": 2.0, "beta": 0.5, "snapshot_steps": 3, "weight_path": 0.1}}),
        ("dparallel", {"weight_certainty": 0.1}),
    ],
)
def test_so_they_are_beside_another(make, tmp_path, way, loss):
    spec = make(tmp_path / "one", way, micro_batch_size=2)
    other = make(tmp_path / "other", way, micro_batch_size=2, **loss)
    also = AlsoTrained(name="other", window=spec.window, loss=loss, run_id="other", output=other.output)
    both = parse_spec(spec.model_copy(update={"name": "one", "also": [also]}).model_dump(mode="json"))
    assert train(both, StopRequest())
    for which, alone in enumerate((spec, other)):
        assert_equal(both, train_plainly(alone), which)


@pytest.mark.slow
# Too small for what was learned, for the adapter or the snapshot, for Adam's moments.
@pytest.mark.parametrize("largest_bytes", [300, 8_000, 30_000])
@pytest.mark.parametrize("way", ["tad all", "t3d"])
def test_so_they_are_after_the_disk_was_full_at_a_checkpoint(world, make, tmp_path, way, largest_bytes):
    spec = make(tmp_path, way, micro_batch_size=4)

    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, largest_bytes))
        try:
            train(spec, StopRequest())
        except (TADError, OSError, RuntimeError, SafetensorError) as error:
            return 0 if isinstance(error, TADError) or cannot_write(error) else 1
        return 2

    assert world.wait(world.fork(full)) == 0
    assert newest_of_all([(run.output, run.mark) for run in spec.adapters]) is None
    assert train(spec, StopRequest())
    assert_equal(spec, train_plainly(spec))
