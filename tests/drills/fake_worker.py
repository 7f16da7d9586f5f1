"""A rollout worker without a model: the real protocol, store and claims around rows made up from the problem's id.

``python -m tests.drills.fake_worker`` takes the place of ``tad_core.workers.process``. Each shard it begins is a line
in ``$DRILL_JOURNAL`` (name, process), so that work that was done twice can be counted; ``$DRILL_SHARD_S`` is how long
a shard takes, and those named in the file ``$DRILL_FAILING`` fail; while the file ``$DRILL_HOLD`` is there, no more
shards than it says get done; ``$DRILL_PROGRAM`` is the text of every answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import types
from pathlib import Path
from typing import Any


def decode(
    config: Any, plan: Any, shard: Any, model: Any, tokenizer: Any, on_progress: Any, *_: Any
) -> list[Any]:
    """In place of ``tad_core.stages.rolling.roll_out``: the same rows in every process."""
    from tad_core.errors import DataError
    from tad_core.progress import Progress
    from tad_core.trajectory.schema import Trajectory

    note(f"{shard.name} {os.getpid()}")
    failing = os.environ.get("DRILL_FAILING")
    if failing and Path(failing).exists() and shard.name in Path(failing).read_text().split():
        raise DataError(f"{shard.name} was told to fail")
    wait_for_others()
    hold()
    length, problems = config.rollout.response_length, plan.slice(shard)
    time.sleep(float(os.environ.get("DRILL_SHARD_S", "0.2")))
    rows = []
    for problem in problems:
        for sample in range(config.rollout.samples):
            digest = hashlib.sha256(f"{problem.id} {sample}".encode()).digest()
            ids = [digest[i % 32] for i in range(length)]
            order = sorted(range(length), key=lambda i: (digest[i % 32], i))
            revealed_at = [order.index(i) + 1 for i in range(length)]
            rows.append(
                Trajectory(
                    problem_id=problem.id,
                    source=problem.source,
                    kind=problem.kind,
                    sample=sample,
                    condition=shard.condition,
                    student_prompt_ids=[1, 2],
                    teacher_prompt_ids=[1, 2, 3],
                    response_ids=ids,
                    revealed_at=revealed_at,
                    confidence=[1.0] * length,
                    filled_from=length + 1,
                    mode="exact",
                    text=os.environ.get("DRILL_PROGRAM") or f"So the answer is \\boxed{{{problem.answer}}}",
                )
            )
    on_progress(Progress("collect", len(rows), len(rows)))
    return rows


def wait_for_others() -> None:
    """Until as many workers have begun as the file ``$DRILL_TOGETHER`` says, if it is there; at most ten minutes."""
    file, journal = (
        Path(os.environ.get("DRILL_TOGETHER", "/nonexistent")),
        os.environ.get("DRILL_JOURNAL", ""),
    )
    end = time.monotonic() + 600
    while file.exists() and time.monotonic() < end:
        if len({line.split()[1] for line in Path(journal).read_text().splitlines()}) >= int(file.read_text()):
            return
        time.sleep(0.2)


def hold() -> None:
    """While the file ``$DRILL_HOLD`` is there and more shards were begun than it says; at most ten minutes."""
    file, journal = Path(os.environ.get("DRILL_HOLD", "/nonexistent")), os.environ.get("DRILL_JOURNAL", "")
    end = time.monotonic() + 600
    while file.exists() and time.monotonic() < end:
        if len(Path(journal).read_text().splitlines()) <= int(file.read_text()):
            return
        time.sleep(0.1)


def note(line: str) -> None:
    """One line in the journal; appended by one write, so that processes do not mix."""
    if journal := os.environ.get("DRILL_JOURNAL"):
        handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)


def without_tokenizer() -> None:
    """No problem of the drills is too long, no word unknown: known without a tokenizer, whose library takes seconds."""
    from tad_core.data import lengths, unknown

    unknown.count_unknown = lambda *_: []  # type: ignore[assignment]
    lengths.LengthCheck = lambda _: lambda problems: [""] * len(problems)  # type: ignore[assignment,misc]


def without_model() -> None:
    """Let ``collect_shard`` do its work with rows made up, loading neither torch nor weights."""
    without_tokenizer()
    loading = types.ModuleType("tad_core.models.loading")
    loading.load_model = loading.load_tokenizer = lambda *_: None  # type: ignore[attr-defined]
    loading.threads_kept = contextlib.nullcontext  # type: ignore[attr-defined]
    sys.modules["tad_core.models.loading"] = loading
    threads = types.ModuleType("tad_core.workers.threads")
    threads.set_threads_for = lambda *_: None  # type: ignore[attr-defined]
    sys.modules["tad_core.workers.threads"] = threads
    engine = types.ModuleType("tad_core.rollout.engine")
    engine.new_fitting = lambda: None  # type: ignore[attr-defined]
    sys.modules["tad_core.rollout.engine"] = engine
    from tad_core.stages import collect

    collect.roll_out = decode


def main() -> None:
    """Set-up line, then shards, until stdin closes: what the real one does, less torch."""
    without_model()
    torch = types.ModuleType("torch")
    torch.set_num_threads = lambda *_: None  # type: ignore[attr-defined]
    torch.cuda = types.SimpleNamespace(is_available=lambda: False)  # type: ignore[attr-defined]
    torch.__version__ = "none"  # type: ignore[attr-defined]
    from tad_core.workers import process

    sys.modules["torch"] = torch
    process.main()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
