"""A trainer as the method's definition says it, and as its released code does it: what ours is measured against.

A second copy of the model is the teacher; logits of both are taken for every position, cross-entropy and KL over all of
them in float32 with masks; states are in random order, padded to the longest; nothing is compiled.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from training_states import WINDOWS, Ran, Setting, ShuffledPlan, now, taken_gib, wait

from tad_core.models.lora import add_lora, base_of
from tad_core.objectives import make_objective


def plain(setting: Setting) -> Ran:
    """The definition, micro-batch by micro-batch; the first step warms up."""
    model, config, device = setting.model, setting.config, setting.device
    teacher = copy.deepcopy(model).requires_grad_(False)
    student = add_lora(model, config.lora, config.seed)
    plan = ShuffledPlan(setting.table, make_objective(config, WINDOWS["quality"]), config)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    first_loss, started = 0.0, 0.0
    try:
        for step in range(plan.steps):
            if step == 1:
                wait(device)
                started = now(device)
            sums = {"near": (0.0, 0), "distant": (0.0, 0)}
            order = plan.__getitems__(list(range(step * plan.batch, (step + 1) * plan.batch)))
            for micro in np.array(order).reshape(-1, config.micro_batch_size):
                parts = plain_parts(setting, student, teacher, plan, micro)
                loss = sum(part.mean() for part in parts.values() if len(part))
                (loss * config.micro_batch_size / plan.batch).backward()
                for kind, part in parts.items():
                    sums[kind] = (sums[kind][0] + part.sum().item(), sums[kind][1] + len(part))
            torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            if step == 0:
                first_loss = sum(total / max(count, 1) for total, count in sums.values())
        wait(device)
        rate = (plan.steps - 1) * plan.batch / (now(device) - started)
    finally:
        student.unload()
    return Ran(rate, first_loss, taken_gib(device))


def plain_parts(setting, student, teacher, plan, micro):  # type: ignore[no-untyped-def]
    """Losses of near and of distant tokens of a micro-batch."""
    table, device = setting.table, setting.device
    states = []
    for index in micro:
        row, step = int(plan.row_S[index]), int(plan.draw_S[index])
        states.append(
            (row, step, table.revealed_at_RL[row].astype(np.int64), table.response_RL[row].astype(np.int64))
        )
    student.train()
    logits = {}
    for who, network, prompts in (
        ("student", student, table.student),
        ("teacher", teacher, table.teacher),
    ):
        ids, mask = _padded(base_of(student), prompts, states)
        with (
            torch.set_grad_enabled(who == "student"),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"),
        ):
            logits[who] = network(ids.to(device), mask.to(device)).float()  # [B, W, V]
    near, distant = [], []
    for b, (row, step, revealed_L, response_L) in enumerate(states):
        length = len(response_L)
        own = logits["student"][b, table.student.length_R[row] :][:length]
        other = logits["teacher"][b, table.teacher.length_R[row] :][:length]
        masked_L = torch.from_numpy(revealed_L > step).to(device)
        soon_L = torch.from_numpy(revealed_L <= min(step + WINDOWS["quality"], length)).to(device)
        labels_L = torch.from_numpy(response_L).to(device)
        cross_L = F.cross_entropy(own, labels_L, reduction="none")
        kl_L = F.kl_div(own.log_softmax(-1), other.log_softmax(-1), reduction="none", log_target=True).sum(-1)
        near.append(cross_L[masked_L & soon_L])
        distant.append(kl_L[masked_L & ~soon_L])
    return {"near": torch.cat(near), "distant": torch.cat(distant)}


def _padded(model, prompts, states):  # type: ignore[no-untyped-def]
    rows = []
    for row, step, revealed_L, response_L in states:
        state_L = np.where(revealed_L > step, model.mask_token_id, response_L)
        rows.append(torch.from_numpy(np.concatenate([prompts[row], state_L])))
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(rows, batch_first=True, padding_value=model.eos_token_id).long()
    return ids, pad([torch.ones_like(r) for r in rows], batch_first=True).long()
