"""The base in 4 bits: what is packed, how far it is from what it was, and that gradients pass through it."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from tad_core.config import LoraConfig
from tad_core.errors import ModelError
from tad_core.models import DreamConfig, DreamModel, LLaDAConfig, LLaDAModelLM
from tad_core.models.lora import add_lora, base_of, save_adapter, weights_of
from tad_core.models.quantized import quantize
from tad_core.planning.memory import BYTES_A_WEIGHT

DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)
IDS = {"mask_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}


LLADA = LLaDAConfig(d_model=64, n_heads=2, n_layers=2, mlp_hidden_size=128, vocab_size=50, **IDS)
DREAM = DreamConfig(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=50, **IDS,
)  # fmt: skip


@pytest.fixture(params=[(LLaDAModelLM, LLADA), (DreamModel, DREAM)], ids=["llada", "dream"])
def models(request):
    """The same random base as it is and in 4 bits."""
    pytest.importorskip("bitsandbytes")
    family, config = request.param
    torch.manual_seed(0)
    whole = family(config).eval()
    packed = copy.deepcopy(whole)
    quantize(packed)
    return whole, packed


def test_the_projections_alone_are_packed(models):
    whole, packed = models
    sizes = {}
    for name, part in packed.named_modules():
        original = whole.get_submodule(name)
        if type(part).__name__ == "Linear4bit":
            weights, state = original.weight.numel(), part.weight.quant_state
            scales = state.absmax.numel() + 4 * state.state2.absmax.numel()
            sizes[name] = (part.weight.numel() + scales) / weights
            assert (part.bias is None) == (original.bias is None)
        elif isinstance(part, nn.Linear):
            assert torch.equal(part.weight, original.weight)
    layers = len(list(whole.layers()))
    assert len(sizes) == 7 * layers
    assert type(packed.output_head()) is nn.Linear
    assert all(size == pytest.approx(BYTES_A_WEIGHT, abs=0.002) for size in sizes.values())


def test_weights_are_near_what_they_were(models):
    import bitsandbytes

    whole, packed = models
    for name, part in packed.named_modules():
        if type(part).__name__ == "Linear4bit":
            found = bitsandbytes.functional.dequantize_4bit(part.weight.data, part.weight.quant_state)
            expected = whole.get_submodule(name).weight
            # Of normal weights in blocks of 64, NF4 keeps all but about a tenth.
            assert 0.05 < (found - expected).norm() / expected.norm() < 0.12


def test_gradients_are_those_of_the_unpacked_weights(models):
    """Unpacked, the same weights in plain layers: the same rows and gradients, after a forward without gradient too."""
    import bitsandbytes

    whole, packed = models
    for name, part in packed.named_modules():
        if type(part).__name__ == "Linear4bit":
            weight = bitsandbytes.functional.dequantize_4bit(part.weight.data, part.weight.quant_state)
            whole.get_submodule(name).weight.data.copy_(weight)
    ids_BL, found = torch.arange(20)[None], []
    for base in (whole, packed):
        model = add_lora(base, DRY, 0)
        weights = weights_of(model, "default")
        torch.manual_seed(1)
        with torch.no_grad():
            for weight in weights:
                weight.normal_(std=0.2)
        model.eval()
        with torch.no_grad():
            base_of(model).hidden(ids_BL)
        model.train()
        hidden_BLD = base_of(model).hidden(ids_BL)
        (hidden_BLD * torch.linspace(-1, 1, hidden_BLD.shape[-1])).sum().backward()
        found.append((hidden_BLD.detach(), [weight.grad for weight in weights]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))


def test_its_adapter_is_saved_as_any_other(models, tmp_path):
    files = []
    for i, base in enumerate(models):
        save_adapter(add_lora(base, DRY, 0), tmp_path / str(i))
        files.append((tmp_path / str(i) / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_without_the_library_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"distill.quantize: .*pip install .*\[quantize\]\", or set none"):
        quantize(LLaDAModelLM(LLADA))


def test_rows_that_are_not_whole_blocks_are_refused():
    pytest.importorskip("bitsandbytes")
    model = LLaDAModelLM(
        LLaDAConfig(d_model=64, n_heads=2, n_layers=1, mlp_hidden_size=96, vocab_size=50, **IDS)
    )
    with pytest.raises(
        ModelError, match=r"blocks.0.ff_out has rows of 96 weights, .* multiple of 64; set none"
    ):
        quantize(model)
