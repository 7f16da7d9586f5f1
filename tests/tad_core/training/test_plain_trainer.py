"""Ten steps of ours against a plain trainer: a copy as the teacher, every logit, autograd, one loop over states."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

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


def plain_run(spec):
    """Loss and gradient norm of every step, and the weights after the last."""
    config = spec.distill
    teacher = load_model(ModelConfig(path=spec.model.path, device="cpu", threads=1))
    student = add_lora(copy.deepcopy(teacher), config.lora, config.seed)
    table = load_kept(spec.trajectories, spec.verdicts, spec.response_length)
    plan = StatePlan(table, make_objective(config, spec.window), config)
    weights = weights_of(student, "default")
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    figures = []
    for step in range(plan.steps):
        near, distant = [], []
        for i in range(step * plan.batch, (step + 1) * plan.batch):
            losses = state_losses(spec, student, teacher, table, int(plan.row_S[i]), int(plan.draw_S[i]))
            near.append(losses[0])
            distant.append(losses[1])
        loss = torch.cat(near).mean() + torch.cat(distant).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        figures.append((loss.item(), norm.item()))
    names = [n.replace(".default", "") for n, p in student.named_parameters() if p.requires_grad]
    return figures, dict(zip(names, weights, strict=True))


def assert_as_plain(spec):
    for run in spec.adapters:
        figures, weights = plain_run(spec.model_copy(update={"window": run.window}))
        ours = [(row["loss"], row["grad_norm"]) for row in read_losses(run.output / "losses.jsonl")]
        assert len(ours) == STEPS
        for (loss, norm), (plain_loss, plain_norm) in zip(ours, figures, strict=True):
            assert loss == pytest.approx(plain_loss, rel=1e-5)
            assert norm == pytest.approx(plain_norm, rel=1e-4)
        saved = load_file(run.output / "adapter" / "adapter_model.safetensors")
        assert saved.keys() == weights.keys()
        for name, weight in saved.items():
            # Adam moves every weight by about its rate, also one whose gradient is all but rounding.
            torch.testing.assert_close(weight, weights[name].detach(), rtol=1e-5, atol=0.02 * RATE)


@pytest.mark.parametrize("names", [("quality",), ("quality", "speed")], ids=["one", "two"])
@pytest.mark.parametrize(
    "changes",
    [
        {"micro_batch_size": 1},
        {"micro_batch_size": 4},
        {"micro_batch_size": 4, "gradient_checkpointing": True},
    ],
    ids=["one by one", "packed", "checkpointed"],
)
def test_ten_steps_are_those_of_the_plain_trainer(make, names, changes):
    spec = make("ours", *names, **changes)
    assert train(spec, StopRequest())
    assert_as_plain(spec)


def test_so_they_are_in_two_processes_with_two_adapters(world, make):
    spec = make("ours", *WINDOWS, micro_batch_size=2)
    world.two_ranks(spec)
    assert_as_plain(spec)
