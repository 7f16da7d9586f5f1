"""The rollout worker process: ``python -m tad_core.rollout.worker``; see ``workers.py`` for who talks to it."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

_LEAST_S_BETWEEN_REPORTS = 0.5


def main() -> None:
    """Read a set-up line, then shard numbers until stdin closes."""
    # Libraries print to stdout as they please; the protocol keeps the real one for itself.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    setup = inbox.get()

    import torch

    from tad_core.artifacts import Store
    from tad_core.config import parse_config
    from tad_core.errors import TADError
    from tad_core.models.loading import load_model, load_tokenizer
    from tad_core.progress import Progress
    from tad_core.rollout.engine import new_fitting
    from tad_core.rollout.workers import threads_per_worker
    from tad_core.stages.collect import ShardSpec, collect_shard, plan_collection

    config, store = parse_config(setup["config"]), Store(setup["store"])
    torch.set_num_threads(config.model.threads or threads_per_worker(setup["slots"]))
    plan, loaded, fitting, last = None, None, new_fitting(), 0.0

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    def report(progress: Progress) -> None:
        nonlocal last
        if progress.done == progress.total or time.monotonic() - last > _LEAST_S_BETWEEN_REPORTS:
            last = time.monotonic()
            event = asdict(progress)
            event["figures"] |= _memory(torch)
            say({"progress": event})

    while True:
        job = inbox.get()
        try:
            plan = plan or plan_collection(config)
            if loaded is None:
                device = _device(config.model.device, setup["slot"])
                loaded = (load_model(config.model, device), load_tokenizer(config.model))
            shard = job["index"] if isinstance(job["index"], int) else ShardSpec(0, *job["index"])
            ref = collect_shard(config, plan, shard, store, report, job["force"], loaded, fitting)
            say({"ref": ref.model_dump(mode="json")})
        except TADError as error:
            say({"error": type(error).__name__, "message": str(error)})


def _device(device: str, slot: int) -> str:
    """``auto`` and ``cuda`` give each worker a GPU of its own, in turn."""
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{slot % torch.cuda.device_count()}"
    return device


def _memory(torch: Any) -> dict[str, float]:
    """The most that torch has held of this worker's GPU so far."""
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    return {
        "GPU GiB": round(
            max(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count()))) / 2**30, 1
        )
    }


def _listen(inbox: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        inbox.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
