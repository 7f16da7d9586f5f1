"""lm-eval's own command line: what is added to it, its tasks and speeds, and its errors in one sentence."""

import json
import os
import subprocess
import sys

import pytest
from datasets.exceptions import DatasetNotFoundError
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from tad_core.decoding import Decoded
from tad_core.errors import ConfigError, DataError
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.lm_eval_cli import completed, main, speeds


def test_what_is_added_to_lm_evals_arguments():
    folder = str(BENCHMARKS["gsm8k"].path.parent)
    ours = ["--model", "tad", "--device", "auto", "--include_path", folder]
    assert completed(["--tasks", "tad_mbpp"]) == ["run", *ours, "--tasks", "tad_mbpp"]
    assert completed(["run", "--apply_chat_template"]) == [
        "run", *ours, "--fewshot_as_multiturn", "false", "--apply_chat_template",
    ]  # fmt: skip
    own = ["run", "--model=hf", "--include_path=x", "--apply_chat_template", "--fewshot_as_multiturn", "true"]
    assert completed(own) == own
    named = ["run", "--model", "tad", "--device=cpu", "--include_path=x"]
    assert completed(named) == named
    assert completed(["run", "-M", "tad", "--include_path=x"])[1:3] == ["--device", "auto"]
    from_file = ["run", "--model=tad", "--include_path=x", "--config", "own.yaml"]
    assert completed(from_file) == from_file
    assert completed(["ls", "tasks"]) == ["ls", "--include_path", folder, "tasks"]
    assert completed([]) == ["--help"]
    assert completed(["-h"]) == ["-h"]


def test_speeds_are_counted_by_task_over_all_answers():
    def one(revealed_at, forwards, wall_s):
        counts = {"computed": 10 * forwards, "full_forwards": 1}
        return Decoded([1] * len(revealed_at), forwards, revealed_at, False, wall_s, **counts)

    decoded = {
        ("a", 0, 0): one([1, 1, 2, 0], 2, 0.5),
        ("a", 1, 0): one([1, 2, 3, 4], 4, 1.5),
        ("b", 0, 0): one([1], 1, 2.0),
    }
    assert speeds(decoded) == [
        "a: 1.17 tokens a forward, 3.5 tokens a second "
        "(2 answers, 6 forwards, 2 of them full; 8.6 tokens computed a token)",
        "b: 1.00 tokens a forward, 0.5 tokens a second "
        "(1 answers, 1 forwards, 1 of them full; 10.0 tokens computed a token)",
    ]


@pytest.fixture
def local_task(tmp_path):
    """A task of one's own: a benchmark of the project with documents from a local file."""
    rows = [{"question": f"{n} + {n} ?", "answer": f"#### {2 * n}"} for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (
        f"include: {BENCHMARKS['gsm8k'].path}\ntask: mine\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'rows.jsonl'}}}, cache_dir: {tmp_path / 'cache'}}}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    return tmp_path / "mine.yaml"


def test_lm_evals_own_evaluation_with_a_task_of_ones_own(tiny_checkpoint, local_task):
    found = simple_evaluate(
        model="tad",
        model_args=f"pretrained={tiny_checkpoint},device=cpu,response_length=8,block_length=8,threshold=9.0",
        tasks=[str(local_task)],
        task_manager=TaskManager(include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
        limit=2,
    )
    (result,) = found["results"].values()
    assert result["sample_len"] == 2
    assert {"exact_match,strict-match", "exact_match,flexible-extract"} <= set(result)
    sent = found["samples"]["mine"][0]["arguments"][0][0]
    assert sent == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nQuestion: 0 + 0 ?\nAnswer: Please reason "
        "step by step, and put your final answer "
        "within \\boxed{}.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )


@pytest.mark.slow
def test_a_task_that_there_is_not_is_one_clear_error():
    with pytest.raises(
        ConfigError, match=r"^--tasks: tad_gsm9k is not a task; `tad lm-eval ls tasks` has all of them"
    ):
        main(["--tasks", "tad_gsm9k"])


def test_a_model_of_public_code_is_one_clear_error(monkeypatch):
    def there_is_none():
        raise ValueError(
            "Attempted to load model 'llada_dist', but no model for this name found! Supported ..."
        )

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", there_is_none)
    with pytest.raises(
        ConfigError, match=r"^--model: 'llada_dist' is no model of lm-eval; leave the option out"
    ):
        main(["--model", "llada_dist", "--tasks", "tad_gsm8k"])


@pytest.mark.slow
def test_the_command_line(tiny_checkpoint, local_task, tmp_path):
    """In a process of its own, without a network; slow for lm-eval's index of its thousands of tasks."""
    arguments = [
        "--model_args", f"pretrained={tiny_checkpoint},response_length=8,block_length=8,threshold=9.0",
        "--tasks", str(local_task), "--apply_chat_template", "--output_path", str(tmp_path / "out"), "--log_samples",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "lm-eval", *arguments],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|mine" in done.stdout and "flexible-extract" in done.stdout
    assert "mine: " in done.stdout and "tokens a forward" in done.stdout
    (written,) = (tmp_path / "out").rglob("results_*.json")
    result = json.loads(written.read_text())
    assert result["n-samples"]["mine"]["effective"] == 3
    assert result["config"]["model_args"]["threshold"] == 9.0
    wrong = subprocess.run(
        [
            sys.executable,
            "-m",
            "tad_core.evaluation.lm_eval_cli",
            "--model_args",
            "threshold=1",
            "--tasks",
            str(local_task),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode != 0
    assert wrong.stderr.strip().endswith(
        "error: model_args: pretrained is missing; give the folder of a checkpoint"
    )


@pytest.mark.parametrize(
    "error", [ConnectionError("Couldn't reach 'x' on the Hub"), DatasetNotFoundError("no x")]
)
def test_rows_that_cannot_be_fetched_are_one_error_with_a_remedy(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", fail)
    before = list(sys.argv)
    with pytest.raises(
        DataError, match=r"^--tasks: the rows .* \((Couldn't reach|no x).*HF_HUB_OFFLINE.*option path"
    ):
        main(["--tasks", "tad_gsm8k"])
    assert sys.argv == before
