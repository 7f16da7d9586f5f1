"""What only an accelerator can show of the families."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tad_core.config import ModelConfig
from tad_core.models import between, packed, right_pad
from tad_core.models.attention import _one_by_one
from tad_core.models.attention import attend as packed_attend
from tad_core.models.float8 import Maps8, Scaled, scaled
from tad_core.models.joined import joined
from tad_core.models.layout import Keys, Segments
from tad_core.models.loading import load_model
from tad_core.models.lora import base_of, weights_of
from tad_core.models.packed import record_training
from tad_core.models.rows import join_layers
from tad_core.models.transformer import attend
from tad_core.training.adapters import Switch
from tests.tad_core.models.steps import held_steps, micro_batch, push, trained, two_steps

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_read_straight_to_the_gpu_and_says_what_the_cpu_says(folder: Path, dtype: str) -> None:
    here = load_model(ModelConfig(path=str(folder), dtype=dtype, device="cpu"))
    there = load_model(ModelConfig(path=str(folder), dtype=dtype, device="cuda:0"))
    assert {p.device.type for p in there.parameters()} == {"cuda"}
    assert not any(hasattr(m, "_hf_hook") for m in there.modules())  # nothing wraps its forward
    rows = [[5, 6, 7, 8, 9, 1, 1], [10, 11], [12, 13, 14]]
    ids, mask = right_pad(rows, here.eos_token_id)
    with torch.no_grad():
        ours, theirs = there(ids.cuda(), mask.cuda()).cpu().float(), here(ids, mask).float()
    real = mask.bool()
    tolerance = 1e-4 if dtype == "float32" else 0.03 * float(theirs[real].abs().max())
    torch.testing.assert_close(ours[real], theirs[real], atol=tolerance, rtol=0)
    join_layers(there)
    parts = next(iter(there.layers())).parts()
    assert joined((parts.q, parts.k, parts.v)) is not None, "each weight has memory of its own"


def test_padding_holds_on_the_gpu(folder: Path) -> None:
    model = load_model(ModelConfig(path=str(folder), device="cuda:0"))
    rows = [list(range(7, 31)), list(range(40, 49))]
    ids, mask = right_pad(rows, model.eos_token_id, "cuda:0")
    with torch.no_grad():
        full = model.hidden(ids, mask)
        for i, row in enumerate(rows):
            alone = model.hidden(torch.tensor([row], device="cuda:0"))[0]
            torch.testing.assert_close(full[i, : len(row)], alone, atol=1e-5, rtol=1e-5)


def test_shared_heads_take_a_fused_kernel_at_dreams_shape() -> None:
    """28 heads over 4, masked and not: no kernel of the math fallback, which would hold B x H x L x L numbers."""
    draw = torch.Generator("cuda").manual_seed(0)

    def random(heads: int) -> torch.Tensor:
        return torch.randn(2, heads, 512, 128, device="cuda", dtype=torch.bfloat16, generator=draw)

    q, k, v = random(28), random(4), random(4)
    visible = torch.ones(2, 1, 1, 512, dtype=torch.bool, device="cuda")
    visible[1, ..., 300:] = False
    fused = [
        torch.nn.attention.SDPBackend.FLASH_ATTENTION,
        torch.nn.attention.SDPBackend.EFFICIENT_ATTENTION,
        torch.nn.attention.SDPBackend.CUDNN_ATTENTION,
    ]
    for mask in (None, visible):
        with torch.nn.attention.sdpa_kernel(fused):  # raises if none of them takes it
            ours = attend(q, k, v, mask)
        repeated = torch.nn.functional.scaled_dot_product_attention(
            q, k.repeat_interleave(7, 1), v.repeat_interleave(7, 1), attn_mask=mask
        )
        expected = repeated.transpose(1, 2).flatten(2)
        torch.testing.assert_close(ours.float(), expected.float(), atol=2e-2, rtol=2e-2)


@torch.no_grad()
@pytest.mark.parametrize("cached", [False, True])
def test_float32_sequences_end_to_end_are_attended_to_as_one_by_one(cached: bool) -> None:
    """8 heads over 2; an empty sequence, one that computes a part of its tokens, one of a single token."""
    draw = torch.Generator("cuda").manual_seed(0)
    counts, lengths, capacity = (5, 0, 33, 1), (17, 0, 40, 1), 48

    def random(rows: int, heads: int) -> torch.Tensor:
        return torch.randn(rows, heads, 32, device="cuda", generator=draw)

    device = torch.device("cuda")
    queries = Segments.of(counts if cached else lengths, device)
    keys: Segments | Keys = Segments.of(lengths, device)
    if cached:
        starts = tuple(capacity * b for b in range(4))
        start_B1 = torch.tensor([*starts, 0], dtype=torch.int32, device=device)
        count_B = torch.tensor(lengths, dtype=torch.int32, device=device)
        keys = Keys(starts, lengths, start_B1, count_B, capacity, torch.empty(0))
    q, cells = random(sum(queries.counts), 8), 4 * capacity + 1 if cached else sum(lengths)
    k, v = random(cells, 2), random(cells, 2)
    expected = _one_by_one(q, k, v, queries, keys)
    torch.testing.assert_close(packed_attend(q, k, v, queries, keys), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("asked", [(300, 41, 7), (90, 41, 1)], ids=["every row", "some rows"])
def test_gradients_of_sequences_end_to_end_are_those_of_each_alone(asked: tuple[int, ...]) -> None:
    """28 heads over 4 of 128 in bfloat16, as training runs them, against float32 on a CPU."""
    lengths = (300, 41, 7)
    draw = torch.Generator().manual_seed(0)
    shapes = [(sum(asked), 28, 128), (sum(lengths), 4, 128), (sum(lengths), 4, 128), (sum(asked), 28 * 128)]
    *inputs, push = (torch.randn(shape, generator=draw).bfloat16() for shape in shapes)
    found = []
    for device, dtype in (("cuda", torch.bfloat16), ("cpu", torch.float32)):
        q, k, v = (x.to(device, dtype, copy=True).requires_grad_() for x in inputs)
        where = torch.device(device)
        mixed = packed_attend(q, k, v, Segments.of(asked, where), Segments.of(lengths, where))
        mixed.backward(push.to(device, dtype))
        found.append([x.detach().float().cpu() for x in (mixed, q.grad, k.grad, v.grad)])
    for ours, expected in zip(*found, strict=True):
        assert (ours - expected).norm() < 0.02 * expected.norm()


def test_gradients_of_prefixes_are_those_of_each_alone() -> None:
    """A prompt and two blocks of each of two sequences, in bfloat16, against float32 on a CPU."""
    ends = ((130, 162, 194), (9, 41, 73))
    draw = torch.Generator().manual_seed(0)
    tokens = sum(last for *_, last in ends)
    shapes = [(tokens, 28, 128), (tokens, 4, 128), (tokens, 4, 128), (tokens, 28 * 128)]
    *inputs, push = (torch.randn(shape, generator=draw).bfloat16() for shape in shapes)
    counts, sees, token_K, first = [], [], [], 0
    for own in ends:
        counts += [own[0], own[1] - own[0], own[2] - own[1]]
        sees += own
        token_K += [first + i for end in own for i in range(end)]
        first += own[2]
    found = []
    for device, dtype in (("cuda", torch.bfloat16), ("cpu", torch.float32)):
        q, k, v = (x.to(device, dtype, copy=True).requires_grad_() for x in inputs)
        where = torch.device(device)
        of_K = torch.tensor(token_K, device=where)
        mixed = packed_attend(q, k[of_K], v[of_K], Segments.of(counts, where), Segments.of(sees, where))
        mixed.backward(push.to(device, dtype))
        found.append([x.detach().float().cpu() for x in (mixed, q.grad, k.grad, v.grad)])
    for ours, expected in zip(*found, strict=True):
        assert (ours - expected).norm() < 0.02 * expected.norm()


# --- layers in training as graphs -----------------------------------------------------------------------


@pytest.mark.parametrize(("dropout", "in_float8"), [(0.0, False), (0.3, False), (0.0, True), (0.3, True)])
def test_recorded_layers_give_what_they_give_kernel_by_kernel(
    deep_checkpoint: Path, dropout: float, in_float8: bool
) -> None:
    model = trained(deep_checkpoint, "cuda:0", dropout, in_float8)
    expected = two_steps(model, graphs=False)
    model.zero_grad()
    recorded = two_steps(model, graphs=True)
    assert len(packed._training[base_of(model)].stack._graphs) > 4  # of each adapter and of the base
    assert len(recorded) == len(expected) > 20
    for ours, theirs in zip(recorded, expected, strict=True):
        near(ours, theirs)


def test_gradients_of_bfloat16_adapters_that_stay_with_the_stack_are_those_of_autograd(
    deep_checkpoint: Path,
) -> None:
    """No further from float32's than autograd's own in bfloat16, and as graphs what they are kernel by kernel."""
    model = trained(deep_checkpoint, "cuda:0").bfloat16()  # as DeepSpeed has it
    theirs = held_steps(model, recorded=False)
    ours = held_steps(model, recorded=True)
    assert len(packed._training[base_of(model)].stack._graphs) == 2  # 50 and 51 tokens are rounded alike
    assert {gradient.dtype for gradient in ours} == {torch.bfloat16}
    for one, other in zip(ours, held_steps(model, recorded=True, graphs=False), strict=True):
        near(one, other)
    exact = held_steps(model.float(), recorded=False)
    worst = max(off(one, true) for one, true in zip(theirs, exact, strict=True))
    assert worst < 0.05
    for one, true in zip(ours, exact, strict=True):
        assert off(one, true) <= worst


def near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Rows among more rows may round otherwise."""
    assert off(ours, theirs) < 0.02


def off(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """By how much of the norm."""
    return float((ours.float() - theirs.float()).norm() / theirs.float().norm())


def test_weights_that_are_elsewhere_for_a_moment_are_not_taken_for_the_recorded_ones(
    deep_checkpoint: Path,
) -> None:
    model = trained(deep_checkpoint, "cuda:0")
    record_training(base_of(model), recorded=True)
    switch = Switch(model)
    switch.to("one")
    ids_T, packing = micro_batch(model, (24, 17, 9))
    own = weights_of(model, "one")

    def rows() -> torch.Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return model(ids_T, packing=packing, fused=True).detach().clone()

    before = rows()
    kept = [weight.data for weight in own]
    for weight in own:
        weight.data = torch.zeros_like(weight)
    with switch.off():
        base = rows()
    near(rows(), base)
    for weight, data in zip(own, kept, strict=True):
        weight.data = data
    near(rows(), before)
    with pytest.raises(AssertionError):
        near(before, base)


@pytest.mark.parametrize("size", [64, 128])
def test_the_rotating_kernel_says_what_torch_says(size: int) -> None:
    draw = torch.Generator("cuda").manual_seed(0)
    y_TO = torch.randn(37, 9 * size, device="cuda", dtype=torch.bfloat16, generator=draw)
    angle = torch.randn(37, size // 2, device="cuda", generator=draw)
    cos_TE, sin_TE = torch.cat((angle.cos(), angle.cos()), 1), torch.cat((-angle.sin(), angle.sin()), 1)
    ours = between.Pieces(True).rotate(y_TO.clone(), cos_TE, sin_TE, 6)
    theirs = between.rotate(y_TO, cos_TE, sin_TE, 6)
    torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(ours[:, 6 * size :], y_TO[:, 6 * size :], atol=0, rtol=0)
    q, k, v = (x.contiguous() for x in torch.split(y_TO.view(37, 9, size), [5, 1, 3], dim=1))
    ours = between.Pieces(True).rotate_back(q, k, v, cos_TE, sin_TE)
    torch.testing.assert_close(ours, between.rotate_back(q, k, v, cos_TE, sin_TE), atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(ours[:, 6 * size :], v.flatten(1), atol=0, rtol=0)


# --- 8-bit floats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [48, 4096, 24576])
def test_the_scaling_kernel_says_what_torch_says(size: int) -> None:
    draw = torch.Generator("cuda").manual_seed(0)
    whole_NK = torch.randn(37, size + 16, device="cuda", dtype=torch.bfloat16, generator=draw)
    whole_NK *= torch.logspace(-20, 10, 37, device="cuda")[:, None].to(torch.bfloat16)
    whole_NK[3] = 0
    for x_NK in (whole_NK[:, :size], whole_NK[:, 16:], whole_NK.t().contiguous().t()):
        ours, theirs = scaled(x_NK), scaled(x_NK.cpu())
        torch.testing.assert_close(ours.scale_N1.cpu(), theirs.scale_N1, rtol=1e-6, atol=0)
        found, expected = (of.values_NK.cpu().float() for of in (ours, theirs))
        # A number halfway between two goes to one or the other.
        assert ((found - expected).abs() <= expected.abs() / 8 + 2**-9).all()
        assert (found != expected).float().mean() < 1e-3
    whole_NK[5, 7] = torch.nan
    whole_NK[6, 7] = torch.inf
    ours = scaled(whole_NK)
    rows_NK = ours.values_NK.float() * ours.scale_N1
    assert rows_NK.isfinite().all(1).logical_not().nonzero().flatten().tolist() == [5, 6]


@pytest.mark.parametrize("count", [1, 2, 37, 1648])
def test_products_of_8_bit_floats_are_those_of_the_rounded_rows(count: int) -> None:
    draw = torch.Generator("cuda").manual_seed(0)
    q, k, v = (
        torch.nn.Linear(256, outputs, device="cuda", dtype=torch.bfloat16) for outputs in (256, 128, 128)
    )
    maps = Maps8.of((q, k, v))
    x_TD = torch.randn(count, 256, device="cuda", dtype=torch.bfloat16, generator=draw)
    dy_TO = torch.randn(count, 512, device="cuda", dtype=torch.bfloat16, generator=draw)

    def rows(of: Scaled) -> torch.Tensor:
        return of.values_NK.float() * of.scale_N1

    near(maps(x_TD) - maps.bias_O, rows(scaled(x_TD)) @ rows(maps.forth).t())
    near(maps.pull(dy_TO), rows(scaled(dy_TO)) @ rows(maps.back).t())
    for place, among in enumerate((slice(0, 256), slice(256, 384), slice(384, 512))):
        one = maps.one(place)
        near(one(x_TD), maps(x_TD)[:, among])
        near(one.pull(dy_TO[:, among]), rows(scaled(dy_TO[:, among])) @ rows(maps.back)[:, among].t())


def test_compiled_layers_of_autograd_take_a_base_in_8_bit_floats(deep_checkpoint: Path) -> None:
    found = []
    for fused in (False, True):
        model = trained(deep_checkpoint, "cuda:0", in_float8=True)
        record_training(base_of(model), recorded=False)
        Switch(model).to("one")
        ids_T, packing = micro_batch(model, (24, 17, 9))
        with torch.autocast("cuda", dtype=torch.bfloat16):
            rows_ND = model(ids_T, packing=packing, fused=fused)
        push(rows_ND)
        found.append([rows_ND.detach(), *(w.grad for w in weights_of(model, "one"))])
    # Rows that differ by bfloat16's rounding are rounded otherwise to three bits: rows by 0.05 on an H200, gradients of
    # single weights by 0.06 on average.
    (rows, *gradients), (same_rows, *same_gradients) = found
    one, other = (torch.cat([g.flatten() for g in of]) for of in (gradients, same_gradients))
    assert (rows.float() - same_rows.float()).norm() < 0.1 * rows.float().norm()
    assert (one - other).norm() < 0.1 * one.norm()
