"""One step of the loop: who is the teacher, what gets a gradient, what is told of it."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pytest
import torch
from accelerate import data_loader
from safetensors.torch import load_file
from transformers import TrainerCallback

from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import TrainingError
from tad_core.models.loading import load_model
from tad_core.models.lora import base_of
from tad_core.training.held import Held
from tad_core.training.packing import packing_of
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train

CPU = torch.device("cpu")
DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)


@pytest.mark.parametrize(("quiet_s", "lines"), [(0.0, 4), (1e9, 1)])
def test_slow_steps_are_told_before_log_steps_are_done(make_trainer, monkeypatch, capsys, quiet_s, lines):
    monkeypatch.setattr("tad_core.training.recorder._QUIET_S", quiet_s)
    trainer, _ = make_trainer(max_steps=4, log_steps=100)
    trainer.train()
    told = re.findall(r"step (\d+)/4", capsys.readouterr().out)
    assert told[-1] == "4" and len(set(told) - {"0"}) == lines


def test_the_teacher_is_the_base_without_the_adapter(world, make_trainer, checkpoint):
    trainer, collator = make_trainer(lora=LoraConfig(rank=4, alpha=4, dropout=0.5))
    world.disturb(trainer)
    teacher = collator([0, 1, 2, 3])["teacher"]
    trainer.model.train()
    pristine = load_model(ModelConfig(path=str(checkpoint), device="cpu"))
    with torch.no_grad():
        expected_ND = pristine.packed(teacher["ids_T"], packing_of(teacher))
    assert torch.equal(trainer.teacher_rows(teacher), expected_ND)
    student_ND = base_of(trainer.model).packed(teacher["ids_T"], packing_of(teacher))
    assert (student_ND - expected_ND).abs().max() > 0.1  # the adapter is on again, and it matters


def test_the_teacher_is_not_differentiated(make_trainer):
    trainer, collator = make_trainer()
    assert not trainer.teacher_rows(collator([0, 1])["teacher"]).requires_grad


def test_the_adapter_comes_back_after_a_failure(world, make_trainer, monkeypatch):
    trainer, collator = make_trainer(lora=DRY)
    world.disturb(trainer)
    state = collator([0])["student"]
    with torch.no_grad():
        before = base_of(trainer.model).packed(state["ids_T"], packing_of(state))
    monkeypatch.setattr(type(base_of(trainer.model)), "packed", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.teacher_rows(state)
    monkeypatch.undo()
    trainer.model.eval()
    with torch.no_grad():
        assert torch.equal(base_of(trainer.model).packed(state["ids_T"], packing_of(state)), before)


def test_kl_is_zero_without_reference_and_with_a_fresh_adapter(world, make_trainer):
    trainer, collator = make_trainer(same_prompt=True, near="soft", lora=DRY)
    trainer.training_step(trainer.model, collator([0, 1, 2, 3]))
    sums_2T = trainer.adapters[0].books.sums_2T
    assert sums_2T[2] > 0 and sums_2T[3] > 0  # there were near and distant tokens
    assert sums_2T[:2].abs().max() < 1e-6
    world.disturb(trainer)
    trainer.training_step(trainer.model, collator([0, 1, 2, 3]))
    assert sums_2T[:2].min() > 0.1


def test_autocast_rounds_the_layers_but_not_the_logits(make_trainer):
    sums = {}
    for autocast in (True, False):
        trainer, collator = make_trainer(autocast=autocast, lora=DRY)
        dtypes = []
        base_of(trainer.model).get_output_embeddings().register_forward_hook(
            lambda *a, d=dtypes: d.append(a[2].dtype)
        )
        trainer.training_step(trainer.model, collator([0, 1, 2, 3]))
        assert set(dtypes) == {torch.float32}
        sums[autocast] = trainer.adapters[0].books.sums_2T[:2]
    assert not torch.equal(sums[True], sums[False])
    torch.testing.assert_close(sums[True], sums[False], rtol=0.05, atol=0.05)


def test_a_reference_alone_makes_the_distant_loss_positive(make_trainer):
    trainer, collator = make_trainer(lora=DRY)
    trainer.training_step(trainer.model, collator([0, 1, 2, 3]))
    assert trainer.adapters[0].books.sums_2T[1] > 1e-3


@pytest.mark.parametrize("distant", ["soft", "none"])
def test_only_rows_of_the_loss_get_a_gradient(make_trainer, monkeypatch, world, distant):
    trainer, collator = make_trainer(distant=distant, lora=DRY)
    batch = collator([0, 1, 2, 3])
    kept = []

    def spy(model, args, kwargs, hidden_ND):
        hidden_ND.retain_grad()
        kept.append(hidden_ND)

    trainer.model.register_forward_hook(spy, with_kwargs=True)
    trainer.training_step(trainer.model, batch)
    (hidden_ND,) = kept
    touched = hidden_ND.grad.abs().sum(-1).nonzero().flatten().tolist()
    expected = batch["parts"][0]["near_student_N"].tolist() + (
        batch["parts"][0]["distant_student_N"].tolist() if distant == "soft" else []
    )
    assert touched == sorted(expected)
    laid_out = batch["student"]
    assert (laid_out["ids_T"][laid_out["wanted_N"]] == world.MASK).all()


def test_only_the_adapter_is_trained(make_trainer, checkpoint):
    trainer, _ = make_trainer()
    trainer.train()
    names = {n for n, p in trainer.model.named_parameters() if p.requires_grad}
    assert names and all("lora_" in name for name in names)
    pristine = load_model(ModelConfig(path=str(checkpoint), device="cpu")).state_dict()
    for name, weight in base_of(trainer.model).state_dict().items():
        if "lora_" not in name:
            assert torch.equal(weight, pristine[name.replace(".base_layer", "")])


def test_the_batches_of_a_step_wait_on_the_host_for_their_turn(make_trainer, monkeypatch):
    """There may be many, which carry embeddings: together they take more than the one on the host saves."""
    sent = []
    monkeypatch.setattr(data_loader, "send_to_device", lambda batch, *_, **__: sent.append(batch) or batch)
    trainer, _ = make_trainer(max_steps=1, global_batch_size=8, micro_batch_size=2)
    moved = []
    prepare = trainer._prepare_inputs
    monkeypatch.setattr(trainer, "_prepare_inputs", lambda batch: moved.append(batch) or prepare(batch))
    trainer.train()
    assert not sent and len(moved) == 4


def test_company_does_not_change_the_loss(world, make_trainer):
    trainer, collator = make_trainer(lora=DRY)
    world.disturb(trainer)
    indices = [0, 3, 5, 7]
    alone = torch.zeros(2)
    for i in indices:
        trainer.training_step(trainer.model, collator([i]))
    alone = trainer.adapters[0].books.sums_2T[:2].clone()
    trainer.adapters[0].books.sums_2T = None
    batch = collator(indices)
    # Prompts of many lengths.
    assert all(len(set(batch[who]["tokens"]["counts"])) > 1 for who in ("student", "teacher"))
    trainer.training_step(trainer.model, batch)
    torch.testing.assert_close(trainer.adapters[0].books.sums_2T[:2], alone, rtol=1e-5, atol=1e-5)


def test_float32_on_a_cpu_whatever_bf16_says(world, checkpoint, tmp_path):
    losses = {}
    for bf16 in (True, False):
        spec = world.make_spec(tmp_path / str(bf16), checkpoint, bf16=bf16, max_steps=3)
        train(spec, StopRequest())
        losses[bf16] = [row["loss"] for row in read_losses(tmp_path / str(bf16) / "out" / "losses.jsonl")]
        adapter = load_file(tmp_path / str(bf16) / "out" / "adapter" / "adapter_model.safetensors")
        assert {w.dtype for w in adapter.values()} == {torch.float32}
    assert losses[True] == losses[False]


def test_figures_go_to_the_reporters_that_are_asked_for(world, checkpoint, tmp_path, monkeypatch):
    calls = []

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            calls.append((state.global_step, logs))

    monkeypatch.setattr(
        "transformers.trainer.get_reporting_integration_callbacks", lambda to: [Reporter] if to else []
    )
    world.run(tmp_path / "none", checkpoint)
    assert not calls
    world.run(tmp_path / "some", checkpoint, report_to=["tensorboard"], log_steps=2)
    losses = read_losses(tmp_path / "some" / "out" / "losses.jsonl")
    assert [step for step, figures in calls if "loss" in figures] == [2, 4]
    assert calls[0][1]["loss"] == pytest.approx((losses[0]["loss"] + losses[1]["loss"]) / 2)
    assert set(calls[0][1]) == {"loss", "near", "distant", "grad_norm", "learning_rate", "states_per_s"}


def test_the_loss_falls(world, checkpoint, tmp_path):
    spec = world.make_spec(tmp_path, checkpoint, max_steps=30, learning_rate=2e-2)
    train(spec, StopRequest())
    losses = [row["near"] for row in read_losses(tmp_path / "out" / "losses.jsonl")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, [1.0] * 4),
        ("constant", 2, [0.0, 0.5, 1.0, 1.0]),
        ("constant", 4, [0.0, 0.25, 0.5, 0.75]),
        ("linear", 0, [1.0, 0.75, 0.5, 0.25]),
        ("cosine", 0, [1.0, 0.8536, 0.5, 0.1464]),
    ],
)
def test_the_learning_rate_logged_is_the_one_of_the_step(
    world, checkpoint, tmp_path, capsys, schedule, warmup, expected
):
    losses, _ = world.run(tmp_path, checkpoint, schedule=schedule, warmup_steps=warmup, learning_rate=1.0e-4)
    assert [row["lr"] / 1e-4 for row in losses] == pytest.approx(expected, abs=1e-3)
    warned = "warning: distill.warmup_steps: 4 is no less than the 4 steps" in capsys.readouterr().out
    assert warned == (max(expected) < 1)


@pytest.mark.parametrize("boundary", [True, False])
def test_under_deepspeed_a_loss_that_is_not_finite_stops_before_the_weights_change(
    make_trainer, monkeypatch, boundary
):
    trainer, collator = make_trainer()
    with torch.no_grad():
        next(p for n, p in trainer.model.named_parameters() if "lora_B" in n)[0] = torch.nan
    trainer.is_deepspeed_enabled, trainer._held = True, Held(trainer.adapters[0].weights)
    trainer.accelerator.gradient_state._set_sync_gradients(boundary)
    changed = []
    monkeypatch.setattr(trainer.accelerator, "backward", lambda *_, **__: changed.append(1))
    # DeepSpeed's engine takes its step inside of backward, and sees the last micro-batch alone.
    with pytest.raises(TrainingError, match="step 1 failed: its loss is nan") if boundary else nullcontext():
        trainer.training_step(trainer.model, collator([0, 1, 2, 3]))
    assert changed == [] and bool(trainer._held._sums) is not boundary
    trainer.accelerator.gradient_state._set_sync_gradients(True)
