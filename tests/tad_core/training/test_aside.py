"""The token embedding on the host: what is trained sees the same, and the device holds none of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tad_core.config import ModelConfig
from tad_core.models.layout import Packing, Segments
from tad_core.models.loading import load_model
from tad_core.training.aside import Aside


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


def test_a_batch_carries_embeddings_and_rows_come_out_the_same(folder: Path) -> None:
    model = load_model(ModelConfig(path=str(folder)), "cpu")
    ids_T = torch.randint(7, 600, (11,), generator=torch.Generator().manual_seed(0))
    pieces = Segments.of([6, 5], torch.device("cpu"))
    packing = Packing(
        torch.cat([torch.arange(6), torch.arange(5)]),
        pieces,
        torch.tensor([2, 9]),
        Segments.of([1, 1], torch.device("cpu")),
    )
    with torch.no_grad():
        expected = model.packed(ids_T, packing)
    weight = model.get_input_embeddings().weight
    table = weight.detach().clone()
    parts = [object()]
    batch = {"student": {"ids_T": ids_T, "states": 2}, "teacher": {"ids_T": ids_T.flip(0)}, "parts": parts}
    aside = Aside(model)
    assert weight.numel() == 0
    found = aside.embedded(batch)
    assert found["parts"] is parts and found["student"]["states"] == 2
    torch.testing.assert_close(found["teacher"]["ids_T"], table[ids_T.flip(0)], atol=0, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(model.packed(found["student"]["ids_T"], packing), expected, atol=0, rtol=0)
    assert batch["student"]["ids_T"] is ids_T  # whoever made it has it as it was
    aside.put_back()
    torch.testing.assert_close(weight.data, table, atol=0, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(model.packed(ids_T, packing), expected, atol=0, rtol=0)
