"""``tad serve`` as a process, and ``tad generate`` in a terminal and beside one."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows import generate as generating
from flows.cli import app
from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.decoder_file import NAME, decoder_text
from tad_core.errors import ConfigError
from tad_core.serving.served import Served, Source
from tad_core.serving.server import bind, serve
from tests.waiting import CEILING_S, get, post

SPEC = DecodeSpec(32, 8, "entropy", 1.0, 0.25)
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path) -> Iterator[Path]:
    (tiny_checkpoint / NAME).write_text(decoder_text(SPEC, 1))
    yield tiny_checkpoint
    (tiny_checkpoint / NAME).unlink()


def call(*words: str, given: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words), input=given)
    return result.exit_code, result.output


def test_a_server_answers_and_ends_by_sigterm_when_what_runs_is_answered(exported: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "serve",
        f"mine={exported}",
        "--port",
        "0",
        "--device",
        "cpu",
    ]
    keyless = {**os.environ, "TAD_API_KEY": ""}  # as of a variable that a compose file passes on unset
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=keyless)
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        url = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        whole = post(f"{url}/v1/chat/completions", json=CHAT).json()
        assert whole["model"] == "mine" and whole["usage"]["completion_tokens"] <= 32
        answers: list[httpx.Response] = []
        long = {**CHAT, "max_tokens": 128, "method": "token_by_token", "early_stop": False}
        while True:  # until one is seen while it is being answered
            asking = threading.Thread(
                target=lambda: answers.append(post(f"{url}/v1/chat/completions", json=long))
            )
            asking.start()
            while (running := asking.is_alive()) and "tad_open_responses 0.0" in get(f"{url}/metrics").text:
                pass
            if running:
                break
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers[-1].status_code == 200 and answers[-1].json()["usage"]["forwards"] == 128
        assert process.wait(CEILING_S) == 0
        assert "the server has ended" in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_what_cannot_be_served_is_said_before_anything_is_loaded(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Served, "load", lambda source: pytest.fail("weights were read"))
    monkeypatch.delenv("TAD_API_KEY", raising=False)
    code, output = call("serve", str(exported), "--host", "0.0.0.0")
    assert code == 2 and "can be reached from other machines, and there is no key" in output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, output = call("serve", str(exported), "--port", str(taken.getsockname()[1]))
    assert code == 2 and "is taken; use another, or 0 for any" in output
    code, output = call("serve", "nowhere")
    assert code == 2 and "MODEL: nowhere is not a folder" in output
    code, output = call("serve", str(exported), "--device", "gpu")
    assert code == 2 and "--device: 'gpu' is not a device; use auto, cpu, cuda or cuda:N" in output
    code, output = call("serve", str(exported), "--dtype", "int8")
    assert code == 2 and "--dtype: 'int8' is not accepted; use one of float32, bfloat16" in output
    code, output = call("serve", str(exported), "--host", "not.an.address.invalid", "--api-key", "x")
    assert code == 2 and "is not an address" in output


def test_of_two_that_begin_on_one_port_the_later_is_told() -> None:
    """Neither listens while it loads, so both were given the port."""
    from fastapi import FastAPI

    with bind("127.0.0.1", 0) as first:
        second = bind("127.0.0.1", first.getsockname()[1])
        first.listen()
        with pytest.raises(ConfigError, match=r"--port: \d+ of 127\.0\.0\.1 is taken; use another, or 0"):
            serve(FastAPI(), second, 1.0, lambda: pytest.fail("it took requests"))


def test_a_prompt_that_is_no_text_is_refused_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Served, "load", lambda source: pytest.fail("weights were read"))
    code, output = call("generate", "nowhere", "caf\udcff")  # as Python has a byte of another encoding
    assert code == 2 and "PROMPT: it is no UTF-8 text" in output


def test_the_text_alone_where_nobody_watches(exported: Path) -> None:
    served = Served.load(Source("m", ModelConfig(path=str(exported), device="cpu")))
    assert served.spec == SPEC
    ids = served.texts.tokenizer.apply_chat_template(CHAT["messages"], add_generation_prompt=True)[
        "input_ids"
    ]
    (wanted,) = decode(served.model, [ids], SPEC)
    code, output = call("generate", str(exported), "hello", "--device", "cpu")
    assert (code, output) == (0, f"{served.texts.text(wanted)}\n")
    assert call("generate", str(exported), "-", "--device", "cpu", given="hello") == (code, output)


def test_what_cannot_be_generated_is_said(exported: Path) -> None:
    for words, says in (
        (["--max-tokens", "600"], "more than the 512 that"),
        (["--threshold", "-1"], "threshold: -1.0 is neither an entropy nor a probability"),
        (["--method", "guess"], "use one of token_by_token, entropy, confidence"),
        (["--cache", "suffix"], "'none', 'dual', 'dual_block', 'prefix' or 'blocks'"),
        (["--compare", "base,speed"], "is not a run's file"),
    ):
        code, output = call("generate", str(exported), "hello", *words)
        assert code == 2 and says in output.replace("\n", " "), output


def test_the_canvas_fills_in_side_by_side(exported: Path) -> None:
    served = Served.load(Source("m", ModelConfig(path=str(exported), device="cpu")))
    wish = served.wish(generating.ChatAsked.model_validate(CHAT), 512)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    last = generating._live(console, ["base", "speed"], [generating.frames(served, wish) for _ in range(2)])
    shown = out.getvalue()
    assert last[0].text == last[1].text and last[0].finish
    assert " base " in shown and " speed " in shown and f"{last[0].forwards} forwards" in shown
    half = next(f for f in generating.frames(served, wish) if 4 < f.revealed < 30)
    text = generating.canvas(half)
    assert text.plain.count("·") == 32 - half.revealed
    assert len([span for span in text.spans if "green" in str(span.style)]) == len(half.new)
