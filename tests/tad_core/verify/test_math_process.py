"""The algebra process: killed, out of memory, out of time, and confined."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import math_verify
import pytest

from tad_core.verify import MathVerdict, math_process
from tad_core.verify.math_process import AlgebraError, AlgebraProcess
from tests.waiting import CEILING_S

PAIR = (r"\frac{\sqrt{8}}{2}", r"\sqrt{2}")


@pytest.fixture
def algebra() -> AlgebraProcess:
    return AlgebraProcess()


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


def test_time_and_memory_run_out_with_their_own_verdicts(algebra: AlgebraProcess) -> None:
    assert algebra.compare("9^{9^{9^{9}}}", "3", "expression", 0.5) is MathVerdict.TIMEOUT
    assert algebra.pid is None  # it was stopped in the middle of something, and is not asked again
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.EQUAL
    algebra.kill()


def test_a_process_that_stands_still_is_no_verdict(
    algebra: AlgebraProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.EQUAL
    assert algebra.pid is not None
    os.kill(algebra.pid, signal.SIGSTOP)
    monkeypatch.setattr(math_process, "_REST_S", 0.2)
    with pytest.raises(AlgebraError, match="stood still"):
        algebra.compare(*PAIR, "expression", 0.1)
    assert algebra.pid is None


def test_what_runs_out_of_memory_beside_the_leavings_of_others_is_judged_afresh(
    algebra: AlgebraProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [(MathVerdict.OUT_OF_MEMORY, 3), (MathVerdict.EQUAL, 0), (MathVerdict.OUT_OF_MEMORY, 0)]
    ended: list[str] = []
    monkeypatch.setattr(algebra, "_ask", lambda *job: told.pop(0))
    monkeypatch.setattr(algebra, "kill", lambda: ended.append("killed"))
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.EQUAL and ended == ["killed"]
    assert algebra.compare(*PAIR, "expression", 10) is MathVerdict.OUT_OF_MEMORY and told == []


def test_memory_that_runs_out_is_told_from_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from tad_core.verify import math_worker, symbolic

    def greedy(got: str, want: str) -> MathVerdict:
        raise MemoryError

    monkeypatch.setattr(symbolic, "scalar_equal", greedy)
    monkeypatch.setattr(math_worker, "alarm", lambda seconds: 0)
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


def test_packages_are_found_where_this_process_found_them(tmp_path: Path) -> None:
    """Installed with pip's --target and named by a relative PYTHONPATH: nothing of it is in an isolated start."""
    packages = Path(math_verify.__file__).parents[1]
    (tmp_path / "packages").symlink_to(packages)
    root = Path(__file__).resolve().parents[3]
    (tmp_path / "project").symlink_to(root)
    script = (
        "import math_verify, sys\n"
        "assert not any(path.endswith('site-packages') for path in sys.path), sys.path\n"
        "from tad_core.verify import math_equal\n"
        f"print(math_equal({PAIR[0]!r}, {PAIR[1]!r}))"
    )
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not python.exists():
        pytest.skip(f"the interpreter behind this environment is not at {python}")
    found = subprocess.run(
        [python, "-S", "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": "packages:project", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=CEILING_S,
    )
    assert found.stdout.strip() == "equal", found.stderr


def test_a_process_that_does_not_start_says_why(
    algebra: AlgebraProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sympy.py").write_text("raise ImportError('half of an installation')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AlgebraError, match=r"did not start .*half of an installation"):
        algebra.compare(*PAIR, "expression", 10)
