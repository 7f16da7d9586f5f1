"""The algebra process: killed, out of memory, out of time, and confined."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tad_core.verify import MathVerdict
from tad_core.verify.math_process import AlgebraError, AlgebraProcess

PAIR = (r"\frac{\sqrt{8}}{2}", r"\sqrt{2}")


@pytest.fixture
def algebra() -> AlgebraProcess:
    return AlgebraProcess()


@pytest.mark.timeout(120)
def test_a_killed_process_says_so_and_the_next_one_answers(algebra: AlgebraProcess) -> None:
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.EQUAL
    pid = algebra.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(AlgebraError):
        algebra.compare(*PAIR, "expression", 10)
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.EQUAL
    assert algebra.pid != pid
    algebra.kill()
    assert algebra.pid is None and not Path(f"/proc/{pid}").exists()


@pytest.mark.timeout(120)
def test_time_and_memory_run_out_with_their_own_verdicts(algebra: AlgebraProcess) -> None:
    assert algebra.compare("9^{9^{9^{9}}}", "3", "expression", 0.5) is MathVerdict.TIMEOUT
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.EQUAL  # the same process goes on
    algebra.kill()


def test_memory_that_runs_out_is_told_from_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from tad_core.verify import math_worker, symbolic

    def greedy(got: str, want: str) -> MathVerdict:
        raise MemoryError

    monkeypatch.setattr(symbolic, "scalar_equal", greedy)
    monkeypatch.setattr(math_worker.signal, "setitimer", lambda *args: None)
    assert math_worker.judge(*PAIR, "expression", 10) is MathVerdict.OUT_OF_MEMORY


def test_the_process_has_no_privilege_and_no_environment(algebra: AlgebraProcess) -> None:
    os.environ["TAD_PRIZE"] = "the prize"
    try:
        algebra.compare(*PAIR, "expression", 10)
    finally:
        del os.environ["TAD_PRIZE"]
    folder = Path(f"/proc/{algebra.pid}")
    assert b"TAD_PRIZE" not in (folder / "environ").read_bytes()
    status = (folder / "status").read_text()
    if "Seccomp:\t2" not in status:
        pytest.skip("this machine has no seccomp: the algebra process runs with limits only")
    assert "NoNewPrivs:\t1" in status
    algebra.kill()
