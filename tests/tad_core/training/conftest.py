"""A tiny world for training tests: a random checkpoint, made-up trajectories, their verdicts.

Runs are forked, not started afresh, where a test kills or interrupts them: an import of torch costs seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tad_core.config import DistillConfig, LoraConfig, ModelConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, weights_of
from tad_core.objectives import make_objective
from tad_core.training.adapters import Trained
from tad_core.training.arguments import training_arguments
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import StatePlan, load_kept
from tad_core.training.recorder import Books, Recorder, StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import TrainingSpec
from tad_core.training.trainer import DistillTrainer
from tad_core.trajectory.schema import Trajectory
from tad_core.trajectory.shards import write_trajectories, write_verdicts

VOCAB, MASK, EOS, LENGTH = 40, 38, 39, 12


def make_checkpoint(folder: Path, width: int = 32) -> Path:
    """A random model of 2 layers with a tokenizer of 38 words."""
    torch.manual_seed(0)
    config = LLaDAConfig(
        d_model=width, n_heads=2, n_layers=2, mlp_hidden_size=64, vocab_size=VOCAB, mask_token_id=MASK,
        eos_token_id=EOS, pad_token_id=EOS,
    )  # fmt: skip
    model = LLaDAModelLM(config)
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform, so that every probability means something
            if parameter.ndim == 2:
                parameter.mul_(8)
    model.save_pretrained(folder)
    words = {f"w{i}": i for i in range(MASK)} | {"<mask>": MASK, "<eos>": EOS}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", mask_token="<mask>")
    fast.chat_template = "w1 {{ messages[0]['content'] }} w2"
    fast.save_pretrained(folder)
    return folder


def make_trajectory(index: int, *, condition: str = "privileged", same_prompt: bool = False) -> Trajectory:
    """A made-up trajectory; ``same_prompt`` leaves the reference out of the teacher's prompt."""
    rng = np.random.default_rng(index)
    student = [1, *rng.integers(3, 30, size=rng.integers(2, 7)).tolist(), 2]
    reference = rng.integers(3, 30, size=rng.integers(3, 9)).tolist()
    return Trajectory(
        problem_id=f"toy/{index}",
        source="toy",
        kind="math",
        sample=0,
        condition=condition,
        student_prompt_ids=student,
        teacher_prompt_ids=student if same_prompt or condition == "plain" else [*student[:-1], *reference, 2],
        response_ids=[*rng.integers(3, 30, size=LENGTH - 2).tolist(), EOS, EOS],
        revealed_at=(rng.permutation(LENGTH) + 1).tolist(),
        confidence=[0.5] * LENGTH,
        filled_from=LENGTH + 1,
        mode="exact",
        text="",
    )


def verdict_of(row: Trajectory, verdict: str = "passed") -> dict[str, Any]:
    """A row of the verdict table."""
    names = ("problem_id", "source", "sample", "condition")
    return {**{n: getattr(row, n) for n in names}, "verdict": verdict, "reason": "", "extracted": ""}


def make_shard(folder: Path, rows: list[Trajectory], verdicts: list[str] | None = None) -> tuple[str, str]:
    """Paths of a shard and of its verdicts; all pass unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    shard, judged = folder / "shard.parquet", folder / "shard.verdicts.parquet"
    write_trajectories(shard, rows)
    given = verdicts or ["passed"] * len(rows)
    write_verdicts(judged, [verdict_of(r, v) for r, v in zip(rows, given, strict=True)])
    return str(shard), str(judged)


def make_config(**changes: Any) -> DistillConfig:
    """Settings of a run of a few seconds."""
    values: dict[str, Any] = {
        "states_per_trajectory": 6, "learning_rate": 1e-2, "global_batch_size": 8, "micro_batch_size": 4,
        "max_steps": 8, "log_steps": 2, "save_steps": 100, "lora": LoraConfig(rank=4, alpha=4, dropout=0.1),
    }  # fmt: skip
    return DistillConfig(**{**values, **changes})


def make_spec(
    root: Path, checkpoint: Path, *, rows: int = 6, window: int = 3, **changes: Any
) -> TrainingSpec:
    """A spec over ``rows`` made-up trajectories, with its output in ``root/out``."""
    shard, judged = make_shard(root / "data", [make_trajectory(i) for i in range(rows)])
    return TrainingSpec(
        model=ModelConfig(path=str(checkpoint), device="cpu", threads=1),
        distill=make_config(**changes),
        trajectories=[shard],
        verdicts=[judged],
        response_length=LENGTH,
        window=window,
        output=str(root / "out"),
    )


def fork(work: Callable[[], int]) -> int:
    """Run ``work`` in a forked child that ends with what it returns; gives the child's process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        torch.set_num_threads(1)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int) -> int:
    """Exit status of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dies_at(step: int) -> None:
    """From now on this process is killed by kill -9 when ``step`` steps are done, before a checkpoint of the last."""
    original = Recorder.on_step_end

    def deadly(self: Recorder, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, args, state, control, **kwargs)

    Recorder.on_step_end = deadly  # type: ignore[method-assign]


def killed_at(spec: TrainingSpec, step: int) -> None:
    """Train it in a child that is killed so."""

    def work() -> int:
        dies_at(step)
        train(spec, StopRequest())
        return 0

    assert wait(fork(work)) == -signal.SIGKILL


def run(root: Path, base: Path, **changes: Any) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Four steps without dropout: the losses, and the adapter."""
    dry = LoraConfig(rank=4, alpha=4, dropout=0.0)
    assert train(make_spec(root, base, lora=dry, max_steps=4, **changes), StopRequest())
    return results(root)


def results(root: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Losses and adapter of a run that is done."""
    losses = read_losses(root / "out" / "losses.jsonl")
    return losses, load_file(root / "out" / "adapter" / "adapter_model.safetensors")


def disturb(trainer: DistillTrainer) -> None:
    """Give the adapter weights that matter."""
    torch.manual_seed(7)
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """This module: what tests build their runs from."""
    return sys.modules[__name__]


def two_ranks(
    spec: TrainingSpec, before: Callable[[int], None] = lambda number: None, status: int = 0
) -> None:
    """Train in two forked processes that are ranks 0 and 1 of one group; ``before`` is called in each, and each ends
    with this exit status."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def rank(number: int) -> Callable[[], int]:
        def work() -> int:
            before(number)
            for state in (AcceleratorState, GradientState, PartialState):
                state._shared_state.clear()
            os.environ.update(
                RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port), CUDA_VISIBLE_DEVICES="",
            )  # fmt: skip
            assert train(spec, StopRequest())
            torch.distributed.destroy_process_group()
            return 0

        return work

    children = [fork(rank(number)) for number in (0, 1)]
    assert [wait(pid) for pid in children] == [status, status]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random base of every run here."""
    return make_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture
def undisturbed(world, checkpoint, tmp_path):
    """The same run without an accident; dropout is on, so a wrong random state would show."""
    spec = world.make_spec(tmp_path / "undisturbed", checkpoint, save_steps=3)
    assert train(spec, StopRequest())
    return spec


@pytest.fixture
def make_trainer(world, checkpoint, tmp_path):
    """A trainer on six made-up trajectories, and its collator."""

    def build(same_prompt=False, autocast=False, **config):
        rows = [world.make_trajectory(i, same_prompt=same_prompt) for i in range(6)]
        shard, judged = world.make_shard(tmp_path / "data", rows)
        settings = world.make_config(**config)
        base = load_model(ModelConfig(path=str(checkpoint), device="cpu", threads=1))
        model = add_lora(base, settings.lora, settings.seed)
        objective = make_objective(settings, 3)
        table = load_kept([shard], [judged], world.LENGTH)
        plan = StatePlan(table, objective, settings)
        collator = Collator(table, plan, [objective], Reader(world.MASK))
        books = Books(tmp_path, settings, objective.terms, plan.steps)
        adapter = Trained("default", objective, books, "m", tmp_path, weights_of(model, "default"))
        recorder = Recorder([books], settings, plan.steps, StopRequest())
        args = training_arguments(settings, tmp_path, 1, torch.device("cpu"))
        args.max_steps = plan.steps
        return DistillTrainer(model, args, plan, collator, [adapter], recorder, autocast), collator

    return build
