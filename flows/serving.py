"""``tad serve``: everything that can be wrong is found before weights are read, the address is taken first."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from rich.table import Table

from flows.terminal import plain_console
from tad_core.config import TADConfig
from tad_core.errors import ConfigError, ModelError
from tad_core.models.loading import resolve_device
from tad_core.serving.served import Served, Source, load_all
from tad_core.serving.sources import DType, Hardware, sources_of

Read = Callable[[Path], TADConfig]
#: Responses of a model at once: a GPU fills its forwards with many, a CPU takes turns.
GPU_SLOTS, CPU_SLOTS = 32, 4


@dataclass(frozen=True)
class Serving:
    """What the command line says of the server; see there."""

    host: str
    port: int
    api_key: str | None
    slots: int | None
    queue: int
    context: int
    timeout_s: float


def hardware(device: str | None, dtype: str | None, threads: int | None) -> Hardware:
    """As the command line gives it.

    Raises:
        ConfigError: no such dtype, or no such device here.
    """
    if device is not None:
        try:
            resolve_device(device)
        except ModelError as error:
            raise ConfigError(str(error).replace("model.device", "--device", 1)) from None
    if dtype is not None and dtype not in get_args(DType):
        raise ConfigError(f"--dtype: {dtype!r} is not accepted; use one of {', '.join(get_args(DType))}")
    return Hardware(cast(DType | None, dtype), device, threads)


def run_server(words: Sequence[str], on: Hardware, options: Serving, read: Read) -> None:
    """Load and serve until SIGTERM or Ctrl-C.

    Raises:
        TADError: one clear message.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tad_core.serving.app import Limits, make_app
    from tad_core.serving.guard import is_loopback
    from tad_core.serving.server import bind, check_address, serve, url_of

    api_key = options.api_key or None  # an empty variable of the environment is none
    check_address(options.host, api_key)
    sources = sources_of(words, on, read)
    listening = bind(options.host, options.port)
    console = plain_console(stderr=True)

    def say(source: Source) -> None:
        console.print(f"loading {source.name}: {source.model.path}", soft_wrap=True)

    models = load_all(sources, say)
    for served in models:
        served.warm_up()
    on_cpu = all(served.model.device.type == "cpu" for served in models)
    slots = options.slots or (CPU_SLOTS if on_cpu else GPU_SLOTS)
    limits = Limits(slots, options.queue, options.context, options.timeout_s)
    app = make_app(models, limits, api_key, is_loopback(options.host))

    def ready() -> None:
        console.print(_table(models))
        console.print(f"serving at {url_of(listening)}")

    serve(app, listening, options.timeout_s, ready)
    console.print("the server has ended")


def _table(models: Sequence[Served]) -> Table:
    table = Table("model", "device", "decoded by", "threshold", "cache", "response", box=None, pad_edge=False)
    for served in models:
        spec = served.spec
        table.add_row(
            served.name, str(served.model.device), spec.method, f"{spec.level:g}", spec.cache,
            f"{spec.response_length} tokens, blocks of {spec.block_length}",
        )  # fmt: skip
    return table
