"""The task that trains the small base model."""

from __future__ import annotations

from typing import Any

from prefect import task

from tad_core.pretraining.config import PretrainConfig
from tad_core.pretraining.train import pretrain
from tad_core.progress import OnProgress, Progress
from tasks.progress import Board


@task(name="pretrain", task_run_name="pretrain {config.out}")
def pretrain_task(config: PretrainConfig, board: Board) -> str:
    """Train from the start; returns the folder of the checkpoint. Not cached: it writes where the user says."""
    with board.row("pretrain", config.steps, "steps") as row:
        return str(pretrain(config, callbacks=[_listener(row.listener())]))


def _listener(on_progress: OnProgress) -> Any:
    from transformers import TrainerCallback

    class Listener(TrainerCallback):  # type: ignore[misc]
        """Tells the steps done, and the loss whenever the trainer logs it."""

        loss: float | None = None

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
        ) -> None:
            self.loss = (logs or {}).get("loss", self.loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            figures: dict[str, float | int | str] = {} if self.loss is None else {"loss": float(self.loss)}
            on_progress(Progress("pretrain", state.global_step, state.max_steps, "steps", figures))

    return Listener()
