"""The seven projections of every layer in 4 bits, for adapters that are trained on top of them (QLoRA).

NF4 in blocks of 64, their scales in 8 bits themselves, as Dettmers et al. 2023 have it, by bitsandbytes: products are
taken in the model's dtype with weights that are unpacked for each. Embedding, norms and head stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from tad_core.errors import ModelError, in_a_line
from tad_core.extras import how_to_install
from tad_core.fitting import is_out_of_memory
from tad_core.models.base import DiffusionLM
from tad_core.weights import check_packable


def quantize(model: DiffusionLM) -> None:
    """Replace the projections in place, one after the other, so that no second copy of the model is in memory.

    Args:
        model: on its device, in its dtype.

    Raises:
        ModelError: bitsandbytes is not installed, or does not work on the model's device; see also
            ``weights.check_packable``, which reads no weights.
    """
    try:
        import bitsandbytes
    except ImportError as error:
        raise ModelError(
            f"distill.quantize: bitsandbytes cannot be used ({error}); {how_to_install('quantize')}, or set none"
        ) from None
    check_packable(model.config.to_dict(), "nf4")
    pattern = re.compile("|".join(f"(?:{role})" for role in model.role_patterns.values()))
    chosen = [
        (name, part)
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and pattern.fullmatch(name)
    ]
    for name, linear in chosen:
        try:
            model.set_submodule(name, _in_4_bits(bitsandbytes.nn, linear))
        except (NotImplementedError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"distill.quantize: bitsandbytes does not work on {linear.weight.device} "
                f"({in_a_line(error)}); use another device, or set none"
            ) from None
    model.is_loaded_in_4bit = True  # by which PEFT knows its layers for these


def _in_4_bits(library: Any, linear: nn.Linear) -> nn.Module:
    weight = linear.weight.data
    found: nn.Module = library.Linear4bit(
        linear.in_features, linear.out_features, bias=False, compute_dtype=weight.dtype,
        compress_statistics=True, quant_type="nf4", device="meta",
    )  # fmt: skip
    packed = library.Params4bit(
        weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=found
    )
    found.weight = packed.to(weight.device)
    found.bias = linear.bias
    # On processors with AVX-512 for bfloat16 a forward without gradient would repack the weights for good, in a layout
    # through which no gradient goes: the teacher's forward would end the student's training.
    found.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    return found
