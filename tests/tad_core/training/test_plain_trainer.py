"""Ten steps of ours against a plain trainer: a copy as the teacher, every logit, autograd, one loop over states."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from tad_core.config import LoraConfig, ModelConfig
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, weights_of
from tad_core.objectives import make_objective
from tad_core.training.dataset import StatePlan, load_kept
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained

STEPS, RATE = 10, 1e-3
WINDOWS = {"quality": 2, "speed": 5}
DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)


@pytest.fixture
def make(world, checkpoint, tmp_path):
    def build(root, *names, **changes):
        settings = {"lora": DRY, "max_steps": STEPS, "learning_rate": RATE, **changes}
        specs = [
            world.make_spec(tmp_path / root / n, checkpoint, window=WINDOWS[n], **settings).model_copy(
                update={"name": n, "run_id": n}
            )
            for n in names
        ]
        also = [AlsoTrained(name=s.name, window=s.window, run_id=s.mark, output=s.output) for s in specs[1:]]
        return specs[0].model_copy(update={"also": also})

    return build


def state_losses(spec, student, teacher, table, row, step):
    """Cross-entropy of near tokens and KL of distant ones of a state, each ``[n]``; by the words of the paper."""
    response_L = torch.from_numpy(table.response_RL[row].copy()).long()
    revealed_L = torch.from_numpy(table.revealed_at_RL[row].copy()).long()
    masked_L, length = revealed_L > step, len(response_L)
    near_L = masked_L & (revealed_L <= min(step + spec.window, length))
    shown_L = torch.where(masked_L, teacher.mask_token_id, response_L)
    logits = []
    for model, prompts in ((student, table.student), (teacher, table.teacher)):
        prompt_P = torch.from_numpy(prompts[row].copy()).long()
        with torch.set_grad_enabled(model is student):
            logits.append(model(torch.cat([prompt_P, shown_L])[None])[0, len(prompt_P) :])
    own_LV, other_LV = logits
    cross_L = F.cross_entropy(own_LV, response_L, reduction="none")
    target_LV = other_LV.log_softmax(-1)
    kl_L = F.kl_div(own_LV.log_softmax(-1), target_LV, reduction="none", log_target=True).sum(-1)
    return cross_L[near_L], kl_L[masked_L & ~near_L]


class Plain(NamedTuple):
    """Loss and gradient norm of every step, each weight's gradient in it, and the weights after the last."""

    figures: list[tuple[float, float]]
    gradients: list[list[Tensor]]
    weights: dict[str, Tensor]


def plain_run(spec):
    """The plain trainer's run of the spec's first adapter."""
    config = spec.distill
    teacher = load_model(ModelConfig(path=spec.model.path, device="cpu", threads=1))
    student = add_lora(copy.deepcopy(teacher), config.lora, config.seed)
    table = load_kept(spec.trajectories, spec.verdicts, spec.response_length)
    plan = StatePlan(table, make_objective(config, spec.window), config)
    weights = weights_of(student, "default")
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    figures, gradients = [], []
    for step in range(plan.steps):
        near, distant = [], []
        for i in range(step * plan.batch, (step + 1) * plan.batch):
            losses = state_losses(spec, student, teacher, table, int(plan.row_S[i]), int(plan.draw_S[i]))
            near.append(losses[0])
            distant.append(losses[1])
        loss = torch.cat(near).mean() + torch.cat(distant).mean()
        loss.backward()
        gradients.append([weight.grad.clone() for weight in weights])
        norm = torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        figures.append((loss.item(), norm.item()))
    names = [n.replace(".default", "") for n, p in student.named_parameters() if p.requires_grad]
    return Plain(figures, gradients, dict(zip(names, weights, strict=True)))


@pytest.fixture(scope="module")
def plain():
    """The plain run of each window, made once."""
    return {}


def keep_gradients(folder: Path) -> None:
    """From now on every adapter's gradients of every step, as they are before they are clipped, are files here."""
    original, numbers = torch.nn.utils.clip_grad_norm_, itertools.count()

    def keeping(weights, *rest):
        name = f"gradients-{next(numbers)}.safetensors"
        save_file({str(i): weight.grad.clone() for i, weight in enumerate(weights)}, folder / name)
        return original(weights, *rest)

    torch.nn.utils.clip_grad_norm_ = keeping


def assert_as_plain(spec, plain, folder):
    for n, run in enumerate(spec.adapters):
        if run.name not in plain:
            plain[run.name] = plain_run(spec.model_copy(update={"window": run.window}))
        figures, gradients, weights = plain[run.name]
        ours = [(row["loss"], row["grad_norm"]) for row in read_losses(run.output / "losses.jsonl")]
        assert len(ours) == STEPS
        for found, expected in zip(ours, figures, strict=True):
            assert found == pytest.approx(expected, rel=1e-5)
        for step, expected in enumerate(gradients):
            found = load_file(folder / f"gradients-{step * len(spec.adapters) + n}.safetensors")
            for i, gradient in enumerate(expected):
                scale = float(gradient.abs().max())
                torch.testing.assert_close(found[str(i)], gradient, rtol=1e-5, atol=1e-5 * scale)
        saved = load_file(run.output / "adapter" / "adapter_model.safetensors")
        assert saved.keys() == weights.keys()
        for name, weight in saved.items():
            # Adam moves every weight by about its rate, also one whose gradient is all but rounding.
            torch.testing.assert_close(weight, weights[name].detach(), rtol=1e-5, atol=0.02 * RATE)


@pytest.mark.thinned(5)
@pytest.mark.parametrize("names", [("quality",), ("quality", "speed")], ids=["one adapter", "two adapters"])
@pytest.mark.parametrize("checkpointed", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize("micro", [1, 4], ids=["one by one", "packed"])
@pytest.mark.parametrize("processes", [1, 2], ids=["one process", "two processes"])
def test_ten_steps_are_those_of_the_plain_trainer(
    world, make, plain, tmp_path, monkeypatch, processes, micro, checkpointed, names
):
    """Every loss, every gradient, and the weights in the end."""
    # What keeps the gradients is taken away at the end.
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", torch.nn.utils.clip_grad_norm_)
    spec = make("ours", *names, micro_batch_size=micro, gradient_checkpointing=checkpointed)
    if processes == 1:
        keep_gradients(tmp_path)
        assert train(spec, StopRequest())
    else:
        world.two_ranks(spec, lambda number: None if number else keep_gradients(tmp_path))
    assert_as_plain(spec, plain, tmp_path)
