"""The commands of ``tad`` that use a model: a server, and one response in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import running
from flows.options import Debug, Overrides, StoreUrl

if TYPE_CHECKING:
    from tad_core.config import TADConfig

serving = typer.Typer()

Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N; default: a run's own, else auto.")
]
DType = Annotated[
    str | None,
    typer.Option("--dtype", help="float32 or bfloat16; default: a run's own, else by the device."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; default: all cores, one for a model of under 20 M."),
]
_WHAT = (
    "A run's file (demo.yaml, demo.yaml:speed), a folder of a checkpoint, an export or an adapter, a hub id "
    "(org/name@commit), BASE+ADAPTER; NAME= in front names it."
)

_QUESTION = "Cleo has 13 coins. Cleo sells 8. How many coins does Cleo have?"


@serving.command(
    epilog="Examples:\n\ntad serve configs/demo.yaml\n\ntad serve exports/quality --port 9000\n\n"
    "tad serve base=GSAI-ML/LLaDA-8B-Instruct@COMMIT fast=GSAI-ML/LLaDA-8B-Instruct@COMMIT+exports/speed-adapter"
)
def serve(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help=_WHAT, show_default=False)],
    host: Annotated[
        str, typer.Option("--host", help="Address; others than this machine's need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="TAD_API_KEY", help="Clients must send it.", show_envvar=True),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option("--slots", min=1, help="Responses of a model at once; default: 32, on a CPU 4."),
    ] = None,
    queue: Annotated[int, typer.Option("--queue", min=0, help="Responses that may wait; then 429.")] = 256,
    context: Annotated[
        int, typer.Option("--context", min=2, help="Most tokens of a prompt with its response.")
    ] = 2048,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds after which one is given up.")
    ] = 300.0,
    device: Device = None,
    dtype: DType = None,
    threads: Threads = None,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Serve models over HTTP by OpenAI's routes, with a page that shows them decode."""

    def work() -> None:
        running.say_first(f"loading torch, to serve {', '.join(models)}")
        from flows.serving import Serving, hardware, run_server

        options = Serving(host, port, api_key, slots, queue, context, timeout)
        run_server(models, hardware(device, dtype, threads), options, _reader(set_, store))

    running.guard(work, debug)


@serving.command(
    epilog=f"Examples:\n\ntad generate configs/demo.yaml:quality '{_QUESTION}'\n\n"
    f"tad generate configs/demo.yaml --compare base,quality,speed '{_QUESTION}'\n\n"
    "echo 'Hello' | tad generate exports/speed -"
)
def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_WHAT, show_default=False)],
    prompt: Annotated[
        str, typer.Argument(help="The user's message; - reads it from the input.", show_default=False)
    ],
    compare: Annotated[
        str | None, typer.Option("--compare", help="Models of a run side by side, e.g. base,quality,speed.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Of the text.")] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="token_by_token, entropy …; docs/decoding.md has all.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Entropy in nats, or a probability.")
    ] = None,
    factor: Annotated[float | None, typer.Option("--factor", help="Of the method factor.")] = None,
    tokens_per_forward: Annotated[
        int | None, typer.Option("--tokens-per-forward", help="Of the method low_confidence.")
    ] = None,
    forward_budget: Annotated[
        int | None, typer.Option("--forward-budget", help="Of the method fixed_budget: forwards in all.")
    ] = None,
    cache: Annotated[
        str | None, typer.Option("--cache", help="none, dual, dual_block, prefix; or blocks.")
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, max=2, help="0: the likeliest.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the noise of a temperature.")] = 0,
    device: Device = None,
    dtype: DType = None,
    threads: Threads = None,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Decode one response in the terminal; the canvas fills in while you watch."""

    def work() -> None:
        running.say_first(f"loading torch, to decode with {model}", watched=True)
        from flows.generate import run_generate
        from flows.serving import hardware

        given = {
            "max_tokens": max_tokens, "method": method, "threshold": threshold, "factor": factor, "cache": cache,
            "tokens_per_forward": tokens_per_forward, "forward_budget": forward_budget,
        }  # fmt: skip
        asked = {k: v for k, v in given.items() if v is not None} | {"temperature": temperature, "seed": seed}
        run_generate(model, prompt, compare, asked, hardware(device, dtype, threads), _reader(set_, store))

    running.guard(work, debug)


def _reader(set_: list[str] | None, store: str | None) -> Callable[[Path], TADConfig]:
    return lambda path: running.load(Path(path), set_ or [], store)
