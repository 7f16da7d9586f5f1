"""One step of the loop: who is the teacher, what gets a gradient, what micro-batches and devices change (nothing)."""

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
from tad_core.models.lora import add_lora, base_of, weights_of
from tad_core.objectives import make_objective
from tad_core.training.adapters import Trained
from tad_core.training.arguments import training_arguments
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import StatePlan, load_kept
from tad_core.training.held import Held
from tad_core.training.packing import packing_of
from tad_core.training.recorder import Books, Recorder, StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.trainer import DistillTrainer

CPU = torch.device("cpu")
DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)


@pytest.fixture
def make_trainer(world, checkpoint, tmp_path):
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
        args = training_arguments(settings, tmp_path, 1, CPU)
        args.max_steps = plan.steps
        return DistillTrainer(model, args, plan, collator, [adapter], recorder, autocast), collator

    return build


@pytest.mark.parametrize(("quiet_s", "lines"), [(0.0, 4), (1e9, 1)])
def test_slow_steps_are_told_before_log_steps_are_done(make_trainer, monkeypatch, capsys, quiet_s, lines):
    monkeypatch.setattr("tad_core.training.recorder._QUIET_S", quiet_s)
    trainer, _ = make_trainer(max_steps=4, log_steps=100)
    trainer.train()
    told = re.findall(r"step (\d+)/4", capsys.readouterr().out)
    assert told[-1] == "4" and len(set(told) - {"0"}) == lines


def disturb(trainer):
    """Give the adapter weights that matter."""
    torch.manual_seed(7)
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)


def test_the_teacher_is_the_base_without_the_adapter(make_trainer, checkpoint):
    trainer, collator = make_trainer(lora=LoraConfig(rank=4, alpha=4, dropout=0.5))
    disturb(trainer)
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


def test_the_adapter_comes_back_after_a_failure(make_trainer, monkeypatch):
    trainer, collator = make_trainer(lora=DRY)
    disturb(trainer)
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


def test_kl_is_zero_without_reference_and_with_a_fresh_adapter(make_trainer):
    trainer, collator = make_trainer(same_prompt=True, near="soft", lora=DRY)
    trainer.training_step(trainer.model, collator([0, 1, 2, 3]))
    sums_2T = trainer.adapters[0].books.sums_2T
    assert sums_2T[2] > 0 and sums_2T[3] > 0  # there were near and distant tokens
    assert sums_2T[:2].abs().max() < 1e-6
    disturb(trainer)
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


def test_company_does_not_change_the_loss(make_trainer):
    trainer, collator = make_trainer(lora=DRY)
    disturb(trainer)
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


def run(world, checkpoint, root, **config):
    assert train(world.make_spec(root, checkpoint, lora=DRY, max_steps=4, **config), StopRequest())
    return results(root)


def results(root):
    losses = read_losses(root / "out" / "losses.jsonl")
    return losses, load_file(root / "out" / "adapter" / "adapter_model.safetensors")


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
    whole = run(world, checkpoint, tmp_path / "8", micro_batch_size=8)
    for micro in (1, 4):
        assert_same_run(whole, run(world, checkpoint, tmp_path / str(micro), micro_batch_size=micro))


def test_under_dropout_another_micro_batch_draws_other_masks(make_trainer):
    """What docs/settings.md says of ``micro_batch_size``; without dropout the same gradients are equal."""
    trainer, collator = make_trainer(lora=LoraConfig(rank=4, alpha=4, dropout=0.2))
    disturb(trainer)
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
def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(make_trainer, objective):
    # Prompts and numbers of near and distant tokens differ from state to state, so that a mean of means is another.
    changes = {"tad": {}, "all soft": {"near": "soft", "weight_distant": 0.7}, "sft": {"objective": "sft"}}
    trainer, collator = make_trainer(lora=DRY, **changes[objective])
    disturb(trainer)
    whole = gradients(trainer, collator, 8)
    for micro in (1, 2, 4):
        assert_same_gradients(whole, gradients(trainer, collator, micro))


def test_a_mean_of_micro_batch_means_is_something_else(make_trainer):
    """What the paper's code takes: the difference that the normalisation over the step makes is real."""
    trainer, collator = make_trainer(lora=DRY)
    disturb(trainer)
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
    assert_same_run(results(tmp_path / "one"), results(tmp_path / "two"))
    alone, *ranks = (torch.load(tmp_path / f"{name}.pt") for name in ("one", 0, 1))
    for found in ranks:
        assert_same_gradients(alone, {name.removeprefix("module."): g for name, g in found.items()})


def test_gradient_checkpointing_changes_nothing_but_memory(world, checkpoint, tmp_path):
    plain = run(world, checkpoint, tmp_path / "plain")
    assert_same_run(plain, run(world, checkpoint, tmp_path / "saving", gradient_checkpointing=True))


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
    plain = run(world, checkpoint, tmp_path / "plain")
    assert_same_run(plain, run(world, checkpoint, tmp_path / "compiled", compile="on"))
    again = run(world, checkpoint, tmp_path / "both", compile="on", gradient_checkpointing=True)
    assert_same_run(plain, again)


def test_figures_go_to_the_reporters_that_are_asked_for(world, checkpoint, tmp_path, monkeypatch):
    calls = []

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            calls.append((state.global_step, logs))

    monkeypatch.setattr(
        "transformers.trainer.get_reporting_integration_callbacks", lambda to: [Reporter] if to else []
    )
    run(world, checkpoint, tmp_path / "none")
    assert not calls
    run(world, checkpoint, tmp_path / "some", report_to=["tensorboard"], log_steps=2)
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
    losses, _ = run(world, checkpoint, tmp_path, schedule=schedule, warmup_steps=warmup, learning_rate=1.0e-4)
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
