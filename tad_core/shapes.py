"""Parameters, floating-point operations and bytes of a model, from the dimensions in its config.json.

A multiplication and an addition count as two operations. Sequences are B, tokens of one S, of a response L.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tad_core.checkpoint import check_model
from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.families import FAMILIES
from tad_core.weights import missing_files

GIB = 2**30
#: Of the memory there is, what may be planned with: the rest goes to the driver, to fragments and to chance.
USABLE = 0.94
#: Samples decoded together where ``auto`` has nothing to go by: on a CPU, where each runs alone anyway.
AUTO_ON_A_CPU = 32
#: With ``auto`` more are multiples of this, so that prompts of another length seldom change how many there are.
_SLOTS_STEP = 8
#: Columns of a slot are multiples of this (``decoding.packing``).
_COLUMNS = 128
#: What sampling holds of a block of logits: in bfloat16 the logits alone, read by one kernel; in float32 also logits,
#: noise, their sum and what odds are made of in float64.
_SAMPLER_BYTES = {2: 2, 4: 4 + 5 * 8}
#: Dimensions of the published checkpoints, for a plan on a machine that does not have them: their config.json.
_LLADA_8B = {"model_type": "llada", "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32,
             "mlp_hidden_size": 12288, "embedding_size": 126464}  # fmt: skip
_DREAM_7B = {"model_type": "Dream", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
             "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "GSAI-ML/LLaDA-8B-Base": _LLADA_8B,
    "GSAI-ML/LLaDA-8B-Instruct": _LLADA_8B,
    "GSAI-ML/LLaDA-1.5": _LLADA_8B,
    "Dream-org/Dream-v0-Base-7B": _DREAM_7B,
    "Dream-org/Dream-v0-Instruct-7B": _DREAM_7B,
    "Dream-org/Dream-Coder-v0-Instruct-7B": _DREAM_7B,
    "apple/DiffuCoder-7B-Instruct": _DREAM_7B,
    "apple/DiffuCoder-7B-cpGRPO": _DREAM_7B,
}


@dataclass(frozen=True)
class Shape:
    """The dimensions that cost something.

    Attributes:
        width: of the residual stream.
        layers: transformer blocks.
        key_width: of keys and of values, over all their heads.
        mlp: inner width of the feed-forward part.
        vocabulary: rows of the embedding and of the head.
        qkv_bias: whether queries, keys and values have a bias.
    """

    width: int
    layers: int
    key_width: int
    mlp: int
    vocabulary: int
    qkv_bias: bool = False

    @property
    def layer_weights(self) -> int:
        """Weights of the matrices of one layer."""
        attention = 2 * self.width * self.width + 2 * self.width * self.key_width
        return attention + 3 * self.width * self.mlp

    @property
    def parameters(self) -> int:
        """All of them; embedding and head are not tied."""
        biases = (self.width + 2 * self.key_width) if self.qkv_bias else 0
        layer = self.layer_weights + 2 * self.width + biases
        return self.layers * layer + 2 * self.vocabulary * self.width + self.width

    def lora(self, config: LoraConfig) -> int:
        """Parameters of an adapter: ``rank x (in + out)`` for each matrix that is adapted."""
        d, kv, m = self.width, self.key_width, self.mlp
        sizes = {"q": 2 * d, "k": d + kv, "v": d + kv, "o": 2 * d, "gate": d + m, "up": d + m, "down": d + m}
        return self.layers * config.rank * sum(sizes[role] for role in config.roles)

    def forward(self, tokens: float, rows: float, sequences: float = 1.0) -> float:
        """Operations of one forward of ``sequences`` of ``tokens`` each, with logits for ``rows`` rows in all."""
        linear = 2 * self.layers * self.layer_weights * tokens
        attention = 4 * self.layers * self.width * tokens * tokens
        return sequences * (linear + attention) + 2 * self.vocabulary * self.width * rows

    def partial_forward(self, computed: float, keys: float, rows: float) -> float:
        """Operations of a forward of one sequence that computes some tokens against ``keys`` that are kept."""
        linear = 2 * self.layers * self.layer_weights * computed
        attention = 4 * self.layers * self.width * computed * keys
        return linear + attention + 2 * self.vocabulary * self.width * rows

    def trained_state(
        self,
        student: float,
        teacher: float,
        response: int,
        lora: int,
        recompute: bool = False,
        in_one_pass: int = 1,
    ) -> float:
        """Operations of one state in the training of one model.

        The student's forward, its backward through frozen weights (activations alone: as much again, attention
        twice) and through the adapter, and the teacher's forward where there is one (``teacher`` tokens, or 0).
        Models trained in one pass share the teacher's. A state has half of the response masked on average; logits are
        taken at masked rows only.
        """
        rows = response / 2
        attention = 4 * self.layers * self.width * student * student
        total = self.forward(student, rows) * 2 + attention + 6 * lora * student
        if teacher:
            total += self.forward(teacher, 0) / in_one_pass + self.forward(0, rows)
        return total + (self.forward(student, 0) if recompute else 0.0)

    def kept_bytes(
        self, tokens: float, item: int, lora: LoraConfig, recompute: bool, compiled: bool, recorded: bool
    ) -> float:
        """Bytes of activations that the backward pass of ``tokens`` tokens needs, ``item`` bytes a number."""
        # In and out of two norms, queries, keys, values, the rotated two, attention's output, the residual; gate, up,
        # its activation, their product. With dropout also each adapter's own input, and which of it was dropped.
        # Compiled, norms, rotations and what follows gate and up are made again; recorded, what was dropped as well.
        widths, mlps = (6, 2) if compiled else (10, 4)
        layer = item * (widths * self.width + mlps * self.mlp)
        if lora.dropout > 0 and not recorded:
            layer += (item + 1) * sum(self.mlp if role == "down" else self.width for role in lora.roles)
        if recompute:  # recorded, a layer gets the residual stream in two parts
            return tokens * (self.layers * item * self.width * (2 if recorded else 1) + layer)
        return tokens * self.layers * layer

    def decoding_bytes(self, tokens: float, rows: float, item: int, cached: bool) -> float:
        """Bytes that decoding takes beside the weights, ``item`` bytes a number.

        Args:
            tokens: of all samples that are decoded together.
            rows: of logits: a block of each.
            item: bytes of a number.
            cached: whether keys and values are kept.
        """
        logits = _SAMPLER_BYTES[item] * rows * self.vocabulary
        kept = self.cached_bytes(tokens, item) if cached else 0.0
        return self.passing_bytes(tokens, item) + logits + kept

    def cached_bytes(self, tokens: float, item: int) -> float:
        """Bytes of the keys and values of so many tokens, all layers."""
        return tokens * item * 2 * self.layers * self.key_width

    def passing_bytes(self, tokens: float, item: int) -> float:
        """Bytes of the activations that a forward without gradient holds at a time."""
        return tokens * item * (6 * self.width + 3 * self.mlp)


def slots_in(
    free: int, total: int, shape: Shape, item: int, prompt: int, response: int, block: int, cached: bool
) -> int:
    """Slots for which ``free`` bytes of a device have room, of whose ``total`` a reserve stays free; at least one.

    Args:
        free: bytes beside the model's.
        total: bytes of the device.
        shape: of the model.
        item: bytes of a number.
        prompt: tokens of the longest prompt.
        response: tokens of a response.
        block: tokens of a block.
        cached: whether keys and values are kept.
    """
    width = -(-(prompt + response) // _COLUMNS) * _COLUMNS
    each = shape.decoding_bytes(width, block, item, cached)
    most = int((free - (total - int(USABLE * total))) // each)
    return max(1, most if most < _SLOTS_STEP else most // _SLOTS_STEP * _SLOTS_STEP)


def shape_of(model: ModelConfig) -> tuple[Shape, str]:
    """The shape of a checkpoint and where it was read; of a published one that is not here, from its table.

    Raises:
        ModelError: neither here nor known.
    """
    if model.path in PUBLISHED and not is_here(model):
        return read_shape(
            PUBLISHED[model.path]
        ), "published dimensions; the checkpoint is not on this machine"
    return read_shape(check_model(model)), "config.json"


def is_here(model: ModelConfig) -> bool:
    """Whether the checkpoint is on this machine: a plan must not be what downloads it."""
    if Path(model.path).expanduser().is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    if not isinstance(found, str):
        return False
    return not missing_files(Path(found).parent)


def read_shape(fields: Mapping[str, Any]) -> Shape:
    """The shape that a config.json describes.

    Raises:
        ModelError: it is of no family here, or leaves a dimension out.
    """
    family = FAMILIES.get(str(fields.get("model_type")))
    if family is None:
        raise ModelError(
            f"model.path: config.json is of type {fields.get('model_type')!r}; supported: {', '.join(FAMILIES)}"
        )
    names = family.names
    rows = next((name for name in names.vocabulary if fields.get(name)), names.vocabulary[0])
    needed = (names.width, names.layers, names.heads, names.mlp, rows)
    missing = [name for name in needed if not isinstance(fields.get(name), int)]
    if missing:
        raise ModelError(f"model.path: config.json does not say {', '.join(missing)}; nothing can be planned")
    width, layers, heads, mlp, vocabulary = (int(fields[name]) for name in needed)
    key_width = (fields.get(names.kv_heads) or heads) * (width // heads)
    return Shape(width, layers, key_width, mlp, vocabulary, family.qkv_bias)
