"""Closed-loop clients on a real socket: our server, exact and cached, against a plain one around the plain algorithm.

Each client sends a request, reads the stream to its end, and sends the next. The plain server answers one request
at a time and does what the public code does: every forward over prompt and response, logits of all positions, softmax
in float64. Both decode by the same rule, so that they need the same number of forwards: the shipped small model by
entropy, LLaDA-8B's shape with random weights, which pass no threshold, by a fixed number of tokens a forward. Each
server is a process of its own. Markdown on stdout, for docs/results/serve.md.

    python benchmarks/serve.py                                   # the small model, on a CPU, about ten minutes
    python benchmarks/serve.py --size full --clients 1 8 32 64   # LLaDA-8B's shape in bfloat16, one GPU
    python benchmarks/serve.py --size random --requests 4        # the smoke test of that, on a CPU
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
SMALL = ROOT / "assets" / "tiny-llada"
KINDS = {
    "plain": "plain, one at a time",
    "exact": "ours, exact",
    "cached": "ours, cached",
    "cached8": "ours, cached, refreshed every 8 forwards",
}
#: how each of ours keeps keys and values
CACHES: dict[str, dict[str, Any]] = {
    "exact": {},
    "cached": {"cache": "dual"},
    "cached8": {"cache": "dual", "refresh_blocks": False, "refresh_forwards": 8},
}
#: tokens of the prompts
PROMPT = 50, 500
#: response, block, blocks opened at which progress
SHAPES = {"small": (64, 16, 1.0), "random": (32, 8, 0.1), "full": (256, 32, 0.1)}
#: random tokens of prompts are below these
VOCABULARY = {"random": 1_800, "full": 120_000}


@dataclass
class Client:
    """What the clients of one level saw.

    Attributes:
        first_s: to the first text of each request.
        whole_s: to its end.
        tokens: of the texts.
        forwards: that served them.
        slots: samples that held one, looked at now and then.
        texts: by the number of the prompt.
    """

    first_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    tokens: int = 0
    revealed: int = 0
    forwards: int = 0
    slots: list[float] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)


def main() -> None:
    """Every server, every number of clients; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="small")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--requests", type=int, default=24, help="of one level; at least one a client")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=["plain", "exact", "cached"])
    parser.add_argument("--slots", type=int, default=None, help="default: 32 on a GPU, 4 on a CPU")
    parser.add_argument("--threads", type=int, default=None, help="of a CPU; default: all cores")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        serve(options)
        return
    asked = prompts(max(options.requests, *options.clients), options.size)
    print(f"`python benchmarks/serve.py {' '.join(sys.argv[1:])}`".replace(" `", "`"))
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}, prompts of {PROMPT[0]} to {PROMPT[1]} tokens\n")
    print(
        "| clients | server | tokens/s | CPU s of 100 tokens | first block, s | p50, s | p95, s | tokens a forward "
        "| slots filled |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    texts: dict[str, dict[int, str]] = {kind: {} for kind in options.only}
    # Side by side where memory holds all, so that what else the machine does hits each alike.
    rounds = [options.only] if options.size != "full" else [[kind] for kind in options.only]
    for kinds in rounds:
        with ExitStack() as stack:
            children = {kind: stack.enter_context(Child(options, kind)) for kind in kinds}
            for kind, child in children.items():
                asyncio.run(level(child.url, kind, asked[:2], 1))  # compiles, and fills caches
            for clients in options.clients:
                for kind, child in children.items():
                    some = asked[: max(options.requests, clients)]
                    if options.size == "full" and kind != "plain":  # graphs of that many samples
                        asyncio.run(level(child.url, kind, asked[:clients], clients))
                    began, cpu_s = time.perf_counter(), child.cpu_s()
                    seen = asyncio.run(level(child.url, kind, some, clients))
                    wall_s, cpu_s = time.perf_counter() - began, child.cpu_s() - cpu_s
                    texts[kind].update(seen.texts)
                    print(row(clients, kind, seen, wall_s, cpu_s), flush=True)
    if {"plain", "exact"} <= texts.keys():
        same = sum(texts["plain"][i] == text for i, text in texts["exact"].items())
        print(f"\n{same} of {len(texts['exact'])} exact answers are the plain server's, word for word.")


def row(clients: int, kind: str, seen: Client, wall_s: float, cpu_s: float) -> str:
    """A line of the table."""
    whole = sorted(seen.whole_s)
    slots = f"{statistics.mean(seen.slots):.1f}" if seen.slots else "1"
    return (
        f"| {clients} | {KINDS[kind]} | {seen.tokens / wall_s:.1f} | {100 * cpu_s / seen.tokens:.2f} | "
        f"{statistics.median(seen.first_s):.2f} | {statistics.median(whole):.2f} | "
        f"{whole[int(0.95 * len(whole))]:.2f} | {seen.revealed / seen.forwards:.2f} | {slots} |"
    )


def machine() -> str:
    """What it ran on, in words."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{os.cpu_count()} CPU cores, torch {torch.__version__}"


def prompts(count: int, size: str) -> list[Any]:
    """Token ids: of the small model questions one after the other, as many as fit the length; else random."""
    draw = random.Random(0)
    lengths = [draw.randint(*PROMPT) for _ in range(count)]
    if size in VOCABULARY:
        return [[draw.randrange(2, VOCABULARY[size]) for _ in range(n)] for n in lengths]
    from tad_core.checkpoint import load_tokenizer
    from tad_core.data.prompts import encode_prompt

    tokenizer = load_tokenizer(SMALL)
    found = []
    for length in lengths:
        text = ""
        while True:
            a, b = draw.randint(2, 9), draw.randint(2, 9)
            longer = f"{text}Question: Ben has {a} apples and buys {b} more apples . How many apples does Ben have ? "
            ids = encode_prompt(tokenizer, [{"role": "user", "content": longer}])
            if text and len(ids) > length:
                break
            text, kept = longer, ids
        found.append(kept)
    return found


# --- the clients --------------------------------------------------------------------------------------------


async def level(url: str, kind: str, asked: list[Any], clients: int) -> Client:
    """Send every prompt, so many at once."""
    seen, left = Client(), iter(enumerate(asked))
    limits = httpx.Limits(max_connections=clients + 1)
    async with httpx.AsyncClient(base_url=url, timeout=3600, limits=limits) as http:

        async def work() -> None:
            for i, ids in left:
                await one(http, seen, i, ids)

        async def look() -> None:
            while True:
                await asyncio.sleep(0.25)
                text = (await http.get("/metrics")).text
                seen.slots.append(float(text.rsplit("tad_running_responses ", 1)[1].split()[0]))

        looking = asyncio.create_task(look()) if kind != "plain" else None
        await asyncio.gather(*(work() for _ in range(clients)))
        if looking:
            looking.cancel()
    return seen


async def one(http: httpx.AsyncClient, seen: Client, i: int, ids: list[int]) -> None:
    """A request and its stream."""
    body = {"prompt": ids, "stream": True, "stream_options": {"include_usage": True}}
    began, text, first_s = time.perf_counter(), "", None
    async with http.stream("POST", "/v1/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise SystemExit(chunk["error"]["message"])
            for choice in chunk["choices"]:
                text += choice["text"]
            if first_s is None and (text or chunk.get("usage")):
                first_s = time.perf_counter() - began
            if usage := chunk.get("usage"):
                seen.tokens += usage["completion_tokens"]
                seen.revealed += usage["revealed_tokens"]
                seen.forwards += usage["forwards"]
    seen.first_s.append(first_s or 0.0)
    seen.whole_s.append(time.perf_counter() - began)
    seen.texts[i] = text


# --- the servers --------------------------------------------------------------------------------------------


class Child:
    """A server in a process of its own."""

    def __init__(self, options: argparse.Namespace, kind: str) -> None:
        command = [sys.executable, __file__, "--child", kind, "--size", options.size]
        for name in ("slots", "threads"):
            if value := getattr(options, name):
                command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Child:
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url.startswith("http"):
            raise SystemExit(f"the server did not start: {self.url}")
        return self

    def cpu_s(self) -> float:
        """Of the process so far, all threads."""
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def serve(options: argparse.Namespace) -> None:
    """Be a server."""
    import signal

    import torch

    from tad_core.serving.app import Limits, make_app
    from tad_core.serving.server import bind, url_of
    from tad_core.serving.server import serve as run

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.threads:
        torch.set_num_threads(options.threads)
    served = load(options.size, options.child)
    if options.child == "plain":
        from plain_server import plain_app

        app = plain_app(served)
    else:
        slots = options.slots or (4 if served.model.device.type == "cpu" else 32)
        app = make_app([served], Limits(slots, 1024, 1024, 3600.0))
    listening = bind("127.0.0.1", 0)
    run(app, listening, 5.0, lambda: print(url_of(listening), flush=True))


def load(size: str, kind: str) -> Any:
    """The model, and how it is decoded."""
    from decode import build  # registers the rule of random weights

    from tad_core.config import ModelConfig
    from tad_core.decoding import DecodeSpec
    from tad_core.evaluation.generate import Texts
    from tad_core.models.loading import load_model, load_tokenizer
    from tad_core.serving.served import Served

    length, block, add = SHAPES[size]
    cache = CACHES.get(kind, {})
    tokenizer = load_tokenizer(SMALL)
    if size in VOCABULARY:
        spec = DecodeSpec(length, block, "budget", 0.0, add, early_stop=False, **cache)
        model = build("full", "cuda") if size == "full" else build("small", "cpu")
        return Served("model", model, AnyText(tokenizer), spec)
    spec = DecodeSpec(length, block, "entropy", 0.5, add, **cache)
    return Served("model", load_model(ModelConfig(path=str(SMALL), device="cpu")), Texts(tokenizer), spec)


class AnyText:
    """Texts of random weights: any token is a word, none ends."""

    ends: frozenset[int] = frozenset()

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = self
        del tokenizer

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """A token a byte."""
        return {"input_ids": [2 + byte for byte in text.encode()]}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Numbers."""
        return "".join(f" {i}" for i in ids)


if __name__ == "__main__":
    main()
