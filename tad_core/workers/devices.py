"""GPUs and CPU cores of this machine, and how many processes share them; nothing here loads torch."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

from tad_core.config import ModelConfig, TADConfig
from tad_core.errors import ConfigError, SubprocessError

#: How long a busy machine of many GPUs may take to tell of them, in seconds.
_ANSWER_S = 120.0


def workers_of(config: TADConfig) -> int:
    """``rollout.workers``; by default one a visible GPU, or as many as a CPU serves best.

    Raises:
        ConfigError: more than there are GPUs.
    """
    if config.rollout.workers is None:
        return _gpus_for("rollout.workers", config.model.device, 1) or cpu_workers(config.model)
    _gpus_for(
        "rollout.workers", config.model.device, config.rollout.workers, ", or leave it out for every GPU"
    )
    return config.rollout.workers


def cpu_workers(model: ModelConfig) -> int:
    """Processes on a CPU where none are asked for: one a core, of one thread each.

    A sample is decoded alone there, in matrix products too small to split well: threads of one process wait for each
    other at every product, on a busy machine for most of the time. Who sets ``model.threads`` has one process of so
    many; where processes cannot be forked, each would be a model of its own in memory, so that there is one.
    """
    return 1 if model.threads or sys.platform != "linux" else cores()


def cpu_decoders(model: ModelConfig, wanted: int) -> int:
    """Processes that decode in evaluation on a CPU: ``wanted``, or one a core or configured thread, of one thread each.

    Matrix products of one sample are too small to split well: two processes of one thread do about half as much
    again as one process of two threads, and far more on a machine that is busy with something else, where threads
    wait for each other at every product.
    """
    return (wanted or model.threads or cores()) if sys.platform == "linux" else 1


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_per_worker(slots: int) -> int:
    """CPU threads of each of ``slots`` processes: the cores shared out, at least one."""
    return max(1, cores() // slots)


def gpus_for_evaluation(device: str, wanted: int) -> int:
    """How many GPUs decode in evaluation: ``evaluate.workers``, or all that are visible if that is 0.

    Raises:
        ConfigError: more are wanted than there are.
    """
    gpus = _gpus_for("evaluate.workers", device, wanted, ", or to 0 for every GPU")
    return wanted or gpus if gpus else 0


def check_processes(config: TADConfig) -> None:
    """Whether each of ``distill.processes`` finds a GPU; under a launcher they take them in turn.

    Raises:
        ConfigError: more than there are GPUs.
    """
    if config.distill.hostfile is None:  # with one, this machine need not be among the hosts
        device = config.model.device.partition(":")[0]
        _gpus_for("distill.processes", device, config.distill.processes)


def _gpus_for(field: str, device: str, wanted: int, otherwise: str = "") -> int:
    """GPUs that ``device`` means on this machine: one that is named is one, and without any ``wanted`` may be anything.

    Raises:
        ConfigError: more are wanted than there are: two processes on one GPU would share its speed, which is
            measured, and its memory, of which each may take all.
    """
    if device.startswith("cuda:"):
        gpus, which = 1, f"model.device {device} is"
    elif device in ("auto", "cuda"):
        gpus = len(visible_gpus())
        which = "there is" if gpus == 1 else "there are"
    else:
        gpus = 0
    if gpus and wanted > gpus:
        raise ConfigError(
            f"{field} {wanted} needs as many GPUs and {which} {gpus}; set it to {gpus}{otherwise}"
        )
    return gpus


def check_here(device: str) -> None:
    """That this machine has the GPU which ``model.device`` names.

    torch is asked only where nvidia-smi does not list it: it knows GPUs of other makers, and takes seconds to load.

    Raises:
        ConfigError: it has none, or too few.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda" or int(number or 0) < len(visible_gpus()):
        return
    import torch

    if int(number or 0) >= (here := torch.cuda.device_count()):
        raise ConfigError(f"model.device: {device} is not here ({here} GPUs are visible); use auto or cpu")


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` may be set to for one GPU each; found without loading torch.

    Raises:
        SubprocessError: the driver does not answer, which does not mean that there is no GPU.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return list(_gpu_ids())


@cache
def _gpu_ids() -> tuple[str, ...]:
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_ANSWER_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SubprocessError(
            f"model.device: auto and cuda ask nvidia-smi for the GPUs, which did not answer within {_ANSWER_S:g} s; "
            "set model.device to cpu, or CUDA_VISIBLE_DEVICES to the GPUs that are to be used"
        ) from None
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in told.stdout.splitlines() if line.startswith("GPU-"))


def environment(device: str, slot: int) -> dict[str, str]:
    """A worker's: with ``auto`` or ``cuda`` it sees one GPU, its own, so that no memory is taken on another."""
    out = dict(os.environ)
    if device in ("auto", "cuda") and (gpus := visible_gpus()):
        out["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return out
