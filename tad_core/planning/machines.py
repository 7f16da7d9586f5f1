"""What machines can do: the one this runs on, and some GPUs by name.

A GPU's speed for us is not its peak. What share of the peak is reached was measured with LLaDA-8B (random weights,
bfloat16, response 256): of training here, on one H200 with prompts of 300 tokens for the teacher and 150 for the
student (on a base in 4 bits, on one H100), of decoding in ``decoding.py``. It is taken for other GPUs too: it is a
guess there, and says so.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError
from tad_core.shapes import GIB, PUBLISHED, read_shape
from tad_core.workers.devices import cores


@dataclass(frozen=True)
class Gpu:
    """One accelerator, from its maker's data sheet.

    Attributes:
        title: full name.
        bf16_tflops: dense peak, without sparsity, in TFLOP/s.
        memory_gib: what a program finds, in GiB.
        bandwidth_tb_s: of its memory, in TB/s.
        float8: whether it has products of 8-bit floats.
    """

    title: str
    bf16_tflops: float
    memory_gib: float
    bandwidth_tb_s: float
    float8: bool = True


#: Data sheets of NVIDIA: H200 and H100 (Tensor Core GPU), A100, L40S, GeForce RTX 4090 (Ada architecture paper), B200.
GPUS = {
    "b200": Gpu("NVIDIA B200", 2250, 178, 8.0),
    "h200": Gpu("NVIDIA H200 SXM", 989, 139, 4.8),
    "h100": Gpu("NVIDIA H100 SXM 80 GB", 989, 79, 3.35),
    "a100": Gpu("NVIDIA A100 SXM 80 GB", 312, 79, 2.04, float8=False),
    "a100-40": Gpu("NVIDIA A100 SXM 40 GB", 312, 39, 1.56, float8=False),
    "l40s": Gpu("NVIDIA L40S", 362, 44, 0.86),
    "rtx4090": Gpu("NVIDIA GeForce RTX 4090", 165, 23.5, 1.01),
}

# --- what was measured on the H200, from which the shares of the peak follow -------------------------
_SHAPE = read_shape(PUBLISHED["GSAI-ML/LLaDA-8B-Instruct"])
_PEAK = GPUS["h200"].bf16_tflops * 1e12
_LENGTH, _PROMPT, _STUDENT = 256, 300, 150
#: states a second at 4 a forward, the teacher sharing the student's weights: as it is, and with compiled layers
MEASURED_STATES_PER_S = {False: 17.8, True: 25.3}
#: times the states on a base in 8-bit floats, both models in one pass: 38.95 to 29.03, and one by itself 31.74 to 22.82
FLOAT8_TIMES = 1.34
#: states a second on a base in 4 bits with compiled layers, one model: docs/results/distill.md
_IN_4_BITS_PER_S = 13.4
#: seconds that unpacking takes of a state, whatever else it takes
_UNPACKING_S = 1 / _IN_4_BITS_PER_S - 1 / MEASURED_STATES_PER_S[True]
#: seconds that one bare forward of the 32 layers takes at least, since its kernels are started one by one
MEASURED_LAUNCH_S = 27.5e-3 / _SHAPE.layers


def training_share(compiled: bool, quantize: str = "none") -> float:
    """Share of the bf16 peak that training reached, on a base as it is or packed as ``distill.quantize`` says."""
    state = _SHAPE.trained_state(_STUDENT + _LENGTH, _PROMPT + _LENGTH, _LENGTH, 0)
    state_s = 1 / MEASURED_STATES_PER_S[compiled]
    if quantize == "fp8" and compiled:
        state_s /= FLOAT8_TIMES
    if quantize == "nf4":
        state_s += _UNPACKING_S
    return state / state_s / _PEAK


def share_of(distill: DistillConfig, gpu: Gpu) -> float:
    """``training_share`` with these settings; 8-bit floats are no gain on a GPU that has no products of them."""
    quantize = "none" if distill.quantize == "fp8" and not gpu.float8 else distill.quantize
    return training_share(distill.compile != "off", quantize)


@dataclass(frozen=True)
class Machine:
    """Where a run would run.

    Attributes:
        title: for the reader.
        gpu: what its accelerators are; None for CPUs alone.
        count: accelerators of one host.
        memory_gib: of one accelerator, or of the host where there is none.
        free_disk_gib: where the store lies; None where that is not known, as of a bucket.
        named: whether it is another machine, of which only the name is known: nothing in a store was measured there.
    """

    title: str
    gpu: Gpu | None
    count: int
    memory_gib: float
    free_disk_gib: float | None = None
    named: bool = False


def named_machine(name: str, count: int) -> Machine:
    """A host with ``count`` GPUs of a name: ours, the data sheet's (``RTX 4090``) or the driver's.

    Raises:
        ConfigError: a name that is not in the table.
    """
    known = {_plain(word): gpu for key, gpu in GPUS.items() for word in (key, gpu.title)}
    gpu = known.get(_plain(name))
    if gpu is None:
        raise ConfigError(f"--gpu: {name!r} is not known; use one of {', '.join(GPUS)}")
    return Machine(f"{count} x {gpu.title}", gpu, count, gpu.memory_gib, named=True)


def this_machine(store: str) -> Machine:
    """The host this runs on. Asks torch for GPUs only where a driver is installed."""
    free = None if "://" in store else _free_gib(Path(store))
    if Path("/dev/nvidiactl").exists():
        import torch

        if torch.cuda.is_available():
            title, memory = torch.cuda.get_device_name(0), torch.cuda.mem_get_info(0)[1] / GIB
            known = [gpu for gpu in GPUS.values() if _same(gpu, title, memory)]
            count = torch.cuda.device_count()
            gpu = known[0] if known else Gpu(title, 0.0, memory, 0.0, _has_float8())
            return Machine(f"{count} x {title}", gpu, count, memory, free)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return Machine(f"this machine, {cores()} CPU cores", None, 0, memory, free)


def _has_float8() -> bool:
    import torch

    from tad_core.models.float8 import has_products

    return has_products(torch.cuda.get_device_capability(0))


def _same(gpu: Gpu, title: str, memory_gib: float) -> bool:
    model = gpu.title.split()[1] if "GeForce" not in gpu.title else "4090"
    return model in title and abs(gpu.memory_gib - memory_gib) < 0.1 * gpu.memory_gib


def _plain(name: str) -> str:
    """A GPU's name without its maker, socket and kind of memory, spaces and dashes."""
    return re.sub(r"nvidia|geforce|sxm\d?|hbm\d?e?|[\s_-]", "", name.lower())


def _free_gib(folder: Path) -> float:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIB
