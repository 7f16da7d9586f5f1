"""A step is that of the whole batch: micro-batches, devices and what saves memory change nothing of it."""

from __future__ import annotations

import pytest
import torch

from tad_core.config import LoraConfig
from tad_core.models.base import DiffusionLM
from tad_core.models.transformer import TransformerLM
from tad_core.training.recorder import Recorder, StopRequest
from tad_core.training.run import train

DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)


def assert_same_run(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        assert {k: a[k] for k in ("step", "near_count", "distant_count", "lr")} == {
            k: b[k] for k in ("step", "near_count", "distant_count", "lr")
        }
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
    # Adam divides by the gradient's own size, so that rounding shows where a gradient is all but zero.
    for name, weight in one[1].items():
        torch.testing.assert_close(weight, other[1][name], rtol=1e-2, atol=2e-4)


def test_accumulation_gives_the_step_of_the_whole_batch(world, checkpoint, tmp_path):
    whole = world.run(tmp_path / "8", checkpoint, micro_batch_size=8)
    for micro in (1, 4):
        assert_same_run(whole, world.run(tmp_path / str(micro), checkpoint, micro_batch_size=micro))


def test_under_dropout_another_micro_batch_draws_other_masks(world, make_trainer):
    """What docs/settings.md says of ``micro_batch_size``; without dropout the same gradients are equal."""
    trainer, collator = make_trainer(lora=LoraConfig(rank=4, alpha=4, dropout=0.2))
    world.disturb(trainer)
    seen = {}
    for name, micro in {"whole": 8, "again": 8, "halves": 4}.items():
        torch.manual_seed(7)  # as at the beginning of every step
        seen[name] = gradients(trainer, collator, micro)
    assert_same_gradients(seen["whole"], seen["again"])
    first = next(n for n in seen["whole"] if "lora_B" in n)
    off = (seen["whole"][first] - seen["halves"][first]).abs().max()
    assert off > 1e-3 * seen["whole"][first].abs().max()


def gradients(trainer, collator, micro):
    """Of the first step's eight states, in micro-batches."""
    trainer.model.zero_grad()
    for start in range(0, 8, micro):
        trainer.training_step(trainer.model, collator(list(range(start, start + micro))))
    trainer.adapters[0].books.sums_2T = None
    return {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}


def assert_same_gradients(one, other):
    for name, gradient in one.items():
        size = gradient.abs().max()
        assert (gradient - other[name]).abs().max() <= 1e-5 * size, name


@pytest.mark.parametrize("objective", ["tad", "all soft", "sft"])
def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(world, make_trainer, objective):
    # Prompts and numbers of near and distant tokens differ from state to state, so that a mean of means is another.
    changes = {"tad": {}, "all soft": {"near": "soft", "weight_distant": 0.7}, "sft": {"objective": "sft"}}
    trainer, collator = make_trainer(lora=DRY, **changes[objective])
    world.disturb(trainer)
    whole = gradients(trainer, collator, 8)
    for micro in (1, 2, 4):
        assert_same_gradients(whole, gradients(trainer, collator, micro))


def test_a_mean_of_micro_batch_means_is_something_else(world, make_trainer):
    """What the paper's code takes: the difference that the normalisation over the step makes is real."""
    trainer, collator = make_trainer(lora=DRY)
    world.disturb(trainer)
    whole = gradients(trainer, collator, 8)
    trainer.model.zero_grad()
    for start in range(0, 8, 2):
        batch = collator([start, start + 1])
        (part,) = batch["parts"]
        counts = [len(part["near_labels_N"]), len(part["distant_labels_N"])]
        parts = [{**part, "totals_T": 4 * torch.tensor(counts)}]
        trainer.training_step(trainer.model, {**batch, "parts": parts})
    name, gradient = next((n, p.grad) for n, p in trainer.model.named_parameters() if p.requires_grad)
    assert (gradient - whole[name]).abs().max() > 1e-3 * whole[name].abs().max()


def test_a_family_with_hidden_and_head_alone_gives_the_same_step(make_trainer, monkeypatch):
    """What docs/models.md says of the interface: nothing else of the model is called."""
    found = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(TransformerLM, "packed", DiffusionLM.packed)
            monkeypatch.setattr(TransformerLM, "get_output_embeddings", lambda self: None)
            monkeypatch.delattr(TransformerLM, "head_dtype")
        trainer, collator = make_trainer(lora=DRY)
        found.append(gradients(trainer, collator, 4))
    assert_same_gradients(*found)


def test_two_processes_give_the_step_of_one(world, checkpoint, tmp_path, monkeypatch):
    free = {"lora": DRY, "max_steps": 4, "micro_batch_size": 2, "max_grad_norm": 1e9}
    spec = world.make_spec(tmp_path / "two", checkpoint, **free)

    def keep(path):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            if state.global_step == 0:
                named = kwargs["model"].named_parameters()
                torch.save({n: p.grad for n, p in named if p.requires_grad}, path)

        return on_pre_optimizer_step

    def before(number):
        Recorder.on_pre_optimizer_step = keep(tmp_path / f"{number}.pt")

    world.two_ranks(spec, before)
    monkeypatch.setattr(Recorder, "on_pre_optimizer_step", keep(tmp_path / "one.pt"))
    one = world.make_spec(tmp_path / "one", checkpoint, **free)
    assert train(one, StopRequest())
    assert_same_run(world.results(tmp_path / "one"), world.results(tmp_path / "two"))
    alone, *ranks = (torch.load(tmp_path / f"{name}.pt") for name in ("one", 0, 1))
    for found in ranks:
        assert_same_gradients(alone, {name.removeprefix("module."): g for name, g in found.items()})


def test_gradient_checkpointing_changes_nothing_but_memory(world, checkpoint, tmp_path):
    plain = world.run(tmp_path / "plain", checkpoint)
    assert_same_run(plain, world.run(tmp_path / "saving", checkpoint, gradient_checkpointing=True))


def test_gradient_checkpointing_keeps_the_inputs_of_layers_alone(world, checkpoint, tmp_path):
    kept = {}
    for on in (False, True):
        numbers = []
        spec = world.make_spec(tmp_path / str(on), checkpoint, max_steps=1, gradient_checkpointing=on)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, n=numbers: n.append(t.numel()) or t, lambda t: t
        ):
            assert train(spec, StopRequest())
        kept[on] = sum(numbers)
    assert kept[True] < 0.5 * kept[False]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compiled_layers_change_nothing_but_speed(world, checkpoint, tmp_path):
    plain = world.run(tmp_path / "plain", checkpoint)
    assert_same_run(plain, world.run(tmp_path / "compiled", checkpoint, compile="on"))
    again = world.run(tmp_path / "both", checkpoint, compile="on", gradient_checkpointing=True)
    assert_same_run(plain, again)
