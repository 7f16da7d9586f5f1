"""Batches that do not fit: halved until they do, told once, and one row that does not fit is an error."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch

from tad_core import fitting
from tad_core.config import ModelConfig
from tad_core.errors import PERMANENT_ERRORS, OutOfMemoryError
from tad_core.fitting import Fitting
from tad_core.models import LLaDAModelLM, loading

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1 GiB free")

#: as libraries say it: of CUDA beside torch's allocator, of workspaces, of the host's allocators
EXHAUSTED = [
    FULL,
    RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def fails(error: BaseException) -> None:
    raise error


def test_what_did_not_fit_is_halved_and_stays_so() -> None:
    said: list[str] = []
    most = Fitting("rollout.batch_size", "shorten it", said.append)
    assert most.of(9) == 9
    assert most.attempt(9, "a prompt", lambda: fails(FULL)) is None
    assert most.attempt(4, "a prompt", lambda: fails(FULL)) is None
    assert (most.of(9), most.of(1)) == (2, 1)
    assert most.attempt(2, "a prompt", lambda: "done") == "done"
    assert [line.partition(";")[0] for line in said] == [
        f"warning: rollout.batch_size: the memory of the device does not hold {n} at once" for n in (9, 4)
    ]
    assert "going on with 4, which changes the speed only" in said[0]
    # A worker's last words are searched for this when it dies of something else.
    assert not any("out of memory" in line for line in said)


def test_one_row_that_does_not_fit_is_an_error_that_no_second_try_mends() -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        Fitting("rollout.batch_size", "shorten it").attempt(1, "a prompt of 7 tokens", lambda: fails(FULL))
    assert str(caught.value).startswith("rollout.batch_size: the memory of the device does not hold even one")
    for part in ("a prompt of 7 tokens", "(CUDA out of memory. Tried to allocate 2.00 GiB.)", "shorten it"):
        assert part in str(caught.value)
    assert isinstance(caught.value, PERMANENT_ERRORS)


@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda error: str(error)[:20])
def test_memory_runs_out_in_other_words_too(error: BaseException) -> None:
    assert Fitting("f", "r", lambda _: None).attempt(2, "w", lambda: fails(error)) is None
    with pytest.raises(OutOfMemoryError, match="does not hold even one"):
        Fitting("f", "r", lambda _: None).attempt(1, "w", lambda: fails(error))


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("bad"), KeyboardInterrupt()])
def test_other_failures_pass_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Fitting("f", "r").attempt(2, "w", lambda: fails(error))


def test_a_process_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    fitting.tell.cache_clear()
    for _ in range(3):
        Fitting("evaluate.batch_size", "r").attempt(6, "w", lambda: fails(FULL))
    assert len(caplog.records) == 1 and caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda error: str(error)[:20])
def test_a_model_that_does_not_fit_is_told_as_such(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(LLaDAModelLM, "from_pretrained", lambda *_, **__: fails(error))
    with pytest.raises(
        OutOfMemoryError, match=r"model\.path: .* in float32 does not fit into the memory of cpu"
    ):
        loading.load_model(ModelConfig(path=str(tiny_checkpoint), device="cpu", dtype="float32"))


def test_nothing_of_the_failed_attempt_is_held_when_the_next_begins() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def work() -> None:
        batch = torch.zeros(8)  # what a forward has computed so far
        held.append(weakref.ref(batch))
        raise torch.OutOfMemoryError("CUDA out of memory")

    alive: list[bool] = []
    most = Fitting("f", "r", lambda _: alive.append(held[0]() is not None))
    assert most.attempt(2, "w", work) is None
    assert alive == [False]
