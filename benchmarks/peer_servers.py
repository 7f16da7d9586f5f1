"""Servers of LLaDA that pip installs, and ours: what each is started with, and the weights that all of them get."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from common import CONFIGS, write_checkpoint

ROOT = Path(__file__).resolve().parents[1]
#: Peers want the mask where LLaDA has it, so the small model has all of its words.
SMALL = {"d_model": 64, "n_heads": 2, "n_kv_heads": 2, "n_layers": 2, "mlp_hidden_size": 192}
MASK = CONFIGS["llada"]["mask_token_id"]
BLOCK = 32
#: response and tokens a forward
SHAPES = {"small": (64, 8), "full": (256, 8)}
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


def install(package: str, folder: Path, wheels: str | None) -> None:
    """The pinned package and its pins into a folder, without what this environment has."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--target", str(folder)]
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
    if process.poll() is not None:
        raise UnusableError(f"it ended with {process.returncode}")
    raise UnusableError(f"it is not up after {patience_s:g} s")
