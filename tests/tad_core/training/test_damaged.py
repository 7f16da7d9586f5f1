"""A folder of training whose files were damaged, cut or mixed up: the run ends as the undisturbed one, or says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tad_core.training import checkpoint as checkpoints
from tad_core.training import run as run_module
from tad_core.training.checkpoint import MARKER
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained, parse_spec


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0x81  # of a text it makes what is no text
    path.write_bytes(content)


def losses_of(output: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in read_losses(output / "losses.jsonl")]


def weights_of(output: Path) -> bytes:
    return (output / "adapter" / "adapter_model.safetensors").read_bytes()


def assert_as(spec, undisturbed) -> None:
    """Every adapter, its losses and its summary but for times."""
    for run, other in zip(spec.adapters, undisturbed.adapters, strict=True):
        assert losses_of(run.output) == losses_of(other.output)
        assert weights_of(run.output) == weights_of(other.output)
        summaries = [json.loads((one.output / "summary.json").read_text()) for one in (run, other)]
        assert summaries[0]["steps"] == summaries[1]["steps"] == 8
        assert summaries[0]["final"] == summaries[1]["final"]
        assert run.output.joinpath("losses.jsonl").read_text().count("\n") == 8


@pytest.fixture(params=["one", "two"])
def make(request, world, checkpoint):
    """Specs of the same run, with one model or two in a pass."""

    def build(root: Path):
        spec = world.make_spec(root, checkpoint, save_steps=3)
        if request.param == "one":
            return spec
        also = AlsoTrained(name="other", window=5, run_id="other's", output=str(root / "other"))
        return parse_spec(spec.model_copy(update={"name": "first", "also": [also]}).model_dump(mode="json"))

    return build


@pytest.fixture
def undisturbed(make, tmp_path):
    spec = make(tmp_path / "undisturbed")
    assert train(spec, StopRequest())
    return spec


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 5])


def no_text(file: Path) -> None:
    flip(file, 0.3)


def another_number(file: Path) -> None:
    file.write_text(file.read_text().replace('{"step": 2,', '{"step": 5,', 1))


def twice(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[0], *lines]))


DAMAGES = [cut_short, no_text, another_number, twice, lambda file: file.write_bytes(b""), Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=["cut", "no text", "other number", "twice", "empty", "gone"])
def test_losses_that_were_damaged_after_a_kill(world, make, tmp_path, undisturbed, damage):
    spec = make(tmp_path / "killed")
    world.killed_at(spec, 8)
    damage(spec.adapters[-1].output / "losses.jsonl")
    assert train(spec, StopRequest())
    assert_as(spec, undisturbed)


def test_a_checkpoint_under_another_step_is_none(world, make, tmp_path, undisturbed):
    spec = make(tmp_path / "killed")
    world.killed_at(spec, 5)
    folder = spec.adapters[-1].output
    shutil.copytree(folder / "checkpoint-3", folder / "checkpoint-6")
    assert checkpoints.last_step(folder) == 3
    assert checkpoints.newest(folder, spec.adapters[-1].mark) == folder / "checkpoint-3"
    assert train(spec, StopRequest())
    assert_as(spec, undisturbed)


@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json", "adapter_model.safetensors", MARKER])
@pytest.mark.parametrize("gone", [True, False])
def test_a_file_of_the_newest_checkpoint(world, make, tmp_path, undisturbed, name, gone):
    spec = make(tmp_path / "killed")
    world.killed_at(spec, 8)
    file = spec.adapters[-1].output / "checkpoint-6" / name
    file.unlink() if gone else flip(file)
    assert train(spec, StopRequest())
    assert_as(spec, undisturbed)


def test_every_byte_of_a_marker_counts(world, make, tmp_path):
    spec = make(tmp_path / "killed")
    world.killed_at(spec, 5)
    run = spec.adapters[-1]
    marker = run.output / "checkpoint-3" / MARKER
    whole = marker.read_bytes()
    for at in range(len(whole)):
        marker.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert checkpoints.newest(run.output, run.mark) is None, whole[at - 20 : at + 20]


def test_checkpoints_of_the_other_model(world, checkpoint, tmp_path):
    """Copied from one folder to the other: they are of another run."""
    spec = world.make_spec(tmp_path, checkpoint, save_steps=3)
    other = spec.model_copy(update={"window": 5, "output": str(tmp_path / "other")})
    for one, step in ((spec, 4), (other, 7)):
        world.killed_at(one, step)
    shutil.copytree(tmp_path / "other" / "checkpoint-6", Path(spec.output) / "checkpoint-6")
    assert checkpoints.step_of(checkpoints.newest(Path(spec.output), spec.mark)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda output: flip(output / "adapter" / "adapter_model.safetensors"),
        lambda output: shutil.rmtree(output / "adapter"),
        lambda output: cut_short(output / "losses.jsonl"),
        lambda output: cut_short(output / "summary.json"),
        lambda output: flip(output / "summary.json"),
        lambda output: flip(output / "summary.json", 0.1),
    ],
    ids=["weights", "no adapter", "losses", "half a summary", "summary", "mark"],
)
def test_what_was_damaged_after_the_last_step_is_made_again(make, tmp_path, undisturbed, damage):
    """The run was killed before the artifact was written of it."""
    spec = make(tmp_path / "again")
    assert train(spec, StopRequest())
    damage(spec.adapters[-1].output)
    assert train(spec, StopRequest())
    assert_as(spec, undisturbed)


def test_what_is_whole_is_not_made_again(make, tmp_path, monkeypatch):
    spec = make(tmp_path)
    assert train(spec, StopRequest())
    monkeypatch.setattr(run_module, "_train_together", lambda *_: pytest.fail("trained again"))
    assert train(spec, StopRequest())
