"""Verdicts on a machine that has something else to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Judgement, Verdict, Verifier, VerifyConfig

SPINNERS = 16
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 4\n"
COMPUTES = (
    "from time import process_time as now\ndef f(x, y):\n    end = now() + {}\n    while now() < end: pass\n"
)
COMPUTES += "    return {}\n"
IN_THREADS = (
    "from concurrent.futures import ThreadPoolExecutor\nfrom solution import f\n"
    "with ThreadPoolExecutor(4) as pool:\n    assert list(pool.map(lambda i: f(i, 0), range(4))) == [4] * 4\n"
)
#: tests, program and verdict; the figures are CPU seconds, of 2.5
PROGRAMS = [
    (CHECK, COMPUTES.format(1.5, 4), Verdict.PASSED),
    (CHECK, COMPUTES.format(1.5, 5), Verdict.FAILED),
    (CHECK, COMPUTES.format(60, 4), Verdict.TIMEOUT),
    (CHECK, "import os\ndef f(x, y):\n    os._exit(3)\n", Verdict.CRASHED),
    (IN_THREADS, COMPUTES.format(0.4, 4), Verdict.PASSED),
    ("def test_f(:", "def f(x):\n    return x\n#" + "x" * 50_000, Verdict.NO_TESTS),
    (CHECK, "def f(x, y):\n    return 4\n", Verdict.PASSED),
]
ANSWERS = [
    ("(a+bi)(a-bi)", "a^2+b^2", Verdict.PASSED),
    ("7!!", "(7!)!", Verdict.DIFFERENT),
    ("9^{9^{9^{9}}}", "3", Verdict.TIMEOUT),
    (r"\sin x", r"\cos x", Verdict.DIFFERENT),
]


@pytest.fixture
def busy() -> Iterator[None]:
    """Each in a session of its own, or the kernel has them share what one of ours gets."""
    command = [sys.executable, "-c", "while True: pass"]
    spinners = [subprocess.Popen(command, start_new_session=True) for _ in range(SPINNERS)]
    yield
    for spinner in spinners:
        spinner.kill()
    for spinner in spinners:
        spinner.wait()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_busy_machine_changes_no_verdict(busy: None) -> None:
    problems = [
        *(
            Problem("c", "code", "code", "q", "r", tests=tests, meta={"entry_point": "f"} if tests is CHECK else {})
            for tests, _, _ in PROGRAMS
        ),
        *(Problem("m", "math", "math", "q", "r", answer=want) for _, want, _ in ANSWERS),
    ]  # fmt: skip
    texts = [f"```python\n{program}```" for _, program, _ in PROGRAMS]
    texts += [rf"\boxed{{{got}}}" for got, _, _ in ANSWERS]
    with Verifier(VerifyConfig(workers=4, code_timeout_s=2.5, math_timeout_s=1)) as verifier:
        judged: list[Judgement] = verifier.judge(problems * 2, texts * 2)
    wanted = [verdict for *_, verdict in (*PROGRAMS, *ANSWERS)] * 2
    assert [(one, want) for one, want in zip(judged, wanted, strict=True) if one.verdict is not want] == []
