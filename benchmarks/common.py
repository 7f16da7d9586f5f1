"""What the benchmarks at full size share: a checkpoint of random weights, clocks, memory, where they ran."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

#: config.json of the published checkpoints, and what is smaller in the smoke test
CONFIGS: dict[str, dict[str, Any]] = {
    "llada": {
        "architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": 4096, "n_heads": 32,
        "n_kv_heads": 32, "n_layers": 32, "mlp_hidden_size": 12288, "vocab_size": 126464,
        "embedding_size": 126464, "max_sequence_length": 4096, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
        "mask_token_id": 126336, "eos_token_id": 126081, "pad_token_id": 126081, "torch_dtype": "bfloat16",
    },
    "dream": {
        "architectures": ["DreamModel"], "model_type": "Dream", "hidden_size": 3584,
        "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 131072,
        "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "mask_token_id": 151666, "bos_token_id": 151643,
        "eos_token_id": 151643, "pad_token_id": 151643, "torch_dtype": "bfloat16",
    },
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "llada": {
        "d_model": 32, "n_heads": 2, "n_kv_heads": 2, "n_layers": 2, "mlp_hidden_size": 48, "vocab_size": 700,
        "embedding_size": 700, "mask_token_id": 1, "eos_token_id": 0, "pad_token_id": 0,
    },
    "dream": {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 700, "mask_token_id": 1, "bos_token_id": 0, "eos_token_id": 0,
        "pad_token_id": 0,
    },
}  # fmt: skip
MAX_SHARD_BYTES = {"full": 5_000_000_000, "tiny": 100_000}


def write_checkpoint(folder: Path, family: str, size: str, **changes: int) -> dict[str, Any]:
    """A checkpoint of random weights in the hub's format: config, shards with an index, tokenizer.

    Args:
        folder: where; what is there goes.
        family: ``llada`` or ``dream``.
        size: ``full`` or ``tiny``.
        changes: fields of its config that are others.
    """
    import torch
    from safetensors.torch import save_file

    from tad_core.data.tokenizer import build_tokenizer
    from tad_core.models.export import shards_of
    from tad_core.models.loading import build

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = CONFIGS[family] | (TINY[family] if size == "tiny" else {}) | changes
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    shapes = {name: value.shape for name, value in build(folder).state_dict().items()}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    draw = torch.Generator(device).manual_seed(0)

    def random(name: str) -> torch.Tensor:
        if "norm" in name or name.endswith("ln_f.weight"):
            return torch.ones(shapes[name], dtype=torch.bfloat16)
        values = torch.empty(shapes[name], device=device, dtype=torch.bfloat16)
        return values.normal_(std=0.02, generator=draw).cpu()

    sizes = {name: shape.numel() * 2 for name, shape in shapes.items()}
    shards = shards_of(sizes, MAX_SHARD_BYTES[size])
    for file, names in shards.items():
        save_file({name: random(name) for name in names}, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        index = {name: file for file, names in shards.items() for name in names}
        text = json.dumps({"metadata": {"total_size": sum(sizes.values())}, "weight_map": index})
        (folder / "model.safetensors.index.json").write_text(text)
    build_tokenizer().save_pretrained(folder)
    if family == "dream":  # the small model's words; the end of a turn is spelled as the family does
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            text = (folder / name).read_text()
            (folder / name).write_text(text.replace("<|eot_id|>", "<|im_end|>"))
    return {"parameters": sum(s.numel() for s in shapes.values()), "shards": len(shards)}


def median_step(losses: list[dict[str, Any]]) -> float:
    """Seconds of a step when nothing is warmed up, saved or started."""
    return max(1e-9, statistics.median(b["wall_s"] - a["wall_s"] for a, b in itertools.pairwise(losses)))


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Wall seconds in ``["s"]``, with the GPU's work done."""
    import torch

    told: dict[str, float] = {}
    started = time.perf_counter()
    yield told
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    told["s"] = round(time.perf_counter() - started, 3)


@contextmanager
def memory() -> Iterator[list[int]]:
    """MiB in use at most, sampled five times a second: on each GPU, by whatever process; without one, of each child
    process, largest first. The list is filled when the block ends."""
    import torch

    told: list[int] = []
    gpus = [0] * (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    resident: dict[int, int] = {}
    done = threading.Event()

    def look() -> None:
        for device in range(len(gpus)):
            free, total = torch.cuda.mem_get_info(device)
            gpus[device] = max(gpus[device], (total - free) >> 20)
        for child in psutil.Process().children(recursive=True) if not gpus else ():
            with contextlib.suppress(psutil.Error):
                resident[child.pid] = max(resident.get(child.pid, 0), child.memory_info().rss >> 20)

    def sample() -> None:
        while not done.wait(0.2):
            look()

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    yield told
    done.set()
    thread.join()
    told += gpus or sorted(resident.values(), reverse=True)[:8]


def machine() -> dict[str, Any]:
    """Where it ran."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"gpus": gpus, "cpus": os.cpu_count(), "torch": torch.__version__}
