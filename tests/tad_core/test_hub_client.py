"""A hub that cannot be reached: one try, one message; what is asked for is said before."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled

from tad_core.hub_client import HubAsked

ROOT = Path(__file__).parents[2]
# Each in a process of its own: the tests' own one is offline, which libraries read when they are imported.
_ASK = """
import sys
from tad_core.errors import TADError
from tad_core.hub_client import HUB

HUB.say = lambda text: print("said:", text)
what = sys.argv[1]
try:
    if what == "data":
        import tad
        tad.load_problems([tad.SourceConfig(name="g", source="gsm8k", count=4)])
    elif what == "model":
        from tad_core.hub import local_folder
        from tad_core.config import ModelConfig
        local_folder(ModelConfig(path="someone/model", revision="0" * 40))
    elif what == "push":
        from tad_core.models.export import check_push
        check_push("someone/model")
    else:
        from tad_core.evaluation.lm_eval_cli import main
        main(["--tasks", "tad_gsm8k", "--model_args", "pretrained=assets/tiny-llada,device=cpu", "--limit", "1"])
except TADError as error:
    print("error:", error)
"""


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("data", "datasets/openai/gsm8k"),
        pytest.param("model", "someone/model", marks=pytest.mark.slow),
        pytest.param("push", "", marks=pytest.mark.slow),
        pytest.param("lm-eval", "datasets/openai/gsm8k", marks=pytest.mark.slow),
    ],
)
def test_a_hub_that_cannot_be_reached_is_tried_once(tmp_path: Path, what: str, wanted: str) -> None:
    with socket.socket() as taken:  # bound and not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        hub = f"http://127.0.0.1:{taken.getsockname()[1]}"
        env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith("HF_") and not k.lower().endswith("_proxy")
        }
        env |= {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_TOKEN": "none"}
        made = subprocess.run(
            [sys.executable, "-c", _ASK, what], env=env, cwd=ROOT, capture_output=True, text=True, check=False
        )
    said = [line for line in made.stdout.splitlines() if line.startswith("said:")]
    assert said == ([f"said: asking {hub} for {wanted}"] if wanted else []), made.stderr[-2000:]
    last = made.stdout.splitlines()[-1]
    assert last.startswith("error:") and f"{hub} cannot be reached: " in last
    assert "Retrying" not in made.stdout + made.stderr


class _RefusedError(Exception):
    pass


def request_for(host: str) -> Any:
    url = SimpleNamespace(scheme="https", netloc=host.encode(), path="/api/models/a/b")
    return SimpleNamespace(url=url, extensions={"timeout": {"connect": None, "read": 10}})


def test_a_hub_that_has_answered_once_keeps_its_own_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub, asked = HubAsked(), request_for("hub")

    def refuse() -> None:
        raise _RefusedError("no route")

    assert hub.send(lambda: "here", asked, (_RefusedError,)) == "here"
    assert asked.extensions["timeout"] == {"connect": 5, "read": 10}
    with pytest.raises(_RefusedError):
        hub.send(refuse, asked, (_RefusedError,))
    assert not hub.refused


def test_one_that_did_not_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub, said, tries = HubAsked(), [], []
    hub.say = said.append

    def refuse() -> None:
        tries.append(1)
        raise _RefusedError("no route")

    for _ in range(3):
        with pytest.raises(OfflineModeIsEnabled, match="https://hub cannot be reached: no route"):
            hub.send(refuse, request_for("hub"), (_RefusedError,))
    assert len(tries) == 1 and said == ["asking https://hub for a/b"]
    monkeypatch.setattr("tad_core.hub_client._AGAIN_S", 0)
    assert hub.send(lambda: "back", request_for("hub"), (_RefusedError,)) == "back" and not hub.refused


def test_offline_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub, said = HubAsked(), []
    hub.say = said.append
    assert hub.send(lambda: "hook raises", request_for("hub"), (_RefusedError,)) == "hook raises" and not said
