"""llama.cpp itself reads the GGUF file, gives our logits, decodes our tokens and splits text as we do.

It comes inside the package cyllama; attention without a causal mask needs the whole sequence in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tad_core.checkpoint import load_tokenizer
from tad_core.config import ModelConfig
from tad_core.evaluation.generate import load_for_inference
from tad_core.models.gguf_export import export_gguf
from tad_core.shipped import model_here
from tests.tad_core.models.adapters import make_adapter
from tests.tad_core.models.words import TEXTS, UNMERGED, WAYS, byte_level

pytestmark = pytest.mark.services

IDS = [2, 3, 60, 4, 30, 41, 52, 100, 5] + [1] * 24
#: Largest difference, of the largest logit. Measured: 4e-7 to 8e-7, 7e-4 to 1e-3 and 5e-3 to 8e-3; ours is computed in
#: float32 with the weights of the base, so that half-precision files differ by the rounding of weights and of inputs.
TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}

Logits = Callable[[list[int]], np.ndarray]


class LlamaCpp:
    """A GGUF file in llama.cpp on one thread of the CPU."""

    def __init__(self, file: Path) -> None:
        llama = pytest.importorskip("cyllama.llama.llama_cpp", reason="pip install -e .[services]")
        llama.disable_logging()
        self.metadata = llama.LlamaModel(str(file)).metadata()
        rows = int(self.metadata[f"{self.metadata['general.architecture']}.vocab_size"])
        # What reads logits asks the model for n_vocab, which cyllama 0.2.18 has on the vocabulary alone.
        model_class = type("Model", (llama.LlamaModel,), {"n_vocab": rows})
        self._llama, self.model = llama, model_class(str(file))
        settings = llama.LlamaContextParams()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = 256
        settings.flash_attn_type = 0  # off: it keeps keys and values in float16
        settings.n_threads = settings.n_threads_batch = 1
        self._context = llama.LlamaContext(self.model, settings)
        self._context.set_causal_attn(False)

    def __call__(self, ids: list[int]) -> np.ndarray:
        """Logits [L, V]; row i predicts token i, after the shift that the file asks for."""
        batch = self._llama.LlamaBatch(n_tokens=256, embd=0, n_seq_max=1)
        batch.set_batch(ids, 0, True)
        assert self._context.decode(batch) == 0
        logits_LV = np.array([self._context.get_logits_ith(i) for i in range(len(ids))])
        shifted = self.metadata["diffusion.shift_logits"] == "true"
        return np.concatenate([logits_LV[:1], logits_LV[:-1]]) if shifted else logits_LV


@pytest.fixture(params=["shipped", "random llada", "random dream"])
def base(request: pytest.FixtureRequest) -> ModelConfig:
    names = {"random llada": "tiny_checkpoint", "random dream": "tiny_dream_checkpoint"}
    folder = request.getfixturevalue(names[request.param]) if request.param in names else model_here()
    return ModelConfig(path=str(folder), device="cpu", dtype="float32")


def greedy(logits_of: Logits, prompt: list[int], length: int, mask_id: int) -> tuple[list[int], list[int]]:
    """The likeliest token of all masked positions, one a forward: the tokens, and the order of their positions."""
    ids, order = prompt + [mask_id] * length, []
    while mask_id in ids:
        logits_LV = logits_of(ids).astype(np.float64)
        logits_LV[:, mask_id] = -np.inf
        log_z_L = np.log(np.exp(logits_LV - logits_LV.max(-1, keepdims=True)).sum(-1))
        at = min((i for i, token in enumerate(ids) if token == mask_id), key=lambda i: (log_z_L[i], i))
        ids[at] = int(logits_LV[at].argmax())
        order.append(at)
    return ids, order


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_logits_are_ours_and_so_are_greedy_tokens(dtype: Any, base: ModelConfig, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    out = export_gguf(base, adapter, tmp_path / "out", "card", dtype, "tiny")
    theirs = LlamaCpp(next(out.glob("*.gguf")))
    ours = load_for_inference(base, adapter)

    def logits(ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            return ours(torch.tensor([ids]))[0].numpy()

    mask_id = ours.mask_token_id
    ids = [mask_id if token == 1 else token for token in IDS]
    wanted_LV, found_LV = logits(ids), theirs(ids)
    error = float(np.abs(found_LV - wanted_LV).max() / np.abs(wanted_LV).max())
    print(f"{theirs.metadata['general.architecture']} {dtype}: {error:.1e} of the largest logit")
    assert error < TOLERANCE[dtype]
    if dtype == "float32":
        for prompt in (IDS[:9], [2, 77], [2, 9, 10, 11, 12, 60]):
            assert greedy(theirs, prompt, 24, mask_id) == greedy(logits, prompt, 24, mask_id)


@pytest.mark.parametrize(("bits", "most"), [("int8", 4e-2), ("int4", 0.3)])
def test_few_bits_are_read(bits: str, most: float, tmp_path: Path) -> None:
    """Measured: 2e-2 and 2e-1 of the largest logit; llama.cpp rounds the inputs of products to 8 bits, too."""
    base = ModelConfig(path=str(model_here()), device="cpu", dtype="float32")
    adapter = make_adapter(base, tmp_path / "adapter")
    out = export_gguf(base, adapter, tmp_path / "out", "card", "float32", "tiny", quantize=bits)
    theirs, ours = LlamaCpp(next(out.glob("*.gguf"))), load_for_inference(base, adapter)
    with torch.no_grad():
        wanted_LV = ours(torch.tensor([IDS]))[0].numpy()
    error = float(np.abs(theirs(IDS) - wanted_LV).max() / np.abs(wanted_LV).max())
    print(f"{bits}: {error:.1e} of the largest logit")
    assert 0 < error < most


@pytest.mark.parametrize(("pattern", "whole", "name"), WAYS, ids=[name for _, _, name in WAYS])
def test_text_becomes_the_same_tokens(
    pattern: str, whole: bool, name: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = byte_level(tiny_checkpoint, tmp_path / "bpe", pattern, whole)
    base = ModelConfig(path=str(folder), device="cpu", dtype="float32")
    adapter = make_adapter(base, tmp_path / "adapter")
    out = export_gguf(base, adapter, tmp_path / "out", "card", "float32", "tiny")
    theirs = LlamaCpp(next(out.glob("*.gguf")))  # kept: the vocabulary is a part of it
    vocab, words = theirs.model.get_vocab(), load_tokenizer(folder)
    for text in (
        *TEXTS,
        f"1{UNMERGED}",
        "x <|eot_id|>Return the result. <|mdm_mask|>\n",
        "a  \n\n  b 12 345 6789 x" * 3,
    ):
        ids = words.encode(text, add_special_tokens=False)
        assert list(vocab.tokenize(text, add_special=False, parse_special=True)) == ids
        assert vocab.detokenize(ids, unparse_special=True) == words.decode(ids)
    assert vocab.is_eog(words.get_vocab()["<|eot_id|>"]) and vocab.get_add_bos()
