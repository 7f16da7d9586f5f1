"""The command line that starts a training run: one process, the GPUs of a host, or several hosts."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError
from tad_core.extras import how_to_install
from tad_core.training.spec import TrainingSpec

_MODULE = "tad_core.training"
#: what the settings of ``distill`` say and a DeepSpeed file must therefore leave to them
_OURS = ("optimizer", "scheduler")
_AUTO = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
)
#: what of a DeepSpeed file changes how fast an adapter comes and what is told of it; dtypes are read one by one
_SPEED_ONLY = (
    *_AUTO,
    *("zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "aio"),
    *("bf16", "fp16", "data_types", "communication_data_type"),
    *("activation_checkpointing", "checkpoint", "compile", "nebula"),
    *("steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "timers"),
    *("comms_logger", "flops_profiler", "tensorboard", "wandb", "comet", "csv_monitor"),
)
_NAMES = {"bfloat16": "bf16", "float16": "fp16"}
_DTYPES = {
    **dict.fromkeys(("fp32", "float32", "float", "torch.float32"), "float32"),
    **dict.fromkeys(("bf16", "bfloat16", "torch.bfloat16"), "bfloat16"),
    **dict.fromkeys(("fp16", "float16", "half", "torch.float16"), "float16"),
}


@dataclass(frozen=True)
class Seat:
    """The place of one host in a run of several.

    Attributes:
        host: where the first host is reached.
        port: its port.
        number: of this host; the first is 0.
    """

    host: str
    port: int
    number: int


def check_settings(config: DistillConfig) -> None:
    """Find what would stop a training run before it starts; cheap enough to be asked before any stage.

    Raises:
        ConfigError: launcher, processes, DeepSpeed file, quantization or reporters do not fit, or are not installed.
    """
    if config.launcher == "python" and config.processes * config.nodes > 1:
        raise ConfigError(
            f"distill.launcher: python starts one process and distill.processes x nodes is "
            f"{config.processes * config.nodes}; use torchrun or deepspeed"
        )
    if config.launcher == "deepspeed" and not _installed("deepspeed"):
        raise ConfigError(
            f"distill.launcher: deepspeed is not installed; {how_to_install('gpu')}, or use torchrun"
        )
    if config.hostfile is not None:
        if config.launcher != "deepspeed":
            raise ConfigError(
                f"distill.hostfile: {config.hostfile} is for the deepspeed launcher, not for {config.launcher}; "
                "leave it out, or set distill.launcher to deepspeed"
            )
        if not Path(config.hostfile).is_file():
            raise ConfigError(
                f"distill.hostfile: {config.hostfile} is not a file; give a DeepSpeed hosts file"
            )
    if config.launcher == "deepspeed" and config.nodes > 1 and config.hostfile is None:
        raise ConfigError(
            f"distill.hostfile: missing; the deepspeed launcher starts {config.nodes} nodes by ssh from a hosts file. "
            "Give one, or use torchrun with `tad join` on the others"
        )
    if config.deepspeed is not None:
        _check_deepspeed(config)
    check_installed(config.quantize, "distill.quantize")
    for name in config.report_to:
        if not _installed(name) and not (name == "tensorboard" and _installed("tensorboardX")):
            raise ConfigError(
                f"distill.report_to: {name} is not installed; pip install {name}, or take it out of the list"
            )


def check_installed(quantize: str, field: str) -> None:
    """Raise ``ConfigError`` where what packs the base is missing."""
    if quantize == "nf4" and not _installed("bitsandbytes"):
        raise ConfigError(
            f"{field}: {quantize} needs bitsandbytes, which is not installed; {how_to_install('quantize')}, or set it "
            "to none"
        )


def command_for(spec: TrainingSpec, spec_file: Path, seat: Seat | None = None) -> list[str]:
    """The command line of a spec; ``seat`` is this host's place where there are several.

    Raises:
        ConfigError: see ``check_settings``.
    """
    config = spec.distill
    check_settings(config)
    assert config.nodes == 1 or seat is not None, "several hosts need a place to meet"
    if config.launcher == "python":
        return guarded([sys.executable, "-m", _MODULE, str(spec_file)])
    if config.launcher == "torchrun":
        agent = ["-m", "torch.distributed.run", f"--nproc-per-node={config.processes}"]
        if seat is None:
            agent.append("--standalone")
        else:
            agent += [f"--nnodes={config.nodes}", f"--node-rank={seat.number}", f"--master-addr={seat.host}",
                      f"--master-port={seat.port}"]  # fmt: skip
        return guarded([sys.executable, *agent, "-m", _MODULE, str(spec_file)])
    agent = ["-m", "deepspeed.launcher.runner", "--num_gpus", str(config.processes)]
    if config.hostfile is not None:
        agent += ["--hostfile", config.hostfile, "--num_nodes", str(config.nodes)]
    if seat is not None:
        agent += ["--master_addr", seat.host, "--master_port", str(seat.port)]
    else:
        agent += ["--master_port", str(free_port())]  # the default is one for the whole machine
    return guarded([sys.executable, *agent, "--module", _MODULE, str(spec_file)])


def guarded(command: list[str]) -> list[str]:
    """The command with a SIGTERM at its parent's death, where the system has ``setpriv``."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command


def free_port() -> int:
    """A port nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def deepspeed_identity(config: DistillConfig) -> dict[str, Any]:
    """What the DeepSpeed file adds to an adapter's identity: all in it that is not known to change the speed alone.

    ``adapter_dtype``, in which the adapters themselves are held, and ``gradient_dtypes``, in which DeepSpeed holds
    their gradients and adds them up over devices, where that is not float32 (over micro-batches it always is);
    ``deepspeed``, whatever else the file says. Nothing
    without a file. One that cannot be read counts as none; ``check_settings`` refuses it before any work.
    """
    if config.deepspeed is None:
        return {}
    try:
        tree = json.loads(Path(config.deepspeed).read_text(encoding="utf-8"), parse_constant=str)
        half = _half_precision(tree, config.bf16)
        accumulated = tree.get("data_types", {}).get("grad_accum_dtype")
        zero = tree.get("zero_optimization", {}).items()
        said = {"accumulated": accumulated, "communicated": tree.get("communication_data_type")}
        rest = {name: value for name, value in tree.items() if name not in _SPEED_ONLY and value != "auto"}
        rest |= {name: value for name, value in zero if name.startswith("zero_quantized") and value}
        how = {name: value for name, value in tree.get(_NAMES.get(half, ""), {}).items() if name != "enabled"}
    except (OSError, ValueError, AttributeError):
        return {}
    dtypes = {name: _DTYPES.get(str(value or half), str(value)) for name, value in said.items()}
    gradient = {name: dtype for name, dtype in dtypes.items() if dtype != "float32"}
    rest |= {"precision": how} if how else {}
    found = {"adapter_dtype": half, "gradient_dtypes": gradient, "deepspeed": rest}
    return {name: value for name, value in found.items() if value and value != "float32"}


def _half_precision(tree: Any, bf16: bool) -> str:
    """The dtype in which DeepSpeed holds the adapters; ``auto`` is filled in by the Trainer."""
    enabled = {name: tree.get(name, {}).get("enabled", False) for name in ("bf16", "fp16")}
    if enabled["bf16"] is True or (enabled["bf16"] == "auto" and bf16):
        return "bfloat16"
    return "float16" if enabled["fp16"] is True else "float32"


def _check_stage(where: str, stage: Any) -> None:
    if stage not in (0, 1, 2):
        raise ConfigError(
            f"{where}: zero_optimization.stage {stage} splits the weights, which the head outside the wrapped model "
            "needs whole; use 1 or 2"
        )
    if stage == 0:
        raise ConfigError(
            f"{where}: zero_optimization.stage 0 shares nothing out, and in float32 tells no norm of the gradient; use "
            "1 or 2, or set distill.deepspeed to null, which takes any number of GPUs"
        )


def _check_deepspeed(config: DistillConfig) -> None:
    path = Path(str(config.deepspeed))
    where = f"distill.deepspeed: {path}"
    if not path.is_file():
        raise ConfigError(
            f"{where} is not a file; give a DeepSpeed JSON file, e.g. configs/deepspeed/zero2.json"
        )
    if config.launcher == "python":
        raise ConfigError(
            "distill.deepspeed: needs distill.launcher torchrun or deepspeed, for one GPU too; set one, or leave "
            "distill.deepspeed out"
        )
    if not _installed("deepspeed"):
        raise ConfigError(f"{where} asks for DeepSpeed, which is not installed; {how_to_install('gpu')}")
    try:
        tree: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{where} cannot be read as JSON ({error}); mend it, or start from configs/deepspeed/zero2.json"
        ) from None
    sections = ("zero_optimization", "bf16", "fp16")
    if not isinstance(tree, dict) or not all(isinstance(tree.get(name, {}), dict) for name in sections):
        raise ConfigError(f"{where} is no DeepSpeed configuration; start from configs/deepspeed/zero2.json")
    _check_stage(where, tree.get("zero_optimization", {}).get("stage", 0))
    for name, ours in (("bf16", config.bf16), ("fp16", False)):
        if (given := tree.get(name, {}).get("enabled", "auto")) not in ("auto", ours):
            raise ConfigError(
                f"{where}: {name}.enabled {json.dumps(given)} is not what distill.bf16 {json.dumps(config.bf16)} "
                'says; write "auto"'
            )
    if found := next((name for name in _OURS if name in tree), None):
        raise ConfigError(f"{where}: {found} is set by the fields of distill; take it out of the file")
    if found := next((name for name in _AUTO if tree.get(name, "auto") != "auto"), None):
        raise ConfigError(f'{where}: {found} is set by the fields of distill; write "auto"')
