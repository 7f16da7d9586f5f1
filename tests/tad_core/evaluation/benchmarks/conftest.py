"""Small files in the columns of each data set, written here; and a small model with room for long prompts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tad_core.config import ModelConfig, SourceConfig
from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.load import load_benchmark
from tad_core.verify import Verifier

GSM8K = [
    {
        "question": "Tom has 3 boxes of 4 pens. How many pens?",
        "answer": "3 * 4 = <<3*4=12>>12 pens.\n#### 12",
    },
    {"question": "A car costs $1,200 and drops $200.", "answer": "It is 1200 - 200 = 1000.\n#### 1,000"},
    {"question": "It was 5 degrees and fell by 9.", "answer": "5 - 9 = -4\n#### -4"},
]
MATH = [
    {
        "problem": "Compute $1+1$.",
        "level": "Level 1",
        "type": "Prealgebra",
        "solution": r"It is $\boxed{2}$.",
    },
    {
        "problem": "Solve $2x=1$.",
        "level": "Level 1",
        "type": "Algebra",
        "solution": r"So $x=\boxed{\frac{1}{2}}$.",
    },
    {
        "problem": "Where is $x>3$?",
        "level": "Level 2",
        "type": "Algebra",
        "solution": r"On $\boxed{(3,\infty)}$.",
    },
    {
        "problem": "Count $3!$.",
        "level": "Level 1",
        "type": "Counting & Probability",
        "solution": r"$\boxed{6}$",
    },
]
HUMANEVAL = [
    {
        "task_id": "HumanEval/900",
        "prompt": 'from typing import List\n\n\ndef twice(xs: List[int]) -> List[int]:\n    """ Double each.\n'
        '    >>> twice([1])\n    [2]\n    """\n',
        "entry_point": "twice",
        "canonical_solution": "    return [2 * x for x in xs]\n",
        "test": "\n\ndef check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n    assert candidate([]) == []\n",
    },
    {
        "task_id": "HumanEval/901",
        "prompt": 'def helper(x):\n    return x + 1\n\n\ndef after(x: int) -> int:\n    """ The next one. """\n',
        "entry_point": "after",
        "canonical_solution": "    return helper(x)\n",
        "test": "def check(candidate):\n    assert candidate(3) == helper(3)\n    assert candidate(-1) == 0\n",
    },
]
MBPP = [
    {
        "task_id": 11,
        "text": "Write a python function to add two numbers.",
        "code": "import operator\r\ndef add(a, b):\r\n    return operator.add(a, b)",
        "test_list": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add(0, 0) == 0"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    {
        "task_id": 12,
        "text": "Write a function to find the area of a circle.",
        "code": "import math\ndef area(r):\n    return math.pi * r ** 2",
        "test_list": [
            "assert math.isclose(area(1), math.pi)",
            "assert area(0) == 0",
            "assert math.isclose(area(2), 4 * math.pi)",
        ],
        "test_setup_code": "import math",
        "challenge_test_list": [],
    },
    {
        "task_id": 600,
        "text": "Not of the test split.",
        "code": "def f(): return 1",
        "test_list": ["assert f() == 1"] * 3,
        "test_setup_code": "",
        "challenge_test_list": [],
    },
]
#: As EvalPlus's tests begin: HumanEval+'s and MBPP+'s.
IS_FLOATS = """import numpy as np
{more}
def is_floats(x) -> bool:
    # check if it is float; List[float]; Tuple[float]
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False


"""
HUMANEVAL_PLUS_ASSERTION = """def assertion(out, exp, atol):
    exact_match = out == exp

    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        np.testing.assert_allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match


"""
MBPP_PLUS_ASSERTION = """def assertion(out, exp, atol):
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if out != exp and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp, f"out: {out}, exp: {exp}"


"""
HUMANEVAL_PLUS = [
    {
        **HUMANEVAL[0],
        "test": "\n\n\n" + IS_FLOATS.format(more="") + HUMANEVAL_PLUS_ASSERTION + "def check(candidate):\n"
        "    inputs = [[[1, 2]], [[]], [[0.5, -0.1]], [[-3] * 40]]\n"
        "    results = [[2, 4], [], [1.0, -0.2000000001], [-6] * 40]\n"
        "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n        assertion(candidate(*inp), exp, 0)\n",
    },
    {
        **HUMANEVAL[1],
        "test": "\n\n\n" + IS_FLOATS.format(more="") + HUMANEVAL_PLUS_ASSERTION + "def ref_func(x):\n"
        "    return x + 1\n\n\ndef check(candidate):\n    inputs = [[3], [-1], [10**20]]\n"
        "    for i, inp in enumerate(inputs):\n        assertion(candidate(*inp), ref_func(*inp), 0)\n",
    },
]
MBPP_PLUS = [
    {
        "task_id": 11,
        "code": MBPP[0]["code"],
        "prompt": "Write a python function to add two numbers.",
        "source_file": "Benchmark Questions Verification V2.ipynb",
        "test_imports": [],
        "test_list": MBPP[0]["test_list"],
        "test": IS_FLOATS.format(more="from math import inf\n") + MBPP_PLUS_ASSERTION
        + "inputs = [[1, 2], [-1, 1], [0.1, 0.2], [3, inf]]\nresults = [3, 0, 0.3, inf]\n"
        "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(add(*inp), exp, 0)\n",
    },
    {
        "task_id": 600,
        "code": "import math\ndef area(r):\n    return math.pi * r ** 2",
        "prompt": "Write a function to find the area of a circle.",
        "source_file": "charlessutton@: Benchmark Questions Verification V2.ipynb",
        "test_imports": ["import math"],
        "test_list": MBPP[1]["test_list"],
        "test": IS_FLOATS.format(more="from math import inf\n") + MBPP_PLUS_ASSERTION
        + "def ref_func(r):\n    return 3.14159265358979 * r ** 2\n\n\ninputs = [[1], [0], [2.5]]\n"
        "for i, inp in enumerate(inputs):\n    assertion(area(*inp), ref_func(*inp), 0)\n",
    },
]  # fmt: skip
ROWS = {
    "gsm8k": GSM8K,
    "gsm8k_cot_zeroshot": GSM8K,
    "minerva_math": MATH,
    "humaneval": HUMANEVAL,
    "humaneval_instruct": HUMANEVAL,
    "mbpp": MBPP,
    "mbpp_instruct": MBPP,
    "humaneval_plus": HUMANEVAL_PLUS,
    "humaneval_plus_instruct": HUMANEVAL_PLUS,
    "mbpp_plus": MBPP_PLUS,
    "mbpp_plus_instruct": MBPP_PLUS,
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def benchmark_source(task: str, path: Path, **more: Any) -> SourceConfig:
    options = {"task": task, "path": str(path), **more.pop("options", {})}
    return SourceConfig(name=more.pop("name", task), source="benchmark", options=options, **more)


def load(task: str, path: Path, **more: Any) -> list[Problem]:
    return load_benchmark(benchmark_source(task, path, **more)).problems


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file for each benchmark."""
    folder = tmp_path_factory.mktemp("rows")
    return {task: write_rows(folder / f"{task}.jsonl", rows) for task, rows in ROWS.items()}


@pytest.fixture(scope="session")
def small_problems(small_files: dict[str, Path]) -> dict[str, list[Problem]]:
    """The problems of every benchmark, from the small files."""
    return {task: load(task, path) for task, path in small_files.items()}


def lengthened(checkpoint: Path, folder: Path, field: str) -> ModelConfig:
    """The checkpoint with room for prompts with examples; its weights do not depend on it."""
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    assert field in config
    (folder / "config.json").write_text(json.dumps(config | {field: 4096}))
    return ModelConfig(path=str(folder), device="cpu", threads=1)


@pytest.fixture(scope="session")
def long_model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """A tiny LLaDA."""
    return lengthened(tiny_checkpoint, tmp_path_factory.mktemp("long") / "llada", "max_sequence_length")


@pytest.fixture(scope="session")
def long_dream(tiny_dream_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """A tiny Dream."""
    folder = tmp_path_factory.mktemp("long") / "dream"
    return lengthened(tiny_dream_checkpoint, folder, "max_position_embeddings")


@pytest.fixture(scope="session")
def verifier() -> Any:
    with Verifier() as verifier:
        yield verifier
