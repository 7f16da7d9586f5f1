"""Adapters' first halves as one product: what each map gives by itself, and when nothing may be put together."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tad_core.models.together import project

WIDTHS = {"q": 12, "k": 8, "v": 20}


class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        for name, width in WIDTHS.items():
            setattr(self, name, nn.Linear(16, width, bias=name == "k", dtype=torch.float64))

    def forward(self, x):
        return [getattr(self, name)(x) for name in WIDTHS]


def adapted(**changes):
    torch.manual_seed(0)
    settings = {"r": 4, "lora_alpha": 6, "lora_dropout": 0.0, "target_modules": list(WIDTHS), **changes}
    model = get_peft_model(Maps(), LoraConfig(**settings)).double().train()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_()
    return model, [getattr(model.base_model.model, name) for name in WIDTHS]


def gradients(model, outputs):
    model.zero_grad()
    sum((y * torch.arange(y.numel()).view_as(y)).sum() for y in outputs).backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize(
    "changes", [{}, {"rank_pattern": {"k": 7}, "alpha_pattern": {"k": 3}}], ids=["alike", "of other ranks"]
)
def test_values_and_gradients_are_those_of_each_alone(changes, monkeypatch):
    model, maps = adapted(**changes)
    x = torch.randn(5, 16, dtype=torch.float64, requires_grad=True)
    expected = [part(x) for part in maps]
    alone = gradients(model, expected)
    pulled, x.grad = x.grad, None
    for part in maps:  # they are not asked one by one
        monkeypatch.setattr(part, "forward", None)
    found = project(maps, x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    together = gradients(model, found)
    assert together.keys() == alone.keys() and len(alone) == 2 * len(WIDTHS)
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient)
    torch.testing.assert_close(x.grad, pulled)


@pytest.mark.parametrize("way", ["dropout", "not all", "off", "merged", "two"])
def test_what_does_not_go_together_is_asked_one_by_one(way):
    changes = {"dropout": {"lora_dropout": 0.5}, "not all": {"target_modules": ["q", "v"]}}
    model, maps = adapted(**changes.get(way, {}))
    if way == "off":
        model.base_model.disable_adapter_layers()
    if way == "merged":
        model.base_model.merge_adapter()
    if way == "two":
        model.add_adapter("other", LoraConfig(r=4, target_modules=list(WIDTHS)))
        model.base_model.set_adapter(["default", "other"])
    x, asked = torch.randn(5, 16, dtype=torch.float64), []
    for part in maps:
        part.register_forward_hook(lambda *a: asked.append(1))
    project(maps, x)
    assert len(asked) == len(maps)
