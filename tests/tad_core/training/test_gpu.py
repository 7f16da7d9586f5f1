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
from tad_core.training.arguments import training_arguments
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import StatePlan, load_kept
from tad_core.training.recorder import Books, Recorder, StopRequest
from tad_core.training.trainer import DistillTrainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
VOCABULARY = 126464


def pinned(batch):
    """As a loader gives it."""
    if isinstance(batch, torch.Tensor):
        return batch.pin_memory()
    if isinstance(batch, dict):
        return {name: pinned(of) for name, of in batch.items()}
    return [pinned(of) for of in batch] if isinstance(batch, list) else batch


@pytest.fixture
def trainer_and_batch(world, tmp_path):
    """A narrow model with LLaDA-8B's vocabulary, and one micro-batch on the device."""

    def build(device, micro, windows=(3,), fused=False):
        torch.manual_seed(0)
        config = LLaDAConfig(d_model=64, n_heads=2, n_layers=2, mlp_hidden_size=128, vocab_size=VOCABULARY)
        model = LLaDAModelLM(config).to(device, torch.bfloat16).eval()
        settings = world.make_config(
            micro_batch_size=micro,
            global_batch_size=micro,
            states_per_trajectory=world.LENGTH,
            lora=LoraConfig(rank=4, alpha=4, dropout=0.0),
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
        trainer = DistillTrainer(adapted, args, plan, collator, adapters, recorder, True, fused)
        return trainer, pinned(trainer.data_collator(list(range(micro))))

    return build


@pytest.mark.parametrize("fused", [False, True], ids=["as they come", "compiled and recorded"])
@pytest.mark.parametrize("windows", [(3,), (3, 6)])
def test_no_micro_batch_waits_for_the_host(trainer_and_batch, windows, fused):
    trainer, batch = trainer_and_batch("cuda", 8, windows, fused)
    assert (trainer.aside is not None) == fused
    trainer.training_step(trainer.model, batch)  # kernels are chosen, graphs recorded, caches are filled
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


def test_compiled_and_recorded_a_step_is_what_it_is_as_it_comes(trainer_and_batch):
    losses, gradients = [], []
    for fused in (False, True):
        trainer, batch = trainer_and_batch("cuda", 8, (3, 6), fused)
        losses.append(sum(trainer.training_step(trainer.model, batch) for _ in range(2)))
        gradients.append([weight.grad for adapter in trainer.adapters for weight in adapter.weights])
    torch.testing.assert_close(losses[0], losses[1], rtol=5e-3, atol=0)
    pairs = list(zip(*gradients, strict=True))
    assert len(pairs) == 2 * 2 * 2 * 7  # A and B of seven maps of two layers, of two adapters
    for plain, ours in pairs:
        if plain.norm() > 0:  # of A, as long as B is 0
            assert (plain - ours).norm() < 0.05 * plain.norm()
        else:
            assert ours.norm() == 0
