"""``python -m tad_core.training SPEC.json``: the process that trains; also what torchrun and deepspeed start."""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

from safetensors import SafetensorError

from tad_core.errors import ArtifactError, TADError
from tad_core.training.exits import (
    CHILD_VARIABLE,
    ERROR_PREFIX,
    EXIT_INTERRUPTED,
    EXIT_OUT_OF_MEMORY,
    STOPPED,
    say,
    when_gone,
)

_PR_SET_PDEATHSIG = 1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
#: what a launcher tells each of its processes; where none started this one, they are of what the run was started in
_PLACES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


def set_allocator() -> None:
    """Have a GPU's memory grow piece by piece, where nobody said otherwise: micro-batches of other lengths, and graphs,
    find room between what is there. Read when CUDA is first used."""
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"


def main(arguments: list[str] | None = None) -> int:
    """Train; returns 0, 2 (bad input), 3 (out of memory), 75 (stopped on request, checkpoint saved) or 1."""
    parser = argparse.ArgumentParser(prog="python -m tad_core.training", description="Train one adapter.")
    parser.add_argument("spec", help="JSON file, see tad_core/training/spec.py")
    # The deepspeed launcher adds it.
    parser.add_argument("--local_rank", "--local-rank", help=argparse.SUPPRESS)
    path = parser.parse_args(arguments).spec
    if tag := os.environ.get(CHILD_VARIABLE):
        # SIGTERM is what the parent asks with, whatever was ignored when the parent was started.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not _die_with_parent():
            return 1
        when_gone(tag, lambda: os.kill(os.getpid(), signal.SIGTERM))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    set_allocator()
    from tad_core.training.recorder import StopRequest  # torch: after the parent is watched

    stop = StopRequest()
    stop.install()
    try:
        _quiet()
        from tad_core.training.device import hide_other_gpus
        from tad_core.training.run import train
        from tad_core.training.spec import read_spec

        spec = read_spec(path)
        if tag and spec.distill.launcher == "python":
            for name in _PLACES:
                os.environ.pop(name, None)
        hide_other_gpus(spec.model.device)
        if train(spec, stop):
            return 0
        _report("SubprocessError", STOPPED)  # a launcher in between has exit statuses of its own
        return EXIT_INTERRUPTED
    except TADError as error:
        _report(type(error).__name__, str(error))
        return error.exit_code
    except (MemoryError, RuntimeError, OSError, SafetensorError) as error:
        traceback.print_exc()
        from tad_core.fitting import first_line, is_out_of_memory

        if is_out_of_memory(error):
            _report("BatchMemoryError", first_line(error))
            return EXIT_OUT_OF_MEMORY
        if cannot_write(error):
            _report("ArtifactError", _told_of_writing(spec.output, error))
            return ArtifactError.exit_code
        return 1


def _told_of_writing(output: str, error: Exception) -> str:
    from tad_core.artifacts.cache import cache_place
    from tad_core.artifacts.unwritable import room

    # With a remote store checkpoints are in this host's own folder.
    here = Path(output).absolute().is_relative_to(cache_place("work").absolute())
    name, another = (
        ("TAD_CACHE", "set TAD_CACHE to another folder") if here else ("output", "choose another store")
    )
    return (
        f"{name}: {output} cannot be written ({error}); {room(error)}, or {another}; the checkpoints before it are "
        "kept"
    )


def cannot_write(error: Exception) -> bool:
    """Whether a file could not be written; torch's and safetensors' writers do not raise OSError for that."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    text = str(error)
    return any(sign in text for sign in ("PytorchStreamWriter", "inline_container", "I/O error"))


def _quiet() -> None:
    """Our own progress lines are all that is wanted: no bars, no advice to model authors."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _report(kind: str, message: str) -> None:
    say(ERROR_PREFIX + json.dumps({"kind": kind, "message": message}))


def _die_with_parent() -> bool:
    """Ask the kernel for a SIGTERM when the parent goes, however it goes (Linux); False if it is gone already."""
    if not sys.platform.startswith("linux"):
        return True
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent and parent != 1


if __name__ == "__main__":
    sys.exit(main())
