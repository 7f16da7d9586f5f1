#!/usr/bin/env bash
# lm-eval 0.4.13: which examples a question is shown depends on how many processes share the evaluation.
#
# Guess: with a seed the few-shot examples of a question are settled: one process or two, all questions or some (--samples), the prompt
# is the same, and so is the answer of a model that decodes greedily.
# Behaviour: examples are drawn from one running generator, question after question, and each process begins it anew for the
# questions of its own. On two processes about every prompt is another one, and the questions of both processes at the same place have
# the same examples. --limit keeps the prompts of the first ones; --samples and another number of processes do not. Tasks
# whose examples are listed in the task, or taken from the first rows (sampler: first_n), are not concerned.
# Seen, of 20 prompts with 2 examples each: the same on two processes 1, with --limit 5 all 5, with two chosen samples 0 of 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13 datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/prompts.py" <<'PY'
import logging
from importlib.metadata import version

import datasets
from lm_eval.api.task import ConfigurableTask

datasets.disable_progress_bars()
logging.disable(logging.WARNING)


def rows(prefix, count):
    return datasets.Dataset.from_list([{"question": f"{prefix}{i}", "answer": str(i)} for i in range(count)])


def load(**_):
    return datasets.DatasetDict(train=rows("example ", 30), test=rows("question ", 20))


def prompts(sampler="default", **options):
    """The prompt of each question."""
    task = ConfigurableTask(
        config={
            "task": "sums",
            "custom_dataset": load,
            "training_split": "train",
            "test_split": "test",
            "fewshot_split": "train",
            "fewshot_config": {"sampler": sampler},
            "num_fewshot": 2,
            "doc_to_text": "{{question}}:",
            "doc_to_target": "{{answer}}",
            "output_type": "generate_until",
            "generation_kwargs": {"until": ["\n"]},
            "metric_list": [{"metric": "exact_match"}],
        }
    )
    task.set_fewshot_seed(1234)
    task.build_all_requests(**options)
    return {instance.doc["question"]: instance.args[0] for instance in task.instances}


def on_two(sampler="default"):
    return prompts(sampler, rank=0, world_size=2) | prompts(sampler, rank=1, world_size=2)


def alike(some, all_of_them):
    return sum(prompt == all_of_them[question] for question, prompt in some.items())


alone, first = prompts(), prompts("first_n")
leading, following = (prompts(rank=rank, world_size=2) for rank in (0, 1))
shared = sum(
    leading[f"question {i}"].rpartition("\n")[0] == following[f"question {i + 1}"].rpartition("\n")[0] for i in range(0, 20, 2)
)
found = {
    "one process again": alike(prompts(), alone),
    "two processes": alike(on_two(), alone),
    "limit=5": alike(prompts(limit=5), alone),
    "samples 3, 4": alike(prompts(samples=[3, 4]), alone),
    "first_n, two processes": alike(on_two("first_n"), first),
}
print(f"lm-eval {version('lm_eval')}: prompts as on one process with all 20 questions: {found}")
print(f"questions of two processes at the same place with the same examples: {shared} of 10")
assert shared == 10
assert len(alone) == 20 and found["one process again"] == 20 and found["limit=5"] == 5
assert found["first_n, two processes"] == 20
assert found["two processes"] < 5 and found["samples 3, 4"] == 0, "examples belong to their question now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$work/env/bin/python" "$work/prompts.py"
