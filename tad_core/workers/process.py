"""The worker process: ``python -m tad_core.workers.process PARENT``; ``child.py`` is the other end.

It reads a set-up line and then jobs from stdin, and answers on stdout, all in lines of JSON: any number of
``{"progress": …}`` and ``{"warning": text}``, at last ``{"answer": …}`` or ``{"error": name, "message": text}``. It
holds one model, from its first job on, and ends when its stdin closes or its parent is gone, so that none outlives a
parent that was killed.

As ``… process nursery FD PARENT [MODULE …]`` it is no worker but forks them; see ``nursery.py``.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NoReturn

from tad_core.progress import Progress
from tad_core.signals import take_over

_LEAST_S_BETWEEN_REPORTS = 0.5
_ORPHAN_CHECK_S = 1.0


def main() -> None:
    """A worker, or the nursery of workers."""
    # Ctrl-C reaches every process of the terminal: dying of it tells a parent that waits in another thread.
    take_over(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:2] == ["nursery"]:
        from tad_core.workers.nursery import nurse

        nurse(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        work(int(sys.argv[1]))


class Held:
    """The model of this process, loaded when a job first needs it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.setup = setup
        self._loaded: tuple[Any, Any] | None = None
        self.kept: dict[str, Any] = {}

    def model_and_tokenizer(self) -> tuple[Any, Any]:
        """In eval mode, with the adapter merged if there is one.

        Raises:
            ModelError: the checkpoint or the adapter cannot be used.
            OutOfMemoryError: the device is too small.
        """
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> tuple[Any, Any]:
        from tad_core.config import ModelConfig
        from tad_core.errors import OutOfMemoryError
        from tad_core.fitting import first_line, is_out_of_memory
        from tad_core.models.loading import load_model, load_tokenizer

        config, adapter = ModelConfig(**self.setup["model"]), self.setup["adapter"]
        config = config.model_copy(update={"device": _device(config.device, self.setup["slot"])})
        if not adapter:
            return load_model(config), load_tokenizer(config)
        from tad_core.evaluation.generate import load_for_inference

        try:
            return load_for_inference(config, Path(adapter)), load_tokenizer(config)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"evaluate: loading the model ran out of memory ({first_line(error)}); free it, or use a "
                "GPU with more"
            ) from None


def work(parent: int, held: Held | None = None) -> NoReturn:
    """Do job after job until stdin closes.

    Args:
        parent: the process whose end is this one's.
        held: the model, where whoever forked this process has loaded it already.
    """
    # Libraries print to stdout as they please; the protocol keeps the real one for itself.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(
        target=_listen, args=(os.fdopen(os.dup(0), encoding="utf-8"), inbox), daemon=True
    ).start()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    setup = inbox.get()

    import torch

    from tad_core.artifacts.files import is_remote, no_answer
    from tad_core.errors import NoAnswerError, StoreError, TADError, may_pass
    from tad_core.presence import expect

    held = held or Held(setup)
    while True:
        job = inbox.get()
        try:
            torch.set_num_threads(job["threads"])
            if "store" in job and not is_remote(job["store"]):
                expect(Path(job["store"]))
            _say(out, {"answer": _DO[job["do"]](job, held, _Reporter(out, torch))})
        except TADError as error:
            _say(out, {"error": type(error).__name__, "message": str(error)})
        except OSError as error:
            if not (told := no_answer(error)):
                raise
            kind = NoAnswerError if may_pass(error) else StoreError
            _say(out, {"error": kind.__name__, "message": told})


class _Reporter:
    """Tells the parent of progress, not too often, and of what the user should know."""

    def __init__(self, out: IO[str], torch: Any) -> None:
        self._out, self._torch, self._last = out, torch, 0.0

    def progress(self, progress: Any) -> None:
        """An ``OnProgress``."""
        if progress.done == progress.total or time.monotonic() - self._last > _LEAST_S_BETWEEN_REPORTS:
            self._last = time.monotonic()
            event = asdict(progress)
            event["figures"] |= _memory(self._torch)
            _say(self._out, {"progress": event})

    def warn(self, text: str) -> None:
        """Said once by the parent, however many processes say it."""
        _say(self._out, {"warning": text})


def _shard(job: dict[str, Any], held: Held, reporter: _Reporter) -> dict[str, Any]:
    from tad_core.artifacts import Store
    from tad_core.checkpoint import check_unchanged
    from tad_core.config import parse_config
    from tad_core.rollout.engine import new_fitting
    from tad_core.stages.collect import ShardSpec, collect_shard, plan_collection

    config = parse_config(job["config"])
    check_unchanged(config.model, job["base"] or None)
    plan = plan_collection(config)
    fitting = held.kept.setdefault("rollout", new_fitting())
    ref = collect_shard(
        config, plan, ShardSpec(0, *job["piece"]), Store(job["store"]), reporter.progress, job["force"],
        held.model_and_tokenizer(), fitting,
    )  # fmt: skip
    return ref.model_dump(mode="json")


def _decode(job: dict[str, Any], held: Held, reporter: _Reporter) -> list[dict[str, Any]]:
    from tad_core.decoding import DecodeSpec, decode, new_fitting

    model, _ = held.model_and_tokenizer()
    fitting = held.kept.setdefault("decode", new_fitting(reporter.warn))
    spec = DecodeSpec(**job["spec"])
    # The model is loaded: from here on the speed is that of decoding.
    reporter.progress(Progress("decode", 0, len(job["prompts"])))
    rows = decode(model, job["prompts"], spec, job["batch_size"], reporter.progress, fitting)
    # Nobody asks for the scores, and they are as many as tokens.
    return [{**asdict(row), "scores": []} for row in rows]


def _merge(job: dict[str, Any], held: Held, reporter: _Reporter) -> dict[str, Any]:
    from tad_core.artifacts import ArtifactRef, Store
    from tad_core.config import parse_config
    from tad_core.stages.rounds import Round, merge

    config = parse_config(job["config"])
    here = config.model.model_copy(update={"device": _device(config.model.device, held.setup["slot"])})
    (adapter,) = (ArtifactRef.model_validate(one) for one in job["inputs"])
    ref = merge(
        config.model_copy(update={"model": here}), Round(job["model"], ()), adapter, Store(job["store"]),
        reporter.progress,
    )  # fmt: skip
    return ref.model_dump(mode="json")


def _calibrate(job: dict[str, Any], held: Held, reporter: _Reporter) -> dict[str, Any]:
    from tad_core.artifacts import ArtifactRef, Store
    from tad_core.config import parse_config
    from tad_core.stages.calibrate import calibrate

    collection, filtered = (ArtifactRef.model_validate(one) for one in job["inputs"])
    ref = calibrate(
        parse_config(job["config"]), collection, filtered, Store(job["store"]), reporter.progress,
        loaded=held.model_and_tokenizer,
    )  # fmt: skip
    return ref.model_dump(mode="json")


_DO = {"shard": _shard, "decode": _decode, "merge": _merge, "calibrate": _calibrate}


def _say(out: IO[str], message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def _device(device: str, slot: int) -> str:
    """``auto`` and ``cuda`` give each worker a GPU of its own, in turn: the one that it sees, as a rule."""
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{slot % torch.cuda.device_count()}"
    return device


def _memory(torch: Any) -> dict[str, float]:
    """The most that torch has held of this worker's GPU so far."""
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    most = max(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
    return {"GPU GiB": round(most / 2**30, 1)}


def _listen(lines: IO[str], inbox: queue.Queue[dict[str, Any]]) -> None:
    for line in lines:
        inbox.put(json.loads(line))
    os._exit(0)


def _watch(parent: int) -> None:
    """End this process once its parent is gone: another child of it may hold the pipe open."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_S)
    os._exit(0)


if __name__ == "__main__":
    main()
