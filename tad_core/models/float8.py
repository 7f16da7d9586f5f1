"""The projections of the layers in 8-bit floats, for adapters that are trained on top of them in less time.

Weights and what they are multiplied with are e4m3, three bits of mantissa, and each row of both has a scale of its own
(Micikevicius et al. 2022, "FP8 formats for deep learning"). Forward and backward pass add up along different axes of a
weight: it is kept twice, with scales for the rows of each, which is as much memory as it takes in bfloat16. Adapters,
embedding, norms, attention, head and the last layer, which has fewer rows to compute, stay as they are.

Shapes: T tokens, N and M rows of two factors, K what a product adds up over, D inputs and O outputs of maps of one
input, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._triton import has_triton

from tad_core.errors import ModelError
from tad_core.weights import check_packable

if TYPE_CHECKING:
    from tad_core.models.base import DiffusionLM
    from tad_core.models.transformer import Layer, Parts, TransformerLM

KIND = torch.float8_e4m3fn
_MOST = torch.finfo(KIND).max
#: Rows whose largest number is below are scaled as if it were this: no scale may be zero.
_LEAST = 1e-30
#: The first GPUs with products of such numbers: Ada and Hopper.
_CAPABILITY = (8, 9)


class Scaled(NamedTuple):
    """Rows of 8-bit floats.

    Attributes:
        values_NK: e4m3.
        scale_N1: float32; the rows are ``values_NK * scale_N1``.
    """

    values_NK: Tensor
    scale_N1: Tensor


def scaled(x_NK: Tensor) -> Scaled:
    """Rows such that the largest number of each is the largest there is; one that is not finite stays so."""
    if x_NK.is_cuda and has_triton():
        from tad_core.models import float8_kernel

        x_NK = x_NK if x_NK.stride(1) == 1 else x_NK.contiguous()
        found = Scaled(
            x_NK.new_empty(x_NK.shape, dtype=KIND), x_NK.new_empty(len(x_NK), 1, dtype=torch.float32)
        )
        float8_kernel.scale(x_NK, *found, _MOST, _LEAST)
        return found
    x = x_NK.float()
    scale_N1 = x.abs().amax(-1, keepdim=True).clamp(min=_LEAST) / _MOST
    return Scaled((x / scale_N1).to(KIND), scale_N1)


def product(x: Scaled, y: Scaled, dtype: torch.dtype) -> Tensor:
    """Each row of one with each of the other, ``[N, M]``; tensor cores give bfloat16 alone."""
    if x.values_NK.is_cuda and dtype == torch.bfloat16:
        rowwise = F.ScalingType.RowWise
        return F.scaled_mm(
            x.values_NK, y.values_NK.contiguous().t(), x.scale_N1, rowwise, y.scale_N1.t(), rowwise,
            output_dtype=dtype, use_fast_accum=True,
        )  # fmt: skip
    x_NM = x.values_NK.float() @ y.values_NK.float().t()
    return (x_NM * x.scale_N1 * y.scale_N1.t()).to(dtype)


class Maps8(NamedTuple):
    """Linear maps of one input, without gradient for their weights.

    Attributes:
        forth: rows are outputs, K the inputs.
        back: rows are inputs, K the outputs.
        bias_O: None where they have none.
        outputs: of each map.
    """

    forth: Scaled
    back: Scaled
    bias_O: Tensor | None
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, maps: Sequence[nn.Linear]) -> Maps8:
        """The same maps, rounded."""
        weight_OD = torch.cat([a_map.weight.detach() for a_map in maps])
        biases = [a_map.bias.detach() for a_map in maps if a_map.bias is not None]
        forth, back = scaled(weight_OD), scaled(weight_OD.t())
        return cls(forth, back, torch.cat(biases) if biases else None, tuple(m.out_features for m in maps))

    def __call__(self, x_TD: Tensor) -> Tensor:
        """What all give, side by side: ``[T, O]``."""
        y_TO = product(scaled(x_TD), self.forth, x_TD.dtype)
        return y_TO if self.bias_O is None else y_TO + self.bias_O.to(y_TO.dtype)

    def pull(self, dy_TO: Tensor) -> Tensor:
        """Gradient ``[T, D]`` of the input."""
        return product(scaled(dy_TO), self.back, dy_TO.dtype)

    def one(self, place: int) -> Maps8:
        """One of them by itself."""
        start = sum(self.outputs[:place])
        among = slice(start, start + self.outputs[place])
        forth = Scaled(self.forth.values_NK[among], self.forth.scale_N1[among])
        back = Scaled(self.back.values_NK[:, among], self.back.scale_N1)
        bias_O = None if self.bias_O is None else self.bias_O[among]
        return Maps8(forth, back, bias_O, (self.outputs[place],))


class Linear8(nn.Linear):
    """One of some maps of one input. PEFT knows it for a linear map, whose device and dtype its empty weight says."""

    def __init__(self, maps: Maps8, place: int, like: nn.Linear) -> None:
        """In the place of ``like``."""
        super().__init__(like.in_features, like.out_features, bias=False, device="meta")
        self.maps, self.place = maps, place
        self.weight = nn.Parameter(like.weight.detach().new_empty(0), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """As ``nn.Linear``'s, under autocast too; as a part of a layer that is written out it is not called."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        y_TO = cast(Tensor, _apart(x.flatten(0, -2), self.maps.one(self.place)))
        return y_TO.view(*x.shape[:-1], self.out_features)


class _Product(torch.autograd.Function):
    """A map for autograd."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, maps: Maps8) -> Tensor:
        ctx.maps = maps
        return maps(x_TD)

    @staticmethod
    def backward(ctx: Any, dy_TO: Tensor) -> tuple[Tensor, None]:
        return ctx.maps.pull(dy_TO), None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _apart(x_TD: Tensor, maps: Maps8) -> Tensor:
    """Not a part of what is compiled around it, which would know neither the kernels nor the way back."""
    return cast(Tensor, _Product.apply(x_TD, maps))  # type: ignore[no-untyped-call]


def maps8_of(maps: Sequence[nn.Module]) -> Maps8 | None:
    """Maps of one input as one; None where they are others."""
    of = maps[0].maps if isinstance(maps[0], Linear8) else None
    if of is None or len(maps) != len(of.outputs):
        return None
    whole = all(
        isinstance(part, Linear8) and part.maps is of and part.place == i for i, part in enumerate(maps)
    )
    return of if whole else None


def has_products(capability: tuple[int, int]) -> bool:
    """Whether a GPU of this compute capability multiplies such numbers."""
    return capability >= _CAPABILITY


def check_gpu(device: str | torch.device, field: str = "distill.quantize") -> None:
    """That products of such numbers can be taken on a device; a CPU has them, slowly, in float32.

    Args:
        device: as in ``model.device``; of one that is not there nothing is said.
        field: what asks for it.

    Raises:
        ModelError: the GPU is older, or torch is.
    """
    place = torch.device("cuda" if device == "auto" else device)
    index = place.index or 0
    if place.type != "cuda" or not torch.cuda.is_available() or index >= torch.cuda.device_count():
        return
    if not has_products(found := torch.cuda.get_device_capability(index)):
        raise ModelError(
            f"{field}: fp8 needs a GPU of compute capability 8.9 or more (Ada, Hopper, Blackwell), and "
            f"{torch.cuda.get_device_name(index)} has {'.'.join(map(str, found))}; set none or nf4"
        )
    if not hasattr(F, "scaled_mm"):
        raise ModelError(
            f"{field}: fp8 on a GPU needs torch 2.10 or newer, and this is {torch.__version__}; update it, or set none "
            "or nf4"
        )


def quantize(model: DiffusionLM) -> None:
    """Replace the projections in place, layer by layer, so that no second copy of the model is in memory.

    Args:
        model: on its device, in its dtype.

    Raises:
        ModelError: see ``check_gpu``, and ``weights.check_packable``, which reads no weights; also for a family whose
            layers have other parts.
    """
    if not hasattr(model, "layers"):
        raise ModelError(
            f"distill.quantize: fp8 does not know the layers of {type(model).__name__}; set none or nf4"
        )
    check_gpu(model.device)
    check_packable(model.config.to_dict(), "fp8")
    names = {id(part): name for name, part in model.named_modules()}
    *layers, _ = cast("TransformerLM", model).layers()
    for layer in layers:
        _replace(model, names, cast("Layer", layer).parts())
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # the pieces that weights were in are of other sizes than what is asked for next


def _replace(model: DiffusionLM, names: dict[int, str], parts: Parts) -> None:
    """The projections of one layer, whose own weights nobody holds when it is done."""
    for group in ((parts.q, parts.k, parts.v), (parts.o,), (parts.gate, parts.up), (parts.down,)):
        linears = cast("tuple[nn.Linear, ...]", group)
        maps = Maps8.of(linears)
        for place, linear in enumerate(linears):
            model.set_submodule(names[id(linear)], Linear8(maps, place, linear))
