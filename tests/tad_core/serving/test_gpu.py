"""On an accelerator: samples of several ways in one forward of a server get what each gets alone, bit for bit."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tad_core.decoding import Decoded, DecodeSpec, Request, decode_requests, new_fitting
from tad_core.decoding.spec import Job, Seen
from tad_core.models.base import DiffusionLM
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM
from tad_core.serving.stream import Stream
from tad_core.serving.tickets import Ticket, Told

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]

WAYS = [
    DecodeSpec(32, 8, "entropy", 0.5, 0.1, early_stop=False),
    DecodeSpec(32, 8, "entropy", 7.0, 0.1, early_stop=False),
    DecodeSpec(16, 16, "confidence", 0.2, early_stop=False),
    DecodeSpec(24, 8, early_stop=False),
]


@pytest.fixture(scope="module")
def model() -> Iterator[DiffusionLM]:
    """Two layers of LLaDA-8B's shape in bfloat16, with the kernels of a large model."""
    torch.manual_seed(0)
    patch = pytest.MonkeyPatch()
    patch.setattr("tad_core.decoding.packing.COMPILED_PARAMETERS", 0)
    with torch.device("cuda"):
        made = LLaDAModelLM(LLaDAConfig(n_layers=2)).to(torch.bfloat16).eval()
    yield made
    patch.undo()


def outcome(told: queue.Queue[Told]) -> Decoded:
    while isinstance(one := told.get(timeout=300), Seen):
        pass
    assert isinstance(one, Decoded), one
    return one


@pytest.mark.parametrize("cached", [False, True])
def test_company_of_other_ways_changes_no_bit(model: DiffusionLM, cached: bool) -> None:
    ways = [replace(way, cache="dual") for way in WAYS] if cached else WAYS
    draw = torch.Generator().manual_seed(1)
    jobs = [
        Job(Request(torch.randint(2, 2048, (40 + 7 * i,), generator=draw).tolist(), ("", i), 0.7 * (i % 2)),
            ways[i % 4], seed=i, watched=True)
        for i in range(24)
    ]  # fmt: skip
    stream = Stream({"m": model}, slots=16, waiting=100, width=512)
    stream.start()
    told: list[queue.Queue[Told]] = [queue.Queue() for _ in jobs]
    stream.submit([Ticket("m", job, q.put, "block") for job, q in zip(jobs, told, strict=True)])
    together = [outcome(q) for q in told]
    stream.close(300)
    for job, one in zip(jobs, together, strict=True):
        (alone,) = decode_requests(model, [job.request], job.spec, 1, new_fitting(), job.seed)
        assert (one.tokens, one.revealed_at, one.scores) == (alone.tokens, alone.revealed_at, alone.scores)
