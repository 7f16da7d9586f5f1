"""What only an accelerator can show of decoding: at LLaDA-8B's width a sample does not depend on its company."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tad_core.decoding import Decoded, DecodeSpec, Request, decode_requests, new_fitting
from tad_core.decoding.ahead import WORTH
from tad_core.decoding.loop import Loop
from tad_core.decoding.packing import packer_of
from tad_core.decoding.spec import Job
from tad_core.models.base import DiffusionLM
from tad_core.models.dream import DreamConfig, DreamModel
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]

SPECS = [
    DecodeSpec(32, 8, early_stop=False),
    DecodeSpec(32, 8, "entropy", 0.5, 0.1, early_stop=False),
    DecodeSpec(32, 8, early_stop=False, cache="dual"),
    DecodeSpec(
        32, 8, "entropy", 0.5, 0.1, early_stop=False, cache="dual", refresh_blocks=False, refresh_forwards=4
    ),
    DecodeSpec(32, 8, "factor", factor=1.2, early_stop=False, cache="prefix"),
    DecodeSpec(32, 8, "low_confidence", tokens_per_forward=2, early_stop=False),
    DecodeSpec(32, 8, "pipeline", 0.9, 0.1, early_stop=False, attention="block_causal"),
    DecodeSpec(32, 8, "pipeline", 0.9, 0.1, early_stop=False, attention="block_causal", cache="blocks"),
]


def llada(**changes: int) -> DiffusionLM:
    return LLaDAModelLM(LLaDAConfig(n_layers=2, **changes))


#: Two layers of the published shapes, and a head so small that libraries split its sums.
MODELS = {
    "llada": llada,
    "dream": lambda: DreamModel(DreamConfig(num_hidden_layers=2)),
    "small vocabulary": lambda: llada(vocab_size=2048, mask_token_id=1, eos_token_id=0, pad_token_id=0),
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Iterator[DiffusionLM]:
    """In bfloat16, with the kernels of a large model."""
    torch.manual_seed(0)
    patch = pytest.MonkeyPatch()
    patch.setattr("tad_core.decoding.packing.COMPILED_PARAMETERS", 0)
    with torch.device("cuda"):
        made = MODELS[request.param]().to(torch.bfloat16).eval()
    yield made
    patch.undo()


def requests(heat: float | None) -> list[Request]:
    """Of this temperature; None: every other one is greedy."""
    draw = torch.Generator().manual_seed(1)
    lengths = [40 + 7 * i for i in range(32)]
    return [
        Request(
            torch.randint(2, 2048, (n,), generator=draw).tolist(),
            (f"p{n}", 0),
            0.7 * (n % 2) if heat is None else heat,
        )
        for n in lengths
    ]


def whole(decoded: list[Decoded]) -> list[tuple[list[int], list[int], list[float]]]:
    return [(d.tokens, d.revealed_at, d.scores) for d in decoded]


@pytest.mark.parametrize("heat", [0.0, 0.7, None])
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.method} {s.mode}".replace(" ", "-"))
def test_company_changes_no_bit(model: DiffusionLM, spec: DecodeSpec, heat: float) -> None:
    asked = requests(heat)
    alone = [decode_requests(model, [r], spec, 1, new_fitting())[0] for r in asked[::6]]
    for slots in (2, 8, 32):
        company = decode_requests(model, asked, spec, slots, new_fitting())[::6]
        assert whole(company) == whole(alone), slots


@pytest.mark.parametrize("worth", [WORTH, -1.0], ids=["guessed while it pays", "always guessed"])
def test_a_graph_gives_what_its_forward_gives(
    model: DiffusionLM, worth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(0.0)[:3]
    for spec in (SPECS[1], replace(SPECS[3], refresh_reveals=5)):
        monkeypatch.setattr("tad_core.decoding.ahead.WORTH", worth)
        with_graphs = decode_requests(model, asked, spec, 3, new_fitting())
        monkeypatch.setattr("tad_core.decoding.packing.GRAPH_TOKENS", 0)
        without = decode_requests(model, asked, spec, 3, new_fitting())
        monkeypatch.undo()
        assert whole(with_graphs) == whole(without)


@torch.inference_mode()
@pytest.mark.parametrize("heat", [0.0, 0.7])
@pytest.mark.parametrize("spec", SPECS[:6], ids=lambda s: f"{s.method} {s.mode}".replace(" ", "-"))
def test_within_a_step_the_host_waits_for_nothing_but_how_it_ended(
    model: DiffusionLM, spec: DecodeSpec, heat: float
) -> None:
    asked = requests(heat)[0]
    with packer_of(model, 1, len(asked.prompt_ids) + spec.response_length, spec.lane) as packer:
        loop = Loop(model, packer, spec.response_length)
        for forwards in (10**6, 4):  # once for all that is made when it is first needed
            loop.add(0, Job(asked, spec, 0))
            loop.step()
            torch.cuda.set_sync_debug_mode("error" if forwards < 10**6 else "default")
            try:
                while loop.busy and forwards:
                    loop.step()
                    forwards -= 1
            finally:
                torch.cuda.set_sync_debug_mode("default")
            loop.drop(0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
@pytest.mark.parametrize("spec", SPECS[:4], ids=lambda s: f"{s.method} {s.mode}".replace(" ", "-"))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "graphs"])
def test_a_model_may_be_on_another_gpu_than_the_current_one(
    spec: DecodeSpec, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype == torch.bfloat16:
        monkeypatch.setattr("tad_core.decoding.packing.COMPILED_PARAMETERS", 0)
    asked, decoded = requests(0.0), []
    for device in ("cuda:0", "cuda:1"):
        torch.manual_seed(0)
        model = MODELS["small vocabulary"]().to(device, dtype).eval()
        decoded.append(decode_requests(model, asked, spec, 8, new_fitting()))
    here, there = decoded
    assert whole(there) == whole(here)
    assert torch.cuda.current_device() == 0
