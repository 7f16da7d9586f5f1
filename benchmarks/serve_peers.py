"""Our server beside servers of LLaDA that pip installs, on the same random weights, in bfloat16.

Each peer is installed at its pinned version into a folder of its own, in front of this environment's packages (torch
is one), and started by its own command. It first has to answer one request of a block; if it does not in time, the
table goes on without it and the end says what its log said. As the code that it wants beside the weights it gets this
project's model, so that what differs is how requests are batched and how forwards are used. All are asked for the same
rule, low-confidence remasking of so many tokens a forward in blocks of 32, greedy. Closed-loop clients on a real
socket; ours streams, the peers answer when all is done. Markdown on stdout, for docs/results/serve.md.

    python benchmarks/serve_peers.py --threads 1                                     # a small model, on a CPU
    python benchmarks/serve_peers.py --device cuda --size full --clients 1 8 32      # LLaDA-8B's shape, one GPU

Without a network: ``--wheels FOLDER`` with dlmserve, dfastllm and what ``peer_servers.PINS`` names.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from peer_servers import BLOCK, SHAPES, Server, UnusableError, checkpoint, known, started  # noqa: E402

#: tokens of the prompts
PROMPT = 50, 300


def main() -> None:
    """Every server, every number of clients; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=None, help="of a CPU; default: all cores")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--requests", type=int, default=16, help="of one level; at least one a client")
    parser.add_argument("--only", nargs="+", default=["dlmserve", "dfastllm", "exact", "cached"])
    parser.add_argument("--wheels", help="folder of wheels to install from, where there is no network")
    parser.add_argument(
        "--patience", type=float, default=120.0, help="seconds for a start, and a first answer"
    )
    options = parser.parse_args()
    length, _ = SHAPES[options.size]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "llada"
        checkpoint(folder, options.size)
        servers = {name: s for name, s in known(folder, options).items() if name in options.only}
        print(f"`python benchmarks/serve_peers.py {' '.join(sys.argv[1:])}`, {time.strftime('%Y-%m-%d')}")
        print(f"responses of {length} tokens, prompts of {PROMPT[0]} to {PROMPT[1]} tokens\n")
        print("| clients | server | tokens/s | CPU s of 100 tokens | first block, s | p50, s | p95, s |")
        print("|---|---|---|---|---|---|---|")
        texts, faults = dict[str, dict[int, str]](), list[str]()
        asked = prompts(max(options.requests, *options.clients))
        for name, server in servers.items():
            try:
                with started(server, Path(temporary) / name, options) as (url, process):
                    texts[name] = measure(server, url, process, asked, options)
            except UnusableError as fault:
                faults.append(f"{server.label}: {fault}")
    for fault in faults:
        print(f"\n{fault}")
    if {"dlmserve", "exact"} <= texts.keys():
        same = sum(texts["dlmserve"][i] == text for i, text in texts["exact"].items())
        print(f"\n{same} of {len(texts['exact'])} exact answers are dlmserve's, word for word.")


def prompts(count: int) -> list[str]:
    """Texts of numbered words."""
    draw = random.Random(0)
    lengths = [draw.randint(*PROMPT) for _ in range(count)]
    return [" ".join(f"w{draw.randrange(2, 120_000)}" for _ in range(n)) for n in lengths]


def measure(
    server: Server, url: str, process: psutil.Process, asked: list[str], options: argparse.Namespace
) -> dict[int, str]:
    """Print a line for every number of clients; returns the texts by the number of their prompts."""
    length, _ = SHAPES[options.size]
    short = {**server.body, "max_tokens": BLOCK}
    if "num_denoising_steps" in short:
        short["num_denoising_steps"] = short["num_denoising_steps"] * BLOCK // length
    try:
        asyncio.run(level(server, short, url, asked[:1], 1, options.patience))
    except httpx.TimeoutException:
        raise UnusableError(f"no answer to one request of {BLOCK} tokens in {options.patience:g} s") from None
    texts: dict[int, str] = {}
    for clients in options.clients:
        some = asked[: max(options.requests, clients)]
        asyncio.run(level(server, server.body, url, some[:clients], clients, 3600))  # warms up
        began, cpu_s = time.perf_counter(), used_s(process)
        seen = asyncio.run(level(server, server.body, url, some, clients, 3600))
        wall_s, cpu_s = time.perf_counter() - began, used_s(process) - cpu_s
        first, whole = sorted(s for _, s, _ in seen.values()), sorted(s for _, _, s in seen.values())
        print(
            f"| {clients} | {server.label} | {len(some) * length / wall_s:.1f} | "
            f"{100 * cpu_s / len(some) / length:.2f} | {statistics.median(first):.2f} | "
            f"{statistics.median(whole):.2f} | {whole[int(0.95 * len(whole))]:.2f} |",
            flush=True,
        )
        texts |= {i: text for i, (text, _, _) in seen.items()}
    return texts


def used_s(process: psutil.Process) -> float:
    """Processor time of a server and its children so far."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(used.user + used.system for used in times))


async def level(
    server: Server, body: dict[str, Any], url: str, asked: list[str], clients: int, timeout_s: float
) -> dict[int, tuple[str, float, float]]:
    """Send every prompt, so many at once: its text, seconds to the first of it, and to its end."""
    seen, left = dict[int, tuple[str, float, float]](), iter(enumerate(asked))
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits) as http:

        async def work() -> None:
            for i, prompt in left:
                message = {"messages": [{"role": "user", "content": prompt}]}
                seen[i] = await one(server, http, {**body, **message})

        await asyncio.gather(*(work() for _ in range(clients)))
    return seen


async def one(server: Server, http: httpx.AsyncClient, body: dict[str, Any]) -> tuple[str, float, float]:
    """A request to its end."""
    began, text, first_s = time.perf_counter(), "", 0.0
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            raise UnusableError(f"status {answer.status_code}: {(await answer.aread()).decode()[:300]}")
        if not server.streams:
            text = json.loads(await answer.aread())["choices"][0]["message"]["content"]
        async for line in answer.aiter_lines() if server.streams else _nothing():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    text += choice["delta"].get("content") or ""
                first_s = first_s or (time.perf_counter() - began if text else 0.0)
    whole_s = time.perf_counter() - began
    return text, first_s or whole_s, whole_s


async def _nothing() -> Any:
    for line in ():
        yield line


if __name__ == "__main__":
    main()
