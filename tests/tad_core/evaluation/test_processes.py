"""Forked decoding: the same results, progress, and every way a child can end."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tad_core.decoding import DecodeSpec, decode
from tad_core.errors import DataError, KilledError, SubprocessError
from tad_core.evaluation.processes import decode_forked, worker_count
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM
from tests.waiting import CEILING_S, until

SPEC = DecodeSpec(16, 8, "entropy", 2.0, 0.5)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LLaDAConfig(
        d_model=64, n_heads=2, n_layers=2, mlp_hidden_size=96, vocab_size=50, mask_token_id=1, eos_token_id=0,
        pad_token_id=0, max_sequence_length=64,
    )  # fmt: skip
    made = LLaDAModelLM(config).eval()
    with torch.no_grad():
        made.get_output_embeddings().weight.mul_(30)
    return made


@pytest.fixture
def prompts():
    return [[2 + (i * k) % 47 for k in range(1, 4 + i % 5)] for i in range(30)]


def children():
    return multiprocessing.active_children()


@pytest.mark.determinism
@pytest.mark.parametrize("workers", [2, 3])
def test_the_same_as_in_one_process_also_after_threads_were_used(model, prompts, workers):
    torch.set_num_threads(2)
    alone = decode(model, prompts, SPEC)
    torch.set_num_threads(1)
    seen = []
    assert decode_forked(model, prompts, SPEC, workers, seen.append) == alone
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[-1].done, seen[-1].total) == (30, 30)
    assert children() == []


def test_from_a_thread_among_threads(model, prompts):
    """As a flow runs it: not the main thread, and others busy with Python and with torch."""
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            torch.ones(50, 50) @ torch.ones(50, 50)

    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(busy) for _ in range(2)]
        try:
            found = threads.submit(decode_forked, model, prompts, SPEC, 2).result(timeout=CEILING_S)
        finally:
            stop.set()
    assert [o.exception() for o in others] == [None, None]
    assert found == decode(model, prompts, SPEC)


def test_one_prompt_stays_in_this_process(model, monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forked"))
    assert decode_forked(model, [[2, 3]], SPEC, 4) == decode(model, [[2, 3]], SPEC)


def test_the_childs_error_is_raised_here(model, prompts):
    with pytest.raises(DataError, match="more than the model's 64 positions"):
        decode_forked(model, [*prompts, [2] * 60], SPEC, 2)
    assert children() == []


class Failing(LLaDAModelLM):
    """Does something in the second forward of a child."""

    def __init__(self, config, act):
        super().__init__(config)
        self.act, self.count = act, 0

    def packed(self, *args):
        self.count += 1
        if self.count == 2:
            self.act()
        return super().packed(*args)


@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), KilledError, "lower evaluate.workers"),
        (lambda: os.kill(os.getpid(), signal.SIGINT), KeyboardInterrupt, "^$"),
        (lambda: os._exit(3), SubprocessError, "ended with code 3"),
        (lambda: 1 / 0, SubprocessError, "ZeroDivisionError"),
    ],
    ids=["killed", "interrupted", "exit", "bug"],
)
def test_a_child_that_fails(model, prompts, act, kind, message):
    failing = Failing(model.config, act).eval()
    with pytest.raises(kind, match=message):
        decode_forked(failing, prompts, SPEC, 2)
    assert children() == []


def test_a_child_goes_on_where_interrupts_are_ignored(model, prompts):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    failing = Failing(model.config, lambda: os.kill(os.getpid(), signal.SIGINT)).eval()
    failing.load_state_dict(model.state_dict())
    assert decode_forked(failing, prompts, SPEC, 2) == decode(model, prompts, SPEC)


def test_an_interrupt_ends_the_children(model, prompts):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_forked(model, prompts, SPEC, 2, interrupt)
    assert children() == []


def test_no_child_outlives_a_killed_parent(model, prompts):
    slow = Failing(model.config, lambda: time.sleep(2)).eval()
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(reader)
        original = signal.signal

        def report(*args):
            os.write(writer, f"{os.getpid()} ".encode())
            return original(*args)

        signal.signal = report  # the first thing a child does
        try:
            decode_forked(slow, prompts, SPEC, 2)
        finally:
            os._exit(0)
    os.close(writer)
    pids = []
    while len(pids) < 2:
        pids += os.read(reader, 100).decode().split()
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    until(lambda: not any(_runs(int(p)) for p in pids), "the children end after their parent")


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_worker_count():
    cores = len(os.sched_getaffinity(0))
    assert worker_count(0, None, torch.device("cpu")) == cores
    assert worker_count(0, 3, torch.device("cpu")) == 3
    assert worker_count(2, 3, torch.device("cpu")) == 2
    assert worker_count(4, None, torch.device("cuda")) == 1
