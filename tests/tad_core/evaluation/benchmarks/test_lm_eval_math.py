"""lm-eval's own comparisons in a process apart: its verdicts, and what an answer that breaks it costs."""

import os
import signal
import threading

import pytest

from tad_core.errors import VerifierError
from tad_core.evaluation.benchmarks import lm_eval_math
from tad_core.evaluation.benchmarks.lm_eval_math import functions_path, judge_all, load_functions

SOLUTION = r"So it is $\boxed{\frac{1}{2}}$."
FINAL = "Final Answer: The final answer is ${}$. I hope it is correct."


@pytest.fixture(scope="module")
def theirs():
    return load_functions(functions_path())


@pytest.mark.parametrize(
    ("text", "exact_match", "math_verify"),
    [
        (FINAL.format(r"\frac{1}{2}"), 1, 1),
        (FINAL.format("0.5"), 1, 1),
        (r"\boxed{\frac12}", 0, 1),
        ("The answer is 1/2.", 0, 1),
        (FINAL.format("2"), 0, 0),
        ("no idea", 0, 0),
        ("", 0, 0),
    ],
)
def test_its_verdicts(text, exact_match, math_verify, theirs):
    expected = {"exact_match": exact_match, "math_verify": math_verify}
    assert judge_all([(SOLUTION, text)]) == [expected]
    assert theirs.process_results({"solution": SOLUTION, "answer": r"\frac{1}{2}"}, [text]) == expected


def test_it_works_in_any_thread_and_keeps_its_processes():
    found = []
    thread = threading.Thread(target=lambda: found.extend(judge_all([(SOLUTION, FINAL.format("0.50"))])))
    thread.start()
    thread.join()
    assert found == [{"exact_match": 1, "math_verify": 1}]
    assert lm_eval_math._children is not None
    pids = [c._process.pid for c in lm_eval_math._children[1] if c._process]
    judge_all([(SOLUTION, f"again {n}") for n in range(3)])
    assert [c._process.pid for c in lm_eval_math._children[1] if c._process] == pids


@pytest.fixture
def child():
    made = lm_eval_math._Child()
    yield made
    made.end()


def test_an_answer_that_takes_too_long_is_wrong_and_the_next_is_judged(monkeypatch, child):
    assert child.judge((SOLUTION, "1/2")) == {"exact_match": 0, "math_verify": 1}
    pid = child._process.pid
    with monkeypatch.context() as patched:
        patched.setattr(lm_eval_math.Allowance, "wait_for", lambda self, fd: False)
        patched.setattr(lm_eval_math.Allowance, "computed_too_long", lambda self: True)
        assert child.judge((SOLUTION, "1/2")) == {"exact_match": 0, "math_verify": 0}
    assert child._process is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert child.judge((SOLUTION, "1/2")) == {"exact_match": 0, "math_verify": 1}


def test_a_child_that_was_killed_or_stands_still_is_no_wrong_answer(monkeypatch, child):
    right = {"exact_match": 0, "math_verify": 1}
    assert child.judge((SOLUTION, "1/2")) == right
    os.kill(child._process.pid, signal.SIGKILL)
    assert child.judge((SOLUTION, "1/2")) == right
    os.kill(child._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(lm_eval_math, "_REST_S", 5.0)
    assert child.judge((SOLUTION, "1/2")) == right


def test_without_lm_evals_functions_it_is_an_error_and_no_verdict(monkeypatch, tmp_path):
    broken = tmp_path / "utils.py"
    broken.write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(lm_eval_math, "functions_path", lambda: broken)
    with pytest.raises(VerifierError, match="No module named 'nothing_of_this_name'; run `make env`"):
        lm_eval_math._Child().judge((SOLUTION, "1/2"))
