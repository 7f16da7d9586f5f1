"""Rollout and decoding: ours against plain loops, side by side in one process; prints ratios.

The plain loops (``plain_loops.py``) do what the public code does. Weights are random: they decide how long a
forward takes and nothing else. Where a number of tokens a forward matters, both reveal that many by rule.

    python benchmarks/decode.py --size full                # LLaDA-8B's shape in bfloat16, one GPU, about five minutes
    python benchmarks/decode.py --size small --only rollout decode1      # the smoke test, on a CPU
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from plain_loops import plain_decode, plain_dual_cache, plain_rollout
from torch import Tensor

from tad_core.decoding import DecodeSpec, Request, decode_requests, new_fitting
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.policies.base import positions_of
from tad_core.decoding.policies.entropy import EntropyMultiBlock
from tad_core.decoding.sampling import Noise, tokens_and_scores
from tad_core.models.base import DiffusionLM
from tad_core.models.layout import Packing
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM

SIZES: dict[str, dict[str, Any]] = {
    "full": {},
    "small": {
        "d_model": 128, "n_heads": 2, "n_kv_heads": 2, "n_layers": 4, "mlp_hidden_size": 384, "vocab_size": 2000,
        "embedding_size": 2000, "mask_token_id": 1, "eos_token_id": 0, "pad_token_id": 0,
    },
}  # fmt: skip
#: prompt of a rollout, prompt of an answer, response, block, samples in a batch
SHAPES = {"full": (300, 150, 256, 32, 32), "small": (48, 24, 32, 8, 4)}
#: tokens a forward of the distilled model in the paper (Table 1, GSM8K)
TPF = 8.47
#: tokens of an answer's prompt as ``tad plan`` assumes them, in those of ``SHAPES``, and its tokens a forward
PLANNED_PROMPTS, PLANNED_TPF = 4, 4.0


def build(size: str, device: str, **changes: Any) -> LLaDAModelLM:
    """Random weights, made where they are used."""
    dtype = torch.bfloat16 if size == "full" else torch.float32
    with torch.device("meta"):
        model = LLaDAModelLM(LLaDAConfig(**{**SIZES[size], **changes}))
    model = model.to(dtype).to_empty(device=device)
    draw = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_f" in name:
                parameter.fill_(1)
            else:
                parameter.normal_(std=0.02, generator=draw)
    return model.eval()


def prompts(count: int, length: int | tuple[int, int], vocab: int) -> list[list[int]]:
    """Random tokens; lengths are spread evenly over a range."""
    draw = torch.Generator().manual_seed(1)
    low, high = length if isinstance(length, tuple) else (length, length)
    sizes = [low + (high - low) * i // max(1, count - 1) for i in range(count)]
    return [
        torch.randint(2, vocab - 200 if vocab > 1000 else vocab, (n,), generator=draw).tolist() for n in sizes
    ]


# --- ours ---------------------------------------------------------------------------------------------------


class Budget(EntropyMultiBlock):
    """Multi-block decoding that reveals so many tokens a forward on average, from left to right.

    About one and a half blocks are then open; with the small distilled models it is a little more than one.
    """

    tokens_per_forward = TPF

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        self._counts = itertools.accumulate(itertools.repeat(self.tokens_per_forward))
        self._before = 0

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """The first open positions, so many."""
        until = int(next(self._counts))
        count, self._before = until - self._before, until
        return (open_BL.cumsum(1) <= count) & open_BL


class PlannedBudget(Budget):
    """As many as ``tad plan`` counts."""

    tokens_per_forward = PLANNED_TPF


class BlockBudget(Budget):
    """The same in one block after the other."""

    def open(self, masked_BL: Tensor) -> Tensor:
        """The first unfinished block."""
        size = self._spec.block_length
        first_B = masked_BL.int().argmax(1) // size
        return positions_of(first_B, first_B + 1, masked_BL, size)


POLICIES |= {"budget": Budget, "planned budget": PlannedBudget, "block budget": BlockBudget}


def ours(
    model: DiffusionLM, rows: list[list[int]], spec: DecodeSpec, slots: int, heat: float = 0.0
) -> list[Any]:
    """Decode them all."""
    asked = [Request(row, (str(i), 0), heat) for i, row in enumerate(rows)]
    return decode_requests(model, asked, spec, slots, new_fitting())


class Meter:
    """Counts what the model computed."""

    def __init__(self, model: DiffusionLM) -> None:
        self.tokens = self.forwards = 0
        self._packed = model.packed
        model.packed = self._count  # type: ignore[method-assign]
        self._model = model

    def _count(self, ids_T: Tensor, packing: Packing, *rest: Any) -> Tensor:
        self.tokens += len(ids_T)
        self.forwards += 1
        return self._packed(ids_T, packing, *rest)

    def stop(self) -> None:
        """Count no more."""
        del self._model.packed


# --- what is measured ---------------------------------------------------------------------------------------


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one run, the device's work included."""
    sync()
    began = time.perf_counter()
    work()
    sync()
    return time.perf_counter() - began


def sync() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def peak(figures: dict[str, Any], name: str) -> Iterator[None]:
    """The most memory that torch held, in GiB."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield
    figures[name] = round(torch.cuda.max_memory_allocated() / 2**30, 1)


class Bench:
    """The measurements; each returns figures by name."""

    def __init__(self, model: LLaDAModelLM, size: str, plain_batch: int) -> None:
        self.model, self.size, self.plain_batch = model, size, plain_batch
        self.rollout_prompt, self.prompt, self.length, self.block, self.batch = SHAPES[size]
        self.vocab = model.vocab_size

    def rollout(self) -> dict[str, Any]:
        """Samples an hour: every step computed, temperature 0.7."""
        figures: dict[str, Any] = {}
        width, block = self.rollout_prompt + self.length, self.block
        # A block at the end of a longer prompt: the length of every forward is that of a whole rollout.
        late = prompts(self.batch, width - block, self.vocab)
        spec = DecodeSpec(block, block, early_stop=False)

        def per_hour(s: float, samples: int, steps: int) -> float:
            return round(3600 * samples / (s / steps * self.length), 1)

        plain_rollout(self.model, late[:1], 2, 0.7)
        s = seconds(lambda: plain_rollout(self.model, late[:1], block, 0.7))
        figures["plain, 1 at once"] = per_hour(s, 1, block)
        if self.plain_batch > 1:
            with peak(figures, "plain GiB"):
                s = seconds(lambda: plain_rollout(self.model, late[: self.plain_batch], 8, 0.7))
            figures[f"plain, {self.plain_batch} at once"] = per_hour(s, self.plain_batch, 8)
        best = max(v for k, v in figures.items() if k.endswith("at once"))
        for slots in (1, self.batch):
            ours(self.model, late[:slots], replace(spec, response_length=block), slots, 0.7)
            with peak(figures, f"exact, {slots} at once: GiB"):
                s = seconds(lambda n=slots: ours(self.model, late[:n], spec, n, 0.7))
            figures[f"exact, {slots} at once"] = per_hour(s, slots, block)
            figures[f"exact, {slots} at once: ratio"] = round(figures[f"exact, {slots} at once"] / best, 2)
        for name, reveals in (("block", 0), ("half block", block // 2)):
            for slots in (self.batch, 2 * self.batch, 4 * self.batch) if name == "block" else (self.batch,):
                cached = DecodeSpec(
                    self.length, block, early_stop=False, cache="dual", refresh_reveals=reveals
                )
                rows = prompts(slots, self.rollout_prompt, self.vocab)
                if slots == self.batch:
                    ours(self.model, rows, replace(cached, response_length=block), slots, 0.7)
                label = f"cached, refresh {name}, {slots} at once"
                with peak(figures, f"{label}: GiB"):
                    s = seconds(lambda r=rows, c=cached: ours(self.model, r, c, len(r), 0.7))
                figures[label] = per_hour(s, slots, self.length)
                figures[f"{label}: ratio"] = round(figures[label] / best, 2)
        return figures

    def decode1(self) -> dict[str, Any]:
        """Milliseconds a forward of one sample, several blocks open."""
        row = prompts(1, self.prompt, self.vocab)
        forwards = 24
        plain_decode(self.model, row[0], self.length, 2)
        figures: dict[str, Any] = {
            "plain": 1e3 * seconds(lambda: plain_decode(self.model, row[0], self.length, forwards)) / forwards
        }
        spec = DecodeSpec(self.length, self.block, "entropy", 0.0, 0.1, early_stop=False)
        modes = {"exact": spec}
        for every in (4, 8, 16):
            modes[f"cached, refresh {every}"] = replace(
                spec, cache="dual", refresh_blocks=False, refresh_forwards=every
            )
        modes["cached, refresh block"] = replace(spec, cache="dual")
        for name, mode in modes.items():
            ours(self.model, row, mode, 1)
            (one,) = ours(self.model, row, mode, 1)
            figures[name] = 1e3 * one.wall_s / one.forwards
            figures[f"{name}: ratio"] = round(figures["plain"] / figures[name], 2)
        return {k: round(v, 2) for k, v in figures.items()}

    def decode32(self) -> dict[str, Any]:
        """Tokens a second of a batch at the paper's tokens a forward."""
        rows = prompts(self.batch, self.prompt, self.vocab)
        forwards = 8
        plain_decode(self.model, rows[0], self.length, 2)
        s = seconds(lambda: plain_decode(self.model, rows[0], self.length, forwards))
        figures: dict[str, Any] = {"plain, 1 at once": TPF * forwards / s}
        plain_dual_cache(self.model, rows, self.block, self.block, 8)
        count = 0

        def dual() -> None:
            nonlocal count
            count = plain_dual_cache(self.model, rows, self.length, self.block, 8)

        s = seconds(dual)
        figures["Fast-dLLM dual cache, plain, 8 a forward"] = self.batch * self.length / s
        base = DecodeSpec(self.length, self.block, "entropy", 0.0, 0.1, early_stop=False)
        modes = {"exact": base, "cached, refresh block": replace(base, cache="dual")}
        for every in (4, 8, 16):
            modes[f"cached, refresh {every}"] = replace(
                base, cache="dual", refresh_blocks=False, refresh_forwards=every
            )
        for name, mode in modes.items():
            ours(self.model, rows, replace(mode, method="budget"), self.batch)
            s = seconds(lambda m=mode: ours(self.model, rows, replace(m, method="budget"), self.batch))
            figures[f"{name}, {self.batch} at once"] = self.batch * self.length / s
        one_block = replace(base, method="block budget", cache="dual")
        ours(self.model, rows, one_block, self.batch)
        s = seconds(lambda: ours(self.model, rows, one_block, self.batch))
        figures["one block, cached, refresh block"] = self.batch * self.length / s
        return {k: round(v, 1) for k, v in figures.items()}

    def answers(self) -> Iterator[tuple[str, Any]]:
        """Answers an hour as the plan counts an evaluation, token by token and in several blocks, by what is kept."""
        rows = prompts(self.batch, PLANNED_PROMPTS * self.prompt, self.vocab)
        # A forward takes as long whatever it reveals, so the last half of a block tells of all.
        part = self.block // 2
        late = prompts(self.batch, len(rows[0]) + self.length - part, self.vocab)
        exact = DecodeSpec(part, part, early_stop=False)
        ours(self.model, late, replace(exact, response_length=2, block_length=2), self.batch)
        s = seconds(lambda: ours(self.model, late, exact, self.batch)) / part
        kept = DecodeSpec(self.length, self.block, block_add_threshold=0.1, early_stop=False, cache="prefix")
        ours(self.model, rows, replace(kept, response_length=self.block), self.batch)
        for name, method, a_forward in (
            ("token by token", "token_by_token", 1.0),
            (f"{PLANNED_TPF:g} a forward", "planned budget", PLANNED_TPF),
        ):
            whole = 3600 * self.batch / (s * self.length / a_forward)
            yield f"exact, {name}", round(whole, 1)
            took = seconds(lambda of=method: ours(self.model, rows, replace(kept, method=of), self.batch))
            rate = 3600 * self.batch / took
            yield f"prefix kept, refresh block, {name}", round(rate, 1)
            yield f"prefix kept, refresh block, {name}: ratio", round(rate / whole, 2)

    def lengths(self) -> dict[str, Any]:
        """Prompts of unequal length: what is spent beside their tokens, and how full the slots are."""
        high = 500 if self.size == "full" else 60
        rows = prompts(3 * self.batch, (high // 5, high), self.vocab)
        spec = DecodeSpec(self.block, self.block, early_stop=False)
        meter = Meter(self.model)
        s = seconds(lambda: ours(self.model, rows, spec, self.batch))
        meter.stop()
        needed = sum((len(row) + self.block) * self.block for row in rows)
        full = len(rows) * self.block / (meter.forwards * self.batch)
        return {
            "padding": round(meter.tokens / needed - 1, 4), "slots full": round(full, 3),
            "ms a forward": round(1e3 * s / meter.forwards, 1),
        }  # fmt: skip

    def noise(self) -> dict[str, Any]:
        """Milliseconds of the sampler for a step of a full batch, with keyed noise and without."""
        rows = self.batch * self.block // 2
        draw = torch.Generator(self.model.device).manual_seed(2)
        hidden_ND = torch.randn(
            rows, self.model.token_embedding().weight.shape[1], dtype=self.model.dtype,
            device=self.model.device, generator=draw,
        )  # fmt: skip
        spec = DecodeSpec(self.length, self.block, early_stop=False)
        policy = POLICIES[spec.method](spec, self.batch, self.model.device)
        at_N = torch.arange(rows, dtype=torch.int32, device=self.model.device)
        keyed = Noise(at_N, at_N * 3, at_N, torch.full((rows,), 0.7, dtype=torch.float64, device=at_N.device))
        fused = self.size == "full"
        figures: dict[str, Any] = {"rows": rows}
        for name, noise in (("greedy", None), ("keyed noise", keyed)):
            for steps in (2, 20):
                s = seconds(
                    lambda n=noise, k=steps: [
                        tokens_and_scores(self.model, policy, hidden_ND, n, fused) for _ in range(k)
                    ]
                )
            figures[f"{name}, ms"] = round(1e3 * s / 20, 2)
        figures["noise alone, ms"] = round(figures["keyed noise, ms"] - figures["greedy, ms"], 2)
        return figures

    def many(self) -> dict[str, Any]:
        """Ten times as many samples through the same slots: the rate, and what is held afterwards."""
        model = build(self.size, str(self.model.device), n_layers=2)
        counts = (200, 2000) if self.size == "full" else (8, 80)
        high = self.rollout_prompt
        spec = DecodeSpec(2 * self.block, self.block, early_stop=False, cache="dual")
        ours(model, prompts(self.batch, (high // 2, high), self.vocab), spec, self.batch, 0.7)
        figures: dict[str, Any] = {}
        for count in counts:
            rows = prompts(count, (high // 2, high), self.vocab)
            with peak(figures, f"{count} samples: GiB"):
                s = seconds(lambda r=rows: ours(model, r, spec, self.batch, 0.7))
            figures[f"{count} samples: samples/s"] = round(count / s, 2)
            figures[f"{count} samples: host MiB at most"] = (
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            )
        return figures

    def exactness(self) -> dict[str, Any]:
        """Whether what a sample decodes to depends on how many are beside it."""
        rows = prompts(self.batch, (40, 120 if self.size == "full" else 60), self.vocab)
        figures: dict[str, Any] = {}
        for cache in ("none", "dual"):
            for method in ("token_by_token", "entropy"):
                spec = DecodeSpec(
                    self.block, self.block // 4, method, 0.0, 0.1, early_stop=False, cache=cache
                )  # type: ignore[arg-type]
                alone = [ours(self.model, [row], spec, 1)[0] for row in rows[:: self.batch // 4]]
                for slots in (2, 8, self.batch):
                    company = ours(self.model, rows, spec, slots)[:: self.batch // 4]
                    same = sum(a == c and a.scores == c.scores for a, c in zip(alone, company, strict=True))
                    figures[f"{method}, cache {cache}, {slots} at once: equal to the bit"] = (
                        f"{same}/{len(alone)}"
                    )
        return figures


def main() -> None:
    """Run the measurements and print them."""
    names = ["rollout", "decode1", "decode32", "answers", "noise", "lengths", "many", "exactness"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    parser.add_argument("--plain-batch", type=int, default=16, help="rows of the plain rollout; 1: none")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu"
    print(json.dumps({"device": card, "torch": torch.__version__, "size": options.size}), flush=True)
    bench = Bench(build(options.size, device), options.size, options.plain_batch)
    for name in options.only:
        began = time.perf_counter()
        figures = getattr(bench, name)()
        for label, figure in figures.items() if isinstance(figures, dict) else figures:
            print(f"{name:10} {label:58} {figure}", flush=True)
        print(f"{name:10} took {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
