"""What only a GPU can show: no micro-batch waits for the host, and no logits of a whole micro-batch in memory."""

from __future__ import annotations

import pytest
import torch

from tad_core.config import LoraConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM
from tad_core.models.lora import add_lora, weights_of
from tad_core.objectives import make_objective
from tad_core.objectives.base import LOGITS_AT_ONCE
from tad_core.training.adapters import Trained
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import StatePlan, load_kept
from tad_core.training.recorder import Books, Recorder, StopRequest
from tad_core.training.trainer import DistillTrainer, training_arguments

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
VOCABULARY = 126464


@pytest.fixture
def trainer_and_batch(world, tmp_path):
    """A narrow model with LLaDA-8B's vocabulary, and one micro-batch on the device."""

    def build(device, micro, windows=(3,)):
        torch.manual_seed(0)
        config = LLaDAConfig(d_model=64, n_heads=2, n_layers=2, mlp_hidden_size=128, vocab_size=VOCABULARY)
        model = LLaDAModelLM(config).to(device, torch.bfloat16).eval()
        settings = world.make_config(
            micro_batch_size=micro,
            global_batch_size=micro,
            states_per_trajectory=world.LENGTH,
            lora=LoraConfig(rank=4, alpha=4),
        )
        shard, judged = world.make_shard(tmp_path / "data", [world.make_trajectory(i) for i in range(64)])
        objectives = [make_objective(settings, window) for window in windows]
        table = load_kept([shard], [judged], world.LENGTH)
        plan = StatePlan(table, objectives[0], settings)
        collator = Collator(table, plan, objectives, Reader.of(model))
        args = training_arguments(settings, tmp_path, 1, torch.device(device))
        names = [f"window{window}" for window in windows]
        adapted = add_lora(model, settings.lora, settings.seed, names)
        adapters = [
            Trained(
                name,
                objective,
                Books(tmp_path, settings, objective.terms, plan.steps),
                "m",
                tmp_path,
                weights_of(adapted, name),
            )
            for name, objective in zip(names, objectives, strict=True)
        ]
        recorder = Recorder([a.books for a in adapters], settings, plan.steps, StopRequest())
        trainer = DistillTrainer(adapted, args, plan, collator, adapters, recorder, True)
        return trainer, trainer._prepare_input(collator(list(range(micro))))

    return build


@pytest.mark.parametrize("windows", [(3,), (3, 6)])
def test_no_micro_batch_waits_for_the_host(trainer_and_batch, windows):
    trainer, batch = trainer_and_batch("cuda", 8, windows)
    trainer.training_step(trainer.model, batch)  # kernels are chosen, caches are filled
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.training_step(trainer.model, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_logits_of_a_micro_batch_are_never_in_memory_together(trainer_and_batch):
    trainer, batch = trainer_and_batch("cuda", 512)
    (part,) = batch["parts"]
    rows = len(part["near_labels_N"]) + len(part["distant_labels_N"])
    trainer.training_step(trainer.model, batch)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trainer.training_step(trainer.model, batch)
    spent = torch.cuda.max_memory_allocated() - before
    whole, chunk = 4 * rows * VOCABULARY, 4 * LOGITS_AT_ONCE
    assert whole > 4 * chunk  # or the test would show nothing
    # Student, teacher, their log-softmax, the KL and gradients of one chunk.
    assert spent < 10 * chunk < 3 * whole
