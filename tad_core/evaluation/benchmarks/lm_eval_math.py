"""lm-eval's own two comparisons of MATH answers, in processes that may be killed.

Its function sets alarms, which only the main thread of a process may, and reads answers of a model with sympy
without a bound on memory. So it runs in children, in their main thread and under a deadline. An answer at which it
fails or takes too long counts as wrong, as it does under lm-eval; but its time is CPU time here, on which it does not
depend how busy the machine is, and a child that died is asked again afresh.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from tad_core.errors import VerifierError
from tad_core.verify.alarms import alarm
from tad_core.verify.sandbox.filter import FilterError, compile_filter
from tad_core.verify.sandbox.inside import frames
from tad_core.verify.sandbox.inside.allowance import Allowance
from tad_core.verify.sandbox.inside.lockdown import LockdownError, confine_reader

#: CPU seconds until a child is killed; lm-eval's function has three alarms of five seconds of its own.
_DEADLINE_S = 30.0
#: CPU seconds that a child may take to start, and as many that it rests.
_START_S = 120.0
#: Seconds in which a child that has something to compute, and does not, is given up. It says nothing of the answer.
_REST_S = 60.0
#: An answer at which so many children died in a row is wrong.
_ATTEMPTS = 3
_MEMORY_BYTES = 4 << 30
_WORKERS = min(8, os.cpu_count() or 1)
#: Fewer answers than this are not worth another process.
_SHARE = 16
#: what lm-eval's function finds in an answer without "Final Answer: The final answer is"
_NOTHING = "[invalidanswer]"
_WRONG = {"exact_match": 0, "math_verify": 0}

Pair = tuple[str, str]
#: What was judged in this process; the figures depend on nothing but the two texts.
_known: dict[Pair, dict[str, int]] = {}
_lock = threading.Lock()
_children: tuple[int, list[_Child]] | None = None


def judge_all(pairs: Sequence[Pair]) -> list[dict[str, int]]:
    """``exact_match`` and ``math_verify`` of each (reference solution, answer), in their order.

    Raises:
        VerifierError: when lm-eval's function cannot be loaded.
    """
    with _lock:
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in _known]
        workers = min(_WORKERS, -(-len(fresh) // _SHARE))
        shares = [fresh[i::workers] for i in range(workers)]
        if shares:
            children = _running(workers)
            with ThreadPoolExecutor(workers) as threads:
                for share, found in zip(shares, threads.map(_judge, children, shares), strict=True):
                    _known.update(zip(share, found, strict=True))
        return [_known[pair] for pair in pairs]


def _judge(child: _Child, pairs: Sequence[Pair]) -> list[dict[str, int]]:
    return [child.judge(pair) for pair in pairs]


def _running(count: int) -> list[_Child]:
    """Children that stay for the next call: lm-eval asks for one answer at a time."""
    global _children
    # Those of the process that forked this one are not ours.
    if _children is None or _children[0] != os.getpid():
        _children = (os.getpid(), [_Child() for _ in range(_WORKERS)])
        atexit.register(_end, os.getpid())
    return _children[1][:count]


def _end(owner: int) -> None:
    if _children is not None and _children[0] == owner == os.getpid():
        for child in _children[1]:
            child.end()


class _Child:
    """A process with lm-eval's function; started when first asked, and again after it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def judge(self, pair: Pair) -> dict[str, int]:
        for _ in range(_ATTEMPTS):
            process = self._process or self._start()
            assert process.stdin is not None and process.stdout is not None
            answers = process.stdout.fileno()
            allowance = Allowance([process.pid], _DEADLINE_S, _REST_S)
            with contextlib.suppress(
                frames.DeadlineError, frames.ClosedError, frames.MalformedError, OSError
            ):
                frames.send(process.stdin.fileno(), pair)
                if allowance.wait_for(answers):
                    return dict(frames.receive(answers, allowance.deadline()))
            self.end()
            if allowance.computed_too_long():
                break
        return dict(_WRONG)

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [str(Path(__file__).resolve().parents[3]), *(path for path in sys.path if path)]
        code = f"import sys; sys.path[:] = {paths!r}; from {__name__} import serve; serve(sys.argv[1])"
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, str(functions_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        allowance = Allowance([self._process.pid], _START_S, _START_S)
        try:
            allowance.wait_for(self._process.stdout.fileno())
            problem = frames.receive(self._process.stdout.fileno(), allowance.deadline())["problem"]
        except (frames.DeadlineError, frames.ClosedError, frames.MalformedError) as error:
            problem = f"its process did not start ({error})"
        if problem is None:
            return self._process
        self.end()
        raise VerifierError(
            f"evaluate: lm-eval's comparison of MATH answers cannot be used: {problem}; run `make env`"
        )

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def functions_path() -> Path:
    """The file of lm-eval's functions, found without importing lm-eval.

    Raises:
        VerifierError: when lm-eval is not installed.
    """
    try:
        return Path(str(distribution("lm-eval").locate_file("lm_eval/tasks/minerva_math/utils.py")))
    except PackageNotFoundError:
        raise VerifierError("evaluate: lm-eval is not installed; run `make env`") from None


# --- the child --------------------------------------------------------------------------------------


def serve(path: str) -> None:
    """Answer pairs until the parent is gone; the process is a child of ``judge_all``."""
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # nothing a library prints may reach the messages
        os.dup2(null, fd)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.alarm = alarm  # lm-eval's own and math-verify's: by the clock they depend on what else runs
    with contextlib.suppress(frames.ClosedError):
        try:
            module = load_functions(path)
        except (ImportError, AssertionError, OSError) as error:
            frames.send(outbox, {"problem": f"{type(error).__name__}: {error}"})
            return
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        # A second line where the machine knows how: no writing, connecting or starting of processes.
        with contextlib.suppress(FilterError, LockdownError, OSError, AttributeError):
            confine_reader(compile_filter(False))
        frames.send(outbox, {"problem": None})
        while True:
            solution, text = frames.receive(inbox)
            frames.send(outbox, figures(module, solution, text))


def load_functions(path: str | Path) -> Any:
    """lm-eval's module of functions for MATH, by itself."""
    spec = importlib.util.spec_from_file_location("lm_eval_minerva_math", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figures(module: Any, solution: str, text: str) -> dict[str, int]:
    """What lm-eval says of one answer; in the main thread of a process."""
    try:
        if module.get_unnormalized_answer(text) == _NOTHING:
            # lm-eval would have sympy read this mark as a product of letters and compare that: it equals no answer,
            # and takes ten times as long as all the rest.
            verified = module.verify(gold=module.parse(solution), target=module.parse(text))
            return {"exact_match": 0, "math_verify": int(bool(verified))}
        answer = module.normalize_final_answer(module.remove_boxed(module.last_boxed_only_string(solution)))
        found = module.process_results({"solution": solution, "answer": answer}, [text])
    except Exception:  # a large library over a text of a model: whatever it raises is a wrong answer
        return dict(_WRONG)
    return {name: int(found[name]) for name in _WRONG}
