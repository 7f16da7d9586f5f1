"""Chunking over rows changes memory, nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tad_core.objectives.base import Rows, sum_rows
from tad_core.objectives.tad import hard_loss, soft_loss


def make_rows(count=23, hidden=6, vocabulary=9):
    generator = torch.Generator().manual_seed(1)
    student_ND = torch.randn(count, hidden, generator=generator, requires_grad=True)
    teacher_ND = torch.randn(count, hidden, generator=generator)
    labels_N = torch.randint(0, vocabulary, (count,), generator=generator)
    weights_N = torch.rand(count, generator=generator)
    head_VD = torch.randn(vocabulary, hidden, generator=generator)
    return Rows(student_ND, labels_N, teacher_ND, weights_N), lambda x: x @ head_VD.T


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("rows_per_chunk", [1, 5, 22])
def test_chunks_give_the_sum_and_the_gradient_of_the_whole(kind, rows_per_chunk):
    rows, head = make_rows()
    row_loss = {"hard": lambda s, _, y: hard_loss(s, y), "soft": lambda s, t, _: soft_loss(s, t, 1.5)}[kind]

    def run(size):
        value = sum_rows(rows, row_loss, head, size)
        (gradient,) = torch.autograd.grad(value / 7, rows.student_ND)
        return value.detach(), gradient

    for chunked, whole in zip(run(rows_per_chunk), run(23), strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-6)


def test_only_one_chunk_of_logits_is_alive():
    rows, head = make_rows()
    sizes = []

    def spy(hidden_ND):
        sizes.append(len(hidden_ND))
        return head(hidden_ND)

    sum_rows(rows, lambda s, t, y: hard_loss(s, y), spy, 10).backward()
    assert sizes == [10, 10, 10, 10, 3, 3]  # teacher and student of each chunk; nothing again in backward


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_no_float32_tensor_of_all_rows_by_vocabulary_is_ever_made(kind):
    count, vocabulary, per_chunk = 40, 50, 8
    rows, head = make_rows(count, 6, vocabulary)
    row_loss = {"hard": lambda s, _, y: hard_loss(s, y), "soft": lambda s, t, _: soft_loss(s, t)}[kind]
    with Sizes() as seen:
        sum_rows(rows, row_loss, head, per_chunk).backward()
    assert seen.largest == per_chunk * vocabulary


class Sizes(TorchDispatchMode):
    """Elements of the largest tensor that any operation returns."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


def test_weights_multiply_their_rows():
    student_ND = torch.zeros(2, 4)
    rows = Rows(student_ND, torch.tensor([0, 1]), None, torch.tensor([2.0, 0.0]))
    value = sum_rows(rows, lambda s, _, y: hard_loss(s, y), lambda x: x, 10)
    assert value.item() == pytest.approx(2 * torch.tensor(4.0).log().item())


def test_without_gradient_chunks_still_sum():
    rows, head = make_rows()
    with torch.no_grad():
        whole = sum_rows(rows, lambda s, _, y: hard_loss(s, y), head, 100)
        chunked = sum_rows(rows, lambda s, _, y: hard_loss(s, y), head, 4)
    torch.testing.assert_close(chunked, whole)
