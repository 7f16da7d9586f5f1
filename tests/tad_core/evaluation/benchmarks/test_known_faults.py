"""What docs/evaluation.md says of lm-eval's own figures, held against the lm-eval that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lm_eval.tasks.minerva_math.utils import process_results

from tad_core.verify.math import MathVerdict, compare
from tad_core.verify.symbolic import scalar_equal

_CACHED = """
import json, sys
from lm_eval.api.task import ConfigurableTask
task = ConfigurableTask(config={
    "task": "mine", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": sys.argv[1]}},
    "test_split": "test", "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}",
    "output_type": "generate_until", "num_fewshot": 0,
})
task.build_all_requests(cache_requests=True, rewrite_requests_cache=sys.argv[2] == "refresh")
print(json.dumps([instance.args[0] for instance in task.instances]))
"""


@pytest.mark.parametrize(
    ("answer", "gold", "exact_match", "math_verify"),
    [
        ("2,3", "2,4", 1, 0),
        ("1,2,3", "1,2,4", 1, 0),
        ("2,3", "3,3", 0, 0),
        ("(2,3)", "(2,4)", 0, 0),
        ("east", "seat", 1, 1),
        ("north", "thorn", 1, None),
        ("east", "west", 0, 0),
    ],
)
def test_math_figures_of_lm_eval_and_ours(
    answer: str, gold: str, exact_match: int, math_verify: int | None
) -> None:
    said = f"Final Answer: The final answer is ${answer}$. I hope it is correct."
    found = process_results({"solution": rf"It is $\boxed{{{gold}}}$.", "answer": gold}, [said])
    assert found["exact_match"] == exact_match
    assert math_verify in (None, found["math_verify"])
    assert compare(answer, gold, "expression", scalar_equal) != MathVerdict.EQUAL
    assert compare(gold, gold, "expression", scalar_equal) == MathVerdict.EQUAL


@pytest.mark.slow
def test_request_cache_of_lm_eval_gives_the_old_prompts_for_changed_rows(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    cache = {"LM_HARNESS_CACHE_PATH": str(tmp_path / "requests"), "HF_DATASETS_CACHE": str(tmp_path / "data")}
    env = {**os.environ, **cache, "HF_HUB_OFFLINE": "1"}
    prompts = []
    for question, how in (("old", ""), ("new", ""), ("new", "refresh")):
        rows.write_text(json.dumps({"question": question, "answer": "1"}) + "\n")
        done = subprocess.run(
            [sys.executable, "-c", _CACHED, str(rows), how],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        prompts.append(json.loads(done.stdout.splitlines()[-1]))
    assert prompts == [["old"], ["old"], ["new"]]
