"""TensorBoard is told every step of every model once, whatever happens to the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers.integrations import TensorBoardCallback

from tad_core.training import tracking
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained


class Asked(TensorBoardCallback):
    """As the Trainer makes it where the package is installed."""

    def __init__(self) -> None:
        """Without looking for the package."""

    def on_train_begin(self, *_: object, **__: object) -> None:
        pytest.fail("the Trainer's own writes, too")

    on_log = on_train_begin


class Writer:
    """Keeps what it is told, in a file that later ones go on with."""

    def __init__(self, log_dir: str, purge_step: int) -> None:
        self.file = Path(log_dir) / "events"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._add("purge", 0.0, purge_step)

    def add_scalar(self, what: str, value: float, step: int) -> None:
        self._add(what, value, step)

    def flush(self) -> None: ...

    def _add(self, *row: object) -> None:
        with self.file.open("a") as handle:
            handle.write(json.dumps(row) + "\n")


def shown(folder: Path, what: str) -> list[tuple[int, float]]:
    """A curve as TensorBoard shows it: a start drops what was told of its step and of later ones before."""
    points: list[tuple[int, float]] = []
    for line in (folder / "events").read_text().splitlines():
        name, value, step = json.loads(line)
        if name == "purge":
            points = [point for point in points if point[0] < step]
        elif name == what:
            points.append((step, value))
    return points


@pytest.fixture
def boards(tmp_path, monkeypatch):
    monkeypatch.setenv(tracking.FOLDER, str(tmp_path / "board"))
    monkeypatch.setattr(tracking, "_writer", lambda: Writer)
    monkeypatch.setattr(
        "transformers.trainer.get_reporting_integration_callbacks", lambda to: [Asked()] if to else []
    )
    return tmp_path / "board"


def test_after_kill_9_every_step_of_both_models_is_shown_once(world, checkpoint, tmp_path, boards):
    spec = world.make_spec(
        tmp_path, checkpoint, max_steps=8, save_steps=3, log_steps=1, report_to=["tensorboard"]
    )
    other = AlsoTrained(name="wide", window=6, loss={}, run_id="f" * 32, output=str(tmp_path / "wide"))
    spec = spec.model_copy(update={"name": "narrow", "also": [other]})
    world.killed_at(spec, 6)
    assert train(spec, StopRequest())
    for name, output in (("narrow", spec.output), ("wide", other.output)):
        (folder,) = boards.glob(f"{name}-*")
        losses = [(row["step"], row["loss"]) for row in read_losses(Path(output) / "losses.jsonl")]
        assert shown(folder, "train/loss") == losses and [step for step, _ in losses] == list(range(1, 9))
        assert shown(folder, "train/train_loss") == []
