"""Our server beside servers of LLaDA that pip installs, on the same random weights, in bfloat16.

Each peer is installed at its pinned version into a folder of its own, in front of this environment's packages (torch
is one), and started by its own command. It first has to answer one request of a block; if it does not in time, the
table goes on without it and the end says what its log said. As the code that it wants beside the weights it gets this
project's model, so that what differs is how requests are batched and how forwards are used. All are asked for the same
rule, low-confidence remasking of so many tokens a forward in blocks of 32, greedy. Closed-loop clients on a real
socket; ours streams, the peers answer when all is done. Markdown on stdout, for docs/results/serve.md.

    python benchmarks/serve_peers.py --threads 1                                     # a small model, on a CPU
    python benchmarks/serve_peers.py --device cuda --size full --clients 1 8 32      # LLaDA-8B's shape, one GPU

Without a network: ``--wheels FOLDER`` with dlmserve, dfastllm and what PINS names.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import CONFIGS, write_checkpoint  # noqa: E402

#: Peers want the mask where LLaDA has it, so the small model has all of its words.
SMALL = {"d_model": 64, "n_heads": 2, "n_kv_heads": 2, "n_layers": 2, "mlp_hidden_size": 192}
MASK = CONFIGS["llada"]["mask_token_id"]
BLOCK = 32
#: response and tokens a forward
SHAPES = {"small": (64, 8), "full": (256, 8)}
#: tokens of the prompts
PROMPT = 50, 300
#: What peers import beside what this environment has; their transformers is below 5.
PINS = ["transformers==4.57.6", "huggingface-hub==0.36.2", "tokenizers==0.22.2", "einops==0.8.2"]
#: What AutoModel finds beside the weights.
REMOTE = """
import sys
from types import SimpleNamespace

sys.path.insert(0, {root!r})
from tad_core.models.llada import LLaDAConfig as Config
from tad_core.models.llada import LLaDAModelLM as Model


class LLaDAConfig(Config):
    pass


class LLaDAModelLM(Model):
    config_class = LLaDAConfig

    def forward(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=super().forward(input_ids, attention_mask))
"""


@dataclass(frozen=True)
class Server:
    """A server of the comparison.

    Attributes:
        label: in the table.
        package: what pip installs; empty for ours.
        command: its arguments, behind the interpreter.
        body: of its requests, beside the messages.
        env: variables that it reads.
        streams: whether its answers come block by block.
    """

    label: str
    package: str
    command: list[str]
    body: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)
    streams: bool = False


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


class UnusableError(Exception):
    """A server that cannot be compared, and why."""


def known(folder: Path, options: argparse.Namespace) -> dict[str, Server]:
    """The servers by name, for these weights."""
    length, a_forward = SHAPES[options.size]
    steps, path, most = str(length // a_forward), str(folder), max(8, *options.clients)
    ours = {
        "max_tokens": length, "method": "low_confidence", "tokens_per_forward": a_forward, "block_length": BLOCK,
        "block_add_threshold": 1.0, "early_stop": False, "stream": True,
    }  # fmt: skip
    serve = ["-m", "flows.cli", "serve", f"model={path}", "--dtype", "bfloat16", "--device", options.device]
    serve += ["--queue", "1024", "--timeout", "3600", "--port", "{port}"]
    serve += ["--threads", str(options.threads)] if options.threads else []
    return {
        "dlmserve": Server(
            "dlmserve 0.1.1", "dlmserve==0.1.1",
            ["-m", "uvicorn", "dlmserve.api.server:app", "--port", "{port}", "--log-level", "warning"],
            {"model": path, "max_tokens": length, "num_denoising_steps": int(steps), "block_length": BLOCK},
            {"DLMSERVE_MODEL": path, "DLMSERVE_DTYPE": "bf16", "DLMSERVE_DEVICE": options.device,
             "DLMSERVE_MAX_BATCH": str(most), "DLMSERVE_LOG_LEVEL": "warning"},
        ),
        "dfastllm": Server(
            "dfastllm 0.0.4", "dfastllm==0.0.4",
            ["-m", "dfastllm.entrypoints.openai.api_server", "--model", path, "--host", "127.0.0.1", "--port",
             "{port}", "--dtype", "bfloat16", "--trust-remote-code", "--diffusion-steps", steps, "--block-size",
             str(BLOCK), "--max-concurrent-requests", str(most), "--rate-limit-requests", "1000000",
             "--uvicorn-log-level", "warning"],
            {"model": path, "max_tokens": length, "temperature": 0.0},
        ),
        "exact": Server("ours, exact", "", serve, ours, streams=True),
        "cached": Server("ours, cached", "", serve, {**ours, "cache": "dual"}, streams=True),
    }  # fmt: skip


def checkpoint(folder: Path, size: str) -> None:
    """Random weights, a tokenizer of numbered words, and the code that AutoModel runs."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    write_checkpoint(folder, "llada", "full", **(SMALL if size == "small" else {}))
    config = json.loads((folder / "config.json").read_text())
    classes = {
        "AutoConfig": "LLaDAConfig",
        "AutoModel": "LLaDAModelLM",
        "AutoModelForCausalLM": "LLaDAModelLM",
    }
    config["auto_map"] = {name: f"modeling_llada.{own}" for name, own in classes.items()}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_llada.py").write_text(REMOTE.format(root=str(ROOT)))
    words = {f"w{i}": i for i in range(config["vocab_size"])}
    del words[f"w{MASK}"], words[f"w{config['eos_token_id']}"]
    words |= {"<|mdm_mask|>": MASK, "<|endoftext|>": config["eos_token_id"]}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, mask_token="<|mdm_mask|>", eos_token=end, pad_token=end, unk_token="w0"
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    # The name that transformers 4 knows as well.
    settings = folder / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))


def prompts(count: int) -> list[str]:
    """Texts of numbered words."""
    draw = random.Random(0)
    lengths = [draw.randint(*PROMPT) for _ in range(count)]
    return [" ".join(f"w{draw.randrange(2, 120_000)}" for _ in range(n)) for n in lengths]


# --- the clients --------------------------------------------------------------------------------------------


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


# --- the servers --------------------------------------------------------------------------------------------


def install(package: str, folder: Path, wheels: str | None) -> None:
    """The pinned package and its pins into a folder, without what this environment has."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(folder),
    ]
    command += ["--no-index", "--find-links", wheels] if wheels else []
    done = subprocess.run([*command, package, *PINS], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableError(f"pip does not install {package}: {done.stderr.strip().splitlines()[-1]}")


@contextmanager
def started(
    server: Server, folder: Path, options: argparse.Namespace
) -> Iterator[tuple[str, psutil.Process]]:
    """It in a process of its own: its address, and that process."""
    env = {**os.environ, **server.env}
    if server.package:
        install(server.package, folder, options.wheels)
        env["PYTHONPATH"] = str(folder)
    if options.threads:
        env["OMP_NUM_THREADS"] = str(options.threads)
    if options.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url, log = f"http://127.0.0.1:{port}", folder.with_suffix(".log")
    command = [sys.executable, *(part.replace("{port}", port) for part in server.command)]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait(url, process, options.patience)
            yield url, psutil.Process(process.pid)
        except UnusableError as fault:
            last = [line for line in log.read_text().splitlines() if line.strip()][-3:]
            raise UnusableError(f"{fault}; its log ends: {' / '.join(last)}") from None
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    how = (
        f"ended with {process.returncode}"
        if process.poll() is not None
        else f"is not up after {patience_s:g} s"
    )
    raise UnusableError(f"it {how}")


if __name__ == "__main__":
    main()
