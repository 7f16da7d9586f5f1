"""The benchmark beside other servers: what is measured of one that answers, and what is said of one that does not."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: A peer that answers with the words it was asked, or is busy for longer than anybody waits.
PEER = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Peer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say({})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if sys.argv[2] == "stuck":
            print("no forward fits", flush=True)
            time.sleep(60)
        self.say({"choices": [{"message": {"content": asked["messages"][0]["content"]}}]})

    def say(self, tree):
        body = json.dumps(tree).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

if sys.argv[2] == "broken":
    raise SystemExit("a part is missing")
HTTPServer(("127.0.0.1", int(sys.argv[1])), Peer).serve_forever()
"""


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("serve_peers")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def options() -> argparse.Namespace:
    return argparse.Namespace(
        size="small", device="cpu", threads=1, clients=[1, 2], requests=3, wheels=None, patience=60.0
    )


def peer(peers: ModuleType, how: str, package: str = "") -> object:
    return peers.Server(f"a {how} peer", package, ["-c", PEER, "{port}", how], {"max_tokens": 64})


def test_one_that_answers_has_a_row_for_each_number_of_clients(
    peers: ModuleType, options: argparse.Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = peers.prompts(3)
    with peers.started(one := peer(peers, "good"), tmp_path / "good", options) as (url, process):
        texts = peers.measure(one, url, process, asked, options)
    assert texts == dict(enumerate(asked))
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["| 1", "| 2"] and all(float(row[2]) > 0 for row in rows)


def test_one_that_does_not_answer_is_given_up_with_the_end_of_its_log(
    peers: ModuleType, options: argparse.Namespace, tmp_path: Path
) -> None:
    with (
        pytest.raises(
            peers.UnusableError, match=r"no answer to one request of 32 tokens in 1 s; .* no forward fits"
        ),
        peers.started(one := peer(peers, "stuck"), tmp_path / "stuck", options) as (url, process),
    ):
        options.patience = 1.0
        peers.measure(one, url, process, peers.prompts(1), options)
    with (
        pytest.raises(peers.UnusableError, match="it ended with 1; its log ends: a part is missing"),
        peers.started(peer(peers, "broken"), tmp_path / "broken", options),
    ):
        pass


def test_one_that_cannot_be_installed_says_what_pip_said(
    peers: ModuleType, options: argparse.Namespace, tmp_path: Path
) -> None:
    options.wheels = str(tmp_path)
    with (
        pytest.raises(peers.UnusableError, match=r"pip does not install dlmserve==0.1.1: ERROR: No matching"),
        peers.started(peer(peers, "good", "dlmserve==0.1.1"), tmp_path / "there", options),
    ):
        pass


@pytest.mark.slow
def test_ours_is_measured_on_what_peers_are_given() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "serve_peers.py"), "--only", "exact", "cached"]
    command += ["--clients", "1", "2", "--requests", "2", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    assert len(rows) == 4 and all(0 < float(row[4]) <= float(row[5]) for row in rows), done.stdout
